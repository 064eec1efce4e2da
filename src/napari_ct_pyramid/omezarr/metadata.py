"""The metadata of an OME-Zarr, written and read: the group and image (NGFF), and its arrays (Zarr v2 and v3)."""

from __future__ import annotations

import errno
import itertools
import math
import os
import stat
from collections.abc import Hashable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.levels import Level, place_in_shard
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.volume import Box, touched
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import AnyPath

from .coordinate_systems import from_0_5
from .json_file import read_json
from .kind import GROUP_FILES


def group_metadata(version: str, attributes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name and the content of the file with the group's attributes, which make the group a finished volume.

    Parameters
    ----------
    version : str
        Version of OME-Zarr.
    attributes : dict
        The attributes of the group.
    """
    if version == "0.4":
        return GROUP_FILES[version], attributes
    return GROUP_FILES[version], {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def array_metadata(plan: Plan) -> dict[str, dict[str, Any]]:
    """The names and contents of the metadata files of all arrays, and of the one that marks a Zarr v2 group."""
    compressor = plan.options.compressor
    if plan.options.ome_zarr_version == "0.4":
        arrays = {f"{level.path}/.zarray": _array_v2(level, compressor) for level in plan.levels}
        return {".zgroup": {"zarr_format": 2}, **arrays}
    return {f"{level.path}/zarr.json": _array_v3(level, compressor) for level in plan.levels}


def folder_of_chunks(level: Level, version: str) -> str:
    """The folder with the chunks of a level, relative to the group."""
    return level.path if version == "0.4" else f"{level.path}/c"


def file_key(level: Level, version: str, index: tuple[int, ...]) -> str:
    """The file of a chunk or shard, relative to the group; with fewer than three indices, a folder of them."""
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


def make_attributes(plan: Plan, *, name: str, version: str, window: dict[str, float]) -> dict[str, Any]:
    """The group's attributes: multiscales and omero metadata.

    Specification: https://ngff.openmicroscopy.org/0.4/#multiscale-md, and 0.5 and 0.6

    Parameters
    ----------
    plan : Plan
        Gives the levels, how each was made from the one before, the voxel size and the unit.
    name : str
        Name of the image.
    version : str
        Version of this package.
    window : dict
        min, max, start and end of the display window.
    """
    channel = {"label": plan.volume.channel or name, "color": plan.volume.color or "FFFFFF"}
    # Written by hand, and validated by ome-zarr-models in `verify`: to import that library takes 0.5 to 1 s, in which
    # 0.5 GB are converted.
    image = {
        "version": plan.options.ome_zarr_version,
        "name": name,
        "type": plan.options.method,
        **_geometry(plan),
        "metadata": {
            "method": plan.method,
            "version": version,
            "original_shape": list(plan.volume.shape),
            **({"rescale": plan.meaning.to_json()} if plan.meaning else {}),
            **({"calibration": plan.calibration.to_json()} if plan.calibration else {}),
        },
    }
    old = plan.options.ome_zarr_version == "0.4"
    if plan.volume.is_labels:  # https://ngff.openmicroscopy.org/0.4/#label-md
        shown: dict[str, Any] = {"image-label": {"version": "0.4"} if old else {}}
    else:
        channels = [{**channel, "active": True, "window": window}]
        shown = {"omero": {"channels": channels, "rdefs": {"model": "greyscale"}}}
    if old:
        return {"multiscales": [image], **shown}
    return {"ome": {"version": image.pop("version"), "multiscales": [image], **shown}}


def _geometry(plan: Plan) -> dict[str, Any]:
    """The axes, and the place of each level on them."""
    unit = {"unit": plan.unit} if plan.unit else {}
    axes = [{"name": axis, "type": "space", **unit} for axis in "zyx"]
    places: dict[str, list[dict[str, Any]]] = {
        level.path: [
            {"type": "scale", "scale": list(level.voxel_size)},
            {"type": "translation", "translation": list(level.translation)},
        ]
        for level in plan.levels
    }
    datasets = [{"path": path, "coordinateTransformations": parts} for path, parts in places.items()]
    image = {"axes": axes, "datasets": datasets}
    return image if plan.options.ome_zarr_version in ("0.4", "0.5") else from_0_5(image)


def read_array_metadata(path: AnyPath, *, likely: str = ".zarray") -> dict[str, Any]:
    """The metadata of an array, from ``.zarray`` or ``zarr.json``. It looks for the `likely` one first."""
    for name in sorted((".zarray", "zarr.json"), key=lambda name: name != likely):
        metadata = read_json(path / name)
        if metadata is not None and (name == ".zarray" or metadata.get("node_type") == "array"):
            return metadata
    raise SourceError(f"{path} is not a Zarr array: it has neither a .zarray nor a zarr.json of an array.")


def dtype_in_frames(metadata: dict[str, Any], dtype: np.dtype) -> np.dtype | None:
    """The dtype of the stored voxels, if each chunk is a Blosc frame of voxels in C order; None otherwise."""
    codecs = codecs_of(metadata)
    sharding = _sharding(metadata)
    if sharding:
        codecs = sharding["codecs"]
        index_codecs = [codec["name"] for codec in sharding.get("index_codecs", ())]
        if index_codecs != ["bytes", "crc32c"] or sharding.get("index_location", "end") != "end":
            return None
    if metadata["zarr_format"] == 2:
        plain = [codec.get("id") for codec in codecs] == ["blosc"] and metadata.get("order", "C") == "C"
        return np.dtype(metadata["dtype"]) if plain else None
    if [codec["name"] for codec in codecs] != ["bytes", "blosc"]:
        return None
    endian = codecs[0].get("configuration", {}).get("endian", "little")
    return dtype.newbyteorder("<" if endian == "little" else ">")


def _sharding(metadata: dict[str, Any]) -> dict[str, Any] | None:
    """The configuration of an array's shards; None if it has none."""
    codecs = codecs_of(metadata)
    if len(codecs) != 1 or codecs[0].get("name") != "sharding_indexed":
        return None
    settings: dict[str, Any] = codecs[0]["configuration"]
    return settings


def codecs_of(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """The codecs of an array's chunks, in the order in which they are applied when a chunk is written."""
    if metadata["zarr_format"] == 2:
        return [codec for codec in (*(metadata.get("filters") or ()), metadata.get("compressor")) if codec]
    return list(metadata["codecs"])


def describe_codecs(codecs: list[dict[str, Any]]) -> str:
    """Codecs, for people; empty if nothing is compressed."""
    # The codec "bytes" only sets the byte order.
    return "; ".join(_describe_codec(codec) for codec in codecs if codec.get("name") != "bytes")


def _describe_codec(codec: dict[str, Any]) -> str:
    name = codec.get("id") or codec["name"]
    settings = codec if "id" in codec else codec.get("configuration", {})
    if name == "blosc":
        shuffle = {0: "noshuffle", 1: "shuffle", 2: "bitshuffle"}.get(settings["shuffle"], settings["shuffle"])
        return f"blosc {settings['cname']}, level {settings['clevel']}, {shuffle}"
    if name == "sharding_indexed":
        return "shards" + (f", {inner}" if (inner := describe_codecs(settings["codecs"])) else "")
    level = settings.get("level")
    return name if level is None else f"{name}, level {level}"


class ChunkLocator:
    """Finds the files of an array's chunks. Each chunk is a file, or many are together in a shard."""

    def __init__(self, path: AnyPath, metadata: dict[str, Any]) -> None:
        self._path = path
        self._separator: str
        self._sharded = False
        if metadata["zarr_format"] == 2:
            self._shape, self._prefix = tuple(metadata["chunks"]), ""
            self._separator = metadata.get("dimension_separator", ".")
            self._in_shard = (1,) * len(self._shape)
            self._grid = self._files_along(metadata["shape"])
            self._check_separator()
            return
        self._shape = tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"])
        encoding = metadata["chunk_key_encoding"]
        is_default = encoding["name"] == "default"
        self._separator = encoding.get("configuration", {}).get("separator", "/" if is_default else ".")
        self._check_separator()
        self._prefix = "c" + self._separator if is_default else ""
        sharding = _sharding(metadata)
        chunks = sharding["chunk_shape"] if sharding else self._shape
        self._in_shard = tuple(s // c for s, c in zip(self._shape, chunks, strict=True))
        self._sharded = sharding is not None
        self._grid = self._files_along(metadata["shape"])

    def _check_separator(self) -> None:
        if self._separator not in (".", "/"):
            raise ValueError(f"{self._path} has chunks whose numbers are separated by {self._separator!r}")

    def _files_along(self, shape: Sequence[int]) -> tuple[int, ...]:
        return tuple(math.ceil(n / c) for n, c in zip(shape, self._shape, strict=True))

    def has_file(self, key: str) -> bool:
        """Whether a file is one of the array's chunks or shards. `key` is its path relative to the array."""
        numbers = key.removeprefix(self._prefix).split(self._separator)
        return (
            key.startswith(self._prefix)
            and len(numbers) == len(self._grid)
            and all(
                n.isascii() and n.isdigit() and str(int(n)) == n and int(n) < size
                for n, size in zip(numbers, self._grid, strict=True)
            )
        )

    def is_above_files(self, key: str) -> bool:
        """Whether files of chunks or shards would be below a file with this path."""
        return any(self.has_file(key + "/0" * more) for more in range(1, len(self._grid) + 1))

    def index(self, key: str) -> tuple[int, ...]:
        """The index of a file, for which `has_file` is true."""
        return tuple(map(int, key.removeprefix(self._prefix).split(self._separator)))

    @property
    def slots(self) -> int:
        """The number of places for chunks in a file."""
        return math.prod(self._in_shard)

    @property
    def shape(self) -> tuple[int, ...]:
        """The voxels of a file along each axis."""
        return self._shape

    @property
    def grid(self) -> tuple[int, ...]:
        """The number of files along each axis."""
        return self._grid

    def indices(self) -> Iterator[tuple[int, ...]]:
        """The index of every file: of a chunk, or of a shard if the array has shards."""
        return itertools.product(*map(range, self._grid))

    def key(self, index: tuple[int, ...]) -> str:
        """The path of a file relative to the array, from its index."""
        return self._prefix + self._separator.join(map(str, index))

    def path(self, index: tuple[int, ...]) -> AnyPath:
        """The file that a chunk is in."""
        return self._file(place_in_shard(index, self._in_shard)[0])

    def slot(self, index: tuple[int, ...]) -> tuple[int, int] | None:
        """The number of slots in the shard of a chunk, and the chunk's own slot; None if the array has no shards."""
        if not self._sharded:
            return None
        return math.prod(self._in_shard), place_in_shard(index, self._in_shard)[1]

    def paths(self, box: Box) -> Iterator[AnyPath]:
        """The files that hold voxels of a box."""
        return (self._file(index) for index in touched(box, self._shape))

    def check_ordinary(self, box: Box) -> None:
        """Make sure that on a disk no file with voxels of a box is a pipe or a device: a library would wait for it.

        Raises
        ------
        OSError
            If one is. It is not opened.
        """
        if isinstance(self._path, Path):
            for path in self.paths(box):
                with suppress(FileNotFoundError, NotADirectoryError):
                    mode = os.stat(str(path)).st_mode  # noqa: PTH116  # Path.stat takes longer
                    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                        raise OSError(errno.EINVAL, "it is not an ordinary file", str(path))

    def _file(self, number: tuple[int, ...]) -> AnyPath:
        return self._path / self.key(number)

    def state(self, box: Box) -> Hashable:
        """A value that changes when a file changes that holds voxels of a box.

        Always None in an object store, where each file would take a request.
        """
        if storage_of(self._path).is_remote:
            return storage_of(self._path).version()
        return tuple(storage_of(path).version() for path in self.paths(box))


def first_line(error: BaseException) -> str:
    """The first line of an error's message. Some libraries add more lines, about their own code."""
    return str(error).strip().split("\n")[0] or type(error).__name__
