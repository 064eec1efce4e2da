"""What Neuroglancer is to show, in the JSON that it takes: layers, axes, position and zoom. It opens nothing.

https://neuroglancer-docs.web.app/json/api/index.html
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from napari_ct_pyramid.errors import RequestError, SourceError

if TYPE_CHECKING:
    from napari_ct_pyramid.omezarr.reader import Channel, Pyramid


State = dict[str, Any]

_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32")
_VERSIONS = {"0.4": "zarr2", "0.5": "zarr3"}

# Neuroglancer has metres, seconds, and numbers without a unit.
_POWERS = {
    "yotta": 24, "zetta": 21, "exa": 18, "peta": 15, "tera": 12, "giga": 9, "mega": 6, "kilo": 3, "hecto": 2,
    "deca": 1, "": 0, "deci": -1, "centi": -2, "milli": -3, "micro": -6, "nano": -9, "pico": -12, "femto": -15,
    "atto": -18, "zepto": -21, "yocto": -24,
}  # fmt: skip
_UNITS: dict[str | None, tuple[float, str]] = {
    None: (1.0, ""),
    **{f"{prefix}meter": (10.0**power, "m") for prefix, power in _POWERS.items()},
    **{f"{prefix}second": (10.0**power, "s") for prefix, power in _POWERS.items()},
    "angstrom": (1e-10, "m"),
    "inch": (0.0254, "m"),
    "foot": (0.3048, "m"),
    "yard": (0.9144, "m"),
    "mile": (1609.34, "m"),  # as Neuroglancer has it
    "parsec": (3.0856775814913673e16, "m"),
    "minute": (60.0, "s"),
    "hour": (3600.0, "s"),
    "day": (86400.0, "s"),
}

_PANEL = (440, 270)  # pixels that each of the four panels has at least, but in a very small window
_FROM_A_CORNER = [0.25, 0.35, 0.1, -0.9]  # a quaternion: all three sections are in sight


@dataclass(frozen=True)
class _Axis:
    """An axis of a volume, in metres or whatever Neuroglancer measures it in."""

    name: str
    voxel: float
    unit: str
    start: float
    size: int
    in_space: bool

    @property
    def stop(self) -> float:
        return self.start + self.size * self.voxel


def check(pyramid: Pyramid) -> None:
    """See whether Neuroglancer can show a volume.

    Raises
    ------
    SourceError
        If it cannot.
    """
    problem = _problem(pyramid)
    if problem:
        raise SourceError(f"{pyramid.path} {problem}. To look at it in napari: ct-pyramid view {pyramid.path}")


def _problem(pyramid: Pyramid) -> str | None:
    dtype = pyramid.levels[0].dtype.name
    if dtype not in _TYPES:
        most, last = ", ".join(_TYPES[:-1]), _TYPES[-1]
        return f"holds {dtype} voxels, which Neuroglancer cannot show: it takes {most} and {last}"
    if pyramid.ome_zarr_version not in _VERSIONS:
        return f"is OME-Zarr {pyramid.ome_zarr_version}, and Neuroglancer reads {' and '.join(_VERSIONS)}"
    for unit in pyramid.units:
        if unit not in _UNITS:
            return f"is measured in {unit!r}, a unit that Neuroglancer does not know"
    if pyramid.ome_zarr_version == "0.4" and any(channel.color is None for channel in pyramid.channels):
        return "describes a channel without its colour, and such an image Neuroglancer does not open"
    return None


def data_format(pyramid: Pyramid) -> str:
    """Neuroglancer's name for how a volume is stored."""
    return _VERSIONS[pyramid.ome_zarr_version]


def view_of(volumes: Sequence[tuple[Pyramid, str]]) -> State:
    """A view of the whole of some volumes, each found good by `check`, with the middle in the middle.

    Parameters
    ----------
    volumes : sequence of (Pyramid, str)
        Each with the address that Neuroglancer finds it at.

    Raises
    ------
    RequestError
        If they do not go together.
    """
    axes = _common_axes([_axes(pyramid) for pyramid, _ in volumes])
    space = [axis for axis in axes if axis.in_space]
    layers: list[State] = []
    for pyramid, source in volumes:
        for layer in _layers(pyramid, source):
            # So that of any number of volumes, one over the other, each shows as much as the others.
            opacity = 1 if "blend" in layer else round(1 / (len(layers) + 1), 3)
            layers.append({**layer, "name": _unused(layer["name"], layers), "opacity": opacity})
    return {
        "dimensions": {axis.name: [axis.voxel, axis.unit] for axis in axes},
        "displayDimensions": [axis.name for axis in space[:3]],
        "position": [_middle(axis) if axis.in_space else round(axis.start / axis.voxel + 0.5, 6) for axis in axes],
        **_zoom(space),
        **_appearance(layers, "4panel" if len(space) > 2 else "xy"),
    }


def view_unseen(source: str, name: str) -> State:
    """A view of a volume of which nothing is known, so that Neuroglancer has to find out most of it."""
    layers = [{"type": "image", "source": source, "name": name, "opacity": 1, "tab": "rendering"}]
    return _appearance(layers, "4panel")


def fragment(state: State) -> str:
    """A state as the end of an address."""
    return "#!" + quote(json.dumps(state, separators=(",", ":"), ensure_ascii=False), safe="~@$&()*!+=:;,/?'")


