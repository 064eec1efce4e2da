"""Writes one image, or one label image, of a layer as an OME-Zarr.

Layers in memory are written by ome-zarr's own writer. Volumes that are read lazily are streamed by the converter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from napari_ct_pyramid.omezarr.coordinate_systems import from_0_5, has_systems
from napari_ct_pyramid.omezarr.kind import GROUP_FILES
from napari_ct_pyramid.options import OmeZarrVersion

from .ngff_layers import NgffLayer, unit_factor

_CHUNK = 128  # voxels along each spatial axis
_LARGEST_COARSEST = 512  # voxels along an axis of the coarsest level
_MEMORY = 1_000_000_000  # bytes for the conversion of a lazy layer, besides what napari itself takes
_FORBIDDEN = re.compile(r'[\\/:*?"<>|\x00-\x1f]')  # in the names of files on some system


def write_image(folder: Path, layer: NgffLayer, version: OmeZarrVersion = "0.4", parent: str = "") -> Generator[float]:
    """Write the levels of an image and its metadata. Nothing reads the folder before it is complete."""
    if layer.axes == "zyx" and not layer.is_in_memory and _can_be_streamed(layer):
        yield from _convert(folder, layer, version)
    else:
        yield 0.0
        _write_with_ome_zarr(folder, layer, version)
        _move(folder, layer.translation, version)
    _complete_metadata(folder, layer, version, parent)


def _can_be_streamed(layer: NgffLayer) -> bool:
    """Whether the converter takes the layer: a volume, whose units can be compared."""
    return min(layer.shape) > 1 and all(unit_factor(unit, layer.units[0]) for unit in layer.units)


def _convert(folder: Path, layer: NgffLayer, version: OmeZarrVersion) -> Generator[float]:
    import psutil

    from napari_ct_pyramid.conversion.api import iter_convert
    from napari_ct_pyramid.conversion.edit import edit
    from napari_ct_pyramid.sources.inputs import ArrayInput

    unit = layer.units[0]
    factors = [unit_factor(other, unit) or 1.0 for other in layer.units]
    z, y, x = (value * factor for value, factor in zip(layer.scale, factors, strict=True))
    dz, dy, dx = (value * factor for value, factor in zip(layer.translation, factors, strict=True))
    known = unit is not None or (z, y, x) != (1, 1, 1)
    source = ArrayInput(
        data=layer.levels[0],
        name=layer.name,
        title=f"The layer {layer.name}",
        voxel_size=(z, y, x) if known else None,
        unit=unit,
        translation=(dz, dy, dx),
        is_labels=layer.is_labels,
    )
    conversion = iter_convert(
        source,
        folder,
        chunks=(_CHUNK,) * 3,
        edges="pad",
        method="mode" if layer.is_labels else "mean",
        ome_zarr_version=version,
        max_memory=psutil.Process().memory_info().rss + _MEMORY,
    )
    with closing(conversion):
        for progress in conversion:
            yield progress.fraction
    window = [layer.channels[0]["window"][end] for end in ("start", "end")] if layer.channels else None
    edit(folder, name=layer.name, window=window)


def _write_with_ome_zarr(folder: Path, layer: NgffLayer, version: str) -> None:
    import zarr
    from ome_zarr.format import FormatV04, FormatV05
    from ome_zarr.scale import Methods
    from ome_zarr.writer import write_image, write_multiscale

    ngff = FormatV04() if version == "0.4" else FormatV05()
    group = zarr.open_group(folder, mode="w", zarr_format=ngff.zarr_format)
    options: dict[str, Any] = {
        "fmt": ngff,
        "axes": list(layer.axes),
        "scale": dict(zip(layer.axes, layer.scale, strict=True)),
        "axes_units": {axis: unit for axis, unit in zip(layer.axes, layer.units, strict=True) if unit},
        "name": layer.name,
    }
    chunks = [_CHUNK if axis in "zyx" else 1 for axis in layer.axes]

    def storage(shape: Sequence[int]) -> dict[str, Any]:
        return {"chunks": tuple(min(chunk, n) for chunk, n in zip(chunks, shape, strict=True))}

    if len(layer.levels) > 1:
        write_multiscale(
            list(layer.levels), group, storage_options=[storage(level.shape) for level in layer.levels], **options
        )
        return
    factors = _factors(layer)
    write_image(
        layer.levels[0],
        group,
        scaler=None,
        scale_factors=factors,
        method=Methods.NEAREST if layer.is_labels else Methods.LOCAL_MEAN,
        storage_options=[storage([n // f.get(a, 1) for a, n in zip(layer.axes, layer.shape, strict=True)])
                         for f in [{}, *factors]],
        **options,
    )  # fmt: skip


def _factors(layer: NgffLayer) -> list[dict[str, int]]:
    """How much each coarser level is smaller than the finest, along each axis: half the level before it."""
    sizes = {axis: n for axis, n in zip(layer.axes, layer.shape, strict=True) if axis in "zyx"}
    factors: list[dict[str, int]] = []
    factor = 1
    while max(sizes.values()) // factor > _LARGEST_COARSEST:
        factor *= 2
        factors.append({axis: min(factor, 2 ** (n.bit_length() - 1)) for axis, n in sizes.items()})
    return factors


def _move(folder: Path, translation: Sequence[float], version: str) -> None:
    """Move an image that ome-zarr has written: it writes no translation but that between levels."""
    name, document, attributes = _read_document(folder, version)
    for dataset in attributes["multiscales"][0]["datasets"]:
        scale, *rest = dataset["coordinateTransformations"]
        before = rest[0]["translation"] if rest else [0.0] * len(translation)
        moved = [a + b for a, b in zip(before, translation, strict=True)]
        dataset["coordinateTransformations"] = [scale, {"type": "translation", "translation": moved}]
    write_json(folder / name, document)


def _complete_metadata(folder: Path, layer: NgffLayer, version: str, parent: str) -> None:
    """Add what the writers do not know: the channels of an image, or the colors of labels."""
    from napari_ct_pyramid.conversion.receipt import change_receipt

    name, document, attributes = _read_document(folder, version)
    attributes["multiscales"][0]["name"] = layer.name
    if version == "0.6" and not has_systems(attributes["multiscales"][0]):  # ome-zarr has written 0.5
        attributes["version"] = version
        attributes["multiscales"][0] = from_0_5(attributes["multiscales"][0])
    if layer.is_labels:
        source = {"source": {"image": parent}} if parent else {}
        attributes["image-label"] = {"version": version, **layer.image_label, **source}
        attributes.pop("omero", None)
    else:
        omero = attributes.get("omero") or {}
        for channel, found in zip(layer.channels, omero.get("channels") or [], strict=False):
            channel["window"] |= {key: found["window"][key] for key in ("min", "max")}  # the converter knows the limits
        attributes["omero"] = {**omero, "channels": layer.channels}
    write_json(folder / name, document)
    change_receipt(folder, metadata=document if version == "0.4" else document["attributes"])  # of a conversion


def _read_document(folder: Path, version: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The file with an image's metadata: its name, its content, and the part that is of OME-Zarr."""
    name = GROUP_FILES[version]
    document: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return name, document, document if version == "0.4" else document["attributes"]["ome"]


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a file of metadata, in one step."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(value, indent=2), encoding="utf-8")
    part.replace(path)


def folder_names(labels: Sequence[NgffLayer]) -> list[str]:
    """A name of a folder for each, all different."""
    found: list[str] = []
    for layer in labels:
        name = safe = _FORBIDDEN.sub("_", layer.name).strip(" .")[:100] or "labels"
        number = 1
        while name in found:
            number += 1
            name = f"{safe} {number}"
        found.append(name)
    return found
