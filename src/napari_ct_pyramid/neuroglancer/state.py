"""The state of a Neuroglancer view as JSON: layers, axes, position and zoom. It opens no file.

https://neuroglancer-docs.web.app/json/api/index.html
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from napari_ct_pyramid.errors import VIEW, Advice, RequestError, SourceError
from napari_ct_pyramid.omezarr.versions import numbers_of
from napari_ct_pyramid.units import PREFIXES, UNITS

if TYPE_CHECKING:
    from napari_ct_pyramid.omezarr.channels import Channel
    from napari_ct_pyramid.omezarr.reader import Pyramid


State = dict[str, Any]

_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32")
_FORMATS = {(0, 4): "zarr2", (0, 5): "zarr3", (0, 6): "zarr3"}

# Neuroglancer knows one prefix more than NGFF does.
_PREFIXES = {**PREFIXES, "deca": 1}

# For each unit, Neuroglancer's base unit and the factor to it. The base units are meters, seconds, or none.
_UNITS: dict[str | None, tuple[float, str]] = {
    None: (1.0, ""),
    **{unit: (meters, "m") for unit, meters in UNITS.items()},
    **{f"{prefix}meter": (10.0**power, "m") for prefix, power in _PREFIXES.items()},
    **{f"{prefix}second": (10.0**power, "s") for prefix, power in _PREFIXES.items()},
    # Neuroglancer's own mile, rounded. Our position must mean what its client computes from the metadata.
    "mile": (1609.34, "m"),
    "minute": (60.0, "s"),
    "hour": (3600.0, "s"),
    "day": (86400.0, "s"),
}

_PANEL = (440, 270)  # pixels: each of the four panels is at least this large, except in a very small window
_OBLIQUE = [0.25, 0.35, 0.1, -0.9]  # a quaternion that shows all three sections in the 3D panel


@dataclass(frozen=True)
class _Axis:
    """An axis of a volume, in Neuroglancer's base units.

    Attributes
    ----------
    name : str
    voxel : float
        Size of a voxel.
    unit : str
        ``"m"``, ``"s"`` or ``""``.
    start : float
        Where the first voxel begins.
    size : int
        Number of voxels.
    in_space : bool
        False for time.
    """

    name: str
    voxel: float
    unit: str
    start: float
    size: int
    in_space: bool

    @property
    def stop(self) -> float:
        """Where the last voxel ends."""
        return self.start + self.size * self.voxel


def check_supported(pyramid: Pyramid) -> None:
    """Check that Neuroglancer can show a volume.

    Raises
    ------
    SourceError
        If it cannot.
    """
    problem = _problem(pyramid)
    if problem:
        path = str(pyramid.path)
        raise SourceError(f"Neuroglancer cannot show {path}: {problem}. To see it in napari: ", Advice(VIEW, path))


def _problem(pyramid: Pyramid) -> str | None:
    dtype = pyramid.levels[0].dtype.name
    if dtype not in _TYPES:
        return f"its voxels are {dtype}, and Neuroglancer reads only {', '.join(_TYPES[:-1])} and {_TYPES[-1]}"
    if numbers_of(pyramid.ome_zarr_version) not in _FORMATS:
        return f"it is OME-Zarr {pyramid.ome_zarr_version}, and Neuroglancer reads only 0.4, 0.5 and 0.6"
    for unit in pyramid.units:
        if unit not in _UNITS:
            return f"its unit is {unit!r}, which Neuroglancer does not know"
    if pyramid.ome_zarr_version == "0.4" and any(channel.color is None for channel in pyramid.channels):
        return "one of its channels has no color in the metadata, and Neuroglancer does not open such an image"
    return None


def data_format(pyramid: Pyramid) -> str:
    """Neuroglancer's name for the version of Zarr that a volume is stored in."""
    numbers = numbers_of(pyramid.ome_zarr_version)
    assert numbers is not None  # `check_supported` has accepted it
    return _FORMATS[numbers]


def view_state(volumes: Sequence[tuple[Pyramid, str]]) -> State:
    """A view that shows volumes as a whole, centered.

    Parameters
    ----------
    volumes : sequence of (Pyramid, str)
        Volumes that `check_supported` accepts, each with the address at which Neuroglancer finds it.

    Raises
    ------
    RequestError
        If one view cannot show all of them.
    """
    axes = _common_axes([_axes(pyramid) for pyramid, _ in volumes])
    space = [axis for axis in axes if axis.in_space]
    layers: list[State] = []
    for pyramid, source in volumes:
        for layer in _layers(pyramid, source):
            # With these opacities, overlapping volumes are equally visible, whatever their number.
            opacity = 1 if "blend" in layer else round(1 / (len(layers) + 1), 3)
            layers.append({**layer, "name": _unused(layer["name"], layers), "opacity": opacity})
    return {
        "dimensions": {axis.name: [axis.voxel, axis.unit] for axis in axes},
        "displayDimensions": [axis.name for axis in space[:3]],
        "position": [_middle(axis) if axis.in_space else round(axis.start / axis.voxel + 0.5, 6) for axis in axes],
        **_zoom(space),
        **_appearance(layers, "4panel" if len(space) > 2 else "xy"),
    }


