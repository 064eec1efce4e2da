"""What an INPUT is: a file or folder, files that match a pattern, an array in a file or in memory. Opens nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, overload, runtime_checkable

from napari_ct_pyramid.calibration import Calibration, parse_calibration
from napari_ct_pyramid.errors import Advice, RequestError
from napari_ct_pyramid.model.formatting import count, times
from napari_ct_pyramid.options import SourceOptions, Triple, VoxelSize
from napari_ct_pyramid.storage.paths import INSIDE, AnyPath, PathLike, any_path, image_name
from napari_ct_pyramid.storage.remote_path import RemotePath, is_url
from napari_ct_pyramid.storage.zip_path import ZipPath
from napari_ct_pyramid.units import UNITS, find_unit

from .array_paths import path_of

if TYPE_CHECKING:
    from napari_ct_pyramid.model.intensity import Rescale

_UNCALIBRATED = (
    "What the values stood for ({}) is not kept: what was computed of them may have changed it. If it has not, give "
    "the calibration to the conversion."
)
_SLICED = (
    "A slice of a level has no voxel size, place or calibration. To keep them, take the part with crop, as in "
    "pyramid.crop('10:20,,').levels[0]."
)
_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True)
class Input:
    """What an INPUT names.

    Attributes
    ----------
    path : Path or RemotePath
        A file or folder; with a pattern, the folder of the files.
    inside : str or None
        Path of an array within it.
    pattern : str or None
        A pattern that the names of the files match, with the wildcards of a shell.
    options : SourceOptions
        What to read of it.
    level : int
        Which level of an OME-Zarr to read.
    """

    path: AnyPath
    inside: str | None = None
    pattern: str | None = None
    options: SourceOptions = SourceOptions()
    level: int = 0

    @property
    def local_path(self) -> Path:
        """The path, which must be one on this machine."""
        if isinstance(self.path, RemotePath):
            raise TypeError(f"{self.path} is in an object store")
        return self.path

    @property
    def stem(self) -> str:
        """The name of the volume: ``scan`` for scan.ome.tif, scan.h5::/data, scan/ and scan_*.tif."""
        if self.pattern is not None:
            literal = self.pattern[: min(self.pattern.find(c) for c in _WILDCARDS if c in self.pattern)]
            return literal.rstrip("_-. 0") or self.path.resolve().name
        name = self.path.name if self.path.name not in ("", "..") else self.path.resolve().name
        if isinstance(self.path, RemotePath) or self.path.is_dir():
            return image_name(name)
        return image_name(Path(name).stem)


@runtime_checkable
class Array(Protocol):
    """An array of NumPy, Dask, Zarr or xarray, or anything else that has these, and takes slices."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...

    def __getitem__(self, key: Any, /) -> Any: ...


@dataclass(frozen=True, eq=False, kw_only=True)
class ArrayInput:
    """An array, as an INPUT.

    Attributes
    ----------
    data : array
        Its voxels. Three of its axes are z, y, x, in the order of their names if xarray gives them these, otherwise in
        this order. Other axes must have length 1.
    name : str
        Of the volume.
    title : str
        What it is, for messages.
    voxel_size : tuple of float or None
        Along these three axes as the array has them, whatever their names, in `unit`; None if it is unknown.
    unit : str or None
        An NGFF unit of length.
    voxel_size_from : str
        Where the voxel size was found, to show.
    translation : tuple of float
        Where the centre of the first voxel is, along the same axes, in `unit`.
    path : path or None
        The file or folder that the voxels come from, if that is known: no output may replace it. Of a level of an
        OME-Zarr it is the array, so that other things may be written beside it in the image.
    folder : path or None
        Where the output goes if it is not given.
    is_labels : bool
        Whether each value names an object, so that values have no mean.
    calibration : Calibration or None
        What the voxels stand for.
    rescale : Rescale or None
        How grey values were stored as these voxels.
    notes : tuple of str
        Sentences about the array that are to be shown.
    reduction, finest_shape, finest_start
        As those of a `Volume`.
    """

    data: Any
    name: str = "array"
    title: str = "The array"
    voxel_size: VoxelSize | None = None
    unit: str | None = None
    voxel_size_from: str = "the array"
    translation: VoxelSize = (0.0, 0.0, 0.0)
    path: AnyPath | None = None
    folder: AnyPath | None = None
    is_labels: bool = False
    calibration: Calibration | None = None
    rescale: Rescale | None = None
    notes: tuple[str, ...] = ()
    reduction: VoxelSize = (1.0, 1.0, 1.0)
    finest_shape: Triple | None = None
    finest_start: VoxelSize = (0.0, 0.0, 0.0)

    def __str__(self) -> str:
        return self.title


