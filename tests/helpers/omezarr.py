"""OME-Zarr images that zarr-python writes, without this package."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Blosc


def flat_indices(shape: Sequence[int], dtype: str = "float32") -> np.ndarray:
    """Voxels whose values are their positions in the flat array. float32 holds them exactly up to 16 million."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def halve(array: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """The first of every two voxels along some axes, so that each value still gives its position in level 0."""
    return array[tuple(slice(None, None, 2) if axis in axes else slice(None) for axis in range(array.ndim))]


def pyramid_of(array: np.ndarray, levels: int, axes: Sequence[int] | None = None) -> list[np.ndarray]:
    """The array and its halves, along all axes or some."""
    found = [array]
    while len(found) < levels:
        found.append(halve(found[-1], range(array.ndim) if axes is None else axes))
    return found


def write_image(
    path: Path,
    levels: Sequence[np.ndarray],
    *,
    version: str = "0.4",
    axes: str = "zyx",
    unit: str | None = "micrometer",
    voxel_size: float = 1.0,
    chunks: tuple[int, ...] | None = None,
    shards: tuple[int, ...] | None = None,
    compressor: Any = "default",
    separator: str = "/",
    order: str = "C",
    multiscales: dict[str, Any] | None = None,
    omero: dict[str, Any] | None = None,
) -> Path:
    """An image in NGFF 0.4, 0.5 or 0.6, with scale and translation for voxels that are means of 2 x 2 x 2.

    `multiscales` replaces entries of that name.
    """
    zarr_format = 2 if version == "0.4" else 3
    types = {"t": "time", "c": "channel"}
    image: dict[str, Any] = {
        "name": "volume",
        "axes": [
            {"name": name, "type": types.get(name, "space")} | ({"unit": unit} if unit and name not in "tc" else {})
            for name in axes
        ],
        "datasets": [],
    }
    zarr.open_group(path, mode="w", zarr_format=zarr_format)
    for number, level in enumerate(levels):
        options: dict[str, Any] = {}
        if zarr_format == 2:
            options["chunk_key_encoding"] = {"name": "v2", "separator": separator}
            options["order"] = order
            if compressor == "default":
                options["compressors"] = Blosc("lz4", 1, Blosc.BITSHUFFLE)
            else:
                options["compressors"] = compressor
        else:
            options["shards"] = shards
            if compressor != "default":
                options["compressors"] = compressor
        array = zarr.create_array(
            path / str(number),
            shape=level.shape,
            chunks=chunks or tuple(min(8, n) for n in level.shape),
            dtype=level.dtype,
            zarr_format=zarr_format,  # type: ignore[arg-type]
            fill_value=0,
            **options,
        )
        array[...] = level
        factors = [a / b for a, b in zip(levels[0].shape, level.shape, strict=True)]
        scale = [voxel_size * round(f) for f in factors]
        image["datasets"].append(
            {
                "path": str(number),
                "coordinateTransformations": [
                    {"type": "scale", "scale": scale},
                    {"type": "translation", "translation": [(s - voxel_size) / 2 for s in scale]},
                ],
            }
        )
    if version == "0.6":
        image["coordinateSystems"] = [{"name": "physical", "axes": image.pop("axes")}]
        for dataset in image["datasets"]:
            ends = {"input": {"path": dataset["path"]}, "output": {"name": "physical"}}
            parts = dataset["coordinateTransformations"]
            dataset["coordinateTransformations"] = [{"type": "sequence", "transformations": parts, **ends}]
    attributes: dict[str, Any] = {"multiscales": [image | (multiscales or {})]}
    if omero:
        attributes["omero"] = omero
    if version == "0.4":
        attributes["multiscales"][0]["version"] = version
        write_json(path / ".zattrs", attributes)
    else:
        attributes["version"] = version
        write_json(path / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {"ome": attributes}})
    return path


def write_unfinished(path: Path, source: str = "scan.tif") -> Path:
    """An output like that of an interrupted conversion."""
    write_image(path, [np.zeros((4, 4, 4), "u1")])
    (path / ".zattrs").unlink()
    (path / ".ct-pyramid").mkdir()
    write_json(path / ".ct-pyramid" / "journal.jsonl", {"identity": {"source": source}, "blocks": 12})
    return path


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
