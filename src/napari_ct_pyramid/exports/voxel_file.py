"""A file that threads write at any place at the same time, past the page cache where the system allows it.

A copy into the page cache takes as long as the decompression, and displaces everything else that is cached.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
from pathlib import Path

import numpy as np

from napari_ct_pyramid.model.memory import page_buffer

_PAGE = mmap.PAGESIZE
_DIRECT = getattr(os, "O_DIRECT", 0)  # only Linux has it
_FEWEST_DIRECT = 16 * _PAGE  # bytes that are worth a write of their own

_UNSUPPORTED = (errno.EINVAL, errno.EOPNOTSUPP)  # the system's answers where it cannot write past the page cache

_of_thread = threading.local()


class VoxelFile:
    """A file that is open for writing. It must exist.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        self._direct = _open_direct(path)
        self._lock = threading.Lock()

    def write(self, data: memoryview, offset: int) -> None:
        """Write bytes at a position. Several threads may write at once, but not to the same place."""
        head = min(-offset % _PAGE, len(data))
        middle = (len(data) - head) // _PAGE * _PAGE
        if self._direct is None or middle < _FEWEST_DIRECT:
            self._write(data, offset)
            return
        self._write(data[:head], offset)
        self._write_pages(data[head : head + middle], offset + head)
        self._write(data[head + middle :], offset + head + middle)

    def _write_pages(self, data: memoryview, offset: int) -> None:
        """Write whole pages past the page cache, from memory that begins at a page."""
        assert self._direct is not None
        pages = data
        if np.frombuffer(data, np.uint8).ctypes.data % _PAGE:
            pages = _own_pages(len(data))[: len(data)]
            pages[:] = data
        try:
            written = os.pwrite(self._direct, pages, offset)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            written = 0
        self._write(data[written:], offset + written)

    def _write(self, data: memoryview, offset: int) -> None:
        while data:
            written = self._write_some(data, offset)
            data, offset = data[written:], offset + written

    def _write_some(self, data: memoryview, offset: int) -> int:
        if hasattr(os, "pwrite"):
            return os.pwrite(self._file, data, offset)
        with self._lock:  # Windows
            os.lseek(self._file, offset, os.SEEK_SET)
            return os.write(self._file, data)

    def sync(self) -> None:
        """Wait until all that was written is on the disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file. No thread may be writing."""
        os.close(self._file)
        if self._direct is not None:
            os.close(self._direct)


def _open_direct(path: Path) -> int | None:
    if not _DIRECT:
        return None
    try:
        return os.open(path, os.O_RDWR | _DIRECT)
    except OSError:  # this file system has no such mode
        return None


def _own_pages(size: int) -> memoryview:
    """Memory of this thread that begins at a page."""
    buffer: memoryview | None = getattr(_of_thread, "pages", None)
    if buffer is None or len(buffer) < size:
        buffer = _of_thread.pages = page_buffer(size)
    return buffer