def default_state(source: str, name: str) -> State:
    """A view of a volume whose metadata was not read: Neuroglancer chooses position, zoom and contrast."""
    layers = [{"type": "image", "source": source, "name": name, "opacity": 1, "tab": "rendering"}]
    return _appearance(layers, "4panel")


def fragment(state: State) -> str:
    """A state as the fragment of an address."""
    return "#!" + quote(json.dumps(state, separators=(",", ":"), ensure_ascii=False), safe="~@$&()*!+=:;,/?'")


def _appearance(layers: list[State], layout: str) -> State:
    return {
        "layers": layers,
        "selectedLayer": {"layer": layers[0]["name"], "visible": True},  # opens the panel with its sliders
        "crossSectionBackgroundColor": "#000000",
        "projectionOrientation": _OBLIQUE,
        "layout": layout,
    }


def _axes(pyramid: Pyramid) -> list[_Axis]:
    """The axes except channels: first those in space, in the order x, y, z."""
    level = pyramid.levels[0]
    shape = pyramid.original_shape or level.shape
    found = []
    for name, kind, unit, size, voxel, center in zip(
        pyramid.axes, pyramid.axis_types, pyramid.units, shape, level.scale, level.translation, strict=True
    ):
        if kind != "channel":
            factor, base = _UNITS[unit]
            start = (center - voxel / 2) * factor
            found.append(_Axis(name, factor * voxel, base, start, size, in_space=kind != "time"))
    return [axis for axis in reversed(found) if axis.in_space] + [axis for axis in found if not axis.in_space]


def _common_axes(each: Sequence[Sequence[_Axis]]) -> list[_Axis]:
    """The axes that cover all volumes, each with the smallest voxels that any of them has."""
    names = dict.fromkeys(axis.name for axes in each for axis in axes)
    common = []
    for name in names:
        same = [axis for axes in each for axis in axes if axis.name == name]
        units = {axis.unit for axis in same}
        if len(units) > 1:
            found = " and ".join(unit or "no unit" for unit in sorted(units))
            raise RequestError(
                f"One view cannot show these volumes together: axis {name} has different units ({found}). Open the "
                "volumes one at a time."
            )
        finest = min(same, key=lambda axis: axis.voxel)
        # A whole number of voxels, so that the voxels of the finest volume keep their borders.
        before = max(math.ceil(round((finest.start - axis.start) / finest.voxel, 6)) for axis in same)
        after = max(math.ceil(round((axis.stop - finest.stop) / finest.voxel, 6)) for axis in same)
        start = finest.start - before * finest.voxel
        common.append(_Axis(name, finest.voxel, finest.unit, start, before + finest.size + after, finest.in_space))
    return common


def _middle(axis: _Axis) -> float:
    """The center of the middle voxel, in voxels. Between two voxels, rounding would decide which one is shown."""
    return round(axis.start / axis.voxel + axis.size // 2 + 0.5, 6)


def _zoom(space: Sequence[_Axis]) -> State:
    """The zoom that shows the whole volume.

    Neuroglancer gives both numbers in units of the smallest voxel: the size of a pixel in the sections, and the height
    of the 3D view.
    """
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
    integers = pyramid.levels[0].dtype.kind in "iu"
    layer = {"type": "image", "source": source, "name": name, "tab": "rendering", "shader": _shader(channel, integers)}
    return layer if channel is None or channel.active else {**layer, "visible": False}


def _shader(channel: Channel | None, integers: bool) -> str:
    """A shader that draws voxels in grey or in a color, with a slider for the range of grey values."""
    ranges = []
    if channel and channel.window:
        low, high, start, end = (round(v) if integers else v for v in channel.window)
        if start < end:
            ranges = [f"range=[{start}, {end}]", f"window=[{min(low, start)}, {max(high, end)}]"]
    slider = "#uicontrol invlerp normalized" + (f"({', '.join(ranges)})" if ranges else "")
    color = (channel.color or "FFFFFF")[:6] if channel else "FFFFFF"
    if color.upper() == "FFFFFF":
        return f"{slider}\nvoid main() {{\n  emitGrayscale(normalized());\n}}\n"
    picker = f'#uicontrol vec3 color color(default="#{color.lower()}")'
    return f"{slider}\n{picker}\nvoid main() {{\n  emitRGB(color * normalized());\n}}\n"


def _unused(name: str, layers: Iterable[State]) -> str:
    """A name that no layer has: `name`, or `name` with a number."""
    taken = {layer["name"] for layer in layers}
    number = 2
    unused = name
    while unused in taken:
        unused, number = f"{name} {number}", number + 1
    return unused


def _digits(number: float) -> float:
    """A number with four digits, for a short address."""
    return float(f"{number:.4g}")
