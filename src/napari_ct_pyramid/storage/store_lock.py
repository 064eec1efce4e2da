"""The lock of an output in an object store: an object in it, which its owner renews as long as it works.

An owner that has not renewed its object for `LEASE_SECONDS`, by the clock of the store, has lost the lock; one whose
process is known to have ended loses it at once. The object is created only if it does not exist yet, and afterwards its
owner looks for others: where two processes try at once, at most one gets the lock, even in stores that do not know
conditional writes, because each looks only after it has written.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from napari_ct_pyramid.errors import OutputBusyError, RequestError

from .lock_owner import LockOwner
from .paths import STATE_FOLDER
from .remote_path import RemotePath
from .sealed import seal, unseal

LEASE_SECONDS = 60
"""An owner that has not renewed its lock for so long has lost it."""

_RENEW_SECONDS = 15
_MARGIN_SECONDS = 10  # the owner stops so long before others may take the lock
_PREFIX = "lock-"
_held_here: set[str] = set()  # the owners in this process


@dataclass(frozen=True)
class StoreLease:
    """The lease of an output in an object store, as other processes see it.

    Attributes
    ----------
    path : RemotePath
        Of the lock object.
    owner : str
        The id that the object must hold.
    """

    path: RemotePath
    owner: str

    def check(self) -> None:
        """Make sure that the owner still has the lock: a request to the store."""
        if _owner(self.path) != self.owner:
            raise _ended(self.path)

    def try_writing(self) -> None:
        """Write and remove an object."""
        trial = self.path.parent / f"trial-{uuid4().hex}"
        trial.write_bytes(b"")
        trial.unlink()

    def for_others(self) -> StoreLease:
        """The same."""
        return self


class HeldStoreLease:
    """The lease in the process that holds the lock, which knows for how long. It makes no request."""

    def __init__(self, path: RemotePath) -> None:
        self.path = path
        self.owner = uuid4().hex
        self._until = 0.0
        _held_here.add(self.owner)
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="ct-pyramid-lock")

    def check(self) -> None:
        if _now() >= self._until:
            raise _ended(self.path)

    def try_writing(self) -> None:
        """Nothing to try: the lock object was written."""

    def for_others(self) -> StoreLease:
        """The lease for other processes, which make a request each time."""
        return StoreLease(self.path, self.owner)

    def create(self) -> None:
        """Create the lock object."""
        began = _now()
        try:
            self._write(new=True)
        except FileExistsError:  # it may be ours: a request whose answer was lost is sent again
            if _owner(self.path) != self.owner:
                raise
        self._until = began + LEASE_SECONDS - _MARGIN_SECONDS

    def renew(self) -> bool:
        """Renew the lock; False if it is lost.

        A process that was paused between the look at the object and its renewal may write the object again
        that another owner has removed. So the renewal counts only if it was done while the lock could not be lost yet.
        """
        began = _now()
        if began < self._until and _owner(self.path) == self.owner:
            self._write()
            if _now() < self._until:
                self._until = began + LEASE_SECONDS - _MARGIN_SECONDS
                return True
            self.path.unlink(missing_ok=True)
        self._until = 0.0
        return False

    def _write(self, *, new: bool = False) -> None:
        content = seal({"id": self.owner, "host": socket.gethostname(), "machine": _machine(), "process": os.getpid()})
        self.path.write_bytes(content, new=new)

    def keep(self) -> None:
        """Renew the lock in the background until `release`."""
        self._thread.start()

    def release(self) -> None:
        """Give the lock up."""
        self._released.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._until = 0.0
        _held_here.discard(self.owner)
        with suppress(OSError):
            if _owner(self.path) == self.owner:
                self.path.unlink(missing_ok=True)

    def _keep(self) -> None:
        while not self._released.wait(_RENEW_SECONDS):
            with suppress(OSError):  # the next try may succeed in time
                if not self.renew():
                    return


@contextmanager
def hold_in_store(output: RemotePath) -> Iterator[HeldStoreLease]:
    """Hold the lock of an output in an object store.

    Raises
    ------
    OutputBusyError
        If another process has it.
    RequestError
        If the store cannot be written to.
    """
    folder = output / STATE_FOLDER
    try:
        others = list(_locks(folder))
    except OSError as error:
        raise _cannot_be_written(output, error) from error
    lease = HeldStoreLease(folder / f"{_PREFIX}{max((number for number, _ in others), default=0) + 1}")
    try:
        try:
            lease.create()
        except FileExistsError:
            raise _just_begun(output) from None
        except OSError as error:
            raise _cannot_be_written(output, error) from error
        _exclude_others(output, lease)
        lease.keep()
        yield lease
    finally:
        lease.release()  # also if it could not be created: the store may have done so all the same


def check_free_in_store(output: RemotePath) -> None:
    """Make sure that nobody holds the lock of an output in an object store just now. Writes nothing.

    The clock of this machine stands for that of the store.

    Raises
    ------
    OutputBusyError
        If somebody does.
    """
    with suppress(FileNotFoundError):
        for _, path in _locks(output / STATE_FOLDER):
            _check_ended(output, path, time.time())


def _check_ended(output: RemotePath, path: RemotePath, now: float) -> None:
    """Raise an error if the owner of a lock may still write. `now` is in seconds since 1970."""
    content, changed = _read(path), path.stat().st_mtime_ns / 1e9
    left = LEASE_SECONDS - (now - changed)
    if left > 0 and not _has_ended(content):
        process, machine = content.get("process"), content.get("host")
        owner = LockOwner(process if isinstance(process, int) else None, str(machine) if machine else None)
        raise owner.busy(
            output,
            f"Wait until that is done, and try again. If it was killed, try again in {max(1, round(left))} seconds.",
        )


def _cannot_be_written(output: RemotePath, error: OSError) -> RequestError:
    return RequestError(f"The output {output} cannot be written to: {error.strerror or error}. Choose another place.")


def _just_begun(output: RemotePath) -> OutputBusyError:
    return OutputBusyError(f"Another conversion or repair has just begun to write to the output {output}.")


def _exclude_others(output: RemotePath, lease: HeldStoreLease) -> None:
    """Remove the locks of owners that have ended; raise an error if another one has not."""
    now = lease.path.stat().st_mtime_ns / 1e9
    if _owner(lease.path) != lease.owner:
        raise _just_begun(output)
    dead = []
    for _, path in _locks(lease.path.parent):
        if path == lease.path:
            continue
        try:
            _check_ended(output, path, now)
        except FileNotFoundError:
            continue
        dead.append(path)
    for path in dead:
        path.unlink(missing_ok=True)


def is_store_lock(key: str) -> bool:
    """Whether an object of an output is a lock, by its path relative to the output."""
    return key.startswith(f"{STATE_FOLDER}/{_PREFIX}")


def _locks(folder: RemotePath) -> Iterator[tuple[int, RemotePath]]:
    for path in folder.iterdir():
        number = path.name.removeprefix(_PREFIX)
        if path.name.startswith(_PREFIX) and number.isdigit():
            yield int(number), path


def _owner(path: RemotePath) -> str | None:
    try:
        return str(_read(path).get("id"))
    except FileNotFoundError:
        return None


def _read(path: RemotePath) -> dict[str, Any]:
    try:
        return unseal(path.read_bytes())
    except ValueError:
        return {}


def _has_ended(content: dict[str, Any]) -> bool:
    """Whether a lock is that of a process of this machine that does not run any more, or has given it up."""
    process = content.get("process")
    if content.get("machine") != _machine() or not isinstance(process, int):
        return False
    if process == os.getpid():
        return content.get("id") not in _held_here
    if os.name == "nt":
        return False  # there, `os.kill` would end the process
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _machine() -> str:
    """A name by which this machine, or this container, is told from all others since its start."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _now() -> float:
    """Seconds that also pass while the process is stopped, or the machine sleeps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def _ended(path: RemotePath) -> OSError:
    return OSError(errno.EPERM, "another conversion has taken the output over, or the lock was not renewed", path.url)
