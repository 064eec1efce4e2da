"""Changes of the facts in an image's metadata: voxel size, unit, name, display window. Works on values, not on files.

Specification: https://ngff.openmicroscopy.org/0.4/#multiscale-md, and 0.5 and 0.6.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass, fields
from typing import Any

from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.options import VoxelSize

from .coordinate_systems import as_0_5, has_systems, with_geometry
from .transformations import read_axes, read_transformations


@dataclass(frozen=True)
class Facts:
    """What the metadata of an image state and a user can set right; None where they state nothing.

    Attributes
    ----------
    voxel_size : tuple of float or None
        Of the finest level, along z, y, x.
    unit : str or None
        Of the voxel size.
    name : str or None
        Name of the image.
    window : tuple of float or None
        Stored values at which the display window begins and ends.
    """

    voxel_size: VoxelSize | None = None
    unit: str | None = None
    name: str | None = None
    window: tuple[float, float] | None = None

    def updated(self, changes: Facts) -> Facts:
        """These facts with others where `changes` has any."""
        return Facts(**{field.name: _either(getattr(changes, field.name), getattr(self, field.name))
                        for field in fields(Facts)})  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """As the receipt and the command line state them."""
        return asdict(self)


def facts_from_json(value: dict[str, Any]) -> Facts:
    """The facts that `Facts.to_json` gave."""
    return Facts(
        tuple(value["voxel_size"]) if value["voxel_size"] else None,
        value["unit"],
        value["name"],
        tuple(value["window"]) if value["window"] else None,
    )


def image_in(attributes: dict[str, Any]) -> dict[str, Any]:
    """The part of a group's attributes that describes the image: in 0.5 what is under ``ome``."""
    image: dict[str, Any] = attributes.get("ome", attributes)
    return image


def read_facts(attributes: dict[str, Any]) -> Facts:
    """The facts that a group's attributes state."""
    image = image_in(attributes)
    multiscales = as_0_5(image["multiscales"][0], lambda _: None)[0]
    space = _space(multiscales)
    units = {read_axes(multiscales)[2][i] for i in space}
    unit = units.pop() if len(units) == 1 else None
    sizes = [_place_in_own_level(multiscales, 0)[0][i] for i in space]
    # Where the voxel size is unknown, the scale is all ones.
    known = len(space) == 3 and (unit is not None or any(size != 1 for size in sizes))
    channels = (image.get("omero") or {}).get("channels") or [{}]
    window = channels[0].get("window") or {}
    return Facts(
        (sizes[0], sizes[1], sizes[2]) if known else None,
        unit,
        multiscales.get("name"),
        (window["start"], window["end"]) if {"start", "end"} <= window.keys() else None,
    )


def finest_voxel(attributes: dict[str, Any]) -> VoxelSize:
    """The size of a voxel of the finest level along z, y, x; ones where it is unknown.

    Raises
    ------
    RequestError
        If a voxel size cannot be set in these metadata.
    """
    multiscales = _only_scaled(image_in(attributes)["multiscales"][0])
    space = _space(multiscales)
    if len(space) != 3:
        raise RequestError(f"The image has {len(space)} axes in space. A voxel size can be set where there are three.")
    common = multiscales.get("coordinateTransformations")
    scale, translation, _ = read_transformations([common], [1.0] * len(read_axes(multiscales)[0]), [])
    if any(scale[i] != 1 or translation[i] != 0 for i in space):
        raise RequestError(
            "The image has coordinate transformations that apply to all of its levels together. The voxel size of such "
            "an image cannot be changed here."
        )
    own = [dataset.get("coordinateTransformations") or () for dataset in multiscales["datasets"]]
    if not all(any(t["type"] == "scale" for t in transformations) for transformations in own):
        raise RequestError("A level of the image has no scale. Its voxel size cannot be changed here.")
    notes: list[str] = []
    for level in range(len(own)):
        _place_in_own_level(multiscales, level, notes)
    if notes:
        raise RequestError(f"The voxel size of the image cannot be changed here. {notes[0]}")
    sizes = [_place_in_own_level(multiscales, 0)[0][i] for i in space]
    return sizes[0], sizes[1], sizes[2]


