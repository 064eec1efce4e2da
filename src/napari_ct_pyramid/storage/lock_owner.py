"""Who holds the lock of an output, and the error for everybody else."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from napari_ct_pyramid.errors import OutputBusyError

_MOST_BYTES = 1024
# As filelock writes it where the file itself is the lock; newer versions add a line.
_FORM = re.compile(r"(?P<process>\d{1,10})\n(?P<machine>[^\n]+)\n(\d+\n)?")
_MARK = "filelock/"  # begins a form of filelock's own


@dataclass(frozen=True)
class LockOwner:
    """A process that holds a lock.

    Attributes
    ----------
    process : int or None
    machine : str or None
        Its name. None where they are not known.
    """

    process: int | None = None
    machine: str | None = None

    @classmethod
    def here(cls) -> LockOwner:
        """This process."""
        return cls(os.getpid(), socket.gethostname())

    def to_text(self) -> str:
        """As it stands in the file of a lock."""
        return f"{self.process}\n{self.machine}\n"

    @property
    def words(self) -> str:
        """For people."""
        if self == LockOwner.here():
            return "another job of this process"
        who = f"process {self.process}" if self.process else "another process"
        return f"{who} on the machine {self.machine}" if self.machine else who

    def busy(self, output: object, advice: str = "") -> OutputBusyError:
        """The error for whoever wants to write, too."""
        return OutputBusyError(
            f"{output} is being written by {self.words}. {advice or 'Wait until that is done, and try again.'}",
            process=self.process,
            machine=self.machine,
        )


def owner_in(path: Path) -> LockOwner | None:
    """Who the file of a lock names; None if it cannot be the file of a lock.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with FileIO(path) as file:
        text = file.read(_MOST_BYTES + 1).decode("utf-8", "replace")
    if not text or (text.startswith(_MARK) and len(text) <= _MOST_BYTES):
        return LockOwner()
    found = _FORM.fullmatch(text)
    return LockOwner(int(found["process"]), found["machine"]) if found else None
