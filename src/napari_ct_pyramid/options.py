"""Every choice a user has, with its default and its help text, in one place.

The command line's flags and the widget's fields are made from `ConversionOptions`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from .errors import RequestError
from .sizes import parse_size
from .volume import Triple, VoxelSize

Crop = tuple[tuple[int | None, int | None], ...]
"""First voxel, and the one after the last, along z, y, x; None for the edge of the volume."""

NAMED_CHUNKS: dict[str, Triple] = {
    "visualization": (128, 128, 128),
    "conversion": (32, 256, 256),
}
DTYPES = ("uint8", "uint16")
METHODS = ("mean", "median", "mode", "min", "max", "stride")
EDGES = ("strict", "pad")
AUTO = "auto"
OME_ZARR_VERSIONS = ("0.4", "0.5")
COMPRESSORS = ("lz4", "zstd", "none")

# https://ngff.openmicroscopy.org/0.4/#axes-md, units of length (UDUNITS-2)
UNITS = (
    "angstrom", "attometer", "centimeter", "decimeter", "exameter", "femtometer", "foot",
    "gigameter", "hectometer", "inch", "kilometer", "megameter", "meter", "micrometer", "mile",
    "millimeter", "nanometer", "parsec", "petameter", "picometer", "terameter", "yard",
    "yoctometer", "yottameter", "zeptometer", "zettameter",
)  # fmt: skip


def _option(
    help: str, *, flags: tuple[str, ...], default: Any = None, metavar: str | None = None, rare: bool = False
) -> Any:
    """A field that the faces can make a flag or a widget of.

    `default` is as a user would write it, `metavar` shows in what form values come (None: a switch),
    and `rare` ones lie behind the fold.
    """
    return field(default=default, metadata={"help": help, "flags": flags, "metavar": metavar, "rare": rare})


@dataclass(frozen=True, kw_only=True)
class ConversionOptions:
    """What a user asked for, checked as far as that is possible without the source.

    Every field takes what a user would write (``"4G"``, ``"visualization"``, ``"auto"``) and
    holds the plain value afterwards.

    Raises
    ------
    RequestError
        If a choice makes no sense on its own.
    """

    chunks: Triple = _option(
        "chunk size along z, y, x in voxels, or a name: visualization (128 128 128, good for "
        "looking in every direction) or conversion (32 256 256, good for slice-by-slice work)",
        flags=("-c", "--chunks"),
        metavar="Z Y X | NAME",
    )
    num_levels: int | None = _option(
        "number of levels, each half the last; auto: the fewest whose coarsest has no axis over 512",
        default=AUTO,
        flags=("-l", "--num-levels"),
        metavar="N | auto",
    )
    dtype: str | None = _option(
        "type of the voxels to store: uint8 or uint16, whose values a window of the source's is spread over, for "
        "floats and wider integers; that of the source if not given",
        flags=("--dtype",),
        metavar=" | ".join(DTYPES),
        rare=True,
    )
    window: tuple[float, float] | str | None = _option(
        "with a dtype: the values of the source that become the least and the greatest, and beyond which all are cut "
        "off; auto, which is what it is if not given: what leaves out a thousandth of the voxels at either end",
        flags=("--window",),
        metavar="LO HI | auto",
        rare=True,
    )
    method: str = _option(
        "how a voxel is made of those of the level before: mean, median, mode (what is there most often, the smallest "
        "of several: for labels), min, max, or stride (the first of them)",
        default="mean",
        flags=("--method",),
        metavar="NAME",
        rare=True,
    )
    downsample: Triple | None = _option(
        "how many voxels of a level become one of the next along z, y, x, each 1 or 2; auto: 2 along the axes whose "
        "voxels are less than twice as large as the smallest, so that they become alike",
        default="2 2 2",
        flags=("--downsample",),
        metavar="Z Y X | auto",
        rare=True,
    )
    edges: str = _option(
        "strict: y and x must be divisible by 2 for each level but the first; pad: zeros are added to them, as always "
        "to z, and readers cut these off again",
        default="strict",
        flags=("--edges",),
        metavar="strict | pad",
        rare=True,
    )
    max_memory: int = _option(
        "the peak resident memory of the process, such as 4G, 500M or a number of bytes",
        default="4G",
        flags=("--max-memory",),
        metavar="SIZE",
    )
    compressor: str = _option(
        "compressor of the chunks: Blosc with bitshuffle, level 1, and one of " + ", ".join(COMPRESSORS),
        default="lz4",
        flags=("--compressor",),
        metavar="NAME",
        rare=True,
    )
    ome_zarr_version: str = _option(
        "version of OME-Zarr: 0.4 (Zarr v2, which everything reads) or 0.5 (Zarr v3, with shards)",
        default="0.4",
        flags=("--ome-zarr-version",),
        metavar=" | ".join(OME_ZARR_VERSIONS),
        rare=True,
    )
    shards: Triple | str | None = _option(
        "what one file of OME-Zarr 0.5 holds, along z, y, x in voxels; auto: many chunks, about 1 GB of voxels; "
        "none: one chunk",
        default=AUTO,
        flags=("--shards",),
        metavar="Z Y X | auto | none",
        rare=True,
    )
    voxel_size: VoxelSize | None = _option(
        "voxel size: one number, or three along z, y, x; overrides what the file says",
        flags=("--voxel-size",),
        metavar="V | Z Y X",
        rare=True,
    )
    unit: str | None = _option(
        "unit of the voxel size, such as micrometer or nanometer",
        flags=("--unit",),
        metavar="UNIT",
        rare=True,
    )
    axes: str = _option(
        "how the axes of the source lie, from the slowest to the fastest: any order of z, y and x",
        default="zyx",
        flags=("--axes",),
        metavar="AXES",
        rare=True,
    )
    crop: Crop | None = _option(
        "only a part of the source, in voxels from 0: z0:z1,y0:y1,x0:x1, of which any may be left out, as in ,:100,",
        flags=("--crop",),
        metavar="Z,Y,X",
        rare=True,
    )
    threads: int | None = _option(
        "number of threads, one for each core if not given",
        flags=("--threads",),
        metavar="N",
        rare=True,
    )
    overwrite: bool = _option(
        "replace an OUTPUT that exists already",
        default=False,
        flags=("--overwrite",),
        rare=True,
    )

    def __post_init__(self) -> None:
        for name, parse in _PARSERS.items():
            object.__setattr__(self, name, parse(getattr(self, name)))
        if self.ome_zarr_version == "0.4" and self.shards:
            if self.shards != AUTO:
                raise RequestError(
                    "OME-Zarr 0.4 has no shards. Ask for version 0.5 (--ome-zarr-version 0.5), or leave --shards out."
                )
            object.__setattr__(self, "shards", None)
        if self.dtype is None and self.window is not None:
            raise RequestError(
                "A window says how voxels become those of a smaller type, and none was asked for. Ask for one (--dtype "
                "uint8 or --dtype uint16), or leave --window out."
            )
        if self.dtype is not None and self.window is None:
            object.__setattr__(self, "window", AUTO)

    @property
    def thread_count(self) -> int:
        """Threads to use."""
        return self.threads or available_cores()


def option_default(name: str) -> Any:
    """The default of an option as a user would write it."""
    return next(f.default for f in fields(ConversionOptions) if f.name == name)


def available_cores() -> int:
    """Cores that this process may use, which may be fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Windows, macOS
        return os.cpu_count() or 1


