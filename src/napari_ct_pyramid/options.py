"""Every choice a user has, with its default and its help text, in one place.

The command line's flags and the widget's fields are made from `ConversionOptions`; the parameters of the Python
functions are tested against it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, get_args

from .calibration import Calibration, calibration_of, parse_calibration
from .errors import Advice, RequestError
from .parsing import (
    as_written,
    count_of,
    index_of,
    one_float,
    one_of,
    parse_floats,
    parse_offset,
    parse_range,
    parse_size,
    parse_triple,
    parse_voxel_type,
    split_parts,
)
from .units import parse_unit, parse_voxel_size

Triple = tuple[int, int, int]
"""Whole numbers along z, y, x."""

VoxelSize = tuple[float, float, float]
"""Sizes along z, y, x."""

Crop = tuple[tuple[int | None, int | None], ...]
"""First voxel, and the one after the last, along z, y, x; None for the edge of the volume."""

Dtype = Literal["uint8", "uint16", "uint32", "int8", "int16", "int32"]
Method = Literal["mean", "median", "mode", "min", "max", "stride"]
Edges = Literal["strict", "pad"]
Compressor = Literal["lz4", "zstd", "none"]
OmeZarrVersion = Literal["0.4", "0.5", "0.6"]

AUTO = "auto"
NAMED_CHUNKS: dict[str, Triple] = {"visualization": (128, 128, 128), "conversion": (32, 256, 256)}
DTYPES: tuple[str, ...] = get_args(Dtype)
SCALED_DTYPES = ("uint8", "uint16")
"""The types to which the values in a window are scaled."""

METHODS: tuple[str, ...] = get_args(Method)
EDGES: tuple[str, ...] = get_args(Edges)
COMPRESSORS: tuple[str, ...] = get_args(Compressor)
OME_ZARR_VERSIONS: tuple[str, ...] = get_args(OmeZarrVersion)

LARGEST_CHUNK = 512**3
"""Voxels of a chunk, at most: more than 2 GB cannot be compressed in one piece, whatever the type."""

COARSEST_AXIS = 512
"""With automatic levels, no axis of the coarsest level is longer than this: napari shows it in 3D at once."""


def _option(help: str, *, default: Any = None, metavar: str | None = None, rare: bool = False) -> Any:
    """A field from which a flag or a widget is made.

    `default` is as a user would write it, `metavar` shows the form of the values (None: a switch), and `rare` options
    are folded away.
    """
    return field(default=default, metadata={"help": help, "metavar": metavar, "rare": rare})


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Which voxels of a source are read, and how. Fields and errors are as in `ConversionOptions`."""

    offers_dtype: ClassVar[bool] = True  # whether a user can set the type

    # fmt: off
    axes: str = _option(
        "order of the source's axes, from the slowest to the fastest: any order of z, y and x",
        default="zyx", metavar="AXES", rare=True)
    crop: Crop | None = _option(
        "only a part of the source, in voxels from 0: z0:z1,y0:y1,x0:x1. Each number may be left out, as in ,:100,",
        metavar="Z,Y,X", rare=True)
    dtype: str | None = _option(
        "type of the stored voxels: uint8 or uint16 for floats and wider integers, whose values in a window are "
        "scaled; also uint32, int8, int16, int32 for integers of 64 bits, if every value fits (default: the type of "
        "the source)",
        metavar="TYPE", rare=True)
    channel: int | None = _option(
        "the channel to read, from 0, of a source that has several", metavar="N", rare=True)
    time: int | None = _option(
        "the time point to read, from 0, of a source that has several", metavar="N", rare=True)
    follow_links: bool = _option(
        "also read files outside of the source's own folder, to which the source or a link in it leads", default=False,
        rare=True)
    raw_shape: Triple | None = _option(
        "number of voxels along z, y, x of a file that holds voxels without a header", metavar="Z Y X", rare=True)
    raw_dtype: str | None = _option(
        "type of the voxels of a file without a header, such as uint16, or '>u2' (in quotes) if it is big-endian",
        metavar="TYPE", rare=True)
    raw_offset: int = _option(
        "bytes before the first voxel of a file without a header", default=0, metavar="N", rare=True)
    # fmt: on

    def __post_init__(self) -> None:
        for option in fields(self):
            object.__setattr__(self, option.name, _PARSERS[option.name](getattr(self, option.name)))


