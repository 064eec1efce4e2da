"""Where the voxels of a layer are from, and what a conversion of the layer converts.

A layer whose voxels and position are those of its file is converted from that file. Any other layer is converted as it
is in napari: its array, scale, units and translation.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.sources.base import volume_axes
from napari_ct_pyramid.sources.inputs import ArrayInput
from napari_ct_pyramid.sources.voxel_size import FoundVoxelSize, found_voxel_size
from napari_ct_pyramid.storage.paths import AnyPath, any_path
from napari_ct_pyramid.storage.remote_path import is_url
from napari_ct_pyramid.units import UNITS, find_unit

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_ct_pyramid.model.lazy_array import LazyArray


@dataclass(frozen=True)
class Origin:
    """What a layer was opened from.

    Attributes
    ----------
    path : str
    scale, translate : tuple of float
        Of the layer when it was opened.
    units : tuple of str
        The same.
    channel : int or None
        Which one of the file's channels it shows; None if the file has no axis of channels.
    """

    path: str
    scale: tuple[float, ...]
    translate: tuple[float, ...]
    units: tuple[str, ...]
    channel: int | None = None

    def moved_to(self, scale: Sequence[float]) -> tuple[float, ...]:
        """Where the first voxel is with another scale: as far from zero as before, counted in voxels."""
        return tuple(float(t * n / s) for t, s, n in zip(self.translate, self.scale, scale, strict=True))


@dataclass(frozen=True)
class LayerInput:
    """A layer as the source of a conversion.

    Attributes
    ----------
    source : str or ArrayInput
        The path of its file, or what is in the layer.
    options : dict
        Values of `ConversionOptions` that the layer asks for.
    """

    source: str | ArrayInput
    options: dict[str, Any]


_origins: weakref.WeakKeyDictionary[LazyArray, Origin] = weakref.WeakKeyDictionary()  # of the finest levels


def note_origin(levels: Sequence[LazyArray], settings: dict[str, Any], channel: int | None = None) -> None:
    """Note where the voxels of a layer are from, before napari makes the layer from its settings."""
    ones = (1.0,) * levels[0].ndim
    zeros = (0.0,) * levels[0].ndim
    _origins[levels[0]] = Origin(
        settings["metadata"]["path"],
        tuple(settings.get("scale", ones)),
        tuple(settings.get("translate", zeros)),
        tuple(settings.get("units", ("pixel",) * levels[0].ndim)),
        channel,
    )


def origin_of(layer: Any) -> Origin | None:
    """What a layer was opened from by this plugin; None if its voxels are others by now, or were never of a file."""
    try:
        return _origins.get(finest(layer))
    except TypeError:  # an array that cannot be a key
        return None


def finest(layer: Any) -> Any:
    """The finest level of a layer."""
    return layer.data[0] if getattr(layer, "multiscale", False) else getattr(layer, "data", None)


def layers_showing(viewer: Viewer, source: object) -> Iterator[Any]:
    """The layers that show the voxels of a source: of a path, or of an `ArrayInput`."""
    for layer in viewer.layers:
        if isinstance(source, ArrayInput):
            if finest(layer) is source.data:
                yield layer
        elif _has_voxels(layer):
            origin = origin_of(layer)
            # A layer of this plugin with another array shows something else by now.
            path = origin.path if origin else None if "path" in layer.metadata else layer.source.path
            if path and _same(path, str(source)):
                yield layer


def layer_input(layer: Any) -> LayerInput:
    """What a conversion of a layer converts.

    Parameters
    ----------
    layer : napari.layers.Layer

    Raises
    ------
    SourceError
        If the layer is not a volume, or is placed in a way that an OME-Zarr cannot express.
    """
    axes, found = _check(layer)
    origin = origin_of(layer)
    options: dict[str, Any] = {"method": "mode"} if _is_labels(layer) else {}
    if origin and origin.channel is None and _is_at(layer, origin):
        if found[:2] != _calibration(origin.scale, origin.units, axes)[:2]:
            options |= {"voxel_size": found.voxel_size, "unit": found.unit}
        options |= layer.metadata.get("raw", {})
        return LayerInput(origin.path, options)
    return LayerInput(array_input(layer), options)


def is_as_in_file(layer: Any) -> bool:
    """Whether scale, units and place of a layer are those of its file."""
    origin = origin_of(layer)
    if origin is None or not _is_at(layer, origin):
        return False
    axes, found = _check(layer)
    return found[:2] == _calibration(origin.scale, origin.units, axes)[:2]


def _check(layer: Any) -> tuple[Triple, FoundVoxelSize]:
    """The axes of a layer that are z, y, x, and its voxel size.

    Raises
    ------
    SourceError
        If it is not a volume, or is placed in a way that an OME-Zarr cannot express.
    """
    if not _has_voxels(layer):
        raise SourceError("Only layers of images and of labels are volumes. Select one of them.")
    if getattr(layer, "rgb", False):
        raise SourceError(f"The layer {layer.name} has colours (RGB), and a volume has one value a voxel.")
    data = finest(layer)
    axes = volume_axes(data.shape)
    if axes is None:
        sizes = " × ".join(f"{n:,}" for n in data.shape)
        raise SourceError(f"The layer {layer.name} is not a volume of z, y, x: its shape is {sizes}.")
    if _is_turned(layer):
        raise SourceError(
            f"The layer {layer.name} is rotated, sheared or moved by an affine, which OME-Zarr cannot express. Reset "
            "these in layer.rotate, layer.shear and layer.affine, or convert its file."
        )
    found = _calibration(layer.scale, layer.units, axes)
    if found.voxel_size and min(found.voxel_size) <= 0:
        raise SourceError(f"The layer {layer.name} has a scale that is not above zero. Set layer.scale.")
    return axes, found


def array_input(layer: Any) -> ArrayInput:
    """A layer as it is in napari: its voxels, scale, units and translation.

    Raises
    ------
    SourceError
        If it is not a volume, or is placed in a way that an OME-Zarr cannot express.
    """
    axes, found = _check(layer)
    origin = origin_of(layer)
    path = origin.path if origin else layer.metadata.get("path") or layer.source.path
    factor = UNITS[found.unit] if found.unit else 1.0
    z, y, x = (
        float(layer.translate[axis]) * UNITS.get(find_unit(layer.units[axis]) or "", factor) / factor for axis in axes
    )
    return ArrayInput(
        data=finest(layer),
        name=layer.name,
        title=f"The layer {layer.name}",
        voxel_size=found.voxel_size,
        unit=found.unit,
        voxel_size_from=found.origin or "the layer",
        translation=(z, y, x) if found.voxel_size else (0.0, 0.0, 0.0),
        path=any_path(path) if path and Path(path).is_dir() else None,  # an output may replace a folder
        folder=_folder_for(path),
        is_labels=_is_labels(layer),
    )


def _is_labels(layer: Any) -> bool:
    from napari.layers import Labels

    return isinstance(layer, Labels)


def _has_voxels(layer: Any) -> bool:
    from napari.layers import Image, Labels

    return isinstance(layer, (Image, Labels))


def _is_at(layer: Any, origin: Origin) -> bool:
    """Whether a layer is where its file states."""
    off = np.asarray(layer.translate) - origin.moved_to(layer.scale)
    return bool((np.abs(off) <= 1e-6 * np.asarray(layer.scale)).all())


def _is_turned(layer: Any) -> bool:
    """Whether anything but a scale and a translation places the layer."""
    return bool(
        np.any(np.asarray(layer.rotate) != np.eye(layer.ndim))
        or np.any(layer.shear)
        or np.any(np.asarray(layer.affine) != np.eye(layer.ndim + 1))
    )


def _calibration(scale: Sequence[float], units: Sequence[Any], axes: Triple) -> FoundVoxelSize:
    """The voxel size that a layer's scale and units state; a scale of one pixel states none."""
    sizes = [float(scale[axis]) for axis in axes]
    names = [find_unit(units[axis]) for axis in axes]
    if sizes == [1, 1, 1] and not any(names):
        return FoundVoxelSize()
    if len(set(names)) > 1 and not all(names):  # such as a time
        return FoundVoxelSize((sizes[0], sizes[1], sizes[2]), None, "the layer, whose axes have different units")
    return found_voxel_size(sizes, names, "the layer")


def _folder_for(path: str | None) -> AnyPath:
    """The folder for the output of a layer: that of its file, or the one in which the user has saved last."""
    from napari.utils.history import get_save_history

    if path and not is_url(path):
        return Path(path).absolute().parent
    return Path(get_save_history()[0])


def _same(path: str, other: str) -> bool:
    if path == other:
        return True
    return not (is_url(path) or is_url(other)) and Path(path).absolute() == Path(other).absolute()
