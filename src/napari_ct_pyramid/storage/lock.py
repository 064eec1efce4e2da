"""The lock of an output: one conversion, repair, rebuild or edit at a time writes to it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ct_pyramid.errors import OutputBusyError, RequestError

from .lease import Lease, take_folder_lease, trial_lease
from .lock_owner import LockOwner, owner_in
from .own_names import beside, cannot_be_changed, in_the_way
from .paths import STATE_FOLDER, AnyPath
from .store_lock import HeldStoreLease, check_free_in_store, hold_in_store

if TYPE_CHECKING:
    from filelock import BaseFileLock

# What file systems answer that have no locks, such as some network drives.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
_SOFT_TRIES = 2  # the first one may find the lock of a process that has ended, and remove it
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


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

    On a disk, the lock is a file beside the output: the output itself may be replaced meanwhile. The file states who
    holds it. One that is left by a process that was killed stops nobody.

    Raises
    ------
    OutputBusyError
        If another conversion or repair holds it.
    RequestError
        If the place of the output cannot be written to, its `STATE_FOLDER` is a link, or something else has the name
        of the lock.
    """
    if not isinstance(output, Path):
        with hold_in_store(output) as lease:
            yield Hold(output, lease)
        return
    check_state_folder(output)
    path = lock_file(output)
    _check_ours(path)
    try:
        lock = _acquire(path, output)
    except OSError as error:
        raise _cannot_be_locked(output, error) from error
    try:
        _sign(path)
        yield Hold(output)
    finally:
        # POSIX can remove an open file: do it while the lock is held. Windows cannot: remove it after the release.
        with suppress(OSError):
            path.unlink()
        lock.release()
        if os.name == "nt":
            with suppress(OSError):
                path.unlink()


def check_free(output: AnyPath) -> None:
    """Make sure that nobody holds the lock of an output just now. A lock file that was left is removed.

    Raises
    ------
    OutputBusyError
        If somebody does.
    """
    if not isinstance(output, Path):
        check_free_in_store(output)
        return
    path = lock_file(output)
    if not any(map(os.path.lexists, (path, _soft_file(path)))):
        return
    try:
        with hold(output):
            pass
    except OutputBusyError:
        raise
    except RequestError:  # why else it cannot be held is said to whoever wants to
        return


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


def _soft_file(path: Path) -> Path:
    return path.with_suffix(".softlock")


def _check_ours(path: Path) -> None:
    """Make sure that what has the name of the lock is one: it is removed in the end."""
    try:
        if stat.S_ISREG(path.lstat().st_mode) and owner_in(path):
            return
    except OSError:  # there is none; or Windows, which lets nobody read it while it is held
        return
    raise in_the_way(path, "a lock")


def _sign(path: Path) -> None:
    """State in the file of a lock who holds it."""
    with suppress(OSError):
        owner = owner_in(path)
        if owner is None or (owner == LockOwner() and path.stat().st_size):
            return  # a form of filelock's own
        with FileIO(path, "r+", opener=_without_links) as file:
            file.truncate(0)
            file.write(LockOwner.here().to_text().encode())


def _without_links(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0))


def _cannot_be_locked(output: Path, error: OSError) -> RequestError:
    if output.exists() and error.errno in _NOT_ALLOWED:
        return cannot_be_changed(output)
    if output.exists():
        return RequestError(
            f"{output} cannot be changed: no lock file can be made beside it ({error.strerror or error})."
        )
    return RequestError(f"The output {output} cannot be written to: {error.strerror or error}. Choose another place.")


def _acquire(path: Path, output: Path) -> BaseFileLock:
    from filelock import FileLock, Timeout

    # The thread that closes a conversion, which may be another one than began it, releases the lock.
    lock: BaseFileLock = FileLock(path, blocking=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise _owner(path).busy(output) from None
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

    lock = SoftFileLock(_soft_file(path), blocking=False, thread_local=False)
    for _ in range(_SOFT_TRIES):
        with suppress(Timeout):
            lock.acquire()
            return lock
    raise _owner(Path(lock.lock_file)).busy(
        output,
        f"If nobody writes to it any more, because the owner was killed, remove the file {lock.lock_file}, and try "
        "again.",
    )


def _owner(path: Path) -> LockOwner:
    with suppress(OSError):
        return owner_in(path) or LockOwner()
    return LockOwner()
