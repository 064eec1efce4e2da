"""The dialogs of a save in napari's window: progress with Cancel, and the question whether to replace something."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from napari_ct_pyramid.errors import RequestError

from .viewer_hooks import is_saved_in_window

_SHOWN_AFTER_MS = 500
_STEPS = 1000

_from_dock: list[bool] = []  # not empty while a dock saves


@contextmanager
def saved_from_dock() -> Iterator[None]:
    """In this context, a dock saves for a user, who can be asked, and see progress, as in napari's own menu."""
    _from_dock.append(True)
    try:
        yield
    finally:
        _from_dock.pop()


def _has_window() -> bool:
    return bool(_from_dock) or is_saved_in_window()


def run_in_window(words: str, work: Generator[float]) -> None:
    """Carry out work that yields what fraction of it is done.

    In a window, it runs in a thread, behind a dialog with progress and Cancel. In a script, it runs here.

    Raises
    ------
    RequestError
        If the user cancels.
    """
    if not _has_window():
        for _ in work:
            pass
        return
    import napari
    from qtpy.QtCore import QEventLoop, Qt, QTimer
    from qtpy.QtWidgets import QProgressDialog

    viewer = napari.current_viewer()
    dialog = QProgressDialog(f"{words} …", "Cancel", 0, 0, viewer.window._qt_window if viewer else None)
    dialog.setWindowModality(Qt.WindowModality.WindowModal)
    dialog.setMinimumDuration(_SHOWN_AFTER_MS)
    dialog.setAutoClose(False)
    dialog.setAutoReset(False)
    job = _Job(work)
    loop, timer = QEventLoop(), QTimer()

    def look() -> None:
        if dialog.wasCanceled():
            job.cancelled = True
            dialog.setLabelText(f"{words}: cancelling …")
        if job.fraction > 0:
            dialog.setMaximum(_STEPS)
            dialog.setValue(min(_STEPS - 1, round(_STEPS * job.fraction)))
        if not job.thread.is_alive():
            loop.quit()

    timer.timeout.connect(look)
    timer.start(50)
    job.thread.start()
    loop.exec()
    timer.stop()
    dialog.close()
    dialog.deleteLater()
    if job.error:
        raise job.error
    if job.stopped:
        raise RequestError("Saving was cancelled, and nothing was written.")


class _Job:
    """Work in a thread."""

    def __init__(self, work: Generator[float]) -> None:
        self._work = work
        self.fraction = 0.0
        self.cancelled = False  # set by the window
        self.stopped = False  # before the work was complete
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name="ct-pyramid-save", daemon=True)

    def _run(self) -> None:
        try:
            for fraction in self._work:
                self.fraction = fraction
                if self.cancelled:
                    self._work.close()
                    self.stopped = True
                    return
        except BaseException as error:  # noqa: BLE001  raised in the thread that waits
            self.error = error


def ask(question: str, yes: str) -> bool:
    """Whether the user agrees. In a script, nobody can be asked: False."""
    if not _has_window():
        return False
    import napari
    from qtpy.QtWidgets import QMessageBox

    viewer = napari.current_viewer()
    box = QMessageBox(
        QMessageBox.Icon.Question, "Save layers", question, parent=viewer.window._qt_window if viewer else None
    )
    agree = box.addButton(yes, QMessageBox.ButtonRole.AcceptRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.exec()
    return box.clickedButton() is agree
