"""What an export of a layer exports: its file with all levels, or the layer as it is in napari; and what is shown."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.omezarr.reader import open_pyramid
from napari_ct_pyramid.options import SourceOptions
from napari_ct_pyramid.sources.base import volume_axes
from napari_ct_pyramid.sources.inputs import ArrayInput
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.storage.paths import any_path, image_name, outer_path

from .origins import array_input, finest, is_as_in_file, origin_of
from .viewer_hooks import camera, canvas_size

if TYPE_CHECKING:
    from napari.viewer import Viewer

Range = tuple[int, int] | None
"""First voxel, and the one after the last; None for all of an axis."""


@dataclass(frozen=True)
class ExportSource:
    """What an export of a layer exports.

    Attributes
    ----------
    source : str or ArrayInput
        The path of its file, or what is in the layer.
    options : dict
        Values of `ExportOptions` that the layer asks for.
    levels : tuple of Volume
        The volume at each level; only the first is exact where the source is no OME-Zarr.
    folder : Path
        Where the output goes, unless the user chooses another place.
    name : str
        Of the output, without an ending.
    """

    source: str | ArrayInput
    options: dict[str, Any]
    levels: tuple[Volume, ...]
    folder: Path
    name: str


def export_source(layer: Any) -> ExportSource:
    """What an export of a layer exports.

    Raises
    ------
    CtPyramidError
        If the layer is not a volume, or its file cannot be read.
    """
    as_it_is = array_input(layer)  # also checks the layer
    origin = origin_of(layer)
    folder = Path(str(as_it_is.folder))
    if origin and is_as_in_file(layer):
        options = dict(layer.metadata.get("raw", {}))
        if origin.channel is not None:
            options["channel"] = origin.channel
        path = outer_path(origin.path)
        return ExportSource(
            origin.path, options, _levels(origin.path, options), folder, image_name(Path(path.name).stem)
        )
    return ExportSource(as_it_is, {}, _levels(as_it_is, {}), folder, image_name(layer.name))


def _levels(source: str | ArrayInput, options: dict[str, Any]) -> tuple[Volume, ...]:
    count = 1
    if isinstance(source, str):
        with suppress(SourceError):  # no OME-Zarr
            count = len(open_pyramid(any_path(source)).levels)
    found = []
    for number in range(count):
        with open_source(source, SourceOptions(**options), level=number) as opened:
            found.append(opened.volume)
    return tuple(found)


def shown_part(viewer: Viewer, layer: Any) -> tuple[Range, Range, Range] | None:
    """The part of a layer that is on the screen, along z, y, x in voxels of level 0; None if nothing of it is.

    All is shown along the axis of the slider, and along every axis in 3D.
    """
    data = finest(layer)
    axes = volume_axes(data.shape)
    assert axes is not None
    if viewer.dims.ndisplay == 3:
        return None, None, None
    found: list[Range] = []
    first, last = _corners(viewer, layer)
    before = viewer.dims.ndim - layer.ndim  # axes that only other layers have
    for axis in axes:
        if axis + before not in viewer.dims.displayed:
            found.append(None)
            continue
        low, high = max(0, math.floor(first[axis])), min(data.shape[axis], math.ceil(last[axis]))
        if low >= high:
            return None
        found.append(None if (low, high) == (0, data.shape[axis]) else (low, high))
    z, y, x = found
    return z, y, x


def _corners(viewer: Viewer, layer: Any) -> tuple[list[float], list[float]]:
    """The corners of the canvas in voxels of a layer's level 0, whose edges are at whole numbers."""
    height, width = canvas_size(viewer)
    zoom, center = camera(viewer).zoom, camera(viewer).center
    half = [0.0] * viewer.dims.ndim
    middle = list(map(float, viewer.dims.point))
    for axis, pixels, place in zip(viewer.dims.displayed, (height, width), center[-2:], strict=True):
        half[axis], middle[axis] = pixels / zoom / 2, place
    ends = [[m + sign * h for m, h in zip(middle, half, strict=True)] for sign in (-1, 1)]
    low, high = (layer.world_to_data(end[-layer.ndim :]) for end in ends)
    return [float(value) + 0.5 for value in low], [float(value) + 0.5 for value in high]
