"""One at a time: whoever writes to an output holds its lock, which the system takes back from the dead.

Object stores have none: the lock of an output there is one of this machine, and keeps out nobody else.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from .errors import OutputBusyError, RequestError
from .journal import FOLDER
from .paths import AnyPath
from .remote import RemotePath

LOCK = f"{FOLDER}/lock"


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
