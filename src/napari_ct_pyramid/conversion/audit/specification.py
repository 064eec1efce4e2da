"""Checks the metadata of an image against the specification: version, axes, units, transformations, display.

Specifications: https://ngff.openmicroscopy.org/0.1/ to https://ngff.openmicroscopy.org/0.6/.
"""

from __future__ import annotations

import math
import re
from typing import Any

from napari_ct_pyramid.omezarr.coordinate_systems import as_0_5, has_systems
from napari_ct_pyramid.omezarr.kind import is_being_rebuilt
from napari_ct_pyramid.omezarr.metadata import read_array_metadata
from napari_ct_pyramid.omezarr.validation import flaw_in
from napari_ct_pyramid.omezarr.versions import NEWEST, numbers_of, version_of
from napari_ct_pyramid.storage.paths import AnyPath
from napari_ct_pyramid.units import PREFIXES, UNITS

from .findings import Report
from .image import Image, Level, open_array

_ORDER = {"time": 0, "channel": 1, None: 1, "space": 2}
_TIMES = {f"{prefix}second" for prefix in PREFIXES} | {"second", "minute", "hour", "day"}
_LENGTHS = {f"{prefix}meter" for prefix in PREFIXES} | set(UNITS)
_COLOR = re.compile(r"[0-9a-fA-F]{6}")


def read_image(path: AnyPath, attributes: dict[str, Any], report: Report) -> Image | None:
    """The image with all that can be read of it; None if that is too little to go on. What is wrong is reported."""
    version = version_of(attributes)
    numbers = numbers_of(version) or (0, 4)
    if numbers > NEWEST:
        report.error("version-unknown", f"it is OME-Zarr {version}, which is newer than what can be verified")
        return None
    found = attributes.get("multiscales")
    if not isinstance(found, list) or not found or not isinstance(found[0], dict):
        report.error("multiscales", "its multiscales metadata are no list of objects")
        return None
    if len(found) > 1:
        report.note("multiscales-several", f"it has {len(found)} multiscales; programs show the first")
    _check_version(path, attributes, found[0], version, report)
    try:
        notes: list[str] = []
        multiscales, _ = as_0_5(found[0], notes.append)
        for note in notes:
            report.note("transformation-more", note)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        report.error("coordinate-systems", f"its coordinate systems are broken: {what}")
        return None
    if is_being_rebuilt(path):
        report.error(
            "rebuild-unfinished",
            "a rebuild of levels is under way, or was interrupted; the metadata list only the other levels",
        )
    image = Image(path, version, attributes, multiscales)
    _read_axes(image, numbers, report)
    _read_levels(image, numbers, report)
    _check_display(image, report)
    if not report.has_errors() and (flaw := flaw_in(path, version)):
        report.error("specification", f"ome-zarr-models finds its metadata wrong: {flaw}")
    return image


def _check_version(
    path: AnyPath, attributes: dict[str, Any], multiscales: dict[str, Any], version: str, report: Report
) -> None:
    numbers = numbers_of(version)
    is_v3 = (path / "zarr.json").is_file()
    if numbers is None:
        report.error("version-unknown", f"its version, {version!r}, is none of OME-Zarr")
    elif (numbers >= (0, 5)) != is_v3:
        report.error(
            "version-format", f"it is OME-Zarr {version} in Zarr v{3 if is_v3 else 2}, which the specification forbids"
        )
    elif not (attributes.get("version") or multiscales.get("version")):
        (report.error if numbers >= (0, 5) else report.warning)("version-missing", "it states no version of OME-Zarr")
    if numbers and (numbers >= (0, 6)) != has_systems(multiscales):
        report.error("version-format", f"its axes are not in the form of OME-Zarr {version}, which it states")


