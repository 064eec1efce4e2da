"""Gives layers the voxel size and the unit of a volume, so that volumes lie on one another, and keeps the view."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ct_pyramid.options import VoxelSize

from .origins import Origin, layers_showing, origin_of
from .viewer_hooks import camera

if TYPE_CHECKING:
    from napari.viewer import Viewer


Calibration = tuple[tuple[float, ...], tuple[str, ...]]
"""The scale and the units of a layer."""

_given: weakref.WeakKeyDictionary[Any, Calibration] = weakref.WeakKeyDictionary()  # layer: what this module gave it


def show_voxel_size(viewer: Viewer, source: object, voxel_size: VoxelSize | None, unit: str | None) -> None:
    """Give the layers of a source the voxel size that its conversion writes.

    A layer whose scale or units the user has set in napari keeps them.

    Parameters
    ----------
    viewer : napari.Viewer
    source : path or ArrayInput
    voxel_size : tuple of float or None
        Along z, y, x; None if it is unknown: then a voxel is a pixel.
    unit : str or None
        An NGFF unit of length.
    """
    shown = list(layers_showing(viewer, source))
    if unit is None and any(
        str(one) != "pixel" for other in viewer.layers if other not in shown for one in other.units
    ):
        return  # a layer in pixels beside one in units: napari would use neither
    for layer in shown:
        if layer.ndim == 3 and layer.visible:  # a hidden one has been replaced by its output
            _calibrate(viewer, layer, tuple(voxel_size or (1.0,) * 3), (unit or "pixel",) * 3)


def give_place(viewer: Viewer, layer: Any, settings: dict[str, Any]) -> None:
    """Give a layer the scale, the units and the translation of some layer data."""
    with _same_view(viewer, layer):
        for name in ("units", "scale", "translate"):
            setattr(layer, name, settings[name])


def calibration_of(layer: Any) -> Calibration:
    """The scale and the units of a layer."""
    return tuple(map(float, layer.scale)), tuple(map(str, layer.units))


def _calibrate(viewer: Viewer, layer: Any, scale: tuple[float, ...], units: tuple[str, ...]) -> None:
    now = calibration_of(layer)
    origin = origin_of(layer)
    at_first = (origin.scale, origin.units) if origin else ((1.0,) * 3, ("pixel",) * 3)
    if now == (scale, units) or now not in (at_first, _given.get(layer)):
        return
    _given[layer] = scale, units
    move = origin.moved_to(scale) if origin else _moved(layer, scale)
    give_place(viewer, layer, {"units": units, "scale": scale, "translate": move})


def _moved(layer: Any, scale: tuple[float, ...]) -> tuple[float, ...]:
    before = Origin("", tuple(layer.scale), tuple(layer.translate), ())
    return before.moved_to(scale)


@contextmanager
def _same_view(viewer: Viewer, layer: Any) -> Iterator[None]:
    """Show the same voxels of a layer at the same place of the canvas after its scale has changed."""
    before, step = np.array(layer.scale), viewer.dims.current_step
    view = camera(viewer)
    centre, zoom = view.center, view.zoom
    yield
    ratio = np.array(layer.scale) / before
    alone = layer.ndim == viewer.dims.ndim and all(
        not other.visible or np.array_equal(other.scale, layer.scale) for other in viewer.layers
    )
    if alone:  # otherwise the view is that of the other layers, too
        viewer.dims.current_step = step
        displayed = list(viewer.dims.displayed)[-len(centre) :]
        view.center = tuple(c * r for c, r in zip(centre[-len(displayed) :], ratio[displayed], strict=True))
        view.zoom = zoom / ratio[displayed[-1]]
