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

Look = dict[tuple[str, str], Any]
"""What was found, by what was looked at: ("file", "folder" or "space", a path)."""


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

    def watch(
        self,
        sources: Sequence[str | ArrayInput],
        outputs: Sequence[str],
        *,
        space: bool = False,
        seen: Look | None = None,
    ) -> None:
        """Watch these from now on, and nothing else.

        Parameters
        ----------
        sources : sequence of (str or ArrayInput)
        outputs : sequence of str
            Paths. Arrays, and what is in an object store, are not watched.
        space : bool
            Whether to also watch the free space on the disks of the outputs.
        seen : Look, optional
            What `look_at` found before: what has changed since then is noticed, too.
        """
        self._watched = (_on_disk(sources), _on_disk(outputs), space)
        self._seen = seen
        if any(self._watched[:2]):
            if seen is None:
                self._look()  # otherwise a file that grows would be planned again and again without a pause
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
        before, self._seen = self._seen or {}, look
        _, _, space = watched
        kinds = {"file", "folder", "space"} if space else {"file", "folder"}
        if any(before[place] != look[place] for place in before.keys() & look.keys() if place[0] in kinds):
            self.changed.emit()


def _looked(watched: tuple[Any, ...]) -> tuple[tuple[Any, ...], Look]:
    sources, outputs, _ = watched
    return watched, look_at(sources, outputs)


def look_at(sources: Sequence[str | ArrayInput], outputs: Sequence[str]) -> Look:
    """The states of sources and outputs, as far as they are on disks."""
    found: Look = {}
    for source in _on_disk(sources):
        asked = parse_input(source)
        if isinstance(asked, Input):
            found["file", str(asked.local_path)] = _state(asked.local_path)
    for output in map(Path, _on_disk(outputs)):
        for folder in (output, output.parent):
            found["folder", str(folder)] = _exists(folder)
        for path in (output / name for name in (*GROUP_FILE_NAMES, JOURNAL)):
            found["file", str(path)] = _state(path)
        with suppress(OSError):
            found["space", str(output)] = shutil.disk_usage(output.parent).free // _SPACE_STEP
    return found


def _on_disk(paths: Sequence[str | ArrayInput]) -> tuple[str, ...]:
    return tuple(path for path in paths if isinstance(path, str) and path and not is_url(path))


def _exists(path: Path) -> bool:
    return _state(path) is not None


def _state(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size