def _appearance(layers: list[State], layout: str) -> State:
    return {
        "layers": layers,
        "selectedLayer": {"layer": layers[0]["name"], "visible": True},  # its sliders are in sight
        "crossSectionBackgroundColor": "#000000",
        "projectionOrientation": _FROM_A_CORNER,
        "layout": layout,
    }


def _axes(pyramid: Pyramid) -> list[_Axis]:
    """All but channels; those in space first, in the order x, y, z."""
    level = pyramid.levels[0]
    shape = pyramid.original_shape or level.shape
    found = []
    for name, kind, unit, size, voxel, centre in zip(
        pyramid.axes, pyramid.axis_types, pyramid.units, shape, level.scale, level.translation, strict=True
    ):
        if kind != "channel":
            factor, base = _UNITS[unit]
            start = (centre - voxel / 2) * factor
            found.append(_Axis(name, factor * voxel, base, start, size, in_space=kind != "time"))
    return [axis for axis in reversed(found) if axis.in_space] + [axis for axis in found if not axis.in_space]


def _common_axes(each: Sequence[Sequence[_Axis]]) -> list[_Axis]:
    """The axes of all volumes: each with the smallest voxels that there are, from the first start to the last end."""
    names = dict.fromkeys(axis.name for axes in each for axis in axes)
    common = []
    for name in names:
        same = [axis for axes in each for axis in axes if axis.name == name]
        units = {axis.unit for axis in same}
        if len(units) > 1:
            said = " or ".join(unit or "no unit" for unit in sorted(units))
            raise RequestError(f"These volumes do not go together: axis {name} is in {said}. Open them one at a time.")
        finest = min(same, key=lambda axis: axis.voxel)
        # In whole voxels, so that these are where the finest volume has them.
        before = max(math.ceil(round((finest.start - axis.start) / finest.voxel, 6)) for axis in same)
        behind = max(math.ceil(round((axis.stop - finest.stop) / finest.voxel, 6)) for axis in same)
        start = finest.start - before * finest.voxel
        common.append(_Axis(name, finest.voxel, finest.unit, start, before + finest.size + behind, finest.in_space))
    return common


def _middle(axis: _Axis) -> float:
    """The centre of the voxel in the middle, in voxels: between two of them it would be chance which one is shown."""
    return round(axis.start / axis.voxel + axis.size // 2 + 0.5, 6)


def _zoom(space: Sequence[_Axis]) -> State:
    """Neuroglancer measures in the smallest voxel: a pixel of the sections, and the height of the view in 3D."""
    smallest = min(axis.voxel for axis in space)
    x, y, z = [*(axis.size * axis.voxel / smallest for axis in space), 0.0, 0.0][:3]
    width, height = _PANEL
    return {
        "crossSectionScale": _digits(max(max(x, z) / width, max(y, z) / height)),
        "projectionScale": _digits(math.hypot(x, y, z)),
    }


def _layers(pyramid: Pyramid, source: str) -> list[State]:
    if "channel" not in pyramid.axis_types:
        return [_layer(pyramid, source, [*pyramid.channels, None][0], pyramid.name)]
    axis = pyramid.axis_types.index("channel")
    count = pyramid.levels[0].shape[axis]
    layers = []
    for index in range(count):
        channel = pyramid.channels[index] if index < len(pyramid.channels) else None
        name = channel.label if channel and channel.label else f"{pyramid.name} {index}"
        layer = _layer(pyramid, source, channel, name)
        layer["localDimensions"] = {f"{pyramid.axes[axis]}'": [pyramid.levels[0].scale[axis], ""]}
        layer["localPosition"] = [index]
        layers.append({**layer, "blend": "additive"} if count > 1 else layer)
    return layers


def _layer(pyramid: Pyramid, source: str, channel: Channel | None, name: str) -> State:
    whole = pyramid.levels[0].dtype.kind in "iu"
    layer = {"type": "image", "source": source, "name": name, "tab": "rendering", "shader": _shader(channel, whole)}
    return layer if channel is None or channel.active else {**layer, "visible": False}


def _shader(channel: Channel | None, whole: bool) -> str:
    """Grey or a colour, with a slider for the range of values that it stands for."""
    ranges = []
    if channel and channel.window:
        low, high, start, end = (round(v) if whole else v for v in channel.window)
        if start < end:
            ranges = [f"range=[{start}, {end}]", f"window=[{min(low, start)}, {max(high, end)}]"]
    slider = "#uicontrol invlerp normalized" + (f"({', '.join(ranges)})" if ranges else "")
    colour = (channel.color or "FFFFFF")[:6] if channel else "FFFFFF"
    if colour.upper() == "FFFFFF":
        return f"{slider}\nvoid main() {{\n  emitGrayscale(normalized());\n}}\n"
    picker = f'#uicontrol vec3 color color(default="#{colour.lower()}")'
    return f"{slider}\n{picker}\nvoid main() {{\n  emitRGB(color * normalized());\n}}\n"


def _unused(name: str, layers: Iterable[State]) -> str:
    taken = {layer["name"] for layer in layers}
    number = 2
    unused = name
    while unused in taken:
        unused, number = f"{name} {number}", number + 1
    return unused


def _digits(number: float) -> float:
    return float(f"{number:.4g}")