@dataclass(frozen=True, kw_only=True)
class ConversionOptions(SourceOptions):
    """What a user asked for, checked as far as that is possible without the source.

    Every field takes what a user would write (``"4G"``, ``"visualization"``, ``"auto"``) and holds the plain value
    afterwards.

    Raises
    ------
    RequestError
        If a value is invalid, whatever the source is.
    """

    # fmt: off
    chunks: Triple = _option(
        "chunk size along z, y, x in voxels, or one number for all three, or a name: visualization (128 128 128, good "
        "for looking in every direction) or conversion (32 256 256, good for slice-by-slice work)",
        metavar="Z Y X | N | NAME")
    num_levels: int | None = _option(
        f"number of levels, each half the one before; auto: the fewest whose coarsest has no axis over {COARSEST_AXIS}",
        default=AUTO, metavar="N | auto")
    window: tuple[float, float] | str | None = _option(
        "with a type: the source's values that become the smallest and the largest stored value; values beyond them "
        "are clipped; auto, the default, leaves out a thousandth of the voxels at either end",
        metavar="LO HI | auto", rare=True)
    calibration: Calibration | None = _option(
        "what the source's values stand for: slope, intercept, and perhaps the unit of grey = value x slope + "
        "intercept; the voxels stay as they are", metavar="SLOPE INTERCEPT [UNIT]", rare=True)
    air: float | None = _option(
        "the source's value of air: with that of water, a calibration to Hounsfield units", metavar="V", rare=True)
    water: float | None = _option(
        "the source's value of water: with that of air, a calibration to Hounsfield units", metavar="V", rare=True)
    method: str = _option(
        "how a voxel is made from those of the level before: mean, median, mode (the most frequent value, the smallest "
        "of several: for labels), min, max, or stride (the first voxel)",
        default="mean", metavar="NAME", rare=True)
    downsample: Triple | None = _option(
        "how many voxels of a level become one of the next along z, y, x, each 1 or 2; auto: 2 along the axes whose "
        "voxels are less than twice as large as the smallest, so that voxels become isotropic",
        default="2 2 2", metavar="Z Y X | auto", rare=True)
    edges: str = _option(
        "with strict, y and x must be divisible by 2 for each level but the first; with pad, they are padded with "
        "zeros, as z always is, and readers of this package cut the padding off",
        default="strict", metavar="strict | pad", rare=True)
    max_memory: int = _option(
        "the peak resident memory of the process, such as 4G, 500M or a number of bytes", default="4G", metavar="SIZE")
    compressor: str = _option(
        "compressor of the chunks: Blosc with bitshuffle, level 1, and one of " + ", ".join(COMPRESSORS),
        default="lz4", metavar="NAME", rare=True)
    ome_zarr_version: str = _option(
        "version of OME-Zarr: 0.4 (Zarr v2, which every program reads), 0.5 (Zarr v3, with shards) or 0.6 (the newest, "
        "which few programs read yet)",
        default="0.4", metavar=" | ".join(OME_ZARR_VERSIONS), rare=True)
    shards: Triple | str | None = _option(
        "size of a shard, which is one file of OME-Zarr 0.5 or newer, along z, y, x in voxels; auto: many chunks, "
        "about 1 GB of voxels; none: one chunk a file",
        default=AUTO, metavar="Z Y X | auto | none", rare=True)
    voxel_size: VoxelSize | None = _option(
        "voxel size: one number, or three along z, y, x, with or without its unit, such as 0.65um; overrides the one "
        "in the file", metavar="V | Z Y X", rare=True)
    unit: str | None = _option("unit of the voxel size, such as micrometer, µm, um or nm", metavar="UNIT", rare=True)
    threads: int | None = _option("number of threads (default: one for each core)", metavar="N", rare=True)
    overwrite: bool = _option("replace an output that exists already", default=False, rare=True)
    # fmt: on

    def __post_init__(self) -> None:
        self._take_unit()
        super().__post_init__()
        if self.ome_zarr_version == "0.4" and self.shards:
            if self.shards != AUTO:
                raise RequestError(
                    "OME-Zarr 0.4 has no shards. Ask for version 0.5 (", Advice("ome_zarr_version", "0.5"),
                    "), or leave the shards out.",
                )  # fmt: skip
            object.__setattr__(self, "shards", None)
        if hounsfield := calibration_of(self.air, self.water):
            if self.calibration is not None and self.calibration != hounsfield:
                raise RequestError(
                    "There are two calibrations. Give one (", Advice("calibration"), "), or the values of air and ",
                    "water (", Advice("air"), ", ", Advice("water"), ").",
                )  # fmt: skip
            object.__setattr__(self, "calibration", hounsfield)
        object.__setattr__(self, "window", _window_of(self.dtype, self.window))

    def _take_unit(self) -> None:
        """Take the unit from the text of the voxel size, where it has one."""
        if self.voxel_size is None:
            return
        _, unit = parse_voxel_size(self.voxel_size)
        asked = None if self.unit is None else parse_unit(self.unit)
        if unit and asked and unit != asked:
            raise RequestError(
                f"The voxel size {as_written(self.voxel_size)!r} is in {unit}, and the unit that was asked for is "
                f"{asked}. Leave one of the two out."
            )
        object.__setattr__(self, "unit", asked or unit)

    @property
    def thread_count(self) -> int:
        """Threads to use."""
        return self.threads or available_cores()


