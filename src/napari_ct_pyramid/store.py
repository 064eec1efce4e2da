"""The OME-Zarr on disk: its arrays, their chunks, and last of all the metadata that makes it whole.

Zarr version 2, dimension separator "/": https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html.
Until `Store.publish` the group has no multiscales metadata, so nobody takes it for a finished volume.

Chunks are compressed and written here, and not by a zarr library, because the memory budget is a promise:
each thread compresses in two buffers of its own, made once. What libraries allocate and free for every
chunk stays with the process in amounts that nobody can foresee.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from .errors import ConversionError
from .levels import Level
from .plan import Plan
from .volume import Triple

UNFINISHED = ".ct-pyramid/unfinished.json"
"""In the group of a conversion that has not finished: says what it is."""

# Files that are written and not yet safely on disk. Enough for the disk to be always busy.
_UNSAFE_FILES = 64
_SYNC_THREADS = 4

_BLOSC_OVERHEAD = 16  # bytes that a frame may be larger than what it holds


class Store:
    """An OME-Zarr being written. Chunks are read and written by several threads at once.

    Parameters
    ----------
    path : Path
        An empty folder.
    plan : Plan
        Its levels, dtype and compressor.

    Raises
    ------
    ConversionError
        From every method, if the disk says no.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path = path
        self._levels = plan.levels
        self._dtype = plan.volume.dtype
        self._compressor = plan.options.compressor
        self._codec = threading.local()
        self._sync_pool = ThreadPoolExecutor(_SYNC_THREADS, "ct-pyramid-sync")
        self._may_write = threading.Semaphore(_UNSAFE_FILES)
        self._abandoned = False
        with self._explained("its metadata could not be written"):
            (path / UNFINISHED).parent.mkdir()
            self._write_json(UNFINISHED, {"source": plan.volume.name, "blocks": plan.blocks})
            self._write_json(".zgroup", {"zarr_format": 2})
            for level in plan.levels:
                (path / level.path).mkdir()
                self._write_json(f"{level.path}/.zarray", _array_metadata(level, self._dtype, self._compressor))

    def write_chunk(self, level: int, index: Triple, voxels: np.ndarray) -> Future[None]:
        """Compress and write one chunk. The future is done when it is safely on disk.

        Parameters
        ----------
        level : int
        index : tuple of int
            Of the chunk in the level's grid, along z, y, x.
        voxels : numpy.ndarray
            Shape (z, y, x): the chunk's, or less at the level's far edges.
        """
        codec = self._own_codec(level)
        encoded = codec.encode(voxels)
        self._may_write.acquire()
        try:
            with self._explained(f"chunk {_key(level, index)} could not be written"):
                file = self._create(level, index)
                _write_all(file, encoded)
            return self._sync_pool.submit(self._make_safe, file, level, index)
        except BaseException:
            self._may_write.release()
            raise

    def read_chunk(self, level: int, index: Triple) -> np.ndarray:
        """The voxels (z, y, x) of a chunk that was written, without what lies beyond the level's edges.

        They are in this thread's own buffer: use them before this thread's next chunk.
        """
        codec = self._own_codec(level)
        what = f"chunk {_key(level, index)} could not be read"
        with self._explained(what), FileIO(self._chunk_path(level, index)) as file:
            voxels = codec.decode(file)
        shape, chunks = self._levels[level].shape, self._levels[level].chunks
        z, y, x = (min(c, n - i * c) for n, c, i in zip(shape, chunks, index, strict=True))
        return voxels[:z, :y, :x]

    def publish(self, attributes: dict[str, Any]) -> None:
        """Make the volume whole, in one atomic step: write the group's attributes."""
        with self._explained("its metadata could not be written"):
            self._write_json(".zattrs", attributes)
            (self.path / UNFINISHED).unlink()
            (self.path / UNFINISHED).parent.rmdir()

    def abandon(self) -> None:
        """Wait for the disk no longer: what is not yet safely there may never be."""
        self._abandoned = True

    def close(self) -> None:
        """Let go of every file."""
        self._sync_pool.shutdown()

    def _own_codec(self, level: int) -> _Codec:
        """This thread's; all levels have chunks of one size."""
        if not hasattr(self._codec, "own"):
            self._codec.own = _Codec(self._levels[level].chunks, self._dtype, self._compressor)
        codec: _Codec = self._codec.own
        return codec

    def _chunk_path(self, level: int, index: Triple) -> Path:
        return self.path / _key(level, index)

    def _create(self, level: int, index: Triple) -> FileIO:
        path = self._chunk_path(level, index)
        try:
            return FileIO(path, "w")
        except FileNotFoundError:
            # Not with parents: where the level's own folder is gone, something is badly wrong.
            path.parent.parent.mkdir(exist_ok=True)
            path.parent.mkdir(exist_ok=True)
            return FileIO(path, "w")

    def _make_safe(self, file: FileIO, level: int, index: Triple) -> None:
        try:
            with self._explained(f"chunk {_key(level, index)} could not be written"), file:
                if not self._abandoned:
                    os.fsync(file.fileno())
        finally:
            self._may_write.release()

    def _write_json(self, key: str, value: dict[str, Any]) -> None:
        """Write a small file that is either there and whole, or not there."""
        path = self.path / key
        new = path.with_name(path.name + ".new")
        with FileIO(new, "w") as file:
            _write_all(file, json.dumps(value, indent=2).encode())
            os.fsync(file.fileno())
        new.replace(path)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, imagecodecs.BloscError) as error:
            why = (isinstance(error, OSError) and error.strerror) or error
            raise ConversionError(f"{self.path.name}: {what}: {why}") from error