def parse_chunks(chunks: Any) -> Triple:
    """Chunk size z, y, x from a name or three whole numbers (or their text)."""
    if chunks is None:
        raise RequestError(
            "No chunk size was given. Try -c 128 128 128 (or -c visualization: good for looking at the "
            "volume in every direction) or -c 32 256 256 (or -c conversion: good for slice-by-slice work)."
        )
    parts = _parts(chunks)
    if len(parts) == 1 and parts[0] in NAMED_CHUNKS:
        return NAMED_CHUNKS[parts[0]]
    numbers = _triple(parts)
    if numbers is None or min(numbers) < 1:
        raise RequestError(
            f"{_joined(parts)!r} is not a chunk size: it takes three whole numbers above zero, for z, y and x, "
            f"such as 128 128 128, or one of the names {' and '.join(NAMED_CHUNKS)}."
        )
    return numbers


def parse_num_levels(levels: Any) -> int | None:
    """Number of levels, None for auto."""
    if levels is None or levels == AUTO:
        return None
    number = _whole(levels)
    if number is None or number < 1:
        raise RequestError(f"{levels!r} is not a number of levels: it takes a whole number from 1 up, or auto.")
    return number


def parse_dtype(dtype: Any) -> str | None:
    """The name of a type of voxels; None for the source's."""
    if dtype is None:
        return None
    name = getattr(dtype, "__name__", str(dtype))  # a type of numpy's, a dtype, or its name
    if name in DTYPES:
        return str(name)
    raise RequestError(f"{name!r} is no type that voxels can be made to. Try one of {', '.join(DTYPES)}.")


def parse_window(window: Any) -> tuple[float, float] | str | None:
    """Low and high; "auto"; None for none."""
    if window is None or (isinstance(window, str) and window == AUTO):
        return window
    parts = _parts(window)
    try:
        low, high = (float(part) for part in parts)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (low < high and math.isfinite(low) and math.isfinite(high)):
        raise RequestError(
            f"{_joined(parts)!r} is no window of grey values: it takes two numbers, the lower one first, such as "
            "-0.5 2; or auto."
        )
    return low, high


def parse_downsample(factors: Any) -> Triple | None:
    """Factors z, y, x, None for auto."""
    if factors is None or factors == AUTO:
        return None
    parts = _parts(factors)
    numbers = _triple(parts)
    if numbers is None or numbers == (1, 1, 1) or any(n not in (1, 2) for n in numbers):
        raise RequestError(
            f"{_joined(parts)!r} is not how levels can become smaller: it takes 1 or 2 for each of z, y and x, not "
            "1 for all, such as 2 2 2 or 1 2 2; or auto."
        )
    return numbers


