"""Opens an OME-Zarr image (NGFF 0.1 to 0.6, from any program) for lazy reading.

Specification: https://ngff.openmicroscopy.org/0.4/, and 0.5 and 0.6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from napari_ct_pyramid.calibration import Calibration, read_calibration
from napari_ct_pyramid.errors import SourceError, SourceNotFoundError, UnfinishedError
from napari_ct_pyramid.model.formatting import count, format_size, html_table, times
from napari_ct_pyramid.model.intensity import Rescale, read_rescale
from napari_ct_pyramid.model.lazy_array import LazyArray
from napari_ct_pyramid.storage.paths import INSIDE, AnyPath, PathLike, image_name, image_path
from napari_ct_pyramid.storage.remote_path import nothing_on_the_web

from .channels import Channel, Window, read_channels, read_name
from .collection import list_images
from .coordinate_systems import Affine, as_0_5
from .journal import read_journal
from .json_file import read_json
from .kind import is_group
from .labels import ImageLabel, read_image_label
from .level import PyramidLevel
from .transformations import read_axes, read_transformations
from .versions import check_version, numbers_of, version_of

if TYPE_CHECKING:
    import numpy as np

_ARRAYS_AT_ONCE = 8
_OF_ZARR_2 = ((0, 1), (0, 2), (0, 3), (0, 4))

_NAMED = 5  # images of a collection, in a message


@dataclass(frozen=True)
class Pyramid:
    """An OME-Zarr image, opened for reading. Opening reads its metadata only.

    Attributes
    ----------
    path : Path or RemotePath
        Its folder.
    name : str
        From the metadata, in one line; if they give none, the folder's name without ``.ome.zarr``.
    ome_zarr_version : str
        ``"0.4"``, ``"0.5"``, ``"0.6"``.
    axes : tuple of str
        Names, such as ``("z", "y", "x")``.
    axis_types : tuple of (str or None)
        ``"space"``, ``"time"``, ``"channel"``.
    units : tuple of (str or None)
        Of the axes; None where the metadata give none.
    levels : tuple of PyramidLevel
        From the finest to the coarsest.
    channels : tuple of Channel
        Those that the metadata describe; may be empty.
    original_shape : tuple of int or None
        Shape of the finest level before it was padded.
    compression : str
        Compression of the finest level, for people.
    metadata : dict
        All OME metadata of the image.
    calibration : Calibration or None
        What the voxels stand for; None if the metadata do not state it.
    rescale : Rescale or None
        How grey values were stored as integers with fewer bits; None if they were not.
    image_label : ImageLabel or None
        Colors and properties of its labels, if it is a label image.
    scale_is_valid : bool
        False if the metadata give the finest level a scale that cannot be used, such as 0. Its `scale` is 1 then.
    affine : Affine or None
        What is to be done with positions that have `scale` and `translation` applied, to show the image where the
        metadata place it: a rotation, a shear. Only OME-Zarr 0.6 can state one.
    notes : tuple of str
        Sentences about metadata that were ignored or corrected.
    """

    path: AnyPath
    name: str
    ome_zarr_version: str
    axes: tuple[str, ...]
    axis_types: tuple[str | None, ...]
    units: tuple[str | None, ...]
    levels: tuple[PyramidLevel, ...]
    channels: tuple[Channel, ...]
    original_shape: tuple[int, ...] | None
    compression: str
    metadata: dict[str, Any] = field(repr=False)
    calibration: Calibration | None = None
    rescale: Rescale | None = None
    image_label: ImageLabel | None = None
    scale_is_valid: bool = True
    affine: Affine | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_labels(self) -> bool:
        """Whether each value names an object: https://ngff.openmicroscopy.org/0.4/#label-md."""
        return "image-label" in self.metadata and self.levels[0].dtype.kind in "iu"

    def at(self, voxel_size: Any) -> PyramidLevel:
        """The coarsest level whose voxels are not larger than this; the finest, if all are larger.

        Parameters
        ----------
        voxel_size : float, str or three of them
            With its unit, such as ``"2 um"``; otherwise in the units of the axes.

        Raises
        ------
        RequestError
            If it is no voxel size, or the image does not state the unit of its axes.
        """
        from .parts import level_with

        found: PyramidLevel = level_with(self, voxel_size)
        return found

    def crop(self, crop: Any = None, *, unit: str | None = None, **bounds: Any) -> Pyramid:
        """A part of the image, with all levels. It reads nothing.

        Parameters
        ----------
        crop : str or three pairs, optional
            In voxels of the finest level: ``"z0:z1,y0:y1,x0:x1"``.
        unit : str, optional
            Of `bounds`, such as ``"mm"``. If not given, they are in voxels of the finest level.
        **bounds
            First and last value along an axis, by its name: ``z=(0.5, 1.2)``. None: the edge.

        Returns
        -------
        Pyramid
            Of every level the voxels that have a share in the part, in their place.

        Raises
        ------
        RequestError
            If the part is empty, or not within the image.
        """
        from .parts import cropped

        part: Pyramid = cropped(self, crop, bounds, unit)
        return part

    def __repr__(self) -> str:
        size = " × ".join(map(str, self.levels[0].shape))
        return f"<Pyramid {self.name}: {size} {self.levels[0].dtype}, {count(len(self.levels), 'level')}>"

    def _repr_html_(self) -> str:
        rows = [
            (level.path, times(level.shape), times(level.chunks), " ".join(f"{value:g}" for value in level.scale),
             format_size(level.nbytes))
            for level in self.levels
        ]  # fmt: skip
        unit = next((f" in {unit}" for unit in self.units if unit), "")
        facts = f"OME-Zarr {self.ome_zarr_version}, {self.levels[0].dtype}, axes {' '.join(self.axes)}"
        return html_table(f"{self.name}: {facts}", ("Level", "Shape", "Chunks", f"Voxel size{unit}", "Size"), rows)

    @property
    def window(self) -> Window | None:
        """The first channel's (min, max, start, end)."""
        return self.channels[0].window if self.channels else None


