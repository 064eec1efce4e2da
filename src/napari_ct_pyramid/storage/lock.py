"""The lock of an output: one conversion or repair at a time writes to it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ct_pyramid.errors import OutputBusyError, RequestError

from .lease import Lease, take_folder_lease, trial_lease
from .paths import STATE_FOLDER, AnyPath
from .store_lock import HeldStoreLease, hold_in_store

if TYPE_CHECKING:
    from filelock import BaseFileLock

# What file systems answer that have no locks, such as some network drives.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
_LONGEST_NAME = 200  # bytes; file systems allow 255


class Hold:
    """The lock of an output, while it is held.

    Parameters
    ----------
    output : path
    in_store : HeldStoreLease or None
        In an object store.
    """

    def __init__(self, output: AnyPath, in_store: HeldStoreLease | None = None) -> None:
        self._output = output
        self._in_store = in_store

    def trial(self) -> AbstractContextManager[Lease]:
        """A lease with which other processes try whether they see the output, and can write there. Changes nothing."""
        if self._in_store:
            return nullcontext(self._in_store)
        assert isinstance(self._output, Path)
        place = self._output.absolute()  # by the name that the other processes use
        return trial_lease(place.with_name(beside(place, "trial").name))

    def lease(self) -> AbstractContextManager[Lease]:
        """End all other leases of the output, and take a new one. The output must exist."""
        if self._in_store:
            return nullcontext(self._in_store)
        assert isinstance(self._output, Path)
        return take_folder_lease(self._output.absolute())


@contextmanager
def hold(output: AnyPath) -> Iterator[Hold]:
    """Hold the lock of an output.

    On a disk, the lock is a file beside the output: the output itself may be replaced meanwhile.

    Raises
    ------
    OutputBusyError
        If another conversion or repair holds it.
    RequestError
        If the place of the output cannot be written to, or its `STATE_FOLDER` is a link.
    """
    if not isinstance(output, Path):
        with hold_in_store(output) as lease:
            yield Hold(output, lease)
        return
    check_state_folder(output)
    path = lock_file(output)
    try:
        lock = _acquire(path, output)
    except OSError as error:
        raise RequestError(
            f"The output {output} cannot be written to: {error.strerror or error}. Choose another place."
        ) from error
    try:
        yield Hold(output)
    finally:
        # POSIX can remove an open file: do it while the lock is held. Windows cannot: remove it after the release.
        with suppress(OSError):
            path.unlink()
        lock.release()
        if os.name == "nt":
            with suppress(OSError):
                path.unlink()


def check_state_folder(output: AnyPath) -> None:
    """Make sure that the folder for this package's own files in an output is no link.

    Raises
    ------
    RequestError
        If it is one: what lies elsewhere does not belong to the output.
    """
    folder = output / STATE_FOLDER
    if isinstance(folder, Path) and folder.is_symlink():
        raise RequestError(
            f"{folder} is a link, and nothing is written through links. Remove the link, or choose another output."
        )


def lock_file(output: Path) -> Path:
    """The lock file of an output, beside it."""
    return beside(output, "lock")


def beside(output: Path, ending: str) -> Path:
    """A hidden path beside an output, for this package's own use."""
    target = output.resolve()
    name = target.name
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = sha256(os.fsencode(name)).hexdigest()
    return target.with_name(f".{name}.{ending}")


def _acquire(path: Path, output: Path) -> BaseFileLock:
    from filelock import FileLock, Timeout

    # The thread that closes a conversion, which may be another one than began it, releases the lock.
    lock: BaseFileLock = FileLock(path, blocking=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise OutputBusyError(
            f"The output {output} is being written by another conversion or repair. Wait until it is done, or choose "
            "another name."
        ) from None
    except NotImplementedError:
        return _acquire_soft(path, output)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return _acquire_soft(path, output)
    return lock


def _acquire_soft(path: Path, output: Path) -> BaseFileLock:
    """Acquire a lock where the file system has none: a file that exists. It stays if its owner is killed."""
    from filelock import SoftFileLock, Timeout

    lock = SoftFileLock(path.with_suffix(".softlock"), blocking=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise OutputBusyError(
            f"The output {output} is being written by another conversion or repair, or by one that was killed: "
            f"{_owner(Path(lock.lock_file))}. If nobody writes to it any more, remove the file {lock.lock_file}, and "
            "try again."
        ) from None
    return lock


def _owner(path: Path) -> str:
    """Who made a file that stands for a lock: filelock writes its process and its machine into it."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        lines = []
    return f"process {lines[0]} on the machine {lines[1]}" if len(lines) > 1 else "unknown"
