"""Layer data of OME-Zarr images and of sources. It needs no viewer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .label_layers import label_layers
from .layer_settings import LayerData, known_units, layer_settings
from .level_choice import with_level_for_3d
from .origins import note_origin

if TYPE_CHECKING:
    from napari_ct_pyramid.model.lazy_array import LazyArray
    from napari_ct_pyramid.omezarr.channels import Channel
    from napari_ct_pyramid.omezarr.reader import Pyramid
    from napari_ct_pyramid.options import SourceOptions


CONTRAST_RANGE = "contrast_range"
"""A key in a layer's metadata until napari has added the layer: the range of its contrast slider."""

RESCALE = "rescale"
"""A key in the metadata of a layer whose voxels were stored in fewer bits: how that was done."""

CALIBRATION = "calibration"
"""A key in the metadata of a layer whose voxels stand for grey values: slope, intercept and unit."""

RAW = "raw"
"""A key in the metadata of a layer of voxels without a header: the options that state their shape and type."""

_COLORMAPS = {
    "FFFFFF": "gray",
    "FF0000": "red",
    "00FF00": "green",
    "0000FF": "blue",
    "00FFFF": "cyan",
    "FF00FF": "magenta",
    "FFFF00": "yellow",
}


def pyramid_layers(pyramid: Pyramid) -> list[LayerData]:
    """An OME-Zarr image as layers, one for each channel. A label image gives layers of labels."""
    if pyramid.image_label and pyramid.levels[0].dtype.kind in "iub":
        return label_layers(pyramid)
    levels = [level.array for level in pyramid.levels]
    if "channel" not in pyramid.axis_types:
        channels = [*pyramid.channels, None]
        layer = _pyramid_layer(pyramid, with_level_for_3d(levels), channels[0], pyramid.name, None)
        note_origin(layer[0], layer[1])
        return [layer]
    axis = pyramid.axis_types.index("channel")
    layers = []
    for index in range(levels[0].shape[axis]):
        channel = pyramid.channels[index] if index < len(pyramid.channels) else None
        name = channel.label if channel and channel.label else f"{pyramid.name} {index}"
        one_channel = with_level_for_3d([level.take(axis, index) for level in levels])
        layers.append(_pyramid_layer(pyramid, one_channel, channel, name, axis))
        note_origin(one_channel, layers[-1][1], channel=index)
    if len(layers) > 1:
        for _, settings, _ in layers:
            settings["blending"] = "additive"
    return layers


def _pyramid_layer(
    pyramid: Pyramid, levels: list[LazyArray], channel: Channel | None, name: str, channel_axis: int | None
) -> LayerData:
    settings = layer_settings(pyramid, channel_axis)
    settings["name"] = name
    if pyramid.rescale:
        settings["metadata"][RESCALE] = pyramid.rescale.to_json()
    if pyramid.calibration:
        settings["metadata"][CALIBRATION] = pyramid.calibration.to_json()
    if channel and channel.window:
        low, high, start, end = channel.window
        if np.float32(start) >= np.float32(end):  # graphics cards compute with 32 bits
            end = start + max(1, abs(start) / 1000)
        settings["contrast_limits"] = (start, end)
        settings["metadata"][CONTRAST_RANGE] = (min(low, start), max(high, end))
    else:
        from napari_ct_pyramid.model.intensity import estimated_limits
        from napari_ct_pyramid.model.lazy_array import sample_chunks

        settings["contrast_limits"] = estimated_limits(sample_chunks(levels[len(pyramid.levels) - 1]))
    if channel and (colormap := _colormap(channel)):
        settings["colormap"] = colormap
    if channel and not channel.active:
        settings["visible"] = False
    return levels, settings, "image"


def _colormap(channel: Channel) -> str | None:
    """The napari colormap of a channel; None for that of napari."""
    if channel.lut:
        from napari.utils.colormaps import AVAILABLE_COLORMAPS

        if channel.lut in AVAILABLE_COLORMAPS:
            return channel.lut
    if channel.color is None or channel.color == "FFFFFF":
        return None
    return _COLORMAPS.get(channel.color, f"#{channel.color.lower()}")


def source_layer(path: Path, options: SourceOptions | None = None) -> LayerData:
    """A source as a layer: all voxels in 2D, a sample in 3D. It reads only what is displayed."""
    from napari_ct_pyramid.model.intensity import estimated_limits
    from napari_ct_pyramid.sources.lazy_levels import source_levels
    from napari_ct_pyramid.sources.registry import open_source
    from napari_ct_pyramid.sources.sampling import spread_rows

    source = open_source(path, options)
    volume = source.volume
    levels = source_levels(source)
    settings: dict[str, Any] = {
        "name": volume.name,
        "multiscale": True,
        "axis_labels": ("z", "y", "x"),
        "contrast_limits": estimated_limits([spread_rows(source)]),
        "metadata": {"path": str(path)},
    }
    if options and options.raw_shape:
        settings["metadata"][RAW] = raw_options(options)
    if volume.calibration:
        settings["metadata"][CALIBRATION] = volume.calibration.to_json()
    if volume.translation != (0, 0, 0):
        settings["translate"] = volume.translation
    if volume.voxel_size:
        settings["scale"] = volume.voxel_size
        settings["units"] = known_units((volume.unit,) * 3)
        settings["translate"] = volume.translation
    note_origin(levels, settings)
    return levels, settings, "image"


def raw_options(options: SourceOptions) -> dict[str, Any]:
    """The options that state the shape and type of voxels without a header."""
    return {name: getattr(options, name) for name in ("raw_shape", "raw_dtype", "raw_offset")}
