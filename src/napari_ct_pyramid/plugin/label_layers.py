"""Layer data of label images, with the colors and properties that their metadata give."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.lazy_array import LazyArray

from .layer_settings import LayerData, layer_settings
from .level_choice import with_level_for_3d
from .origins import note_origin

if TYPE_CHECKING:
    from napari_ct_pyramid.model.volume import Box
    from napari_ct_pyramid.omezarr.labels import ImageLabel
    from napari_ct_pyramid.omezarr.reader import Pyramid


_OTHER_LABELS = (0.6, 0.6, 0.6, 1.0)  # the color of labels that have none, if others have one


def labels_of_image(image: Pyramid) -> tuple[list[LayerData], list[str]]:
    """The label images that belong to an image as layers, and sentences about those that cannot be shown."""
    from napari_ct_pyramid.omezarr.labels import LABELS, label_images
    from napari_ct_pyramid.omezarr.reader import open_pyramid
    from napari_ct_pyramid.storage.paths import relative_to

    layers: list[LayerData] = []
    notes: list[str] = []
    try:
        folders = label_images(image.path)
    except OSError as error:
        return [], [f"Its labels cannot be read: {error}"]
    for folder in folders:
        try:
            pyramid = open_pyramid(folder)
            layers += label_layers(pyramid, str(relative_to(folder, image.path / LABELS)))
            notes += pyramid.notes
        except SourceError as error:
            notes.append(f"Labels are not shown: {error}")
    return layers, notes


def label_layers(pyramid: Pyramid, name: str | None = None) -> list[LayerData]:
    """A label image as layers, one for each channel.

    An image with a single level is read whole, if that is small enough for 3D: it can be edited in napari.

    Parameters
    ----------
    pyramid : Pyramid
        A label image. Its voxels are integers or booleans.
    name : str, optional
        Instead of that of the image.

    Raises
    ------
    SourceError
        If its voxels are not integers.
    """
    if pyramid.levels[0].dtype.kind not in "iub":
        raise SourceError(f"{pyramid.path} has labels that are not integers: {pyramid.levels[0].dtype}.")
    levels = [_integers(level.array) for level in pyramid.levels]
    axis = pyramid.axis_types.index("channel") if "channel" in pyramid.axis_types else None
    channels = (
        [levels]
        if axis is None
        else [[level.take(axis, index) for level in levels] for index in range(levels[0].shape[axis])]
    )
    layers: list[LayerData] = []
    for index, channel in enumerate(channels):
        settings = layer_settings(pyramid, axis)
        settings["name"] = (name or pyramid.name) + (f" {index}" if len(channels) > 1 else "")
        if pyramid.image_label:
            settings |= _look(pyramid.image_label)
        levels_for_3d = with_level_for_3d(channel)
        if len(levels_for_3d) > 1:
            note_origin(levels_for_3d, settings, channel=None if axis is None else index)
            layers.append((levels_for_3d, settings, "labels"))
        else:  # napari takes no single level as multiscale
            layers.append((np.asarray(channel[0]), settings | {"multiscale": False}, "labels"))
    return layers


def _look(label: ImageLabel) -> dict[str, Any]:
    """The colormap and the features of a layer."""
    look: dict[str, Any] = {}
    if label.colors:
        from napari.utils.colormaps import DirectLabelColormap

        colors = {value: tuple(part / 255 for part in rgba) for value, rgba in label.colors.items()}
        look["colormap"] = DirectLabelColormap(color_dict={None: _OTHER_LABELS, 0: (0, 0, 0, 0)} | colors)
    if label.properties:
        names = dict.fromkeys(
            name for properties in label.properties.values() for name in properties if name != "index"
        )
        look["features"] = {
            "index": list(label.properties),
            **{name: [_cell(of_one.get(name)) for of_one in label.properties.values()] for name in names},
        }
    return look


def _cell(value: Any) -> Any:
    """A value of a property in a table."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def _integers(level: LazyArray) -> LazyArray:
    """The level, with booleans as 0 and 1: napari takes no lazy booleans for labels."""
    if level.dtype.kind != "b":
        return level

    def read(box: Box) -> np.ndarray:
        return np.asarray(level[tuple(box)]).astype("u1")

    return LazyArray(read, level.shape, np.dtype("u1"), level.chunks)
