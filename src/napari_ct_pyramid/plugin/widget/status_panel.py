"""The panel that stays visible below the form: the message box, Convert and Cancel, and the progress."""

from __future__ import annotations

from functools import partial

from napari.utils.notifications import notification_manager, show_error
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_ct_pyramid.conversion.batch import Batch
from napari_ct_pyramid.conversion.progress import Progress
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.errors import CtPyramidError
from napari_ct_pyramid.model.formatting import count, shorten
from napari_ct_pyramid.plugin.wording import error_words

from .activity_bar import progress_words
from .messages import Message
from .parts import BAR_STYLE, Box, text_label
from .remedies import Offer

_STEPS = 1000
_NAME = 30  # letters


class StatusPanel(QWidget):
    """Message, buttons and progress. Each `show_…` is for one state of the widget, and sets which buttons work."""

    convert_pressed = Signal()
    cancel_pressed = Signal()
    offer_chosen = Signal(object)  # Offer

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.message = Box()
        self.bar = QProgressBar()
        self.bar.setStyleSheet(BAR_STYLE)
        self.bar.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.bar.setAccessibleName("Progress")
        self.status = text_label()
        self.convert = QPushButton("Convert")
        self.convert.setToolTip("Make the OME-Zarr. You can go on working in napari meanwhile.")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop. What is done so far stays, and can be resumed.")
        running = QHBoxLayout()
        running.addWidget(self.bar, 1)
        running.addWidget(self.cancel)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 8)
        layout.addWidget(self.message)
        layout.addLayout(running)
        layout.addWidget(self.status)
        layout.addWidget(self.convert)
        self._parts = (self.bar, self.status, self.convert, self.cancel)
        self.convert.clicked.connect(lambda: self.convert_pressed.emit())
        self.cancel.clicked.connect(lambda: self.cancel_pressed.emit())
        self.show_idle(ready=False)

    def show_message(self, message: Message | None) -> None:
        """Show a message; None hides the box."""
        if message is None:
            self.message.hide()
            return
        buttons = [(offer.words, partial(self._choose, offer)) for offer in message.offers]
        self.message.show_words(message.kind, message.words, buttons, message.tip)

    def _choose(self, offer: Offer) -> None:
        self.offer_chosen.emit(offer)

    def show_idle(self, *, ready: bool, resumes: bool = False, several: int | None = None) -> None:
        """Show that nothing runs.

        Parameters
        ----------
        ready : bool
            Whether Convert (or Resume, if it `resumes`) works.
        resumes : bool
        several : int or None
            How many volumes would be converted; None for one volume.
        """
        self._show(self.convert)
        what = f" {count(several, 'volume')}" if several else ""
        self.convert.setText(("Resume" if resumes else "Convert") + what)
        self.convert.setEnabled(ready)

    def show_running(self) -> None:
        """Show that a job has begun."""
        self.show_message(None)
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

    def show_finished(self) -> None:
        """Show that there is nothing left to convert."""
        self._show()

    def _show(self, *parts: QWidget) -> None:
        for part in self._parts:
            part.setVisible(part in parts)


def notify_error(error: Exception, prefix: str = "") -> None:
    """Show an error as a notification of napari."""
    if isinstance(error, CtPyramidError):
        show_error(prefix + error_words(error))
    else:  # a mistake in the code: with its traceback
        notification_manager.receive_error(type(error), error, error.__traceback__)
