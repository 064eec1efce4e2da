"""Puts the layer of an output in the place of its source's layer: name, contrast, colours, and position in the list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from napari_ct_pyramid.conversion.output import default_output
from napari_ct_pyramid.model.intensity import Rescale
from napari_ct_pyramid.omezarr.reader import open_pyramid
from napari_ct_pyramid.sources.inputs import ArrayInput
from napari_ct_pyramid.storage.paths import INSIDE, AnyPath
from napari_ct_pyramid.storage.remote_path import is_url

from .layers import CONTRAST_RANGE, pyramid_layers
from .origins import layers_showing, origin_of
from .preparing import prepare_viewer
from .viewer_hooks import fit_to_view, layer_source, scale_bar

if TYPE_CHECKING:
    from napari.viewer import Viewer


_SHARED = (
    "colormap", "gamma", "interpolation2d", "interpolation3d", "rendering", "attenuation", "iso_threshold", "depiction",
    "contour",
)  # fmt: skip
"""Attributes that a layer has in common with the layer that it replaces."""
_SHARED_AT_LAST = ("opacity", "blending")  # while the output grows, the source must show through it


class Place:
    """The place of a source's layer in the list of a viewer, which the layer of the output takes.

    Parameters
    ----------
    viewer : napari.Viewer
    source : path or ArrayInput
    kind : type
        Of the layer that takes the place.

    Attributes
    ----------
    layer : napari.layers.Layer or None
        The source's layer; None if the viewer has none.
    gives_contrast : bool
        Whether the layer that took the place got its contrast limits from the source's layer.
    """

    def __init__(self, viewer: Viewer, source: object, kind: type) -> None:
        self._viewer = viewer
        self._source = source
        there: list[Any] = [layer for layer in layers_showing(viewer, source) if isinstance(layer, kind)]
        self.layer: Any = next((layer for layer in reversed(there) if layer.visible), there[-1] if there else None)
        self._name = self.layer.name if self.layer else ""
        self._name_beside = ""
        self.gives_contrast = False

    def take(self, layer: Any, rescale: Rescale | None) -> None:
        """Add a layer just above the source's layer, with its name and look; and a scale bar if a unit is known.

        Parameters
        ----------
        layer : napari.layers.Layer
        rescale : Rescale or None
            How the voxels of the source became those of the layer; None if they are the same.
        """
        layers = self._viewer.layers
        self._show_scale_bar(layer)
        if not self._is_there:
            layers.append(layer)
            return
        title = self._title()
        if self._name not in (title, PurePath(title).stem):  # the user's own name
            layer.name = self._name
        if layer.name == self._name:
            self._name_beside = title if title != self._name else f"{title} (source)"
            self.layer.name = self._name_beside
        for name in _SHARED:
            if hasattr(layer, name) and hasattr(self.layer, name):
                setattr(layer, name, getattr(self.layer, name))
        if hasattr(self.layer, "contrast_limits"):
            self._give_contrast(layer, rescale)
        layers.insert(layers.index(self.layer) + 1, layer)

    def give_back(self) -> None:
        """The layer that had taken the place is gone: all is as before, but for the scale bar, which stays.

        napari 0.9.2 crashes while it draws a scale bar that was hidden and is shown again, as by the next conversion.
        """
        if self._is_there and self._name_beside and self.layer.name == self._name_beside:
            self.layer.name = self._name

    def complete(self, layer: Any) -> None:
        """The layer shows all of the source: hide the source's layer."""
        if not self._is_there:
            return
        for name in _SHARED_AT_LAST:
            setattr(layer, name, getattr(self.layer, name))
        self.layer.visible = False

    def _show_scale_bar(self, layer: Any) -> None:
        bar = scale_bar(self._viewer)
        if not bar.visible and all(str(unit) != "pixel" for unit in layer.units):
            bar.visible = True

    def _give_contrast(self, layer: Any, rescale: Rescale | None) -> None:
        def stored(limits: Sequence[float]) -> tuple[float, float]:
            low, high = map(float, limits)
            return (rescale.stored(low), rescale.stored(high)) if rescale else (low, high)

        limits, widest = stored(self.layer.contrast_limits), stored(self.layer.contrast_limits_range)
        self.gives_contrast = limits[0] < limits[1]
        if self.gives_contrast:
            layer.contrast_limits = limits
            layer.metadata[CONTRAST_RANGE] = widest

    @property
    def _is_there(self) -> bool:
        return self.layer is not None and self.layer in self._viewer.layers

    def _title(self) -> str:
        """What the source is called beside its output: a file by its full name."""
        if isinstance(self._source, ArrayInput):
            return self._name
        return PurePath(str(self._source).partition(INSIDE)[0]).name


def show_output(viewer: Viewer, output: AnyPath, source: object = None) -> Any:
    """Show a finished output, in the place of its source's layer if there is one.

    Parameters
    ----------
    viewer : napari.Viewer
    output : path
    source : path or ArrayInput, optional
        If not given, a layer is looked for whose output has this name by default.

    Returns
    -------
    napari.layers.Layer
        The layer that shows it, which may have been there before.

    Raises
    ------
    SourceError
        If it cannot be opened.
    """
    there = list(layers_showing(viewer, str(output)))
    if there:
        there[-1].visible = True
        viewer.layers.selection = {there[-1]}
        return there[-1]
    from napari.layers import Layer

    pyramid = open_pyramid(output)
    data, settings, kind = pyramid_layers(pyramid)[0]
    with layer_source(output):
        layer = Layer.create(data, settings, kind)
    place = Place(viewer, _source_of(viewer, output) if source is None else source, type(layer))
    place.take(layer, pyramid.rescale)
    prepare_viewer(viewer)
    place.complete(layer)
    return layer


def _source_of(viewer: Viewer, output: AnyPath) -> object:
    """The path of a layer whose output would be this one."""
    for layer in viewer.layers:
        path = layer.source.path
        if path and not is_url(path) and default_output(path).resolve() == output.resolve():
            return path
    return None


def show_alone(viewer: Viewer, *layers: Any) -> None:
    """Hide all other volumes of this plugin, and move the view to these layers."""
    for other in viewer.layers:
        if other not in layers and origin_of(other) is not None:
            other.visible = False
    for layer in layers:
        layer.visible = True
    last = layers[-1]
    fit_to_view(viewer, last)
    low, high = last.extent.world
    for axis in range(viewer.dims.ndim - last.ndim, viewer.dims.ndim):
        if axis not in viewer.dims.displayed:
            offset = axis - (viewer.dims.ndim - last.ndim)
            viewer.dims.set_point(axis, float(low[offset] + high[offset]) / 2)
