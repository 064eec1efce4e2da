"""Layer data, and the settings that layers of all kinds have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_ct_pyramid.omezarr.reader import Pyramid


LayerData = tuple[Any, dict[str, Any], str]
"""Data, settings and type of a layer, as napari takes them from a reader."""


def layer_settings(pyramid: Pyramid, channel_axis: int | None) -> dict[str, Any]:
    """The settings that every layer of an OME-Zarr has: its place, its axes, and where it is from."""

    def of_layer(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(value for axis, value in enumerate(values) if axis != channel_axis)

    finest = pyramid.levels[0]
    affine = {"affine": pyramid.affine.without_axis(channel_axis)} if pyramid.affine else {}
    return {
        **affine,
        "multiscale": True,
        "scale": of_layer(finest.scale),
        "translate": of_layer(finest.translation),
        "units": known_units(of_layer(pyramid.units)),
        "axis_labels": of_layer(pyramid.axes),
        "metadata": {"path": str(pyramid.path)},
    }


def known_units(units: Sequence[str | None]) -> tuple[str, ...]:
    """The units, with "pixel" for those that napari does not know: it refuses a layer with an unknown unit."""
    import pint

    def known(unit: str | None) -> str:
        try:
            return str(pint.get_application_registry().parse_units(unit)) if unit else "pixel"
        except (pint.errors.PintError, ValueError, TypeError, AssertionError):
            return "pixel"

    return tuple(known(unit) for unit in units)