def edit_attributes(attributes: dict[str, Any], changes: Facts, before: VoxelSize | None = None) -> dict[str, Any]:
    """A group's attributes with changed facts; everything else in them stays as it is.

    Scale and translation of every level follow the voxel size: both are the same number of voxels as before.

    Parameters
    ----------
    attributes : dict
        Of an image of OME-Zarr 0.4 to 0.6, or of labels of one.
    changes : Facts
        What to change; None for what stays.
    before : tuple of float, optional
        The voxel size that becomes that of `changes`: labels have another one than their image where their voxels are
        larger. Default: that of these attributes.

    Raises
    ------
    RequestError
        If the facts cannot be set in these metadata.
    """
    edited = deepcopy(attributes)
    image = image_in(edited)
    multiscales = image["multiscales"][0]
    if changes.voxel_size or changes.unit:
        flat = _only_scaled(multiscales)
        if changes.voxel_size:
            _set_voxel_size(flat, before or finest_voxel(edited), changes.voxel_size)
        if changes.unit:
            for i in _space(flat):
                flat["axes"][i]["unit"] = changes.unit
        if has_systems(multiscales):
            multiscales = image["multiscales"][0] = with_geometry(multiscales, flat)
    if changes.name:
        _set_name(image, multiscales, changes.name)
    if changes.window:
        _set_window(image, changes.window)
    return edited


def _only_scaled(multiscales: dict[str, Any]) -> dict[str, Any]:
    """The metadata in the form of 0.5. In 0.6, these must express all of them.

    Raises
    ------
    RequestError
        If they do not.
    """
    flat, affine = as_0_5(multiscales, lambda _: None)
    if has_systems(multiscales) and (affine or multiscales.get("coordinateTransformations")):
        raise RequestError(
            "The image has coordinate transformations other than the scale and translation of its levels. The voxel "
            "size and the unit of such an image cannot be changed here."
        )
    return flat


def _set_voxel_size(multiscales: dict[str, Any], before: VoxelSize, after: VoxelSize) -> None:
    space = _space(multiscales)
    for level, dataset in enumerate(multiscales["datasets"]):
        scale, translation = (list(values) for values in _place_in_own_level(multiscales, level))
        for i, old, new in zip(space, before, after, strict=True):
            scale[i] = _in_voxels(scale[i], old) * new
            translation[i] = _in_voxels(translation[i], old) * new
        moved = any(t["type"] == "translation" for t in dataset["coordinateTransformations"])
        dataset["coordinateTransformations"] = [
            {"type": "scale", "scale": scale},
            *([{"type": "translation", "translation": translation}] if moved else []),
        ]


def _set_name(image: dict[str, Any], multiscales: dict[str, Any], name: str) -> None:
    """Set the name, also where a channel or the viewer's settings have the same one."""
    old = multiscales.get("name")
    omero = image.get("omero") or {}
    for holder, key in ((omero, "name"), *((channel, "label") for channel in omero.get("channels") or ())):
        if key in holder and holder[key] == old:
            holder[key] = name
    multiscales["name"] = name


def _set_window(image: dict[str, Any], window: tuple[float, float]) -> None:
    if "image-label" in image:
        raise RequestError("The image holds labels, which have no display window.")
    omero = image.setdefault("omero", {})
    channels = omero.setdefault("channels", [])
    if len(channels) > 1:
        raise RequestError(f"The image has {len(channels)} channels. A window can be set where there is one.")
    low, high = window
    if not channels:
        name = image["multiscales"][0].get("name") or "image"
        channels.append({"label": name, "color": "FFFFFF", "active": True, "window": {"min": low, "max": high}})
        omero.setdefault("rdefs", {"model": "greyscale"})
    channels[0]["window"] = {"min": low, "max": high, **(channels[0].get("window") or {}), "start": low, "end": high}


def _space(multiscales: dict[str, Any]) -> list[int]:
    """The numbers of the axes in space."""
    return [i for i, kind in enumerate(read_axes(multiscales)[1]) if kind == "space"]


def _place_in_own_level(
    multiscales: dict[str, Any], level: int, notes: list[str] | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scale and translation of a level, without what applies to all levels together."""
    own = multiscales["datasets"][level].get("coordinateTransformations")
    return read_transformations([own], [1.0] * len(read_axes(multiscales)[0]), [] if notes is None else notes)[:2]


def _in_voxels(length: float, voxel: float) -> float:
    """A length in voxels. Rounding errors are taken away from halves of voxels, which the levels of a pyramid have."""
    voxels = length / voxel
    nearest = round(voxels * 2) / 2
    return nearest if abs(voxels - nearest) <= 1e-9 * abs(voxels) else voxels


def _either(new: Any, old: Any) -> Any:
    return old if new is None else new
