"""The lock of an output: one conversion or repair at a time writes to it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from napari_ct_pyramid.errors import OutputBusyError, RequestError

from .paths import STATE_FOLDER, AnyPath

LOCK = f"{STATE_FOLDER}/lock"
"""The lock file within an output on a disk."""


@contextmanager
def hold(output: AnyPath) -> Iterator[None]:
    """Hold the lock of an output, and make its folder if there is none.

    The lock of an output in an object store is a file on this machine: it does not keep other machines away.

    Raises
    ------
    OutputBusyError
        If another conversion or repair holds it.
    RequestError
        If the output cannot be made.
    """
    from filelock import FileLock, Timeout

    path = _lock_file(output)
    # The thread that closes a conversion, which may be another one than began it, releases the lock.
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
        # POSIX can remove an open file: do it while the lock is held. Windows cannot: remove it after the release.
        with suppress(OSError):
            path.unlink()
        lock.release()
        if os.name == "nt":
            with suppress(OSError):
                path.unlink()
        _remove_if_empty(output)


def _lock_file(output: AnyPath) -> Path:
    if isinstance(output, Path):
        return output / LOCK
    # The home folder is part of the name: a user could not open the lock file of another user.
    name = sha256(f"{Path.home()} {output}".encode()).hexdigest()[:32]
    return Path(tempfile.gettempdir()) / f"ct-pyramid-{name}.lock"


def _remove_if_empty(output: AnyPath) -> None:
    if not isinstance(output, Path):
        return
    for folder in ((output / LOCK).parent, output):
        with suppress(OSError):
            folder.rmdir()
