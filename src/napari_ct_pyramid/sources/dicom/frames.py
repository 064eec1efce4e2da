"""The frames of DICOM files: how each is stored, where its pixels are, and its place in space.

Only headers are read. pydicom parses them; this module finds the positions of the pixels, so that each frame can be
read alone.
"""

from __future__ import annotations

import os
import struct
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pydicom

from napari_ct_pyramid.errors import SourceError

Point = tuple[float, ...]

_TAGS = (
    "SOPClassUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "InstanceNumber", "NumberOfFrames",
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
    "PhotometricInterpretation", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "RescaleType", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)  # fmt: skip
_DIRECTORY = "1.2.840.10008.1.3.10"  # the SOP class of a DICOMDIR, which lists files
_INTEGERS, _FLOATS = 0x7FE00010, (0x7FE00008, 0x7FE00009)  # elements with pixels: PS3.3, C.7.6.3 and C.7.6.24
_UNDEFINED = 0xFFFFFFFF
_ITEM, _END = 0xFFFEE000, 0xFFFEE0DD

_SETTLED_SECONDS = 4  # some file systems store the time of a change in steps of 2 seconds
_MOST_REMEMBERED = 20_000
_remembered: dict[tuple[Path | int, ...], DicomFile | None] = {}

_AGAIN = "Try copying or exporting the file again."


class PixelStorage(NamedTuple):
    """How a frame stores its pixels. All frames of a volume store them alike."""

    rows: int
    columns: int
    allocated: int
    stored: int
    signed: bool
    samples: int
    photometric: str
    syntax: str
    kind: str = "iu"  # "f" for float pixels


class Place(NamedTuple):
    """Where a frame is in space, in millimeters; None where the file does not state it."""

    position: Point | None
    orientation: Point | None
    spacing: Point | None
    between: float | None


