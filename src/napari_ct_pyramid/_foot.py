"""What stays in sight below the form: Convert and Cancel, the progress, and how it went."""

from __future__ import annotations

from pathlib import Path

from napari.utils.notifications import show_info
from qtpy.QtCore import Qt, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QProgressBar, QPushButton, QVBoxLayout, QWidget

from ._neuroglancer_menu import show_in_neuroglancer
from ._parts import BAR_STYLE, Box, text_label
from ._worker import progress_words
from .report import Progress, Receipt
from .sizes import format_size
from .text import duration

_STEPS = 1000


class Foot(QWidget):
    """Buttons and progress. Each `show_…` is one stage, and says what can be pressed at it."""

    convert_pressed = Signal()
    cancel_pressed = Signal()
    another_pressed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.result = Box()
        self.bar = QProgressBar()
        self.bar.setStyleSheet(BAR_STYLE)
        self.bar.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.status = text_label()
        self.convert = QPushButton("Convert")
        self.cancel = QPushButton("Cancel")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 8)
        for part in (self.result, self.bar, self.status, self.convert, self.cancel):
            layout.addWidget(part)
        self.convert.clicked.connect(lambda: self.convert_pressed.emit())
        self.cancel.clicked.connect(lambda: self.cancel_pressed.emit())
        self.show_idle(ready=False)

    def show_idle(self, *, ready: bool, resumes: bool = False) -> None:
        """Nothing goes on; Convert, or Resume, can be pressed if the plan is right. What happened stays in sight."""
        self._show(self.convert)
        self.convert.setText("Resume" if resumes else "Convert")
        self.convert.setEnabled(ready)

    def forget_result(self) -> None:
        """What happened before is of no interest any more."""
        self.result.hide()

    def show_running(self) -> None:
        """A conversion has begun."""
        self.forget_result()
        self._show(self.bar, self.status, self.cancel)
        self.cancel.setEnabled(True)
        self.cancel.setText("Cancel")
        self.bar.setRange(0, 0)
        self.status.setText("Starting…")

    def show_progress(self, progress: Progress) -> None:
        """How far it is."""
        self.bar.setRange(0, _STEPS)
        self.bar.setValue(int(progress.fraction * _STEPS))
        self.bar.setFormat(f"{int(progress.fraction * 100)} %")
        self.status.setText("Finishing…" if progress.fraction >= 1 else progress_words(progress))

    def show_cancelling(self) -> None:
        """It was told to stop."""
        self.cancel.setEnabled(False)
        self.cancel.setText("Cancelling…")

    def show_cancelled(self, output: str) -> None:
        """It was stopped."""
        self.result.show_words(
            "warning", f"Cancelled. {Path(output).name} is unfinished; converting again goes on with it."
        )

    def show_failed(self, words: str) -> None:
        """It failed."""
        self.result.show_words("error", words)

    def show_done(self, receipt: Receipt, next_source: str | None) -> None:
        """It is finished, and perhaps another source waits."""
        self._show()
        count = len(receipt.levels)
        words = (
            f"Made {receipt.output.name} in {duration(receipt.seconds)}, {format_size(receipt.bytes_per_second)}/s.\n"
            f"{count} level{'s' * (count > 1)}, {format_size(receipt.bytes_written)} on disk."
        )
        if next_source:
            words += f"\nNext: {Path(next_source).name}"
        buttons = [
            ("Open folder", lambda: _open_folder(receipt.output.parent)),
            ("Neuroglancer", lambda: show_in_neuroglancer([receipt.output])),
            ("Convert another", self.another_pressed.emit),
        ]
        self.result.show_words("success", words, buttons)

    def _show(self, *parts: QWidget) -> None:
        for part in (self.bar, self.status, self.convert, self.cancel):
            part.setVisible(part in parts)


def _open_folder(folder: Path) -> None:
    if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
        show_info(f"The volume is in {folder}")  # a desktop without a file manager