@runtime_checkable
class OpenImage(Protocol):
    """An OME-Zarr that is open, or a part of one: a `Pyramid`."""

    @property
    def path(self) -> AnyPath: ...

    @property
    def levels(self) -> Any: ...


SourceLike = PathLike | Array | ArrayInput | OpenImage
"""What a user may give as a source in Python."""


@overload
def parse_input(path: PathLike, options: SourceOptions | None = None, level: int = 0) -> Input: ...
@overload
def parse_input(path: SourceLike, options: SourceOptions | None = None, level: int = 0) -> Input | ArrayInput: ...
def parse_input(path: SourceLike, options: SourceOptions | None = None, level: int = 0) -> Input | ArrayInput:
    """The INPUT that a user named, with what to read of it.

    Raises
    ------
    RequestError
        If it is neither a path nor an array, or an image has no such level.
    """
    if isinstance(path, ArrayInput):
        return path
    if isinstance(path, (str, os.PathLike, RemotePath)):
        return replace(_split(path), options=options or SourceOptions(), level=level)
    if isinstance(path, OpenImage):
        return _of_image(path, options, level)
    if isinstance(path, Array):
        return _of_level(path) or _of_array(path)
    raise RequestError(f"The source is a {type(path).__name__}, which is neither a path nor an array.")


def _of_image(image: OpenImage, options: SourceOptions | None, number: int) -> Input | ArrayInput:
    """An open image is its path; a part of one is an array, one of its levels."""
    from .base import volume_axes

    finest = image.levels[0]
    whole = Input(image.path, options=options or SourceOptions(), level=number)
    if finest.start == ():
        return whole
    check_level(image.path, len(image.levels), number)
    of_finest, of_level = _of_level(finest), _of_level(image.levels[number])
    axes = volume_axes(finest.shape)
    if of_finest is None or of_level is None or axes is None or not number:
        return of_finest or whole
    level = image.levels[number]
    z, y, x = axes
    begin = [finest.start[axis] - level.start[axis] * level.reduction[axis] for axis in axes]
    return replace(
        of_level,
        voxel_size=of_level.voxel_size if of_finest.voxel_size else None,  # the scale of level 1 may be 2 of nothing
        unit=of_finest.unit,
        reduction=(level.reduction[z], level.reduction[y], level.reduction[x]),
        finest_shape=(finest.shape[z], finest.shape[y], finest.shape[x]),
        finest_start=(begin[0], begin[1], begin[2]),
    )


def check_level(image: AnyPath, levels: int, number: int) -> None:
    """Make sure that an image has a level.

    Raises
    ------
    RequestError
        If it has fewer.
    """
    if number >= levels:
        raise RequestError(
            f"{image} has {count(levels, 'level')}, and level {number} was asked for. Ask for one from 0 to "
            f"{levels - 1} (",
            Advice("level"),
            ").",
        )


def _of_array(array: Array) -> ArrayInput:
    from napari_ct_pyramid.model.lazy_array import LazyArray

    from .coordinates import spacing_of

    voxel_size, unit, translation, note = spacing_of(array)
    stated = _stated_calibration(array)
    notes = (
        note,
        _UNCALIBRATED.format(stated.formula) if stated else None,
        _SLICED if isinstance(array, LazyArray) else None,
    )
    return ArrayInput(
        data=array,
        path=path_of(array),
        voxel_size=voxel_size,
        unit=unit,
        voxel_size_from="the coordinates",
        translation=translation,
        notes=tuple(text for text in notes if text),
    )


