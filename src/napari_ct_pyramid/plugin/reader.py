"""What napari opens with this plugin: OME-Zarr folders and TIFFs, as lazy layers.

napari imports this module for every file that is dropped: whatever takes time is imported by what needs it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ct_pyramid.storage.object_store import RemotePath
from napari_ct_pyramid.storage.paths import AnyPath, any_path

if TYPE_CHECKING:
    from types import FrameType

    from napari_ct_pyramid.model.lazy_array import LazyArray
    from napari_ct_pyramid.omezarr.reader import Channel, Pyramid


LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[Any], list[LayerData]]

_SAMPLED_SLICES = 5
_OPENING_MS = 20
EXTREMES = "extremes"  # in a layer's metadata until the layer is there: what its contrast slider is to span
RESCALE = "rescale"  # in the metadata of a layer whose voxels stand for grey values: slope, intercept, …
_COLORMAPS = {
    "FFFFFF": "gray",
    "FF0000": "red",
    "00FF00": "green",
    "0000FF": "blue",
    "00FFFF": "cyan",
    "FF00FF": "magenta",
    "FFFF00": "yellow",
}


def get_ome_zarr_reader(path: str | Sequence[str]) -> Reader | None:
    """What reads a folder if it is an OME-Zarr image, or else None: one of napari's reader contributions.

    napari asks for every folder that is opened.
    """
    folder = _only(path)
    return (lambda _: _read_ome_zarr(folder)) if folder and _is_image(folder) else None


def get_tiff_reader(path: str | Sequence[str]) -> Reader | None:
    """What reads a TIFF, or an HDF5 file: the other of napari's reader contributions."""
    file = _only(path)
    return (lambda _: _read_tiff(file)) if isinstance(file, Path) and file.is_file() else None


def _only(path: str | Sequence[str]) -> AnyPath | None:
    """The path; None where there are several, to be stacked."""
    paths = [path] if isinstance(path, str) else path
    return any_path(paths[0]) if len(paths) == 1 else None


def _is_image(path: AnyPath) -> bool:
    """Whether a folder is an OME-Zarr image, or a conversion that never ended, to tell from a look at its metadata."""
    if isinstance(path, RemotePath):
        return True  # its name says so, and whoever opens it finds out
    if (path / ".ct-pyramid").is_dir():
        return True
    for name in (".zattrs", "zarr.json"):
        try:
            metadata = json.loads((path / name).read_text(encoding="utf-8"))
            attributes = metadata if name == ".zattrs" else metadata["attributes"]
            if attributes.get("ome", attributes).get("multiscales"):
                return True
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return False


def _read_ome_zarr(folder: AnyPath) -> list[LayerData]:
    from napari_ct_pyramid.omezarr.reader import open_pyramid

    layers = pyramid_layers(open_pyramid(folder))
    after_adding()
    return layers


def _read_tiff(file: Path) -> list[LayerData]:
    """The volume as it is; and the widget, filled in, to convert it."""
    layer = tiff_layer(file)
    after_adding(convert=file)
    return [layer]


def pyramid_layers(pyramid: Pyramid) -> list[LayerData]:
    """An OME-Zarr image as layers, one for each channel."""
    from .viewer_hooks import with_one_for_3d

    levels = [level.array for level in pyramid.levels]
    if "channel" not in pyramid.axis_types:
        channels = [*pyramid.channels, None]
        return [_pyramid_layer(pyramid, with_one_for_3d(levels), channels[0], pyramid.name, None)]
    axis = pyramid.axis_types.index("channel")
    layers = []
    for index in range(levels[0].shape[axis]):
        channel = pyramid.channels[index] if index < len(pyramid.channels) else None
        name = channel.label if channel and channel.label else f"{pyramid.name} {index}"
        taken = with_one_for_3d([level.take(axis, index) for level in levels])
        layers.append(_pyramid_layer(pyramid, taken, channel, name, axis))
    if len(layers) > 1:
        for _, settings, _ in layers:
            settings["blending"] = "additive"
    return layers