def parse_voxel_size(size: Any) -> VoxelSize | None:
    """Voxel size z, y, x from one number, three numbers, or their text."""
    if size is None:
        return None
    parts = _parts(size)
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3 or not all(math.isfinite(n) and n > 0 for n in numbers):
        raise RequestError(
            f"{_joined(parts)!r} is not a voxel size: it takes one number above zero, or three for z, y and x, "
            "such as 0.65. The unit is given on its own, such as micrometer."
        )
    return (numbers[0], numbers[1], numbers[2])


def parse_unit(unit: Any) -> str | None:
    """An NGFF unit of length."""
    if unit is None:
        return None
    if unit in UNITS:
        return str(unit)
    common = "nanometer, micrometer, millimeter, centimeter, meter"
    raise RequestError(f"{unit!r} is not a unit of length that OME-Zarr knows. Try one of {common}.")


def _one_of(names: Sequence[str], what: str) -> Callable[[Any], str]:
    def parse(name: Any) -> str:
        if name in names:
            return str(name)
        raise RequestError(f"{name!r} is not {what}. Try one of {', '.join(names)}.")

    return parse


def parse_axes(axes: Any) -> str:
    """The order of a source's axes."""
    if axes is None:
        return "zyx"
    if isinstance(axes, str) and sorted(axes.strip().lower()) == ["x", "y", "z"]:
        return axes.strip().lower()
    raise RequestError(
        f"{axes!r} is no order of axes: it takes z, y and x once each, from the axis that is first in the source to "
        "the one that is last, such as xzy."
    )


def parse_crop(crop: Any) -> Crop | None:
    """The part of a volume from ``"z0:z1,y0:y1,x0:x1"`` or three pairs; None for all of it."""
    if crop is None or (isinstance(crop, str) and not crop.strip()):
        return None
    given = crop.split(",") if isinstance(crop, str) else crop if isinstance(crop, Sequence) else ()
    parts = [_parse_range(part) for part in given]
    if len(parts) != 3 or None in parts:
        raise RequestError(
            f"{crop!r} is not a part of a volume: it takes three ranges z0:z1,y0:y1,x0:x1 of whole numbers, parted by "
            "commas, any of which may be left out, such as 100:200,,:512."
        )
    found = tuple(part for part in parts if part is not None)
    return None if found == ((None, None),) * 3 else found


def _parse_range(part: Any) -> tuple[int | None, int | None] | None:
    """First and after the last; None if it is no range."""
    ends = (part.split(":") if part.strip() else ["", ""]) if isinstance(part, str) else part
    if not isinstance(ends, Sequence) or len(ends) != 2:
        return None
    numbers = [None if end is None or str(end).strip() == "" else _whole(end) for end in ends]
    if any(number is None and str(end or "").strip() for number, end in zip(numbers, ends, strict=True)):
        return None
    return numbers[0], numbers[1]


def parse_shards(shards: Any) -> Triple | str | None:
    """Shard size z, y, x; "auto"; None for one chunk a file."""
    if shards is None or shards == "none":
        return None
    if shards == AUTO:
        return AUTO
    parts = _parts(shards)
    numbers = _triple(parts)
    if numbers is None or min(numbers) < 1:
        raise RequestError(
            f"{_joined(parts)!r} is no size of shards: it takes three whole numbers above zero, for z, y and x, such "
            "as 1024 512 512, or auto, or none."
        )
    return numbers


def _parse_threads(threads: Any) -> int | None:
    if threads is None:
        return None
    number = _whole(threads)
    if number is None or number < 1:
        raise RequestError(f"{threads!r} is not a number of threads: it takes a whole number from 1 up.")
    return number


def _parts(value: Any) -> Sequence[Any]:
    """The words of a text, the items of a sequence, or the one value there is."""
    if isinstance(value, str):
        return value.split()
    return list(value) if isinstance(value, Iterable) else [value]


def _joined(parts: Iterable[Any]) -> str:
    """As somebody wrote them, more or less."""
    return " ".join(str(part) for part in parts)


def _triple(parts: Sequence[Any]) -> Triple | None:
    """Three whole numbers; None where they are anything else."""
    numbers = [number for part in parts if (number := _whole(part)) is not None]
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == len(parts) == 3 else None


def _whole(value: Any) -> int | None:
    try:
        number = int(value)
        return number if number == float(value) else None
    except (TypeError, ValueError, OverflowError):
        return None


_PARSERS = {
    "chunks": parse_chunks,
    "num_levels": parse_num_levels,
    "dtype": parse_dtype,
    "window": parse_window,
    "method": _one_of(METHODS, "a method"),
    "downsample": parse_downsample,
    "edges": _one_of(EDGES, "a way with edges"),
    "max_memory": parse_size,
    "compressor": _one_of(COMPRESSORS, "a compressor"),
    "ome_zarr_version": _one_of(OME_ZARR_VERSIONS, "a version of OME-Zarr that can be written"),
    "shards": parse_shards,
    "voxel_size": parse_voxel_size,
    "unit": parse_unit,
    "axes": parse_axes,
    "crop": parse_crop,
    "threads": _parse_threads,
    "overwrite": bool,
}
