"""How an OME-Zarr is laid out in its folder: where its chunks are, and the metadata files of its arrays.

Version 0.4 is Zarr v2, version 0.5 is Zarr v3: https://zarr-specs.readthedocs.io/en/latest/specs.html. Until the
group's own metadata is there, nobody takes it for a finished volume.
"""

from __future__ import annotations

from typing import Any

from .levels import Level
from .paths import AnyPath
from .plan import Plan

_GROUP_FILES = {"0.4": ".zattrs", "0.5": "zarr.json"}


def is_published(output: AnyPath) -> bool:
    """Whether the group has the metadata that makes it a finished volume."""
    return any((output / name).exists() for name in _GROUP_FILES.values())


def unpublish(output: AnyPath) -> None:
    """Take the metadata away that makes it a finished volume."""
    for name in _GROUP_FILES.values():
        (output / name).unlink(missing_ok=True)


def group_metadata(version: str, attributes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The file that makes the group a finished volume, and what it says.

    Parameters
    ----------
    version : str
        Of OME-Zarr.
    attributes : dict
        The group's.
    """
    if version == "0.4":
        return _GROUP_FILES[version], attributes
    return _GROUP_FILES[version], {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def array_metadata(plan: Plan) -> dict[str, dict[str, Any]]:
    """The files that say what each array holds, and that it is in a group."""
    compressor = plan.options.compressor
    if plan.options.ome_zarr_version == "0.4":
        arrays = {f"{level.path}/.zarray": _array_v2(level, compressor) for level in plan.levels}
        return {".zgroup": {"zarr_format": 2}, **arrays}
    return {f"{level.path}/zarr.json": _array_v3(level, compressor) for level in plan.levels}


def folder_of_chunks(level: Level, version: str) -> str:
    """Of a level, in the group."""
    return level.path if version == "0.4" else f"{level.path}/c"


def file_key(level: Level, version: str, index: tuple[int, ...]) -> str:
    """The file of a chunk or shard in the group; with fewer than three indices, a folder of them."""
    return "/".join((folder_of_chunks(level, version), *map(str, index)))


def _array_v2(level: Level, compressor: str) -> dict[str, Any]:
    blosc = {"id": "blosc", "cname": compressor, "clevel": 1, "shuffle": 2, "blocksize": 0}
    return {
        "zarr_format": 2,
        "shape": list(level.shape),
        "chunks": list(level.chunks),
        "dtype": level.dtype.str,
        "compressor": None if compressor == "none" else blosc,
        "fill_value": 0,
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
    }


def _array_v3(level: Level, compressor: str) -> dict[str, Any]:
    dtype = level.dtype
    bytes_: dict[str, Any] = {"name": "bytes"}
    if dtype.itemsize > 1:
        bytes_["configuration"] = {"endian": "little"}
    codecs: list[dict[str, Any]] = [bytes_]
    if compressor != "none":
        settings = {"cname": compressor, "clevel": 1, "shuffle": "bitshuffle", "blocksize": 0}
        codecs.append({"name": "blosc", "configuration": {"typesize": dtype.itemsize, **settings}})
    if level.shards:
        index_codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
        codecs = [
            {
                "name": "sharding_indexed",
                "configuration": {
                    "chunk_shape": list(level.chunks),
                    "codecs": codecs,
                    "index_codecs": index_codecs,
                    "index_location": "end",
                },
            }
        ]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(level.shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(level.shards or level.chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0.0 if dtype.kind == "f" else 0,
        "codecs": codecs,
        "attributes": {},
        "dimension_names": ["z", "y", "x"],
    }
