"""A large file that is written in parts, in any order, and is there under its name once it is whole."""

from __future__ import annotations

import tempfile
import threading
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

from .files import begin_file, make_folders, write_all, write_part
from .paths import AnyPath
from .remote import RemotePath


class PartFile(Protocol):
    """One that is being written. Several threads write to it at once."""

    def write(self, buffer: memoryview, size: int, offset: int, *, own_pages: bool) -> None:
        """Write a part, as `files.write_part` does."""

    def finish(self, end: int, data: bytes) -> None:
        """Cut it off at `end`, put `data` there, and give it its name."""

    def close(self) -> None:
        """Let go of it, finished or not."""


def begin_part_file(path: AnyPath, size: int) -> PartFile:
    """Begin a file of up to `size` bytes."""
    return _RemotePartFile(path) if isinstance(path, RemotePath) else _LocalPartFile(path, size)


class _LocalPartFile:
    """It has another name beside its own until it is whole, so that one that is there can be read."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        make_folders(path)
        begin_file(self._part, size)

    def write(self, buffer: memoryview, size: int, offset: int, *, own_pages: bool) -> None:
        write_part(self._part, buffer, size, offset, own_pages=own_pages)

    def finish(self, end: int, data: bytes) -> None:
        with FileIO(self._part, "r+") as file:
            file.truncate(end)
            file.seek(end)
            write_all(file, data)
        self._part.replace(self._path)

    def close(self) -> None:
        """Nothing is held."""


class _RemotePartFile:
    """It lies among this machine's temporary files, without a name, until it is whole: nothing is left of it there."""

    def __init__(self, path: RemotePath) -> None:
        self._path = path
        self._file: Any = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  closed by close()
        self._lock = threading.Lock()

    def write(self, buffer: memoryview, size: int, offset: int, *, own_pages: bool) -> None:  # noqa: ARG002
        with self._lock:
            self._put(offset, buffer[:size])

    def finish(self, end: int, data: bytes) -> None:
        self._file.truncate(end)
        self._put(end, data)
        self._path.write_file(self._file)

    def close(self) -> None:
        self._file.close()

    def _put(self, offset: int, data: bytes | memoryview) -> None:
        try:
            self._file.seek(offset)
            write_all(self._file, data)
        except OSError as error:
            where = tempfile.gettempdir()
            raise OSError(error.errno, f"{error.strerror}, among the temporary files in {where} (TMPDIR)") from error
