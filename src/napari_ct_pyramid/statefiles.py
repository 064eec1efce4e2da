"""A small file in an output that tells how far it is: changed again and again, and now and then made safe.

On this machine it is changed in place. In an object store, where nothing can be, it is kept in memory, and put whole.
"""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path
from typing import Protocol

from .files import write_all
from .paths import AnyPath
from .remote import RemotePath


class StateFile(Protocol):
    """One that is open."""

    def read(self, at: int, size: int) -> bytes:
        """Some bytes of it."""

    def write(self, at: int, data: bytes) -> None:
        """Change some bytes, or add some at its end."""

    def sync(self) -> None:
        """Have all that was written safely in the output."""

    def close(self) -> None:
        """Let go of it."""


def open_state(path: AnyPath, size: int | None = None, *, fresh: bool = False) -> StateFile:
    """Open a state file.

    Parameters
    ----------
    path : Path or RemotePath
    size : int, optional
        To change it: of so many bytes, what is more is cut off. Not given, it is only read.
    fresh : bool
        Of zeros, in place of any that is there.
    """
    return _RemoteState(path, size, fresh) if isinstance(path, RemotePath) else _LocalState(path, size, fresh)


class _LocalState:
    def __init__(self, path: Path, size: int | None, fresh: bool) -> None:
        self._file = FileIO(path, "r" if size is None else "w+" if fresh else "r+")
        if size is not None:
            self._file.truncate(size)

    def read(self, at: int, size: int) -> bytes:
        self._file.seek(at)
        return self._file.read(size)

    def write(self, at: int, data: bytes) -> None:
        self._file.seek(at)
        write_all(self._file, data)

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class _RemoteState:
    def __init__(self, path: RemotePath, size: int | None, fresh: bool) -> None:
        self._path = path
        self._data = bytearray(size or 0) if fresh else bytearray(path.read_bytes()[:size])

    def read(self, at: int, size: int) -> bytes:
        return bytes(self._data[at : at + size])

    def write(self, at: int, data: bytes) -> None:
        self._data[at : at + len(data)] = data

    def sync(self) -> None:
        self._path.write_bytes(memoryview(self._data))

    def close(self) -> None:
        """Nothing is held."""
