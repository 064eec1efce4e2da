"""Leases: who may write the chunks of an output now. A process that was paused finds its lease gone when it goes on.

On a disk, a lease is a folder in the output. A chunk is written to a file in that folder, and gets its name in one step
when it is complete. When the folder is removed, that step fails, wherever the process runs that tries it: nobody can
change a volume after its lease has ended, not even a process that was paused in the middle of a write. In an object
store, where objects are written in one step anyway, the lease is looked at before each write; see `store_lock`.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from napari_ct_pyramid.errors import OutputBusyError

from .own_names import in_the_way
from .paths import STATE_FOLDER

_PREFIX = "writing-"
_TRIES = 1000
_numbers = itertools.count()
_FILE = re.compile(r"[0-9a-f]{8}-\d+-\d+")  # the name of a file that a lease makes


class Lease(Protocol):
    """The permission to write the chunks of an output. Picklable."""

    def check(self) -> None:
        """Make sure that the lease holds.

        Raises
        ------
        OSError
            If it has ended.
        """

    def try_writing(self) -> None:
        """Write and remove a file, to see whether this process may write to the output. Raises `OSError` if not."""

    def for_others(self) -> Lease:
        """The lease for other processes that work for its owner."""


class FolderLease:
    """A lease on a disk: the folder in which files are written before they get their names.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._token = uuid4().hex[:8]

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(Path(str(state["folder"])))  # type: ignore[misc]  # another process has other names for files

    def check(self) -> None:
        if not self.folder.is_dir():
            raise _ended(self.folder)

    def try_writing(self) -> None:
        file = self.new_file()
        file.touch()
        file.unlink()

    def for_others(self) -> FolderLease:
        return self

    def new_file(self) -> Path:
        """A path in the folder at which there is no file, and which no other thread or process gets."""
        return self.folder / f"{self._token}-{os.getpid()}-{next(_numbers)}"

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Turn the error for a missing folder into one that states that the lease has ended."""
        try:
            yield
        except FileNotFoundError:
            self.check()
            raise

    def rename(self, new: Path, path: Path) -> None:
        """Give a complete file its name in one step, and make the two folders above it if they are missing.

        Not the folders above those: if the folder of a level is missing, somebody removed the output.

        Raises
        ------
        OSError
            Also if one of the two folders is a link: what lies elsewhere does not belong to the output.
        """
        for folder in (path.parent, path.parent.parent):
            if folder.is_symlink():
                raise OSError(errno.EINVAL, f"{folder} is a link, and chunks are not written through links")
        try:
            new.replace(path)
        except FileNotFoundError:
            self.check()
            path.parent.parent.mkdir(exist_ok=True)
            path.parent.mkdir(exist_ok=True)
            new.replace(path)
        except OSError:
            if not path.is_dir() or path.is_symlink():
                raise
            path.rmdir()  # an empty folder in the place of a file
            new.replace(path)


@contextmanager
def take_folder_lease(output: Path) -> Iterator[FolderLease]:
    """End all leases of an output, and take a new one. The caller holds the output's lock.

    Raises
    ------
    OutputBusyError
        If a process still writes under an old lease, and the system does not allow to end it.
    """
    end_leases(output)
    with _folder_lease(output / STATE_FOLDER / f"{_PREFIX}{uuid4().hex[:12]}") as lease:
        yield lease


@contextmanager
def trial_lease(folder: Path) -> Iterator[FolderLease]:
    """A lease for nothing, with which other processes try whether they can write where an output will be.

    Raises
    ------
    OutputExistsError
        If something else has the name of its folder.
    """
    end_trial(folder)
    if os.path.lexists(folder):
        raise in_the_way(folder, "a trial of the workers")
    with _folder_lease(folder) as lease:
        yield lease


def end_trial(folder: Path) -> None:
    """Remove the folder of a trial whose process was killed. Anything else of that name stays."""
    if _is_trial(folder):
        _remove(folder)


def _is_trial(folder: Path) -> bool:
    """Whether it is a folder with nothing but files as `FolderLease.try_writing` makes them."""
    try:
        with os.scandir(folder) as entries:
            return not folder.is_symlink() and all(
                _FILE.fullmatch(entry.name) and entry.is_file(follow_symlinks=False) and not entry.stat().st_size
                for entry in entries
            )
    except OSError:
        return False


@contextmanager
def _folder_lease(folder: Path) -> Iterator[FolderLease]:
    folder.mkdir()
    try:
        yield FolderLease(folder)
    finally:
        for _ in range(2):  # an error of the disk may pass
            with suppress(OSError, OutputBusyError):
                _remove(folder)


def end_leases(output: Path) -> None:
    """End all leases of an output on a disk."""
    for folder in (output / STATE_FOLDER).glob(f"{_PREFIX}*"):
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder, although another process may still add files to it."""
    if folder.is_symlink():  # this program makes none: what it leads to is not removed
        folder.unlink()
        return
    for _ in range(_TRIES):
        try:
            for file in folder.iterdir():
                file.unlink(missing_ok=True)
            folder.rmdir()
        except FileNotFoundError:
            return
        except PermissionError as error:  # Windows does not remove files that are open
            raise OutputBusyError(
                f"Another process still writes to {folder.parent.parent}. End it, and try again."
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
    raise OutputBusyError(f"Another process still writes to {folder.parent.parent}. End it, and try again.")


def _ended(place: object) -> OSError:
    return FileNotFoundError(
        errno.ENOENT, "the output was removed, or another conversion has taken it over", str(place)
    )
