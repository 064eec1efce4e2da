"""Everything that can go wrong, as one tree of errors.

    CtPyramidError
    ├── RequestError (ValueError)             what was asked cannot be done; nothing was written
    │   ├── BudgetError                       --max-memory is too small; `.smallest` would do
    │   ├── DiskSpaceError                    too little free disk; `.needed`, `.free`
    │   ├── LevelsError                       the volume cannot be halved that often; `.most` levels would do
    │   ├── OutputBusyError                   somebody else is writing to it
    │   └── OutputExistsError (FileExistsError)
    ├── SourceError (ValueError)              the input is not a volume that can be read
    │   ├── SourceNotFoundError (FileNotFoundError)
    │   └── UnfinishedError                   a conversion that never ended
    └── ConversionError (RuntimeError)        it failed on the way

A message is one sentence or two that say what was asked, what is there, and what to try.
"""

from __future__ import annotations

from typing import Any


class CtPyramidError(Exception):
    """Base of every error this package raises on purpose."""


class RequestError(CtPyramidError, ValueError):
    """What was asked cannot be done. Nothing was written."""


class BudgetError(RequestError):
    """The memory budget is too small.

    Attributes
    ----------
    smallest : int
        The smallest budget, in bytes, that would do.
    """

    def __init__(self, message: str, smallest: int) -> None:
        super().__init__(message)
        self.smallest = smallest


class DiskSpaceError(RequestError):
    """The output does not fit on its disk.

    Attributes
    ----------
    needed, free : int
        Bytes expected to be written, and bytes free there.
    """

    def __init__(self, message: str, needed: int, free: int) -> None:
        super().__init__(message)
        self.needed = needed
        self.free = free


class LevelsError(RequestError):
    """The volume cannot be halved that often.

    Attributes
    ----------
    most : int
        The largest number of levels that this volume allows.
    paddable : bool
        Whether as many as were asked for could be made of the volume with padded edges.
    """

    def __init__(self, message: str, most: int, *, paddable: bool = False) -> None:
        super().__init__(message)
        self.most = most
        self.paddable = paddable


class OutputBusyError(RequestError):
    """Another process, or another part of this one, is writing to the output."""


class OutputExistsError(RequestError, FileExistsError):
    """The output is already there, or of another conversion, and nobody said to overwrite it.

    Attributes
    ----------
    replaceable : bool
        Whether it would be overwritten if somebody said so: an OME-Zarr would, anything else is left alone.
    options : dict
        To ask for instead, and go on with an unfinished conversion that is there; empty where that is not all.
    """

    def __init__(self, message: str, *, replaceable: bool = True, options: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.replaceable = replaceable
        self.options = options or {}

    # FileExistsError is an OSError, whose __str__ knows errno and file names, not our sentence.
    def __str__(self) -> str:
        return str(self.args[0])


class SourceError(CtPyramidError, ValueError):
    """The input is not a volume that can be read. Nothing was written."""


class SourceNotFoundError(SourceError, FileNotFoundError):
    """There is no such input."""

    def __str__(self) -> str:
        return str(self.args[0])


class UnfinishedError(SourceError):
    """It is the output of a conversion that has begun and not ended."""


class ConversionError(CtPyramidError, RuntimeError):
    """A conversion that had begun could not be finished."""


def sentence(error: BaseException) -> str:
    """What any error says, in one line."""
    if isinstance(error, MemoryError):
        return "The machine is out of memory."
    if isinstance(error, OSError) and error.strerror and not isinstance(error, CtPyramidError):
        return f"{error.strerror}: {error.filename}" if error.filename else f"{error.strerror}."
    said = " ".join(str(error).splitlines())
    return said if isinstance(error, (CtPyramidError, OSError)) else f"{type(error).__name__}: {said}"
