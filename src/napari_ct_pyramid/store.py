"""The OME-Zarr on disk: its arrays, their chunks, and last of all the metadata that makes it whole.

Zarr version 2, dimension separator "/": https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html.
Until `Store.publish` the group has no multiscales metadata, so nobody takes it for a finished volume.

Chunks are written here, and not by a zarr library, because the memory budget is a promise: what libraries
allocate and free for every chunk stays with the process in amounts that nobody can foresee.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import imagecodecs
import numpy as np

from .checksums import Checksum
from .chunkfiles import ChunkFiles, encoded_bytes, key_of
from .errors import ConversionError
from .files import page_buffer, replace_file, sync_folder, write_file
from .levels import Level
from .plan import Plan
from .volume import Triple

METADATA = ".zattrs"
"""What makes a group a finished volume: its attributes."""

_WRITERS = 4  # that write to the disk at once: enough to keep it busy


class Store:
    """An OME-Zarr being written. Chunks are read and written by several threads at once.

    Parameters
    ----------
    path : Path
        A folder, empty or with what an interrupted conversion of the same plan left there.
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
        self.chunks = ChunkFiles(path, plan)
        self._writers = ThreadPoolExecutor(_WRITERS, "ct-pyramid-write")
        # Whoever wants to compress a chunk waits here for the disk.
        self._buffers: SimpleQueue[memoryview] = SimpleQueue()
        for _ in range(plan.chunk_buffers):
            self._buffers.put(page_buffer(encoded_bytes(math.prod(plan.levels[0].chunks) * plan.volume.dtype.itemsize)))
        self._abandoned = False
        with self._explained("its metadata could not be written"):
            for key, metadata in array_metadata(plan).items():
                (path / key).parent.mkdir(exist_ok=True)
                replace_file(path / key, _to_json(metadata))

    def write_chunk(self, level: int, index: Triple, voxels: np.ndarray) -> Future[Checksum]:
        """Compress and write one chunk. The future has its checksum when it is safely on disk.

        Parameters
        ----------
        level : int
        index : tuple of int
            Of the chunk in the level's grid, along z, y, x.
        voxels : numpy.ndarray
            Shape (z, y, x): the chunk's, or less at the level's far edges.
        """
        buffer = self._buffers.get()
        try:
            with self._explained(f"chunk {key_of(level, index)} could not be compressed"):
                size, checksum = self.chunks.own_codec().encode(voxels, buffer)
            return self._writers.submit(self._write, level, index, buffer, size, checksum)
        except BaseException:
            self._buffers.put(buffer)
            raise

    def read_chunk(self, level: int, index: Triple) -> np.ndarray:
        """The voxels (z, y, x) of a chunk that was written, without what lies beyond the level's edges.

        They are in this thread's own buffer: use them before this thread's next chunk.
        """
        with self._explained(f"chunk {key_of(level, index)} could not be read"):
            return self.chunks.read(level, index)[0]

    def sync_folders(self, level: int, places: Iterable[tuple[int, int]]) -> None:
        """Have the names of chunks safely on disk: those of a level with these indices along z and y."""
        folders = {place[:n] for place in places for n in range(3)}
        with self._explained("its folders could not be made safe"):
            for folder in sorted(folders, key=len, reverse=True):
                sync_folder(self.path / key_of(level, folder))

    def missing(self) -> int:
        """Chunks that are not there."""
        found = sum(
            sum(name.isdigit() for name in names)  # systems leave files of their own here and there
            for level in self._levels
            for _, _, names in os.walk(self.path / level.path)
        )
        return sum(level.chunk_count for level in self._levels) - found

    def publish(self, attributes: dict[str, Any]) -> None:
        """Make the volume whole, in one atomic step: write the group's attributes."""
        with self._explained("its metadata could not be written"):
            replace_file(self.path / METADATA, _to_json(attributes))

    def abandon(self) -> None:
        """Wait for the disk no longer: what is not yet safely there may never be."""
        self._abandoned = True

    def close(self) -> None:
        """Let go of every file."""
        self._writers.shutdown()

    def _write(self, level: int, index: Triple, buffer: memoryview, size: int, checksum: Checksum) -> Checksum:
        try:
            with self._explained(f"chunk {key_of(level, index)} could not be written"):
                if self._abandoned:
                    raise ValueError("it was abandoned")
                self._write_file(self.chunks.path(level, index), buffer, size)
        finally:
            self._buffers.put(buffer)
        return checksum

    def _write_file(self, path: Path, buffer: memoryview, size: int) -> None:
        try:
            write_file(path, buffer, size)
        except FileNotFoundError:
            # Not with parents: where the level's own folder is gone, something is badly wrong.
            path.parent.parent.mkdir(exist_ok=True)
            path.parent.mkdir(exist_ok=True)
            write_file(path, buffer, size)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, imagecodecs.BloscError) as error:
            why = (isinstance(error, OSError) and error.strerror) or error
            raise ConversionError(f"{self.path.name}: {what}: {why}") from error


def array_metadata(plan: Plan) -> dict[str, dict[str, Any]]:
    """The files that say what the group's arrays are, and what each holds."""
    arrays = {
        f"{level.path}/.zarray": _array_metadata(level, level.dtype, plan.options.compressor) for level in plan.levels
    }
    return {".zgroup": {"zarr_format": 2}, **arrays}


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


def _to_json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2).encode()
