"""The panel that stays visible below the form: Convert, Verify and Cancel, the progress, and the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import napari
from napari.utils.notifications import notification_manager, show_error, show_info
from qtpy.QtCore import Qt, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_ct_pyramid.conversion.batch import Batch
from napari_ct_pyramid.conversion.comparison import Verification
from napari_ct_pyramid.conversion.progress import Progress
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.errors import CtPyramidError
from napari_ct_pyramid.model.formatting import count, shorten
from napari_ct_pyramid.plugin.menus import show_in_neuroglancer
from napari_ct_pyramid.plugin.wording import error_words
from napari_ct_pyramid.storage.paths import AnyPath
from napari_ct_pyramid.storage.remote_path import RemotePath

from .activity_bar import progress_words
from .parts import BAR_STYLE, Box, text_label
from .summaries import Summary, batch_summary, cancelled_summary, receipt_summary, verification_summary

_STEPS = 1000
_NAME = 30  # letters

Buttons = Sequence[tuple[str, Callable[[], object]]]


class StatusPanel(QWidget):
    """Buttons, progress and result. Each `show_…` is for one state of the widget, and sets which buttons work in it."""

    convert_pressed = Signal()
    cancel_pressed = Signal()
    convert_another_pressed = Signal()
    verify_pressed = Signal()
    repair_pressed = Signal()
    retry_pressed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.result = Box()
        self.bar = QProgressBar()
        self.bar.setStyleSheet(BAR_STYLE)
        self.bar.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.status = text_label()
        self.convert = QPushButton("Convert")
        self.cancel = QPushButton("Cancel")
        self.verify = QPushButton("Verify")
        self.verify.setToolTip("Read the output back, and check that it is complete and correct")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 8)
        self._parts = (self.bar, self.status, self.convert, self.verify, self.cancel)
        for part in (self.result, *self._parts):
            layout.addWidget(part)
        self.convert.clicked.connect(lambda: self.convert_pressed.emit())
        self.cancel.clicked.connect(lambda: self.cancel_pressed.emit())
        self.verify.clicked.connect(lambda: self.verify_pressed.emit())
        self.show_idle(ready=False)

    def show_idle(
        self, *, ready: bool, resumes: bool = False, verifiable: bool | None = False, several: int | None = None
    ) -> None:
        """Show that nothing runs. The last result stays visible.

        Parameters
        ----------
        ready : bool
            Whether Convert (or Resume, if it `resumes`) works.
        resumes : bool
        verifiable : bool or None
            Whether there is an output to verify; None while that is unknown.
        several : int or None
            How many volumes would be converted; None for one volume.
        """
        offers = self.verify.isVisibleTo(self) if verifiable is None else verifiable
        self._show(self.convert, *([self.verify] if offers else []))
        self.verify.setEnabled(bool(verifiable))
        what = f" {count(several, 'volume')}" if several else ""
        self.convert.setText(("Resume" if resumes else "Convert") + what)
        self.convert.setEnabled(ready)

    def hide_result(self) -> None:
        """Hide the last result."""
        self.result.hide()

    def show_running(self) -> None:
        """Show that a job has begun."""
        self.hide_result()
        self._show(self.bar, self.status, self.cancel)
        self.cancel.setEnabled(True)
        self.cancel.setText("Cancel")
        self.bar.setRange(0, 0)
        self.status.setText("Starting…")

    def show_progress(self, progress: Progress, activity: str = "", run: Batch[Receipt] | None = None) -> None:
        """Show the progress of a job. With several volumes, the bar shows the progress of all."""
        fraction = run.fraction if run else progress.fraction
        place = "{} of {} · ".format(*run.place) if run else ""
        self.bar.setRange(0, _STEPS)
        self.bar.setValue(int(fraction * _STEPS))
        self.bar.setFormat(f"{place}{int(fraction * 100)} %")
        finishing = progress.fraction >= 1
        what = shorten(progress.output.name, _NAME) if run else "" if finishing else activity
        rest = "Finishing…" if finishing else progress_words(progress)
        self.status.setText(" · ".join(filter(None, [what, rest])))

    def show_cancelling(self) -> None:
        """Show that the job was asked to stop."""
        self.cancel.setEnabled(False)
        self.cancel.setText("Cancelling…")

    def show_cancelled(self, output: str, *, unfinished: bool) -> None:
        """Show that the job was cancelled."""
        self._show_result(cancelled_summary(output, unfinished=unfinished))

    def show_failed(self, words: str, buttons: Buttons = ()) -> None:
        """Show that the job failed, with buttons that may help."""
        self._show_result(Summary("error", words), buttons)

    def show_verified(self, found: Verification, source: str) -> None:
        """Show the result of a verification or a repair. An empty `source` means that it used only checksums."""
        if found.sound:
            buttons = self._success_buttons(found.output)
        else:
            buttons = [("Repair", self.repair_pressed.emit)] if source else []
        self._show_result(verification_summary(found, source), buttons)

    def show_finished(self, *, verifiable: bool) -> None:
        """Show that the job is finished, and offer to verify its output."""
        self._show(*([self.verify] if verifiable else []))
        self.verify.setEnabled(verifiable)

    def show_batch(self, batch: Batch[Receipt]) -> None:
        """Show the results of several volumes."""
        made = [item.output for item in batch.having("done")]
        folders = [path.parent for path in made if not isinstance(path, RemotePath)]
        buttons: list[tuple[str, Callable[[], object]]] = []
        if folders:
            buttons.append(("Open folder", lambda: _open_folder(folders[-1])))
        if batch.having("failed"):
            buttons.append(("Try again", self.retry_pressed.emit))
        if not batch.having("waiting"):
            buttons.append(("Convert another", self.convert_another_pressed.emit))
        self._show_result(batch_summary(batch), buttons)

    def show_made(self, receipt: Receipt) -> None:
        """Show what a conversion made."""
        self._show_result(receipt_summary(receipt), self._success_buttons(receipt.output))

    def _success_buttons(self, output: AnyPath) -> Buttons:
        return [
            ("Open", lambda: _open_layer(output))
            if isinstance(output, RemotePath)
            else ("Open folder", lambda: _open_folder(output.parent)),
            ("Neuroglancer", lambda: show_in_neuroglancer([output])),
            ("Convert another", self.convert_another_pressed.emit),
        ]

    def _show_result(self, summary: Summary, buttons: Buttons = ()) -> None:
        self.result.show_words(summary.kind, summary.words, buttons, summary.tip)

    def _show(self, *parts: QWidget) -> None:
        for part in self._parts:
            part.setVisible(part in parts)


def notify_error(error: Exception, prefix: str = "") -> None:
    """Show an error as a notification of napari."""
    if isinstance(error, CtPyramidError):
        show_error(prefix + error_words(error))
    else:  # a mistake in the code: with its traceback
        notification_manager.receive_error(type(error), error, error.__traceback__)


def _open_layer(output: RemotePath) -> None:
    viewer = napari.current_viewer()
    if viewer is not None:
        viewer.open(str(output), plugin="napari-ct-pyramid")


def _open_folder(folder: AnyPath) -> None:
    if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
        show_info(f"The output is in {folder}")  # this desktop has no file manager
