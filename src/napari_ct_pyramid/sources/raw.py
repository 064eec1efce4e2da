"""Files of voxels without a header. The options state shape, type and position; the size of the file must fit them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_ct_pyramid.errors import Advice, Part, UnknownShapeError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import Triple

from .base import VolumeReader, check_dtype
from .inputs import Input
from .raw_rows import RawFile, open_raw_rows

_LONGEST_HEADER = 1_000_000  # bytes that may come before voxels: more mean that the shape is another one
_THREE_NUMBERS = re.compile(r"(\d+) ?[x×_,] ?(\d+) ?[x×_,] ?(\d+)", re.IGNORECASE)
_TYPES: tuple[tuple[str, str], ...] = (
    (r"u(?:int)?[-_ ]?8|8[-_ ]?bit|byte|uchar", "uint8"),
    (r"u(?:int)?[-_ ]?16|16[-_ ]?bit[-_ ]?unsigned|ushort", "uint16"),
    (r"i(?:nt)?[-_ ]?16|16[-_ ]?bit[-_ ]?signed|short", "int16"),
    (r"16[-_ ]?bit", "uint16"),
    (r"f(?:loat)?[-_ ]?32|32[-_ ]?bit|float", "float32"),
    (r"f(?:loat)?[-_ ]?64|64[-_ ]?bit|double", "float64"),
)
_BY_BYTES = {1: "uint8", 2: "uint16", 4: "float32", 8: "float64"}
"""The most common type of voxels of so many bytes."""


def open_raw(source: Input) -> VolumeReader:
    """Open a file of voxels without a header.

    Raises
    ------
    UnknownShapeError
        If the options do not state shape and type, or the file has another size.
    """
    path = source.local_path
    options = source.options
    size = path.stat().st_size
    if options.raw_shape is None or options.raw_dtype is None:
        shape, dtype = guess(path.name, size)
        raise UnknownShapeError(
            f"{path} has voxels without a header, so their shape and type must be stated (",
            *_advice(shape or (100, 200, 300), dtype or "uint16"),
            ")." if shape and dtype else "): these are only examples.",
            *([" They are guessed from its name and size: check them."] if shape and dtype else []),
            shape=shape,
            dtype=dtype,
        )
    stored = np.dtype(options.raw_dtype)
    if not options.raw_dtype.startswith(">"):
        stored = stored.newbyteorder("<")
    _check_size(path, size, options.raw_shape, stored, options.raw_offset)
    order = {"<": ", little-endian", ">": ", big-endian"}.get(stored.str[0], "")
    volume = Volume(
        name=source.stem,
        shape=options.raw_shape,
        dtype=check_dtype(path, stored),
        format=f"raw voxels{order}",
    )
    return open_raw_rows(volume, stored, [RawFile(path, options.raw_offset, volume.shape[0])])


def guess(name: str, size: int) -> tuple[Triple | None, str | None]:
    """Shape (z, y, x) and type that the name and the size of a file suggest; None where they suggest nothing.

    Names have x first: ``scan_56x40x24_16bit.raw`` has 24 slices of 40 rows.
    """
    stem = name.rpartition(".")[0]
    match = _THREE_NUMBERS.search(stem)
    if not match or min(map(int, match.groups())) < 1:
        return None, None
    x, y, z = (int(number) for number in match.groups())
    words = f"{stem[: match.start()]} {stem[match.end() :]}".lower()
    named = [dtype for pattern, dtype in _TYPES if re.search(rf"(?<![a-z0-9])(?:{pattern})(?![a-z0-9])", words)]
    widest_first = [name for _, name in sorted(_BY_BYTES.items(), reverse=True)]
    for before in (0, _LONGEST_HEADER):
        for dtype in [*named[:1], *widest_first]:
            if 0 <= size - z * y * x * np.dtype(dtype).itemsize <= before:
                return (z, y, x), dtype
    return None, None


def _check_size(path: Path, size: int, shape: Triple, dtype: np.dtype, offset: int) -> None:
    needed = offset + math.prod(shape) * dtype.itemsize
    if size == needed:
        return
    before = f"{offset:,} bytes and " if offset else ""
    fits = list(_fitting(size, shape, dtype, offset))
    parts: list[Part] = [
        f"{path} has {size:,} bytes, and {before}{times(shape)} voxels of {dtype.name} take {needed:,}. "
    ]
    if not fits:
        parts.append("Try another shape (")
        parts += [Advice("raw_shape"), ") or type (", Advice("raw_dtype"), ")."]
    else:
        parts.append("What would fit: ")
        for number, fit in enumerate(fits):
            parts += [", or " if number else "", fit]
        parts.append(".")
    other_type = next((fit.value for fit in fits if fit.name == "raw_dtype"), None)
    slices = _slices_that_fit(size - offset, shape, dtype)
    if other_type:
        raise UnknownShapeError(*parts, shape=shape, dtype=other_type)
    if slices:
        raise UnknownShapeError(*parts, shape=(slices, *shape[1:]), dtype=dtype.name)
    raise UnknownShapeError(*parts)


def _fitting(size: int, shape: Triple, dtype: np.dtype, offset: int) -> Iterator[Advice]:
    """Changes of one option with which the size of the file fits."""
    count = math.prod(shape)
    extra = size - count * dtype.itemsize
    for width, name in _BY_BYTES.items():
        if size - offset == width * count:
            yield Advice("raw_dtype", name)
    if slices := _slices_that_fit(size - offset, shape, dtype):
        yield Advice("raw_shape", f"{slices} {shape[1]} {shape[2]}")
    if 0 <= extra <= _LONGEST_HEADER:
        yield Advice("raw_offset", extra)


def _slices_that_fit(size: int, shape: Triple, dtype: np.dtype) -> int:
    """How many slices of this shape take all the bytes; 0 if that is no whole number."""
    slices, rest = divmod(size, shape[1] * shape[2] * dtype.itemsize)
    return 0 if rest else max(0, slices)


def _advice(shape: Triple, dtype: str) -> list[Part]:
    return [Advice("raw_shape", times(shape).replace(" × ", " ")), " and ", Advice("raw_dtype", dtype)]
