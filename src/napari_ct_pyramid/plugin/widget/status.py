"""What stays in sight below the form: Convert, Verify and Cancel, the progress, and how it went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import napari
from napari.utils.notifications import notification_manager, show_error, show_info
from qtpy.QtCore import QObject, Qt, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_ct_pyramid.conversion.progress import Progress
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.errors import BudgetError, CtPyramidError, RequestError, SourceError
from napari_ct_pyramid.model.formatting import count, duration, format_size, shorten
from napari_ct_pyramid.plugin.neuroglancer_menu import show_in_neuroglancer
from napari_ct_pyramid.storage.object_store import RemotePath
from napari_ct_pyramid.storage.paths import AnyPath, any_path

from .jobs import Check, progress_words
from .parts import BAR_STYLE, Box, text_label
from .plan_panel import Remedy, error_words, remedies
from .planner import Request
from .queue_panel import summary

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_ct_pyramid.conversion.comparison import Verification

    from .queue import Entry


_STEPS = 1000
_NAME = 30  # letters
_KINDS, _LISTED, _LISTED_IN_TIP = 4, 4, 40  # of what is wrong

Buttons = Sequence[tuple[str, Callable[[], object]]]


class Share(NamedTuple):
    """Which of how many volumes is done just now, and the part of all work that is done."""

    place: int
    total: int
    fraction: float


class Foot(QWidget):
    """Buttons and progress. Each `show_…` is one stage, and says what can be pressed at it."""

    convert_pressed = Signal()
    cancel_pressed = Signal()
    another_pressed = Signal()
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
        self.verify.setToolTip("Read the output back, and find out whether it is whole and true")
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
        """Nothing goes on; Convert, or Resume, can be pressed if the plan is right. What happened stays in sight.

        Whether there is something to verify may not be known (None) yet. Of several volumes, so many can be converted.
        """
        offers = self.verify.isVisibleTo(self) if verifiable is None else verifiable
        self._show(self.convert, *([self.verify] if offers else []))
        self.verify.setEnabled(bool(verifiable))
        what = f" {count(several, 'volume')}" if several else ""
        self.convert.setText(("Resume" if resumes else "Convert") + what)
        self.convert.setEnabled(ready)

    def forget_result(self) -> None:
        """What happened before is of no interest any more."""
        self.result.hide()

    def show_running(self) -> None:
        """A job has begun."""
        self.forget_result()
        self._show(self.bar, self.status, self.cancel)
        self.cancel.setEnabled(True)
        self.cancel.setText("Cancel")
        self.bar.setRange(0, 0)
        self.status.setText("Starting…")

    def show_progress(self, progress: Progress, doing: str = "", of: Share | None = None) -> None:
        """How far it is, and with what; of several volumes, the bar shows all of them."""
        fraction = of.fraction if of else progress.fraction
        self.bar.setRange(0, _STEPS)
        self.bar.setValue(int(fraction * _STEPS))
        self.bar.setFormat((f"{of.place} of {of.total} · " if of else "") + f"{int(fraction * 100)} %")
        rest = "Finishing…" if progress.fraction >= 1 else progress_words(progress)
        name = shorten(progress.output.name, _NAME) if of else doing if rest != "Finishing…" else ""
        self.status.setText(" · ".join(filter(None, [name, rest])))

    def show_cancelling(self) -> None:
        """It was told to stop."""
        self.cancel.setEnabled(False)
        self.cancel.setText("Cancelling…")

    def show_cancelled(self, output: str, *, unfinished: bool) -> None:
        """It was stopped."""
        left = f" {any_path(output).name} is unfinished; Resume goes on with it." if unfinished else ""
        self.result.show_words("warning", f"Cancelled.{left}")

    def show_failed(self, words: str, buttons: Buttons = ()) -> None:
        """It failed, and that may be put right."""
        self.result.show_words("error", words, buttons)

    def show_verified(self, found: Verification, source: str) -> None:
        """What came of verifying, or repairing. No `source` was compared with where that is empty."""
        tip = "\n".join(map(str, found.problems[:_LISTED_IN_TIP]))
        if found.sound:
            self._show_success(_sound_words(found, source), found.output, tip)
        elif source:
            self.result.show_words("error", _wrong_words(found), [("Repair", self.repair_pressed.emit)], tip)
        else:
            how = "To repair it, name its source, and verify again."
            self.result.show_words("error", f"{_wrong_words(found)}\n{how}", tip=tip)

    def show_finished(self, *, verifiable: bool) -> None:
        """There is nothing to do but, perhaps, to verify what was made."""
        self._show(*([self.verify] if verifiable else []))
        self.verify.setEnabled(verifiable)

    def show_several(self, run: Sequence[Entry]) -> None:
        """What came of several volumes."""
        kind, words, tip = summary(run)
        made = [any_path(entry.output) for entry in run if entry.state == "done"]
        folders = [path.parent for path in made if not isinstance(path, RemotePath)]
        buttons: list[tuple[str, Callable[[], object]]] = []
        if folders:
            buttons.append(("Open folder", lambda: _open_folder(folders[-1])))
        if any(entry.state == "failed" for entry in run):
            buttons.append(("Try again", self.retry_pressed.emit))
        if not any(entry.state == "waiting" for entry in run):
            buttons.append(("Convert another", self.another_pressed.emit))
        self.result.show_words(kind, words, buttons, tip)

    def show_made(self, receipt: Receipt) -> None:
        """What was made."""
        words = (
            f"Made {receipt.output.name} in {duration(receipt.seconds)}, {format_size(receipt.bytes_per_second)}/s.\n"
            f"{count(len(receipt.levels), 'level')}, {format_size(receipt.bytes_written)} on disk."
        )
        self._show_success(words, receipt.output)

    def _show_success(self, words: str, output: AnyPath, tip: str = "") -> None:
        buttons = [
            ("Open", lambda: _open_layer(output))
            if isinstance(output, RemotePath)
            else ("Open folder", lambda: _open_folder(output.parent)),
            ("Neuroglancer", lambda: show_in_neuroglancer([output])),
            ("Convert another", self.another_pressed.emit),
        ]
        self.result.show_words("success", words, buttons, tip)

    def _show(self, *parts: QWidget) -> None:
        for part in self._parts:
            part.setVisible(part in parts)


def tell(error: Exception, whose: str = "") -> None:
    """Have napari say what went wrong."""
    if isinstance(error, CtPyramidError):
        show_error(whose + error_words(error))
    else:  # a mistake of ours: with its traceback
        notification_manager.receive_error(type(error), error, error.__traceback__)


def compared_with(source: str) -> str:
    """What an output is verified against."""
    return any_path(source).name if source else "the checksums of its source"


def _sound_words(found: Verification, source: str) -> str:
    """That nothing is wrong, or nothing any more."""
    compared = compared_with(source)
    if found.problems:
        return f"Repaired from {compared}: {_extent(found)} made again."
    are, agree = ("is", "agrees") if found.chunks == 1 else ("are", "agree")
    return f"Verified: {count(found.chunks, 'chunk')} {are} whole and {agree} with {compared}."


def _wrong_words(found: Verification) -> str:
    """How much is wrong, and what, a line for each kind."""
    kinds: dict[str, list[str]] = {}
    for problem in found.problems:
        where = kinds.setdefault(problem.what, [])
        if problem.level is not None and problem.chunk is not None:
            where.append("/".join(map(str, (problem.level, *problem.chunk))))
    lines = [f"{_extent(found)} wrong."]
    for what, where in list(kinds.items())[:_KINDS]:
        more = f" and {len(where) - _LISTED:,} more" if len(where) > _LISTED else ""
        lines.append(f"{', '.join(where[:_LISTED])}{more}: {what}" if where else f"Metadata: {what}")
    if len(kinds) > _KINDS:
        lines.append("…")
    return "\n".join(lines)


def _extent(found: Verification) -> str:
    """``"3 of 1,234 chunks are"``, or ``"1 of 64 chunks, and the metadata, are"``."""
    wrong = sum(problem.chunk is not None for problem in found.problems)
    others = wrong < len(found.problems)
    chunks = f"{wrong:,} of {count(found.chunks, 'chunk')}"
    if others:
        return f"{chunks} and the metadata are" if wrong else "The metadata are"
    return f"{chunks} {'is' if wrong == 1 else 'are'}"


def _open_layer(output: RemotePath) -> None:
    viewer = napari.current_viewer()
    if viewer is not None:
        viewer.open(str(output), plugin="napari-ct-pyramid")


def _open_folder(folder: AnyPath) -> None:
    if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
        show_info(f"The volume is in {folder}")  # a desktop without a file manager


class Verifier(QObject):
    """Verifies what a request says, and makes good what is wrong.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers are drawn anew after a repair.
    foot : Foot
        Where the outcome is shown.
    apply : callable
        Sets what a remedy sets.
    """

    began = Signal(object)  # Check

    def __init__(self, viewer: Viewer, foot: Foot, apply: Callable[[Remedy], object]) -> None:
        super().__init__(foot)
        self._viewer = viewer
        self._foot = foot
        self._apply = apply

    def begin(self, request: Request, *, repair: bool = False) -> None:
        """Begin; `Check.ended` follows."""
        check = Check(request.source, request.output, request.options, self._viewer, repair=repair)
        self.began.emit(check)
        check.start()

    def show_end(self, check: Check) -> None:
        """What came of it."""
        if check.found:
            self._foot.show_verified(check.found, check.source)
            if check.found.repaired:
                for layer in self._viewer.layers:
                    if layer.source.path == check.output:
                        layer.refresh(extent=False)
        elif check.outcome is None:
            self._foot.show_cancelled(check.output, unfinished=check.leaves_unfinished)
        else:
            tell(check.outcome)
            self._foot.show_failed(error_words(check.outcome), self._ways_out(check, check.outcome))

    def _ways_out(self, check: Check, error: Exception) -> list[tuple[str, Callable[[], object]]]:
        """What can be done about an error at the press of a button."""
        ways: list[tuple[str, Callable[[], object]]]
        ways = [(remedy.words, partial(self._apply, remedy)) for remedy in remedies(error, check.output)]
        if check.source and isinstance(error, (RequestError, SourceError)) and not isinstance(error, BudgetError):
            without = Request("", check.output, check.options)
            ways.append(("Verify without the source", partial(self.begin, without)))
        return ways
