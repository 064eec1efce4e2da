"""Everything that can go wrong, as one tree of errors.

    CtPyramidError
    ├── RequestError (ValueError)             the request cannot be done; nothing was written
    │   ├── BudgetError                       the memory budget is too small; `.smallest` is enough
    │   ├── DiskSpaceError                    too little free disk; `.needed`, `.free`
    │   ├── LevelsError                       the volume cannot be halved that often; `.most` levels can be made
    │   ├── MissingFolderError                there is no `.folder` for the output
    │   ├── OutputBusyError                   another process writes to the output; `.process`, `.machine`
    │   └── OutputExistsError (FileExistsError)
    ├── SourceError (ValueError)              the input is not a volume that can be read
    │   ├── SourceNotFoundError (FileNotFoundError)
    │   ├── SingleSliceError                  it is one slice; `.volume` has all of them
    │   ├── UnknownShapeError                 it has no header; `.shape` and `.dtype` are guesses
    │   ├── SeveralVolumesError               it holds several; `.channels` and `.times` to choose from
    │   └── UnfinishedError                   the output of an unfinished conversion
    ├── ConversionError (RuntimeError)        a conversion failed while it was running
    └── SaveError (RuntimeError)              layers of napari could not be saved; nothing was written

A message is one or two sentences: what was asked, what was found, what to try. An option in a message is an `Advice`,
so that the command line, the widget and Python can each write the option in their own way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

RESUME, CONVERT, VIEW = "resume", "convert", "view"
"""Names of advice that is not an option: resume an unfinished conversion, convert a volume, view it in napari."""


@dataclass(frozen=True)
class Advice:
    """A part of a message that names an option that a user can set, or something that a user can do.

    Attributes
    ----------
    name : str
        A field of `ConversionOptions`, a parameter of `verify` (``"source"``), or `RESUME`, `CONVERT` or `VIEW`.
    value : object
        The value to set, or the path to convert or view; None where the message only names the option.
    """

    name: str
    value: Any = None

    def __str__(self) -> str:
        """The advice as a user of Python writes it: ``num_levels=3``."""
        if self.name == RESUME:
            return "the same call resumes it"
        if self.name == CONVERT:
            return f"convert({str(self.value)!r}, chunks='visualization')"
        if self.name == VIEW:
            return f"napari.Viewer().open({str(self.value)!r}, plugin='napari-ct-pyramid')"
        return self.name if self.value is None else f"{self.name}={self.value!r}"


Part = str | Advice
Wording = Callable[[Advice], str]
"""Writes an `Advice` for one user interface: the command line, the widget or Python."""


@dataclass(frozen=True)
class Message:
    """A text for people, which may name options. ``str(message)`` writes the options as in Python.

    Attributes
    ----------
    parts : tuple of (str or Advice)
    """

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, *parts: Part) -> Message:
        """A message made of these parts."""
        return cls(parts)

    def __str__(self) -> str:
        return self.worded(str)

    def worded(self, wording: Wording) -> str:
        """The text, with each option as `wording` writes it."""
        text = "".join(part if isinstance(part, str) else wording(part) for part in self.parts)
        return text[:1].upper() + text[1:] if self.parts and isinstance(self.parts[0], Advice) else text


class CtPyramidError(Exception):
    """Base of every error that this package raises on purpose.

    Parameters
    ----------
    *parts : str or Advice
        The parts of the message.

    Attributes
    ----------
    message : Message
        What went wrong, and what to try.
    """

    def __init__(self, *parts: Part) -> None:
        self.message = Message(parts)
        super().__init__(str(self.message))

    # Some subclasses are also an OSError, whose __str__ would give errno and file name only.
    def __str__(self) -> str:
        return str(self.message)


class RequestError(CtPyramidError, ValueError):
    """The request cannot be done. Nothing was written."""


class BudgetError(RequestError):
    """The memory budget is too small.

    Attributes
    ----------
    smallest : int
        The smallest budget, in bytes, that is enough.
    process : int
        Bytes of it that the process itself needs, without the conversion's buffers.
    """

    def __init__(self, *parts: Part, smallest: int = 0, process: int = 0) -> None:
        super().__init__(*parts)
        self.smallest = smallest
        self.process = process


class DiskSpaceError(RequestError):
    """The output does not fit on its disk.

    Attributes
    ----------
    needed, free : int
        Bytes that the output is expected to need, and free bytes on the disk.
    """

    def __init__(self, *parts: Part, needed: int = 0, free: int = 0) -> None:
        super().__init__(*parts)
        self.needed = needed
        self.free = free


class LevelsError(RequestError):
    """The volume cannot be halved that often.

    Attributes
    ----------
    most : int
        The largest number of levels that this volume allows.
    paddable : bool
        Whether padded edges would allow as many levels as were asked for.
    """

    def __init__(self, *parts: Part, most: int = 1, paddable: bool = False) -> None:
        super().__init__(*parts)
        self.most = most
        self.paddable = paddable


class MissingFolderError(RequestError):
    """The folder in which the output is to be made does not exist.

    Attributes
    ----------
    folder : str
        Its path.
    """

    def __init__(self, *parts: Part, folder: str = "") -> None:
        super().__init__(*parts)
        self.folder = folder


class OutputBusyError(RequestError):
    """Another conversion, repair, rebuild or edit, here or in another process, writes to the output.

    Attributes
    ----------
    process : int or None
        Its id.
    machine : str or None
        The name of the machine that it runs on. None where they are not known.
    """

    def __init__(self, *parts: Part, process: int | None = None, machine: str | None = None) -> None:
        super().__init__(*parts)
        self.process = process
        self.machine = machine


class OutputExistsError(RequestError, FileExistsError):
    """The output exists already, and the options do not allow to overwrite it.

    Attributes
    ----------
    replaceable : bool
        Whether the option `overwrite` would replace it. It replaces only an OME-Zarr.
    options : dict
        Options to change, so that the existing unfinished conversion is resumed; empty if that is not enough.
    """

    def __init__(self, *parts: Part, replaceable: bool = True, options: dict[str, Any] | None = None) -> None:
        super().__init__(*parts)
        self.replaceable = replaceable
        self.options = options or {}


class SourceError(CtPyramidError, ValueError):
    """The input is not a volume that can be read. Nothing was written."""


class SourceNotFoundError(SourceError, FileNotFoundError):
    """There is no such input."""


class SingleSliceError(SourceError):
    """The input is a single slice.

    Attributes
    ----------
    volume : str or None
        The folder or the pattern that has all slices; None if there are no others beside it.
    """

    def __init__(self, *parts: Part, volume: str | None = None) -> None:
        super().__init__(*parts)
        self.volume = volume


class UnknownShapeError(SourceError):
    """The input has voxels without a header, and the options do not state their shape and type.

    Attributes
    ----------
    shape : tuple of int or None
        A guess, along z, y, x, from the name and the size of the file.
    dtype : str or None
        A guess: the name of a type.
    """

    def __init__(self, *parts: Part, shape: tuple[int, int, int] | None = None, dtype: str | None = None) -> None:
        super().__init__(*parts)
        self.shape = shape
        self.dtype = dtype


class SeveralVolumesError(SourceError):
    """The input holds several volumes, and none was chosen.

    Attributes
    ----------
    channels, times : int
        How many channels and time points there are to choose from.
    """

    def __init__(self, *parts: Part, channels: int = 1, times: int = 1) -> None:
        super().__init__(*parts)
        self.channels = channels
        self.times = times


class UnfinishedError(SourceError):
    """The input is the output of an unfinished conversion."""


class ConversionError(CtPyramidError, RuntimeError):
    """A conversion failed while it was running. Its output is unfinished."""


class SaveError(CtPyramidError, RuntimeError):
    """Layers of napari could not be saved. Nothing was written. The error that caused it is its ``__cause__``."""


def sentence(error: BaseException, wording: Wording = str) -> str:
    """The message of any error, in one line."""
    if isinstance(error, MemoryError):
        return "The machine is out of memory."
    if isinstance(error, CtPyramidError):
        return " ".join(error.message.worded(wording).splitlines())
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else f"{error.strerror}."
    text = " ".join(str(error).splitlines())
    return text if isinstance(error, OSError) else f"{type(error).__name__}: {text}"


def without_period(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The parts of a message without the period at its end, so that more text can follow."""
    *first, last = parts
    return (*first, last.rstrip(".") if isinstance(last, str) else last)