def _as_in_conversion(name: str) -> Any:
    option = ConversionOptions.__dataclass_fields__[name]
    return field(default=option.default, metadata=option.metadata)


@dataclass(frozen=True, kw_only=True)
class ExportOptions(SourceOptions):
    """What a user asked of an export. Options that a conversion has too are checked in the same way.

    Raises
    ------
    RequestError
        If a value is invalid, whatever the source is.
    """

    # fmt: off
    level: int = _option("the level to export, from 0, which is the finest", default=0, metavar="K")
    crop: Crop | None = _option(
        "only a part, in voxels of level 0 whatever the level: z0:z1,y0:y1,x0:x1. Each number may be left out, as in "
        ",:100,. At a coarser level, every voxel that has a share in the part belongs to it", metavar="Z,Y,X")
    window: tuple[float, float] | str | None = _as_in_conversion("window")
    grey_values: bool = _option(
        "the grey values that the stored voxels stand for, where the volume was rescaled or is calibrated",
        default=False)
    max_memory: int = _as_in_conversion("max_memory")
    threads: int | None = _as_in_conversion("threads")
    overwrite: bool = _as_in_conversion("overwrite")
    # fmt: on

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "window", _window_of(self.dtype, self.window))

    @property
    def thread_count(self) -> int:
        """Threads to use."""
        return self.threads or available_cores()


def _window_of(dtype: str | None, window: tuple[float, float] | str | None) -> tuple[float, float] | str | None:
    """The window that is meant where a type is asked for, or none."""
    if dtype is None and window is not None:
        raise RequestError(
            "A window needs a type whose values it is spread over, and no type was asked for. Ask for one (",
            Advice("dtype", "uint8"), " or ", Advice("dtype", "uint16"), "), or leave the window out.",
        )  # fmt: skip
    return AUTO if dtype is not None and window is None else window


