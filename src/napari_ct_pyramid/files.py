"""Files that survive a power cut."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path

_DIRECT = getattr(os, "O_DIRECT", 0)  # on Linux


def pages(size: int) -> int:
    """Bytes of the whole pages that hold so many."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def write_file(path: Path, buffer: memoryview, size: int) -> None:
    """Write the first `size` bytes of a `page_buffer` of `memory` to a file, and have them safely on disk.

    They go past the system's cache where that can be: to copy them there takes as long as to compress them,
    and pushes out all else that was in it.
    """

    def write(flag: int) -> None:
        with _open(path, "w", flag) as file:
            write_all(file, buffer[: pages(size) if flag else size])
            file.truncate(size)
            os.fsync(file.fileno())

    _past_the_cache(write)


def begin_file(path: Path, size: int) -> None:
    """Make a file empty that parts are then written to, up to `size` bytes."""
    with FileIO(path, "w") as file:
        if _DIRECT:
            file.truncate(size)  # a file that grows past the system's cache is locked by each write


def write_part(path: Path, buffer: memoryview, size: int, offset: int, *, own_pages: bool) -> None:
    """Write the first `size` bytes of a `page_buffer` into a file that is there; they are not safely on disk yet.

    With `own_pages` the part begins at a page and nothing else is in its last one, so that it can be written past
    the system's cache.
    """

    def write(flag: int) -> None:
        with _open(path, "r+", flag) as file:
            file.seek(offset)
            write_all(file, buffer[: pages(size) if flag else size])

    _past_the_cache(write, allowed=own_pages)


def _past_the_cache(write: Callable[[int], None], *, allowed: bool = True) -> None:
    """Have something written with the flag for that, or without where the file system does not know it."""
    if _DIRECT and allowed:
        try:
            write(_DIRECT)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
    write(0)


def _open(path: Path, mode: str, flag: int) -> FileIO:
    return FileIO(path, mode, opener=lambda name, flags: os.open(name, flags | flag, 0o666))


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


def make_folders(path: Path) -> None:
    """Make the two folders that a chunk's file is in.

    Not those above them: where the level's own folder is gone, something is badly wrong.
    """
    path.parent.parent.mkdir(exist_ok=True)
    path.parent.mkdir(exist_ok=True)


def sync_file(path: Path) -> None:
    """Have a file safely on disk that was written before."""
    with FileIO(path, "r+") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Have the names of a folder's files safely on disk, where a system must be asked for that."""
    if os.name != "posix":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
