"""Reads and writes in a thread, so that a slow disk or server does not stop the window."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from napari.utils import progress
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Signal

from napari_ct_pyramid.errors import CtPyramidError, sentence

from .viewer_hooks import open_viewers
from .wording import wording

if TYPE_CHECKING:
    from napari.viewer import Viewer

_log = logging.getLogger(__name__)


class Background(QObject):
    """Calls a function in a thread, and another with its result in the window. Nothing is shown in a closed window.

    Parameters
    ----------
    viewer : napari.Viewer
    words : str
        What the activity dock shows meanwhile.
    work : callable
        Called in the thread.
    show : callable
        Called in the window with what `work` returned.
    fail : callable, optional
        Called in the window with the error that `work` raised. If not given, a notice states the error.
    finish : callable, optional
        Called in the window before these, whatever has happened.
    writes : bool
        Whether `work` writes: then Python waits for it before it ends.
    """

    _ended = Signal(object)

    under_way: ClassVar[set[Background]] = set()
    """All that have not ended."""

    def __init__(
        self,
        viewer: Viewer,
        words: str,
        work: Callable[[], Any],
        show: Callable[[Any], None],
        fail: Callable[[CtPyramidError], None] | None = None,
        *,
        finish: Callable[[], None] | None = None,
        writes: bool = False,
    ) -> None:
        super().__init__()
        self._viewer, self._work, self._show, self._fail = viewer, work, show, fail or _tell
        self._finish = finish
        self._words = words
        self._bar = progress(total=0, desc=words)
        self._ended.connect(self._end)
        self.under_way.add(self)
        # A worker of napari would keep the window from closing until a server answers.
        threading.Thread(target=self._run, name="ct-pyramid-background", daemon=not writes).start()

    def _run(self) -> None:
        found: Any
        try:
            found = self._work()
        except Exception as error:  # noqa: BLE001  it is raised or shown in the window
            found = error
        with suppress(RuntimeError):  # the program has ended
            self._ended.emit(found)

    def _end(self, found: Any) -> None:
        self.under_way.discard(self)
        self._bar.close()
        if self._viewer not in open_viewers():
            if isinstance(found, Exception):
                _log.error("%s failed after its window was closed: %s", self._words, found)
            return
        if self._finish:
            self._finish()
        if isinstance(found, CtPyramidError):
            self._fail(found)
        elif isinstance(found, Exception):
            raise found
        else:
            self._show(found)


def _tell(error: CtPyramidError) -> None:
    show_error(sentence(error, wording))