def available_cores() -> int:
    """Cores that this process may use, which may be fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Windows, macOS
        return os.cpu_count() or 1


def _parse_chunks(chunks: Any) -> Triple:
    if chunks is None:
        raise RequestError(
            "No chunk size was given. Try 128 128 128 (", Advice("chunks", "visualization"), "), which is good for "
            "looking at the volume in every direction, or 32 256 256 (", Advice("chunks", "conversion"), "), which is "
            "good for slice-by-slice work.",
        )  # fmt: skip
    parts = split_parts(chunks)
    if len(parts) == 1 and parts[0] in NAMED_CHUNKS:
        return NAMED_CHUNKS[parts[0]]
    found = parse_triple(
        parts * 3 if len(parts) == 1 else parts,
        "a chunk size: it takes three whole numbers above zero, for z, y and x, such as 128 128 128, or one for all "
        f"three, or one of the names {' and '.join(NAMED_CHUNKS)}.",
        shown=chunks,
    )
    if math.prod(found) > LARGEST_CHUNK:
        raise RequestError(
            f"A chunk of {as_written(found)} has {math.prod(found):,} voxels, and a viewer must read it as a whole: at "
            f"most {LARGEST_CHUNK:,} are allowed. Try 128 128 128 (", Advice("chunks", "visualization"), ").",
        )  # fmt: skip
    return found


def _parse_downsample(factors: Any) -> Triple | None:
    if factors is None or factors == AUTO:
        return None
    what = (
        "a set of downsampling factors: it takes 1 or 2 for each of z, y and x, but not 1 for all, such as 2 2 2 or "
        "1 2 2; or auto."
    )
    found = parse_triple(split_parts(factors), what, shown=factors, allowed=(1, 2))
    if found == (1, 1, 1):
        raise RequestError(f"{as_written(factors)!r} is not {what}")
    return found


def _parse_shards(shards: Any) -> Triple | str | None:
    if shards is None or shards == "none":
        return None
    if isinstance(shards, str) and shards == AUTO:
        return AUTO
    what = "a shard size: it takes three whole numbers above zero, for z, y and x, such as 1024 512 512; or auto, none."
    return parse_triple(split_parts(shards), what, shown=shards)


def _parse_dtype(dtype: Any) -> str | None:  # a type of numpy's, a dtype, or its name
    return None if dtype is None else one_of(DTYPES, "a type")(getattr(dtype, "__name__", str(dtype)))


def parse_window(window: Any) -> tuple[float, float] | str | None:
    if window is None or (isinstance(window, str) and window == AUTO):
        return window
    numbers = parse_floats(window)
    if len(numbers) != 2 or not numbers[0] < numbers[1] or not all(map(math.isfinite, numbers)):
        raise RequestError(
            f"{as_written(window)!r} is not a window of grey values: it takes two numbers, the lower one first, such "
            "as -0.5 2; or auto."
        )
    return numbers[0], numbers[1]


def _parse_axes(axes: Any) -> str:
    text = "zyx" if axes is None else str(axes).strip().lower()
    if sorted(text) == ["x", "y", "z"]:
        return text
    raise RequestError(
        f"{axes!r} is not an order of axes: it takes z, y and x once each, from the axis that is first in the source "
        "to the one that is last, such as xzy."
    )


def parse_crop(crop: Any) -> Crop | None:
    """The part of a volume from ``"z0:z1,y0:y1,x0:x1"`` or three pairs; None for all of it."""
    if crop is None or (isinstance(crop, str) and not crop.strip()):
        return None
    given = crop.split(",") if isinstance(crop, str) else crop if isinstance(crop, Sequence) else ()
    found = tuple(part for part in map(parse_range, given) if part is not None)
    if not len(found) == len(given) == 3:
        raise RequestError(
            f"{crop!r} is not a part of a volume: it takes three ranges z0:z1,y0:y1,x0:x1 of whole numbers, separated "
            "by commas, any of which may be left out, such as 100:200,,:512."
        )
    return None if found == ((None, None),) * 3 else found


def _parse_raw_shape(shape: Any) -> Triple | None:
    what = "a shape: it takes three whole numbers above zero, for z, y and x, such as 800 1024 1024."
    return None if shape is None else parse_triple(split_parts(shape), what, shown=shape)


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "chunks": _parse_chunks,
    "num_levels": count_of("levels", or_none=AUTO),
    "dtype": _parse_dtype,
    "window": parse_window,
    "calibration": parse_calibration,
    "air": one_float("the value of air"),
    "water": one_float("the value of water"),
    "method": one_of(METHODS, "a method"),
    "downsample": _parse_downsample,
    "edges": one_of(EDGES, "a way to treat edges"),
    "max_memory": parse_size,
    "compressor": one_of(COMPRESSORS, "a compressor"),
    "ome_zarr_version": one_of(OME_ZARR_VERSIONS, "a version of OME-Zarr that can be written"),
    "shards": _parse_shards,
    "voxel_size": lambda size: None if size is None else parse_voxel_size(size)[0],
    "unit": lambda unit: None if unit is None else parse_unit(unit),
    "axes": _parse_axes,
    "crop": parse_crop,
    "channel": index_of("channel"),
    "time": index_of("time point"),
    "follow_links": bool,
    "raw_shape": _parse_raw_shape,
    "raw_dtype": lambda dtype: None if dtype is None else parse_voxel_type(dtype),
    "raw_offset": parse_offset,
    "threads": count_of("threads"),
    "level": lambda level: index_of("level")(level) or 0,
    "grey_values": bool,
    "overwrite": bool,
}
