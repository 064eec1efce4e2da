"""Files that survive a power cut: written whole, in parts, or changed in place; and the lock of an output."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

from napari_ct_pyramid.errors import OutputBusyError, RequestError
from napari_ct_pyramid.model.memory import pages

from .object_store import RemotePath
from .paths import STATE_FOLDER, AnyPath, OpenFile

_DIRECT = getattr(os, "O_DIRECT", 0)  # on Linux


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
    """Bytes of all files below a folder. Files that are removed meanwhile count nothing."""
    if isinstance(folder, RemotePath):
        return sum(size for _, size in folder.below())
    total = 0
    for below, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(below) / name).stat().st_size
    return total


def walk(folder: AnyPath) -> Iterator[tuple[AnyPath, list[str], list[str]]]:
    """As `os.walk`."""
    if isinstance(folder, RemotePath):
        return folder.walk()
    return ((Path(below), folders, names) for below, folders, names in os.walk(folder))


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


LOCK = f"{STATE_FOLDER}/lock"


@contextmanager
def hold(output: AnyPath) -> Iterator[None]:
    """Have an output for oneself; make its folder if there is none.

    Raises
    ------
    OutputBusyError
        If somebody else has it.
    RequestError
        If there is no making it.
    """
    from filelock import FileLock, Timeout

    path = _lock_of(output)
    # Whichever thread closes a conversion lets go of its lock.
    lock = FileLock(path, blocking=False, thread_local=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise OutputBusyError(
            f"The output {output} is being written by another conversion or repair. Wait until it is done, or choose "
            "another name."
        ) from None
    except OSError as error:
        _remove_if_empty(output)
        raise RequestError(
            f"The output {output} cannot be written to: {error.strerror or error}. Choose another place."
        ) from error
    try:
        yield
    finally:
        # Where a file that is open can be removed, it is while nobody else can have it; where not, nobody else can.
        with suppress(OSError):
            path.unlink()
        lock.release()
        if os.name == "nt":
            with suppress(OSError):
                path.unlink()
        _remove_if_empty(output)


def _lock_of(output: AnyPath) -> Path:
    if isinstance(output, Path):
        return output / LOCK
    # Those of several users do not meet: they could not use each other's.
    mark = sha256(f"{Path.home()} {output}".encode()).hexdigest()[:32]
    return Path(tempfile.gettempdir()) / f"ct-pyramid-{mark}.lock"


def _remove_if_empty(output: AnyPath) -> None:
    if isinstance(output, RemotePath):
        return
    for folder in ((output / LOCK).parent, output):
        with suppress(OSError):
            folder.rmdir()