def _read_axes(image: Image, numbers: tuple[int, int], report: Report) -> None:
    axes = image.multiscales.get("axes")
    if axes is None and numbers < (0, 3):
        image.axes, image.types = ("t", "c", "z", "y", "x"), ("time", "channel", "space", "space", "space")
        image.units = (None,) * 5
        return
    if not isinstance(axes, list) or not axes:
        report.error("axes-missing", "it names no axes")
        return
    if numbers < (0, 4):
        axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in axes]
    if not all(isinstance(axis, dict) and isinstance(axis.get("name"), str) and axis["name"] for axis in axes):
        report.error("axes-names", "an axis has no name")
        return
    implied = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
    image.axes = tuple(axis["name"] for axis in axes)
    image.types = tuple(axis.get("type") or implied.get(axis["name"]) for axis in axes)
    image.units = tuple(axis.get("unit") for axis in axes)
    if numbers >= (0, 4) and any(axis.get("type") is None for axis in axes):
        report.warning("axes-types", "an axis has no type, such as space")
    if not all(kind == "array" for kind in image.types):
        _check_axes(image, report)
        _check_units(image, report)


def _check_axes(image: Image, report: Report) -> None:
    if len(set(image.axes)) < len(image.axes):
        report.error("axes-names", f"two axes have the same name: {', '.join(image.axes)}")
    if not 2 <= image.types.count("space") <= 3:
        report.error("axes-space", f"it has {image.types.count('space')} axes in space, and 2 or 3 are allowed")
    ranks = [_ORDER.get(kind, 1) for kind in image.types]
    if ranks != sorted(ranks) or image.types.count("time") > 1 or image.types.count("channel") > 1:
        report.error("axes-order", f"its axes are in an order that is not allowed: {', '.join(image.axes)}")
    space = [name for name, kind in zip(image.axes, image.types, strict=True) if kind == "space"]
    if sorted(space) in (["x", "y", "z"], ["x", "y"]) and space not in (["z", "y", "x"], ["y", "x"]):
        report.warning("axes-order", f"its axes in space are {', '.join(space)}: many programs take them for z, y, x")


def _check_units(image: Image, report: Report) -> None:
    for name, kind, unit in zip(image.axes, image.types, image.units, strict=True):
        known = {"space": _LENGTHS, "time": _TIMES}.get(str(kind))
        if unit is not None and known is not None and unit not in known:
            report.warning("unit-unknown", f"the unit of its axis {name}, {unit!r}, is none that the specification has")
    lengths = {unit for unit, kind in zip(image.units, image.types, strict=True) if kind == "space"}
    if lengths == {None}:
        report.note("unit-missing", "it states no unit, so its voxel size is unknown")
    elif len(lengths) > 1:
        report.warning("units-differ", f"its axes in space have different units: {', '.join(map(str, lengths))}")


def _read_levels(image: Image, numbers: tuple[int, int], report: Report) -> None:
    datasets = image.multiscales.get("datasets")
    if not isinstance(datasets, list) or not datasets:
        report.error("levels-missing", "it lists no levels")
        return
    stated = image.attributes["multiscales"][0]["datasets"]  # before they were brought into the form of 0.5
    for dataset, raw in zip(datasets, stated, strict=True):
        path = dataset.get("path") if isinstance(dataset, dict) else None
        if not isinstance(path, str) or not path:
            report.error("levels-missing", "a level has no path")
            continue
        if any(level.path == path for level in image.levels):
            report.error("level-twice", "it is listed twice", path)
            continue
        level = Level(path)
        image.levels.append(level)
        _open_level(image, level, report)
        if numbers >= (0, 4):
            _read_place(image, level, dataset, report, is_identity=_has_identity(raw))


def _open_level(image: Image, level: Level, report: Report) -> None:
    folder = image.path / level.path
    try:
        level.metadata = read_array_metadata(folder)
    except ValueError as error:
        missing = not any((folder / name).is_file() for name in (".zarray", "zarr.json"))
        what = "there is no array, and it is listed as a level" if missing else str(error)
        report.error("level-missing" if missing else "array-metadata", what, level.path)
        return
    level.array, what = open_array(folder)
    if level.array is None:
        report.error("array-metadata", f"its array cannot be opened: {what}", level.path)
    if image.axes and level.shape and len(level.shape) != len(image.axes):
        report.error(
            "dimensions", f"it has {len(level.shape)} axes, and the metadata name {len(image.axes)}", level.path
        )


