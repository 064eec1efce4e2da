"""Notices when files or folders appear, change or go, by looking at them every few seconds in a thread.

The notifications of operating systems do not reach network drives, and a drive that does not answer must not stop the
window.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari.qt.threading import FunctionWorker
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ct_pyramid.omezarr.kind import GROUP_FILE_NAMES, JOURNAL
from napari_ct_pyramid.sources.inputs import ArrayInput, Input, parse_input
from napari_ct_pyramid.storage.remote_path import is_url

_PAUSE_MS = 2000
_SPACE_STEP = 50_000_000  # bytes: smaller changes of free space are not reported

Look = tuple[Any, ...]


class DiskWatch(QObject):
    """Watches sources and outputs.

    Parameters
    ----------
    parent : QObject
    """

    changed = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._watched: tuple[Any, ...] = ()
        self._seen: Look | None = None
        self._looking = False
        self._timer = QTimer(self)
        self._timer.setInterval(_PAUSE_MS)
        self._timer.timeout.connect(self._look)

    @property
    def has_looked(self) -> bool:
        """Whether changes from now on are noticed: the first look is only compared with later ones."""
        return self._seen is not None

    def watch(self, sources: Sequence[str | ArrayInput], outputs: Sequence[str], *, space: bool = False) -> None:
        """Watch these from now on, and nothing else.

        Parameters
        ----------
        sources : sequence of (str or ArrayInput)
        outputs : sequence of str
            Paths. Arrays, and what is in an object store, are not watched.
        space : bool
            Whether to also watch the free space on the disks of the outputs.
        """
        here = [path for path in sources if isinstance(path, str) and path and not is_url(path)]
        there = [path for path in outputs if path and not is_url(path)]
        self._watched = (tuple(here), tuple(there), space)
        self._seen = None
        if here or there:
            self._look()
            self._timer.start()
        else:
            self._timer.stop()

    def stop(self) -> None:
        """Watch nothing."""
        self._timer.stop()
        self._watched = ()

    def _look(self) -> None:
        if self._looking or not self._watched:
            return
        self._looking = True
        worker = FunctionWorker(_looked, self._watched)
        worker.returned.connect(self._compare)
        worker.start()

    def _compare(self, found: tuple[tuple[Any, ...], Look]) -> None:
        self._looking = False
        watched, look = found
        if watched != self._watched:
            return
        before, self._seen = self._seen, look
        if before is not None and before != look:
            self.changed.emit()


def _looked(watched: tuple[Any, ...]) -> tuple[tuple[Any, ...], Look]:
    return watched, look_at(*watched)


def look_at(sources: Sequence[str], outputs: Sequence[str], space: bool) -> Look:
    """A value that differs once something has changed."""
    found: list[Any] = []
    for source in sources:
        asked = parse_input(source)
        if isinstance(asked, Input):
            found.append(_state(asked.local_path))
    for output in outputs:
        path = Path(output)
        found += [_exists(path), _exists(path.parent)]
        found += [_state(path / name) for name in (*GROUP_FILE_NAMES, JOURNAL)]
        if space:
            with suppress(OSError):
                found.append(shutil.disk_usage(path.parent).free // _SPACE_STEP)
    return tuple(found)


def _exists(path: Path) -> bool:
    return _state(path) is not None


def _state(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size
