"""Files that survive a power cut: on this machine, or, as whole objects, in a store."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path

from .paths import AnyPath, OpenFile
from .remote import RemotePath

_DIRECT = getattr(os, "O_DIRECT", 0)  # on Linux


def pages(size: int) -> int:
    """Bytes of the whole pages that hold so many."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def write_file(path: AnyPath, buffer: memoryview, size: int) -> None:
    """Write the first `size` bytes of a `page_buffer` of `memory` to a file, and have them safely on disk.

    They go past the system's cache where that can be: to copy them there takes as long as to compress them,
    and pushes out all else that was in it.
    """
    if isinstance(path, RemotePath):
        path.write_bytes(buffer[:size])
        return

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


def replace_file(path: AnyPath, data: bytes) -> None:
    """Write a small file that is either there and whole, or as it was before."""
    if isinstance(path, RemotePath):
        path.write_bytes(data)
        return
    new = path.with_name(path.name + ".new")
    with FileIO(new, "w") as file:
        write_all(file, data)
        os.fsync(file.fileno())
    new.replace(path)
    sync_folder(path.parent)


def make_folders(path: AnyPath) -> None:
    """Make the two folders that a chunk's file is in.

    Not those above them: where the level's own folder is gone, something is badly wrong.
    """
    path.parent.parent.mkdir(exist_ok=True)
    path.parent.mkdir(exist_ok=True)


def sync_file(path: AnyPath) -> None:
    """Have a file safely on disk that was written before."""
    if isinstance(path, RemotePath):
        return
    with FileIO(path, "r+") as file:
        os.fsync(file.fileno())


def sync_folder(path: AnyPath) -> None:
    """Have the names of a folder's files safely on disk, where a system must be asked for that."""
    if isinstance(path, RemotePath) or os.name != "posix":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def open_file(path: AnyPath, *, whole: bool = False) -> OpenFile:
    """Open a file for reading, past any buffer; `whole` says that all of it is wanted, at once."""
    if isinstance(path, RemotePath):
        return path.open(whole=whole)
    return FileIO(path)


def names_below(folder: AnyPath) -> Iterator[str]:
    """The names of all files below a folder."""
    if isinstance(folder, RemotePath):
        return (path.name for path, _ in folder.below(1))
    return (name for _, _, names in os.walk(folder) for name in names)


def bytes_below(folder: AnyPath) -> int:
    """Bytes of all files below a folder."""
    if isinstance(folder, RemotePath):
        return sum(size for _, size in folder.below())
    return sum((Path(below) / name).stat().st_size for below, _, names in os.walk(folder) for name in names)


def walk(folder: AnyPath) -> Iterator[tuple[AnyPath, list[str], list[str]]]:
    """As `os.walk`."""
    if isinstance(folder, RemotePath):
        return folder.walk()
    return ((Path(below), folders, names) for below, folders, names in os.walk(folder))