class Scaling(NamedTuple):
    """How grey values are computed from stored ones: PS3.3, C.11.1."""

    slope: float = 1.0
    intercept: float = 0.0
    type: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a file.

    Attributes
    ----------
    path : Path
    number : int
        Its number in the file, from 0.
    offset, count : int
        Position and size in bytes of its pixels.
    storage : PixelStorage
    place : Place
    scaling : Scaling
    instance : int or None
        The instance number of its file.
    """

    path: Path
    number: int
    offset: int
    count: int
    storage: PixelStorage
    place: Place
    scaling: Scaling
    instance: int | None


@dataclass(frozen=True, slots=True)
class DicomFile:
    """What a file holds.

    Attributes
    ----------
    series : str
        The UID of the series that it belongs to.
    number, description : str
        Of the series, for people.
    frames : tuple of Frame
    """

    series: str
    number: str
    description: str
    frames: tuple[Frame, ...]


def read_file(path: Path) -> DicomFile | None:
    """The frames of a file; None if it has no pixels, as a DICOMDIR or a report.

    It keeps what it found while the file is unchanged: every change of an option makes a new plan, and a series may
    have thousands of files.

    Raises
    ------
    SourceError
        If it is damaged, or stores its pixels in a way that cannot be read.
    """
    status = path.stat()
    state = (path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if state not in _remembered:
        if len(_remembered) >= _MOST_REMEMBERED:
            _remembered.clear()
        found = _read(path)
        if time.time() - max(status.st_mtime_ns, status.st_ctime_ns) / 1e9 <= _SETTLED_SECONDS:
            return found  # a file that has just changed may change again and keep the same time stamp
        _remembered[state] = found
    return _remembered[state]


def _read(path: Path) -> DicomFile | None:
    with warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore")  # of values that break a rule of the standard, and can still be read
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
        syntax = str(header.file_meta.get("TransferSyntaxUID", "1.2.840.10008.1.2"))
        if header.get("SOPClassUID") == _DIRECTORY or "Rows" not in header:
            return None
        if syntax == "1.2.840.10008.1.2.1.99":
            raise SourceError(
                f"{path} is compressed as a whole (Deflated Explicit VR Little Endian), so its slices cannot be read "
                "alone. Try exporting it without compression."
            )
        storage, at, size = _find_pixels(path, file, header, syntax)
        number = int(header.get("NumberOfFrames") or 1)
        positions = _frame_positions(path, file, storage, number, at, size)
        places, scalings = _of_frames(header, number)
        instance = header.get("InstanceNumber")
        return DicomFile(
            series=str(header.get("SeriesInstanceUID", "")),
            number=str(header.get("SeriesNumber") or ""),
            description=str(header.get("SeriesDescription") or ""),
            frames=tuple(
                Frame(path, i, offset, count, storage, place, scaling, None if instance is None else int(instance))
                for i, ((offset, count), place, scaling) in enumerate(zip(positions, places, scalings, strict=True))
            ),
        )


def _find_pixels(path: Path, file: IO[bytes], header: Any, syntax: str) -> tuple[PixelStorage, int, int]:
    """How the pixels are stored, and the position and size of the element that holds them (at which the file is)."""
    order = ">" if syntax == "1.2.840.10008.1.2.2" else "<"
    start = file.read(12)
    if len(start) < 12:
        raise SourceError(f"{path} has no pixels: it is cut short, or not an image. {_AGAIN}")
    group, element = struct.unpack(f"{order}HH", start[:4])
    tag = group << 16 | element
    if tag not in (_INTEGERS, *_FLOATS):
        raise SourceError(f"{path} has no pixels that can be read. {_AGAIN}")
    if syntax == "1.2.840.10008.1.2":  # implicit VR
        (size,) = struct.unpack(f"{order}I", start[4:8])
        at = file.tell() - 4
    else:
        (size,) = struct.unpack(f"{order}I", start[8:12])
        at = file.tell()
        if order == ">" and header.BitsAllocated == 8 and start[4:6] == b"OW":
            raise SourceError(f"{path} stores bytes in big-endian words, which cannot be read. Try exporting it again.")
    floats = tag in _FLOATS
    allocated = int(header.BitsAllocated)
    storage = PixelStorage(
        rows=int(header.Rows),
        columns=int(header.Columns),
        allocated=allocated,
        stored=allocated if floats else int(header.get("BitsStored", allocated)),
        signed=bool(header.get("PixelRepresentation", 0)),
        samples=int(header.get("SamplesPerPixel", 1)),
        photometric=str(header.get("PhotometricInterpretation", "MONOCHROME2")),
        syntax=syntax,
        kind="f" if floats else "iu",
    )
    _check_storage(path, storage, int(header.get("HighBit", storage.stored - 1)))
    return storage, at, size


def _check_storage(path: Path, storage: PixelStorage, high_bit: int) -> None:
    if storage.samples != 1 or not storage.photometric.startswith("MONOCHROME"):
        raise SourceError(
            f"{path} has colours ({storage.photometric}), where a volume has grey values. Try exporting grey values."
        )
    if not storage.rows or not storage.columns:
        raise SourceError(f"{path} has no voxels: {storage.rows} × {storage.columns} pixels. {_AGAIN}")
    bits = (32, 64) if storage.kind == "f" else (8, 16, 32)
    if storage.allocated not in bits or not 0 < storage.stored <= storage.allocated:
        raise SourceError(
            f"{path} has voxels of {storage.stored} bits in {storage.allocated}, which cannot be read. Try exporting "
            "it with 8 or 16 bits."
        )
    if high_bit != storage.stored - 1 and storage.kind != "f":
        raise SourceError(
            f"{path} stores voxels of {storage.stored} bits up to bit {high_bit}, which cannot be read. Try exporting "
            "it again."
        )


def _frame_positions(
    path: Path, file: IO[bytes], storage: PixelStorage, number: int, at: int, size: int
) -> Sequence[tuple[int, int]]:
    """Position and size in bytes of the pixels of each frame."""
    file_size = os.fstat(file.fileno()).st_size
    if size == _UNDEFINED:
        file.seek(at)
        return _encapsulated(path, file, number, file_size)
    frame = storage.rows * storage.columns * storage.allocated // 8
    if size < number * frame or file_size < at + number * frame:
        present = max(0, min(size, file_size - at))
        raise SourceError(
            f"{path} is cut short: it has {present:,} of the {number * frame:,} bytes of its pixels. {_AGAIN}"
        )
    return [(at + i * frame, frame) for i in range(number)]


def _encapsulated(path: Path, file: IO[bytes], number: int, file_size: int) -> Sequence[tuple[int, int]]:
    """The frames of compressed pixels, which are items of a sequence: PS3.5, A.4."""
    _, *fragments = _items(path, file, file_size)  # the first item is a table of offsets, which is not needed
    if len(fragments) != number:
        raise SourceError(
            f"{path} stores {number:,} compressed frames in {len(fragments):,} parts, where only one part for each "
            "frame can be read. Try exporting it without compression."
        )
    return fragments


def _items(path: Path, file: IO[bytes], file_size: int) -> Iterator[tuple[int, int]]:
    while True:
        head = file.read(8)
        group, element, size = struct.unpack("<HHI", head) if len(head) == 8 else (0, 0, 0)
        tag = group << 16 | element
        at = file.tell()
        if tag == _END:
            return
        if tag != _ITEM or at + size > file_size:
            raise SourceError(f"{path} is cut short or damaged in its compressed pixels. {_AGAIN}")
        yield at, size
        file.seek(size, 1)


def _of_frames(header: Any, number: int) -> tuple[list[Place], list[Scaling]]:
    """The place and the scaling of each frame. Those of an enhanced file are in functional groups: PS3.3, C.7.6.16."""
    shared = header.get("SharedFunctionalGroupsSequence") or [None]
    each = header.get("PerFrameFunctionalGroupsSequence") or [None] * number
    places, scalings = [], []
    for own in list(each)[:number]:
        groups = (own, shared[0])
        places.append(
            Place(
                _numbers(_value(header, groups, "PlanePositionSequence", "ImagePositionPatient"), 3),
                _numbers(_value(header, groups, "PlaneOrientationSequence", "ImageOrientationPatient"), 6),
                _numbers(_value(header, groups, "PixelMeasuresSequence", "PixelSpacing"), 2),
                _number(_value(header, groups, "PixelMeasuresSequence", "SpacingBetweenSlices")),
            )
        )
        values = [
            _value(header, groups, "PixelValueTransformationSequence", name)
            for name in ("RescaleSlope", "RescaleIntercept", "RescaleType")
        ]
        slope, intercept = _number(values[0]), _number(values[1])
        scalings.append(Scaling(slope or 1.0, intercept or 0.0, str(values[2] or "")))  # a slope of 0 says nothing
    if each[0] is None and number > 1:  # one position for all frames is the position of none
        places = [place._replace(position=None) for place in places]
    return places, scalings


def _value(header: Any, groups: Sequence[Any], sequence: str, name: str) -> Any:
    for group in groups:
        items = group.get(sequence) if group is not None else None
        if items and name in items[0]:
            return items[0].get(name)
    return header.get(name)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _numbers(values: Any, count: int) -> Point | None:
    if values is None or isinstance(values, str) or len(values) != count:
        return None
    numbers = [_number(value) for value in values]
    return None if None in numbers else tuple(number for number in numbers if number is not None)
