"""One zarr array on disk, v2 or v3, read a box at a time. It knows nothing of images, axes or levels.

tensorstore reads it, several chunks at a time, and remembers what it decoded. Only thin boxes
of Blosc chunks are read by ourselves: see `blosc.py`.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .blosc import read_range
from .errors import SourceError
from .lazy import Box

# Decoded chunks that are kept, over all arrays. What a screen shows of a volume cut along y or x is
# about 90 chunks of 128 x 128 x 128 float32, 0.75 GB: with less, scrolling would decode all of them at every step.
CACHE_BYTES = 1_000_000_000

# Files read at a time. tensorstore reads ahead of the decoding; this bounds what waits (32 by default, and
# twice the memory), and is enough to hide the latency of a disk.
_FILES_AT_ONCE = 4

# Boxes at most this thick, as a part of a chunk, are decoded in part.
_THIN = 0.25


class ZarrArray:
    """A zarr array on disk.

    Parameters
    ----------
    path : Path
        The array's folder, holding ``.zarray`` or ``zarr.json``.

    Raises
    ------
    SourceError
        If there is no array, or nothing here can read it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...]

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata = _array_metadata(path)
        self._store, self._read_store = _open(path, self.metadata)
        self.shape = tuple(int(n) for n in self._store.shape)
        dtype = self._store.dtype
        self.dtype = np.dtype(getattr(dtype, "numpy_dtype", dtype))
        layout = getattr(self._store, "chunk_layout", None)
        self.chunks = tuple(int(n) for n in (layout.read_chunk.shape if layout else self._store.chunks))

    @property
    def compression(self) -> str:
        """For people: ``"blosc lz4, level 1, bitshuffle"``, or ``"none"``."""
        return _describe_codecs(_codecs(self.metadata)) or "none"

    def read(self, box: Box) -> np.ndarray:
        """The voxels in `box`: each chunk is read once, chunks that are not there are the fill value.

        Parameters
        ----------
        box : tuple of slice
            One an axis, start and stop within `shape`, step at least 1.

        Raises
        ------
        SourceError
            If a chunk cannot be read or decoded.
        """
        try:
            if self._thin_chunks and self._is_thin(box):
                voxels = self._read_thin(tuple(slice(s.start, s.stop, 1) for s in box))
                return voxels[tuple(slice(None, None, s.step) for s in box)]
            return self._read_store(box)
        except (ValueError, RuntimeError, OSError) as error:
            raise SourceError(f"{self.path} cannot be read: {_first_line(error)}") from error

    def _is_thin(self, box: Box) -> bool:
        axis = _slowest_axis(self.chunks)
        return bool(box[axis].stop - box[axis].start <= self.chunks[axis] * _THIN)

    @cached_property
    def _thin_chunks(self) -> _BloscChunks | None:
        """How chunks lie on disk, where they are plain Blosc."""
        meta = self.metadata
        if meta["zarr_format"] == 2:
            if [codec.get("id") for codec in _codecs(meta)] != ["blosc"] or meta.get("order", "C") != "C":
                return None
            return _BloscChunks(np.dtype(meta["dtype"]), "", meta.get("dimension_separator", "."))
        codecs, key = _codecs(meta), meta["chunk_key_encoding"]
        if [codec["name"] for codec in codecs] != ["bytes", "blosc"]:
            return None
        endian = codecs[0].get("configuration", {}).get("endian", "little")
        separator = key.get("configuration", {}).get("separator", "/" if key["name"] == "default" else ".")
        prefix = "c" + separator if key["name"] == "default" else ""
        return _BloscChunks(self.dtype.newbyteorder("<" if endian == "little" else ">"), prefix, separator)

    def _read_thin(self, box: Box) -> np.ndarray:
        chunks = self._thin_chunks
        assert chunks is not None
        fill = getattr(self._store, "fill_value", None)
        out = np.empty([s.stop - s.start for s in box], self.dtype)
        axis = _slowest_axis(self.chunks)
        plane = math.prod(self.chunks[axis + 1 :])

        def read(index: tuple[int, ...]) -> None:
            origin = [i * c for i, c in zip(index, self.chunks, strict=True)]
            # This chunk's part of the box, counted from the array's, the chunk's and the box's beginning.
            part = [
                slice(max(s.start, o), min(s.stop, o + c)) for s, o, c in zip(box, origin, self.chunks, strict=True)
            ]
            inside = [slice(p.start - o, p.stop - o) for p, o in zip(part, origin, strict=True)]
            target = tuple(slice(p.start - s.start, p.stop - s.start) for p, s in zip(part, box, strict=True))
            first, last = inside[axis].start, inside[axis].stop
            itemsize = chunks.dtype.itemsize * plane
            data = read_range(self.path / chunks.key(index), first * itemsize, last * itemsize)
            if data is None:
                out[target] = 0 if fill is None else fill
                return
            planes = np.frombuffer(data, chunks.dtype).reshape((1,) * axis + (last - first, *self.chunks[axis + 1 :]))
            inside[axis] = slice(None)
            out[target] = planes[tuple(inside)]

        touched = [range(s.start // c, (s.stop - 1) // c + 1) for s, c in zip(box, self.chunks, strict=True)]
        indices = list(itertools.product(*touched))

        def read_some(first: int) -> None:
            for index in indices[first::_FILES_AT_ONCE]:
                read(index)

        for _ in _threads().map(read_some, range(_FILES_AT_ONCE)):
            pass  # raises what was raised
        return out


class _BloscChunks:
    """How the chunks of an array lie on disk when each is a file with one Blosc frame."""

    def __init__(self, dtype: np.dtype, prefix: str, separator: str) -> None:
        self.dtype = dtype
        self._prefix, self._separator = prefix, separator

    def key(self, index: tuple[int, ...]) -> str:
        return self._prefix + self._separator.join(map(str, index))


def _slowest_axis(chunks: tuple[int, ...]) -> int:
    """The axis along which a chunk's voxels lie furthest apart."""
    return next((axis for axis, size in enumerate(chunks) if size > 1), len(chunks) - 1)


def _array_metadata(path: Path) -> dict[str, Any]:
    for name in (".zarray", "zarr.json"):
        try:
            metadata = json.loads((path / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            raise SourceError(f"{path / name} cannot be read: {_first_line(error)}") from error
        if isinstance(metadata, dict) and (name == ".zarray" or metadata.get("node_type") == "array"):
            return metadata
    raise SourceError(f"{path} is no zarr array: it holds neither .zarray nor a zarr.json of an array.")


def _codecs(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    if metadata["zarr_format"] == 2:
        return [codec for codec in (*(metadata.get("filters") or ()), metadata.get("compressor")) if codec]
    return list(metadata["codecs"])


def _describe_codecs(codecs: list[dict[str, Any]]) -> str:
    # "bytes" only says in which order the bytes of a number are.
    return "; ".join(_describe_codec(codec) for codec in codecs if codec.get("name") != "bytes")


def _describe_codec(codec: dict[str, Any]) -> str:
    name = codec.get("id") or codec["name"]
    settings = codec if "id" in codec else codec.get("configuration", {})
    if name == "blosc":
        shuffle = {0: "noshuffle", 1: "shuffle", 2: "bitshuffle"}.get(settings["shuffle"], settings["shuffle"])
        return f"blosc {settings['cname']}, level {settings['clevel']}, {shuffle}"
    if name == "sharding_indexed":
        return "shards" + (f", {inner}" if (inner := _describe_codecs(settings["codecs"])) else "")
    level = settings.get("level")
    return name if level is None else f"{name}, level {level}"


def _open(path: Path, metadata: dict[str, Any]) -> tuple[Any, Callable[[Box], np.ndarray]]:
    """The opened array and how to read a box of it: with tensorstore, or zarr-python for what only that knows."""
    import tensorstore as ts

    try:
        # By default tensorstore asks the file whether a chunk it remembers is still the same, so that an array being
        # written, or written anew, shows as it is. It costs microseconds a chunk.
        store = ts.open(
            {
                "driver": "zarr" if metadata["zarr_format"] == 2 else "zarr3",
                "kvstore": {"driver": "file", "path": str(path) + "/"},
            },
            read=True,
            open=True,
            context=_context(),
        ).result()
        return store, lambda box: store[box].read().result()
    except (ValueError, NotImplementedError) as error:
        reason = _first_line(error)
    import zarr

    try:
        array: Any = zarr.open_array(path, mode="r")
    except Exception as error:  # zarr-python raises what its many codecs raise
        raise SourceError(f"{path} cannot be read: {reason}; {_first_line(error)}") from error
    return array, lambda box: np.asarray(array[box])


@cache
def _context() -> Any:
    import tensorstore as ts

    return ts.Context(
        {"cache_pool": {"total_bytes_limit": CACHE_BYTES}, "file_io_concurrency": {"limit": _FILES_AT_ONCE}}
    )


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_FILES_AT_ONCE, "ct-pyramid-read")


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