def compressed_size(array: np.ndarray, compressor: str) -> int:
    """Bytes that `array` takes as one chunk."""
    return len(_Codec(array.shape, array.dtype, compressor).encode(array))


class _Codec:
    """Compresses chunks of one size in buffers made once."""

    def __init__(self, chunks: tuple[int, ...], dtype: np.dtype, compressor: str) -> None:
        self._voxels = np.empty(chunks, dtype)
        self._encoded = bytearray(0 if compressor == "none" else self._voxels.nbytes + _BLOSC_OVERHEAD)
        self._compressor = compressor

    def encode(self, voxels: np.ndarray) -> memoryview:
        if voxels.shape != self._voxels.shape or not voxels.flags.c_contiguous:
            if voxels.shape != self._voxels.shape:
                self._voxels[...] = 0
            self._voxels[tuple(slice(n) for n in voxels.shape)] = voxels
            voxels = self._voxels
        if self._compressor == "none":
            return memoryview(voxels).cast("B")
        encoded = imagecodecs.blosc_encode(
            voxels,
            level=1,
            compressor=self._compressor,
            shuffle="bitshuffle",
            typesize=voxels.itemsize,
            numthreads=1,
            out=self._encoded,
        )
        return memoryview(encoded)

    def decode(self, file: FileIO) -> np.ndarray:
        voxels = memoryview(self._voxels).cast("B")
        size = file.readinto(self._encoded or voxels)
        if self._encoded:
            imagecodecs.blosc_decode(memoryview(self._encoded)[:size], numthreads=1, out=voxels)
        elif size != len(voxels):
            raise ValueError(f"it has {size} bytes and not {len(voxels)}")
        return self._voxels


def _array_metadata(level: Level, dtype: np.dtype, compressor: str) -> dict[str, Any]:
    blosc = {"id": "blosc", "cname": compressor, "clevel": 1, "shuffle": 2, "blocksize": 0}
    return {
        "zarr_format": 2,
        "shape": list(level.shape),
        "chunks": list(level.chunks),
        "dtype": dtype.str,
        "compressor": None if compressor == "none" else blosc,
        "fill_value": 0,
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
    }


def _key(level: int, index: Triple) -> str:
    return "/".join(map(str, (level, *index)))


def _write_all(file: FileIO, data: bytes | memoryview) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
