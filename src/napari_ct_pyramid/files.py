"""Files that survive a power cut."""

from __future__ import annotations

import errno
import mmap
import os
from io import FileIO
from pathlib import Path

_DIRECT = getattr(os, "O_DIRECT", 0)  # on Linux


def page_buffer(size: int) -> memoryview:
    """Memory for `size` bytes that begins and ends at a page."""
    return memoryview(mmap.mmap(-1, pages(size)))


def pages(size: int) -> int:
    """Bytes of the whole pages that hold so many."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def write_file(path: Path, buffer: memoryview, size: int) -> None:
    """Write the first `size` bytes of a `page_buffer` to a file, and have them safely on disk.

    They go past the system's cache where that can be: to copy them there takes as long as to compress them,
    and pushes out all else that was in it.
    """
    try:
        _write_file(path, buffer[: pages(size)], size, _DIRECT)
    except OSError as error:
        if not _DIRECT or error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
        _write_file(path, buffer[:size], size, 0)


def _write_file(path: Path, data: memoryview, size: int, flag: int) -> None:
    with FileIO(path, "w", opener=lambda name, flags: os.open(name, flags | flag, 0o666)) as file:
        write_all(file, data)
        file.truncate(size)
        os.fsync(file.fileno())


def write_all(file: FileIO, data: bytes | memoryview) -> None:
    """Write all of `data`, which one call need not do."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def replace_file(path: Path, data: bytes) -> None:
    """Write a small file that is either there and whole, or as it was before."""
    new = path.with_name(path.name + ".new")
    with FileIO(new, "w") as file:
        write_all(file, data)
        os.fsync(file.fileno())
    new.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Have the names of a folder's files safely on disk, where a system must be asked for that."""
    if os.name != "posix":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