def _stated_calibration(array: Any) -> Calibration | None:
    """What an xarray states that its values stand for, or stood for before something was computed of them."""
    attributes = getattr(array, "attrs", {}) if hasattr(array, "dims") else {}
    try:
        return parse_calibration(attributes.get("calibration"))
    except (RequestError, TypeError):  # another program's
        return None


def _of_level(array: Array) -> ArrayInput | None:
    """A level, or what is made of it, with the voxel size and the place that it has; None for other arrays."""
    from napari_ct_pyramid.omezarr.level import PyramidLevel
    from napari_ct_pyramid.omezarr.streaming import MappedLevel

    from .base import volume_axes

    if not isinstance(array, (PyramidLevel, MappedLevel)):
        return None
    level = array if isinstance(array, PyramidLevel) else array.level
    is_same = isinstance(array, PyramidLevel)
    data = array.array if isinstance(array, PyramidLevel) else array
    long = [axis for axis, size in enumerate(level.shape) if size > 1 or level.ndim == 3]
    if len(long) > 3 and level.axes:
        first, names = level.axes[long[0]], ", ".join(level.axes[axis] for axis in long)
        size = times([level.shape[axis] for axis in long])
        raise RequestError(
            f"Level {level.path} of {level.name} is not one volume: its axes {names} have {size} voxels. Take one "
            f"along {first} first, as in pyramid.crop({first}=(0, 1))."
        )
    space = volume_axes(level.shape) or long[-3:]
    order = [level.axes[axis].lower() for axis in space if level.axes]
    if sorted(order) == ["x", "y", "z"] and order != ["z", "y", "x"]:
        raise RequestError(
            f"The axes of level {level.path} of {level.name} are {', '.join(order)}, and not z, y, x. Give the path of "
            "the image, whose axes are put in order."
        )
    others = [level.axes[axis] for axis in space if level.axis_types and level.axis_types[axis] not in ("space", None)]
    if others and len(space) == 3:
        raise RequestError(
            f"Level {level.path} of {level.name} is not a volume of z, y, x: its axis {others[0]} is not one of space."
        )
    units = [find_unit(level.units[axis]) for axis in space]
    factors = [UNITS[unit] / UNITS[units[0]] if unit and units[0] else 1.0 for unit in units]
    scale, place = (
        [values[axis] * factor for axis, factor in zip(space, factors, strict=True)]
        for values in (level.scale, level.translation)
    )
    is_placed = len(space) == 3 and len({unit is None for unit in units}) == 1
    is_known = is_placed and (units[0] is not None or scale != [1, 1, 1])  # which stands for an unknown voxel size
    return ArrayInput(
        data=data,
        path=path_of(level.array),
        name=level.name or "array",
        title=f"Level {level.path} of {level.name}",
        voxel_size=(scale[0], scale[1], scale[2]) if is_known else None,
        unit=units[0] if is_known else None,
        voxel_size_from="the level",
        translation=(place[0], place[1], place[2]) if is_placed else (0.0, 0.0, 0.0),
        is_labels=level.is_labels and data.dtype == level.dtype,
        calibration=level.calibration if is_same else None,  # a function may change what values stand for
        rescale=level.rescale if is_same else None,
        notes=() if is_same or level.calibration is None else (_UNCALIBRATED.format(level.calibration.formula),),
    )


def _split(path: PathLike) -> Input:
    """Split an INPUT into its parts. A file or folder with exactly this name wins, even if it has * or :: in it."""
    text = str(path) if isinstance(path, RemotePath) else os.fspath(path)
    if is_url(text):
        place, _, inside = text.partition(INSIDE)
        return Input(any_path(place), inside.strip("/") or None)
    path = Path(text)
    if os.path.lexists(path) or isinstance(any_path(text), ZipPath):
        return Input(any_path(text))
    if INSIDE in text:
        file, _, inside = text.partition(INSIDE)
        return Input(any_path(file), inside.replace("\\", "/").strip("/"))
    if _WILDCARDS.intersection(path.name):
        return Input(path.parent, pattern=path.name)
    return Input(path)