def _pyramid_layer(
    pyramid: Pyramid, levels: list[LazyArray], channel: Channel | None, name: str, without: int | None
) -> LayerData:
    def of_layer(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(value for axis, value in enumerate(values) if axis != without)

    finest = pyramid.levels[0]
    settings: dict[str, Any] = {
        "name": name,
        "multiscale": True,
        "scale": of_layer(finest.scale),
        "translate": of_layer(finest.translation),
        "units": _known_units(of_layer(pyramid.units)),
        "axis_labels": of_layer(pyramid.axes),
        "metadata": {"path": str(pyramid.path)},
    }
    if pyramid.rescale:
        settings["metadata"][RESCALE] = pyramid.rescale.to_json()
    if channel and channel.window:
        low, high, start, end = channel.window
        settings["contrast_limits"] = (start, end) if start < end else (start, start + 1)
        settings["metadata"][EXTREMES] = (min(low, start), max(high, end))
    else:
        from napari_ct_pyramid.model.intensity import estimated_limits
        from napari_ct_pyramid.model.lazy_array import middle_chunk

        settings["contrast_limits"] = estimated_limits([middle_chunk(levels[len(pyramid.levels) - 1])])
    if channel and channel.color and channel.color[:6].upper() != "FFFFFF":
        settings["colormap"] = _COLORMAPS.get(channel.color[:6].upper(), "#" + channel.color[:6].lower())
    if channel and not channel.active:
        settings["visible"] = False
    return levels, settings, "image"


def tiff_layer(path: Path) -> LayerData:
    """A TIFF as a layer: whole in 2D, sampled in 3D, nothing of it read before it is looked at."""
    from napari_ct_pyramid.model.intensity import estimated_limits
    from napari_ct_pyramid.sources.lazy_levels import tiff_levels
    from napari_ct_pyramid.sources.registry import open_source

    source = open_source(path)
    volume = source.volume
    levels = tiff_levels(source)
    depth = len(levels[-1])
    slices = sorted({(2 * i + 1) * depth // (2 * _SAMPLED_SLICES) for i in range(_SAMPLED_SLICES)})
    settings: dict[str, Any] = {
        "name": volume.name,
        "multiscale": True,
        "axis_labels": ("z", "y", "x"),
        "contrast_limits": estimated_limits([levels[-1][z] for z in slices]),
        "metadata": {"path": str(path)},
    }
    if volume.voxel_size:
        settings["scale"] = volume.voxel_size
        settings["units"] = _known_units((volume.unit,) * 3)
    return levels, settings, "image"


def _known_units(units: Sequence[str | None]) -> tuple[str, ...]:
    """Units that napari accepts: it refuses a layer with one that it does not know."""
    import pint

    def known(unit: str | None) -> str:
        try:
            return str(pint.get_application_registry().parse_units(unit)) if unit else "pixel"
        except (pint.errors.PintError, ValueError, TypeError, AssertionError):
            return "pixel"

    return tuple(known(unit) for unit in units)


_opened: list[Path] = []  # and not offered for conversion yet


def after_adding(convert: Path | None = None) -> None:
    """Once napari has added the layers: what cannot be said in layer data; and offer to convert a TIFF, or several."""
    import napari
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    def prepare() -> None:
        from .viewer_hooks import choose_levels, tell_grey_values

        # Volumes may be opened by a script in a window that is not the active one.
        for viewer in {*getattr(napari.Viewer, "_instances", ()), napari.current_viewer()} - {None}:
            choose_levels(viewer)
            for layer in viewer.layers:
                if RESCALE in layer.metadata:
                    tell_grey_values(layer)
                if extremes := layer.metadata.pop(EXTREMES, None):
                    layer.contrast_limits_range = extremes
        _offer()

    if QApplication.instance() is not None:
        if convert:
            _opened.append(convert)
        QTimer.singleShot(0, prepare)


def _offer() -> None:
    """Fill all TIFFs that were opened in one go into the widget."""
    import napari
    from qtpy.QtCore import QTimer

    if _is_opening():
        QTimer.singleShot(_OPENING_MS, _offer)
        return
    files, _opened[:] = list(_opened), []
    viewer = napari.current_viewer()
    if viewer is not None and files:
        from .menus import offer

        docks = len(viewer.window.dock_widgets)
        offer(viewer, files)
        if len(viewer.window.dock_widgets) > docks and len(viewer.layers) == 1:
            QTimer.singleShot(0, viewer.reset_view)  # the dock has taken room from the picture


def _is_opening() -> bool:
    """Whether napari is opening files one after another just now, and lets Qt do other things in between."""
    frame: FrameType | None = sys._getframe()
    while frame := frame.f_back if frame else None:
        if frame.f_code.co_name == "open" and frame.f_globals.get("__name__") == "napari.components.viewer_model":
            return True
    return False
