"""Files on a disk, written so that they survive a power failure: as a whole, in parts, or changed in place."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path

from napari_ct_pyramid.errors import MissingFolderError, RequestError
from napari_ct_pyramid.model.memory import pages

from .lease import FolderLease, Lease
from .own_names import cannot_be_changed
from .paths import AnyPath

_DIRECT = getattr(os, "O_DIRECT", 0)  # only Linux has it


class LocalStorage:
    """A file or folder on a disk. See `Storage`."""

    is_remote = False

    def __init__(self, path: Path) -> None:
        self._path = path

    def exists(self) -> bool:
        return os.path.lexists(self._path)

    def is_file(self) -> bool:
        return os.path.isfile(self._path)  # noqa: PTH113  # Path.is_file can raise

    def open(self, *, whole: bool = False) -> FileIO:  # noqa: ARG002
        file = _open(self._path, "r", getattr(os, "O_NONBLOCK", 0))  # a pipe would be waited for
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise OSError(errno.EINVAL, "it is not an ordinary file", str(self._path))
        return file

    def read(self) -> bytes:
        with self.open() as file:
            return file.readall()

    def write(self, buffer: memoryview, size: int, lease: Lease) -> None:
        lease = _folder_lease(lease)
        new = lease.new_file()

        def write(flag: int) -> None:
            with _open(new, "w", flag) as file:
                write_all(file, buffer[: pages(size) if flag else size])
                file.truncate(size)
                os.fsync(file.fileno())

        with lease.kept():
            _bypass_cache(write)
            lease.rename(new, self._path)

    def replace(self, data: bytes) -> None:
        path = self._path
        new = path.with_name(path.name + ".new")
        try:
            with _create(new) as file:
                write_all(file, data)
                os.fsync(file.fileno())
            new.replace(path)
        except OSError:
            with suppress(OSError):
                new.unlink()
            raise
        LocalStorage(path.parent).sync_folder()

    def begin_parts(self, size: int, lease: Lease) -> LocalPartFile:
        return LocalPartFile(self._path, size, lease)

    def open_state(self, size: int | None = None, *, fresh: bool = False) -> LocalStateFile:
        return LocalStateFile(self._path, size, fresh)

    def sync(self) -> None:
        with FileIO(self._path, "r+") as file:
            os.fsync(file.fileno())

    def sync_folder(self) -> None:
        if os.name != "posix":
            return
        folder = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def files_below(self) -> Iterator[tuple[str, int]]:
        return _files_below(self._path, "")

    def bytes_below(self) -> int:
        total = 0
        for below, _, names in os.walk(self._path):
            for name in names:
                with suppress(FileNotFoundError):  # another process removes files meanwhile
                    total += (Path(below) / name).stat().st_size
        return total

    def walk(self) -> Iterator[tuple[AnyPath, list[str], list[str]]]:
        return ((Path(below), folders, names) for below, folders, names in os.walk(self._path))

    def remove(self, belongs: Callable[[str], bool]) -> None:
        for below, _, names in os.walk(self._path, topdown=False, onerror=_raise):
            folder = Path(below)
            for name in names:
                if belongs((folder / name).relative_to(self._path).as_posix()):
                    (folder / name).unlink(missing_ok=True)
            with suppress(OSError):  # something else is in it
                folder.rmdir()

    def check_place(self) -> None:
        folder, named = self._path.resolve().parent, self._path.parent
        if not folder.is_dir():
            raise MissingFolderError(
                f"There is no folder {named} for the output. Make it first, or choose another.", folder=str(named)
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise RequestError(f"The folder {named} cannot be written to. Choose another place for the output.")

    def check_change(self) -> None:
        if not os.access(self._path.resolve().parent, os.W_OK | os.X_OK):
            raise cannot_be_changed(self._path)

    def bytes_free(self) -> int | None:
        return shutil.disk_usage(self._path.resolve().parent).free

    def device(self) -> int | None:
        return self._path.resolve().parent.stat().st_dev

    def version(self) -> Hashable:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        # The last change of the inode cannot be set: a file keeps neither it nor its number if another takes its place.
        return status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns


class LocalPartFile:
    """The file has another name until it is complete, so that an older file can still be read meanwhile."""

    def __init__(self, path: Path, size: int, lease: Lease) -> None:
        self._path = path
        self._lease = lease = _folder_lease(lease)
        self._part = lease.new_file()
        with lease.kept(), FileIO(self._part, "w") as file:
            if _DIRECT:
                file.truncate(size)  # a direct write that makes the file longer would lock out all others

    def write(self, buffer: memoryview, size: int, offset: int, *, own_pages: bool) -> None:
        def write(flag: int) -> None:
            with _open(self._part, "r+", flag) as file:
                file.seek(offset)
                write_all(file, buffer[: pages(size) if flag else size])

        with self._lease.kept():
            _bypass_cache(write, allowed=own_pages)

    def finish(self, end: int, data: bytes) -> None:
        with self._lease.kept():
            with FileIO(self._part, "r+") as file:
                file.truncate(end)
                file.seek(end)
                write_all(file, data)
            self._lease.rename(self._part, self._path)

    def close(self) -> None:
        """Nothing is open between two writes."""


class LocalStateFile:
    """A small file that is open."""

    def __init__(self, path: Path, size: int | None, fresh: bool) -> None:
        self._file = _open(path, "r" if size is None else "w+" if fresh else "r+", getattr(os, "O_NOFOLLOW", 0))
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


def _files_below(folder: Path, prefix: str) -> Iterator[tuple[str, int]]:
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            key = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(Path(entry.path), f"{key}/")
            elif entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):  # another process removes files meanwhile
                    yield key, entry.stat(follow_symlinks=False).st_size
            else:
                yield key, -1


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _folder_lease(lease: Lease) -> FolderLease:
    assert isinstance(lease, FolderLease)  # that of an output on a disk
    return lease


def write_all(file: FileIO, data: bytes | memoryview) -> None:
    """Write all of `data`: one call of `write` may write only a part."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _bypass_cache(write: Callable[[int], None], *, allowed: bool = True) -> None:
    """Call `write` with the flag that bypasses the page cache, or with 0 if the file system does not support it."""
    if _DIRECT and allowed:
        try:
            write(_DIRECT)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
    write(0)


def _create(path: Path) -> FileIO:
    """Make a file. What another one has left there is removed; if that is a link, it is not followed."""
    try:
        return FileIO(path, "x")
    except FileExistsError:
        path.unlink()
        return FileIO(path, "x")


def _open(path: Path, mode: str, flag: int) -> FileIO:
    return FileIO(path, mode, opener=lambda name, flags: os.open(name, flags | flag, 0o666))