def _has_identity(raw: Any) -> bool:
    """Whether the place of a level is stated by an identity, which only 0.6 allows."""
    found = raw.get("coordinateTransformations") if isinstance(raw, dict) else None
    return isinstance(found, list) and [t.get("type") for t in found if isinstance(t, dict)] == ["identity"]


def _read_place(image: Image, level: Level, dataset: dict[str, Any], report: Report, *, is_identity: bool) -> None:
    found = dataset.get("coordinateTransformations")
    if not isinstance(found, list) or not all(isinstance(t, dict) for t in found):
        report.error("scale-missing", "it has no coordinate transformations", level.path)
        return
    kinds = [t.get("type") for t in found]
    is_identity &= kinds == []
    if kinds not in (["scale"], ["scale", "translation"]) and not is_identity:
        code = "scale-missing" if "scale" not in kinds else "transformations"
        stated = ", ".join(map(str, kinds)) or "nothing"
        report.error(code, f"it must have a scale, and may have a translation after it; it has {stated}", level.path)
    level.scale = _numbers(found, "scale", len(image.axes)) or ((1.0,) * len(image.axes) if is_identity else None)
    if "scale" in kinds and (level.scale is None or min(level.scale, default=1.0) <= 0):
        report.error("scale-invalid", "its scale is not a positive number for each axis", level.path)
        level.scale = None
    level.translation = _numbers(found, "translation", len(image.axes))
    if "translation" in kinds and level.translation is None:
        report.error("translation-invalid", "its translation is not a number for each axis", level.path)
    elif level.translation is None:
        level.translation = (0.0,) * len(image.axes)


def _numbers(found: list[dict[str, Any]], kind: str, count: int) -> tuple[float, ...] | None:
    values = next((t.get(kind) for t in found if t.get("type") == kind), None)
    if not isinstance(values, list) or len(values) != count:
        return None
    good = all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)
    return tuple(float(v) for v in values) if good else None


def _check_display(image: Image, report: Report) -> None:
    finest = image.levels[0] if image.levels else None
    is_labels = image.attributes.get("image-label") is not None
    if is_labels and finest and finest.dtype is not None and finest.dtype.kind not in "iu":
        report.error("labels-type", f"it is a label image of {finest.dtype}, and labels are integers")
    omero = image.attributes.get("omero")
    if omero is None:
        return
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(channels, list) or not all(isinstance(channel, dict) for channel in channels):
        report.error("channels", "its omero metadata have no list of channels")
        return
    if "channel" in image.types and finest and len(finest.shape) == len(image.types):
        count = finest.shape[image.types.index("channel")]
        if channels and len(channels) != count:
            report.warning("channels", f"its omero metadata describe {len(channels)} channels, and it has {count}")
    windows = [_window(number, channel, report) for number, channel in enumerate(channels)]
    if len(windows) == 1:
        image.window = windows[0]


def _window(number: int, channel: dict[str, Any], report: Report) -> tuple[float, float] | None:
    """The display window of a channel; None if it has none, or one that cannot be used, which is reported."""
    color, window = channel.get("color"), channel.get("window")
    if color is not None and not (isinstance(color, str) and _COLOR.fullmatch(color)):
        report.warning("color", f"the color of channel {number} is not six hexadecimal digits")
    if window is None:
        return None
    stated = [window.get(key) if isinstance(window, dict) else None for key in ("start", "end", "min", "max")]
    values = [float(v) for v in stated if isinstance(v, int | float) and math.isfinite(v)]
    if len(values) < len(stated):
        report.warning("window", f"the display window of channel {number} is not four numbers: start, end, min, max")
        return None
    start, end, low, high = values
    if start >= end or low > high:
        report.warning("window", f"the display window of channel {number}, {start:g} to {end:g}, is empty")
        return None
    return start, end