def open_pyramid(path: PathLike) -> Pyramid:
    """Open an OME-Zarr image for reading.

    Parameters
    ----------
    path : path
        Folder of an image with 2 to 5 axes: OME-Zarr up to 0.4 (Zarr v2), 0.5 or 0.6 (Zarr v3, with or without shards).

    Raises
    ------
    SourceNotFoundError
        If the path does not exist.
    UnfinishedError
        If it is the output of an unfinished conversion.
    SourceError
        If it is not such an image, or cannot be read.
    """
    from .array import ZarrArray

    path = image_path(path)
    try:
        metadata = _read_metadata(path)
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        version = version_of(metadata)
        check_version(path, version)
        notes: list[str] = []
        multiscales, affine = as_0_5(metadata["multiscales"][0], notes.append)
        names, types, units = read_axes(multiscales)
        datasets = list(multiscales["datasets"])
        likely = ".zarray" if numbers_of(version) in _OF_ZARR_2 else "zarr.json"
        with ThreadPoolExecutor(_ARRAYS_AT_ONCE) as pool:  # each takes a request where the image is in an object store
            arrays = list(pool.map(lambda d: ZarrArray(_inside(path, str(d["path"])), likely=likely), datasets))
        finest = arrays[0].shape
        original = _read_original_shape(multiscales, finest)
        calibration, rescale = _read_calibration(multiscales), _read_rescale(multiscales, arrays[0].dtype)
        levels: list[PyramidLevel] = []
        scale_is_valid = True
        for dataset, array in zip(datasets, arrays, strict=True):
            if len(array.shape) != len(names):
                raise ValueError(f"level {dataset['path']} has {len(array.shape)} axes, and {len(names)} are named")
            ratio = [a / b for a, b in zip(finest, array.shape, strict=True)]
            scale, translation, valid = read_transformations(
                [dataset.get("coordinateTransformations"), multiscales.get("coordinateTransformations")],
                ratio,
                [] if levels else notes,  # nothing depends on the scales of the other levels
            )
            scale_is_valid &= valid or bool(levels)
            lazy = LazyArray(array.read, array.shape, array.dtype, array.chunks, path=array.path)
            if original:
                lazy = lazy.crop(tuple(math.ceil(n / r) for n, r in zip(original, ratio, strict=True)))
            levels.append(
                PyramidLevel(
                    path=str(dataset["path"]),
                    stored_shape=array.shape,
                    dtype=array.dtype,
                    chunks=array.chunks,
                    scale=scale,
                    translation=translation,
                    array=lazy,
                    axes=names,
                    units=units,
                    axis_types=types,
                    is_labels="image-label" in metadata and arrays[0].dtype.kind in "iu",
                    calibration=calibration,
                    rescale=rescale,
                    name=read_name(multiscales.get("name")) or image_name(path.resolve().name),
                )
            )
        channels = read_channels(metadata.get("omero"), notes.append)
        return Pyramid(
            path=path,
            name=read_name(multiscales.get("name")) or image_name(path.resolve().name),
            ome_zarr_version=version,
            axes=names,
            axis_types=types,
            units=units,
            levels=tuple(levels),
            channels=channels,
            original_shape=original,
            compression=arrays[0].compression,
            metadata=metadata,
            calibration=calibration,
            rescale=rescale,
            image_label=read_image_label(metadata.get("image-label"), notes.append),
            scale_is_valid=scale_is_valid,
            affine=affine,
            notes=tuple(notes),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        if isinstance(error, SourceError):
            raise
        missing = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise SourceError(f"{path} is an OME-Zarr image whose metadata is broken: {missing}.") from error


def _read_metadata(path: AnyPath) -> dict[str, Any]:
    """The OME metadata of an image: in 0.4 the group's attributes, in 0.5 those under "ome"."""
    group = read_json(path / "zarr.json")
    if group is not None:
        attributes = _as_dict(group.get("attributes"))
        attributes = _as_dict(attributes.get("ome", attributes))
    else:
        attributes = read_json(path / ".zattrs") or {}
    if attributes.get("multiscales"):
        return attributes
    in_group = group is not None or bool(attributes) or is_group(path)
    journal = read_journal(path)
    if journal is not None:
        raise UnfinishedError(
            f"{path.name} is an unfinished conversion of {journal.identity.get('source', 'a volume')}: "
            f"{len(journal.done):,} of {journal.blocks:,} blocks are done. It was interrupted, or is still running. "
            + (
                "Its source was an array, so it cannot be resumed: convert the array again."
                if journal.identity.get("in_memory")
                else "Run the same conversion again to resume it."
            )
        )
    if not in_group and not path.exists():
        raise SourceNotFoundError(nothing_on_the_web(path) or f"{path} does not exist.")
    if not in_group:
        raise SourceError(nothing_on_the_web(path) or f"{path} is not an OME-Zarr image: it holds no Zarr group.")
    kinds = {"plate": "a plate", "well": "a well of a plate", "bioformats2raw.layout": "a collection of images"}
    kind = next((kind for key, kind in kinds.items() if key in attributes), None)
    if kind:
        raise SourceError(f"{path} is {kind}, not a single OME-Zarr image. {_choice(path)}")
    raise SourceError(f"{path} is not an OME-Zarr image: its Zarr metadata have no multiscales.")


def _choice(group: AnyPath) -> str:
    """A sentence that names the images in a group."""
    try:
        paths = [image.path for image in list_images(group) if image.kind == "image"]
    except OSError:
        paths = []
    if not paths:
        return "There is no image in it."
    shown = ", ".join(paths[:_NAMED]) + (f" and {len(paths) - _NAMED:,} more" if len(paths) > _NAMED else "")
    return f"It holds {shown}. Open one of them, as in {group.name}{INSIDE}{paths[0]}."


def _as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _inside(path: AnyPath, below: str) -> AnyPath:
    """The path of an array in an image. The metadata of an image from elsewhere must not lead to other files."""
    named = PurePosixPath(below)
    if named.is_absolute() or ".." in named.parts:
        raise SourceError(f"{path} names a level outside of itself: {below}.")
    return path / below


def _read_original_shape(multiscales: dict[str, Any], finest: tuple[int, ...]) -> tuple[int, ...] | None:
    metadata = multiscales.get("metadata")
    original = metadata.get("original_shape") if isinstance(metadata, dict) else None
    # Other programs may use the name for something else. The original shape never exceeds the stored one.
    if not isinstance(original, Sequence) or len(original) != len(finest):
        return None
    if not all(isinstance(n, int) and 0 < n <= stored for n, stored in zip(original, finest, strict=True)):
        return None
    return tuple(original)


def _read_calibration(multiscales: dict[str, Any]) -> Calibration | None:
    """Of an image without a calibration, a rescaling states slope and intercept, too."""
    metadata = multiscales.get("metadata")
    if not isinstance(metadata, dict):
        return None
    return read_calibration(metadata.get("calibration")) or read_calibration(metadata.get("rescale"))


def _read_rescale(multiscales: dict[str, Any], dtype: np.dtype) -> Rescale | None:
    metadata = multiscales.get("metadata")
    return read_rescale(metadata.get("rescale"), dtype) if isinstance(metadata, dict) else None
