"""Layers of napari in the terms of OME-Zarr: axes, scale, units, translation, channels and labels. It writes nothing.

Specification: https://ngff.openmicroscopy.org/0.4/
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.units import UNITS, find_unit

FullLayerData = tuple[Any, Mapping[str, Any], str]
"""Data, settings and type of a layer, as napari gives them to a writer."""

_TIME_UNITS = frozenset(
    f"{prefix}second" for prefix in ("", "milli", "micro", "nano", "pico", "femto", "deci", "centi", "kilo")
) | {"minute", "hour", "day"}
_AXES = {2: "yx", 3: "zyx", 4: "tzyx", 5: "tczyx"}
_RGB = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))
_STORED = "iufb"  # kinds of types


@dataclass(frozen=True)
class NgffLayer:
    """A layer as an image, or as a label image.

    Attributes
    ----------
    name : str
    levels : sequence of array
        From the finest to the coarsest; along `axes`.
    axes : str
        A letter each: t, c, z, y, x.
    scale, translation : tuple of float
        Along the axes.
    units : tuple of (str or None)
        Units of NGFF.
    is_labels : bool
    channels : list of dict
        What ``omero`` states of each channel.
    image_label : dict
        Colors and properties of labels.
    path : str or None
        The OME-Zarr that the layer was opened from.
    """

    name: str
    levels: Sequence[Any]
    axes: str
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    units: tuple[str | None, ...]
    is_labels: bool = False
    channels: list[dict[str, Any]] = field(default_factory=list)
    image_label: dict[str, Any] = field(default_factory=dict)
    path: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.levels[0].shape)

    @property
    def is_in_memory(self) -> bool:
        return all(isinstance(level, np.ndarray) for level in self.levels)


def ngff_layer(layer: FullLayerData) -> NgffLayer:
    """A layer in the terms of OME-Zarr.

    Raises
    ------
    RequestError
        If OME-Zarr cannot express it.
    """
    data, settings, kind = layer
    name = str(settings.get("name") or kind)
    levels = list(data) if settings.get("multiscale") else [data]
    ndim, rgb = levels[0].ndim, bool(settings.get("rgb"))
    if rgb:
        levels, ndim = [np.moveaxis(np.asarray(level)[..., :3], -1, 0) for level in levels], ndim - 1
    dtype = np.dtype(levels[0].dtype)
    if dtype.kind not in _STORED:
        raise RequestError(f"The layer {name} has voxels of the type {dtype}, which OME-Zarr does not store.")
    if not 2 <= ndim <= 5 or (rgb and ndim > 4) or 0 in levels[0].shape:
        raise RequestError(
            f"The layer {name} has the shape {times(levels[0].shape)}, and an OME-Zarr has 2 to 5 axes. Save a part."
        )
    _check_place(name, settings, ndim)
    axes = _axes(settings.get("axis_labels") or (), ndim)
    scale = [float(value) for value in settings["scale"]]
    translation = [float(value) for value in settings["translate"]]
    units: list[str | None] = []
    for i, axis in enumerate(axes):
        factor, unit = _unit(settings["units"][i], axis)
        scale[i], translation[i] = scale[i] * factor, translation[i] * factor
        units.append(unit)
    channels = [] if kind == "labels" else [_channel(name, settings, dtype)]
    if rgb:
        axes, scale, translation, units = f"c{axes}", [1.0, *scale], [0.0, *translation], [None, *units]
        channels = [channels[0] | {"label": f"{name} {color}", "color": digits} for color, digits in _RGB]
    return NgffLayer(
        name=name,
        levels=[_storable(level) for level in levels],
        axes=axes,
        scale=tuple(scale),
        translation=tuple(translation),
        units=tuple(units),
        is_labels=kind == "labels",
        channels=channels,
        image_label=_image_label(settings) if kind == "labels" else {},
        path=(settings.get("metadata") or {}).get("path"),
    )


def with_channels(layers: Sequence[NgffLayer]) -> NgffLayer:
    """Image layers as the channels of one image.

    Raises
    ------
    RequestError
        If they differ in shape, type, or place.
    """
    first = layers[0]
    for other in layers[1:]:
        for what, ours, theirs in (
            ("shape", first.shape, other.shape),
            ("type", first.levels[0].dtype, other.levels[0].dtype),
            ("scale", first.scale, other.scale),
            ("position", first.translation, other.translation),
            ("unit", first.units, other.units),
            ("axes", first.axes, other.axes),
        ):
            if ours != theirs:
                raise RequestError(
                    f"The layers {first.name} and {other.name} cannot be channels of one OME-Zarr: they differ in "
                    f"{what} ({_words(ours)} and {_words(theirs)}). Save each on its own."
                )
    if len(layers) == 1:
        return first
    if "c" in first.axes:
        raise RequestError(f"The layer {first.name} has channels of its own. Save each layer on its own.")
    at = first.axes.find("t") + 1  # the order of OME-Zarr is t, c, z, y, x
    count = min(len(layer.levels) for layer in layers)

    def inserted(values: Sequence[Any], value: Any) -> tuple[Any, ...]:
        return (*values[:at], value, *values[at:])

    return NgffLayer(
        name=first.name,
        levels=[Channels([layer.levels[number] for layer in layers], at) for number in range(count)],
        axes=f"{first.axes[:at]}c{first.axes[at:]}",
        scale=inserted(first.scale, 1.0),
        translation=inserted(first.translation, 0.0),
        units=inserted(first.units, None),
        channels=[channel for layer in layers for channel in layer.channels],
        path=first.path,
    )


class Channels:
    """Arrays of one shape as one array with an axis more, read when it is sliced.

    Parameters
    ----------
    arrays : sequence of array
    axis : int
        The axis along which they lie.
    """

    def __init__(self, arrays: Sequence[Any], axis: int) -> None:
        self._arrays, self._axis = arrays, axis
        shape = tuple(arrays[0].shape)
        self.shape = (*shape[:axis], len(arrays), *shape[axis:])
        self.dtype, self.ndim = np.dtype(arrays[0].dtype), len(self.shape)

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        rest = key[: self._axis] + key[self._axis + 1 :]
        chosen = self._arrays[key[self._axis]]
        return np.stack([np.asarray(array[rest]) for array in chosen], axis=self._axis)


def _words(value: Any) -> str:
    if isinstance(value, tuple):
        return times(value) if all(isinstance(n, int) for n in value) else ", ".join(f"{part}" for part in value)
    return str(value)


def _storable(level: Any) -> Any:
    """The level; booleans in memory as 0 and 1."""
    return level.astype("u1") if isinstance(level, np.ndarray) and level.dtype.kind == "b" else level


def _check_place(name: str, settings: Mapping[str, Any], ndim: int) -> None:
    """A layer may only be scaled and moved: OME-Zarr 0.4 stores nothing else."""
    turned = [
        what
        for what, value, neutral in (
            ("rotated", settings.get("rotate"), np.eye(ndim)),
            ("sheared", settings.get("shear"), 0),
            ("placed by an affine", settings.get("affine"), np.eye(ndim + 1)),
        )
        if value is not None and not _is_neutral(value, neutral)
    ]
    if turned:
        raise RequestError(
            f"The layer {name} is {' and '.join(turned)}, which OME-Zarr does not store. Reset its transform first."
        )
    if not all(math.isfinite(value) and value > 0 for value in settings["scale"]):
        raise RequestError(f"The layer {name} has a scale that is not above 0. Set layer.scale first.")


def _is_neutral(value: Any, neutral: Any) -> bool:
    value = np.asarray(value, dtype=float)
    if np.ndim(neutral) and value.shape != np.shape(neutral):
        return bool(not np.any(value))  # the angle of a layer with two axes
    return bool(np.allclose(value, neutral))


def _axes(labels: Sequence[str], ndim: int) -> str:
    """The axes by the layer's labels, if these are axes of OME-Zarr in its order; otherwise by their number."""
    letters = "".join(str(label).lower()[:1] if str(label).lower() in _NAMES else "?" for label in labels)
    ordered = "".join(axis for axis in "tczyx" if axis in letters)
    return letters if len(labels) == ndim and letters == ordered and ordered.endswith("yx") else _AXES[ndim]


_NAMES = {"t", "time", "c", "channel", "z", "y", "x"}


def _unit(unit: Any, axis: str) -> tuple[float, str | None]:
    """The factor to a unit of NGFF, and that unit; None for pixels, and for units that are not of this axis."""
    name = str(unit)
    if axis == "c":
        return 1.0, None
    if axis == "t":
        return 1.0, name if name in _TIME_UNITS else None
    if found := find_unit(name):
        return 1.0, found
    try:  # such as furlong
        return float((1 * unit).to("micrometer").magnitude), "micrometer"
    except Exception:  # noqa: BLE001  pint raises many kinds of errors, and a text has no `to`
        return 1.0, None


def unit_factor(unit: str | None, other: str | None) -> float | None:
    """How many of `other` one `unit` is; None if that is unknown."""
    if unit == other:
        return 1.0
    return UNITS[unit] / UNITS[other] if unit in UNITS and other in UNITS else None


def _channel(name: str, settings: Mapping[str, Any], dtype: np.dtype) -> dict[str, Any]:
    start, end = (float(value) for value in settings["contrast_limits"])
    low, high = (
        (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype.kind in "iu" and dtype.itemsize < 4 else (start, end)
    )
    channel: dict[str, Any] = {
        "label": name,
        "active": bool(settings.get("visible", True)),
        "window": {"min": float(min(low, start)), "max": float(max(high, end)), "start": start, "end": end},
    }
    colormap = settings.get("colormap")
    if isinstance(colormap, Mapping):
        colors = np.asarray(colormap.get("colors"), dtype=float)
        last = [round(255 * part) for part in colors[-1][:3]]
        channel["color"] = "".join(f"{part:02X}" for part in last)
        if len(colors) > 2 or np.any(colors[0][:3]):  # more than from black to one color
            channel["lut"] = f"{colormap.get('name')}.lut"
    return channel | ({} if "color" in channel else {"color": "FFFFFF"})


def _image_label(settings: Mapping[str, Any]) -> dict[str, Any]:
    """https://ngff.openmicroscopy.org/0.4/#label-md."""
    found: dict[str, Any] = {}
    colors = getattr(settings.get("colormap"), "color_dict", None)
    if isinstance(colors, Mapping):
        found["colors"] = [
            {"label-value": int(value), "rgba": [round(255 * float(part)) for part in color]}
            for value, color in colors.items()
            if value is not None and color is not None and (value != 0 or float(color[3]) > 0)
        ]
    features = settings.get("features")
    if features is not None and len(features):
        numbers = features.get("index", features.index)
        names = [column for column in features.columns if column != "index"]
        found["properties"] = []
        for row, number in enumerate(numbers):
            values = {str(column): _json(features[column].iloc[row]) for column in names}
            stated = {column: value for column, value in values.items() if value is not None}
            found["properties"].append({"label-value": int(number)} | stated)
    return {key: value for key, value in found.items() if value}


def _json(value: Any) -> Any:
    """A value of a table as JSON; None for NaN."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str) else None if value is None else str(value)
