"""The OME-Zarr on disk: its arrays, their chunks, and last of all the metadata that makes it whole.

Until `OmeZarrWriter.publish` the group has no multiscales metadata, so nobody takes it for a finished volume.

Chunks are written here, and not by a zarr library, because the memory budget is a promise: what libraries
allocate and free for every chunk stays with the process in amounts that nobody can foresee.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import imagecodecs
import numpy as np

from napari_ct_pyramid.errors import ConversionError
from napari_ct_pyramid.model.memory import page_buffer
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import ConversionOptions, Triple
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import AnyPath
from napari_ct_pyramid.storage.store_access import PART_BYTES

from .codec import ChunkReader, encoded_bytes, key_of
from .journal import Checksum
from .metadata import array_metadata, file_key, folder_of_chunks, group_metadata
from .shards import ShardWriter

_WRITERS = 4  # that write to the disk at once: enough to keep it busy
_CARRIER_BYTES = 75_000_000  # the libraries that reach an object store, measured,
_COPIES = 2  # and how often they hold what goes there, or comes from there
_SAMPLE_CHUNKS = 64  # of the coarsest level, spread evenly
_SAMPLE_VOXELS = 65_536  # of each of them, at most


class OmeZarrWriter:
    """An OME-Zarr being written. Chunks are read and written by several threads at once.

    Parameters
    ----------
    path : path
        A folder, empty or with what an interrupted conversion of the same plan left there.
    plan : Plan
        Its levels, dtype and compressor.

    Raises
    ------
    ConversionError
        From every method, if the disk says no.
    """

    def __init__(self, path: AnyPath, plan: Plan) -> None:
        self.path = path
        self._levels = plan.levels
        self._version = plan.options.ome_zarr_version
        self.chunks = ChunkReader(path, plan)
        self._writers = ThreadPoolExecutor(_WRITERS, "ct-pyramid-write")
        # Whoever wants to compress a chunk waits here for the disk.
        self._buffers: SimpleQueue[memoryview] = SimpleQueue()
        for _ in range(plan.chunk_buffers):
            self._buffers.put(
                page_buffer(encoded_bytes(math.prod(plan.levels[0].chunks) * plan.levels[0].dtype.itemsize))
            )
        self._shards = ShardWriter(self.chunks.file, plan.levels)
        self._given_up: BaseException | None = None  # why nothing more is written
        self._plan = plan

    def begin(self) -> None:
        """Make its arrays, which have no chunks yet, unless they are there."""
        with self._explained("its metadata could not be written"):
            for key, metadata in array_metadata(self._plan).items():
                (self.path / key).parent.mkdir(exist_ok=True)
                storage_of(self.path / key).replace(_to_json(metadata))
            for level in self._levels:
                (self.path / folder_of_chunks(level, self._version)).mkdir(exist_ok=True)

    def begin_chunk(self, level: int, index: Triple) -> ChunkWrite:
        """Begin to write a chunk; waits for the disk where too many are on their way there.

        In a shard, chunks follow one another as they were begun. Each must be written, or cancelled.

        Parameters
        ----------
        level : int
        index : tuple of int
            Of the chunk in the level's grid, along z, y, x.
        """
        buffer = self._buffers.get()
        if self._levels[level].shards:
            self._shards.begin(level, index)
        return ChunkWrite(self, level, index, buffer)

    def _encode_and_write(self, level: int, index: Triple, buffer: memoryview, voxels: np.ndarray) -> Future[Checksum]:
        done: Future[Checksum] = Future()
        try:
            with self._explained(f"chunk {key_of(level, index)} could not be compressed"):
                size, checksum = self.chunks.own_codec().encode(voxels, buffer)
        except BaseException:
            self._cancel(level, index, buffer)
            raise

        def start(offset: int | None) -> None:
            if offset is None:
                self._buffers.put(buffer)
                done.set_exception(ConversionError(f"chunk {key_of(level, index)} was given up"))
            else:
                self._writers.submit(self._write, done, level, index, buffer, size, offset, checksum)

        if self._levels[level].shards:
            self._shards.put(level, index, size, start)
        else:
            start(0)
        return done

    def _cancel(self, level: int, index: Triple, buffer: memoryview) -> None:
        self._buffers.put(buffer)
        if self._levels[level].shards:
            self._shards.cancel(level, index)

    def read_chunk(self, level: int, index: Triple) -> np.ndarray:
        """The voxels (z, y, x) of a chunk that was written, without what lies beyond the level's edges.

        They are in this thread's own buffer: use them before this thread's next chunk.
        """
        with self._explained(f"chunk {key_of(level, index)} could not be read"):
            return self.chunks.read(level, index)[0]

    def sample_coarsest(self) -> np.ndarray:
        """Voxels from all over the coarsest level, once it is written; none that padding has a part in."""
        level = self._levels[-1]
        shape = tuple(n // r or 1 for n, r in zip(self._plan.volume.shape, level.reduction, strict=True))
        grid = list(np.ndindex(*(math.ceil(n / c) for n, c in zip(shape, level.chunks, strict=True))))
        samples = [np.zeros(0, level.dtype)]
        for index in grid[:: math.ceil(len(grid) / _SAMPLE_CHUNKS)]:
            inside = tuple(slice(n - i * c) for n, i, c in zip(shape, index, level.chunks, strict=True))
            voxels = self.read_chunk(len(self._levels) - 1, index)[inside].ravel()
            samples.append(voxels[:: math.ceil(voxels.size / _SAMPLE_VOXELS)].copy())
        return np.concatenate(samples)

    def make_safe(self, chunks: Iterable[tuple[int, Triple]]) -> None:
        """Have chunks that were written (level, index) safely on disk, with their names.

        All those of the shards that they are in must have been.
        """
        files: dict[int, set[Triple]] = defaultdict(set)
        for level, index in chunks:
            made = self._levels[level]
            files[level].add(made.place_in_shard(index)[0] if made.shards else index)
        with self._explained("its files could not be made safe"):
            for level, numbers in files.items():
                self._make_safe(level, numbers)

    def missing(self) -> int:
        """Files of chunks that are not there."""
        found = sum(
            name.isdigit()  # systems leave files of their own here and there
            for level in self._levels
            for name in storage_of(self.path / folder_of_chunks(level, self._version)).names_below()
        )
        return sum(level.file_count for level in self._levels) - found

    def publish(self, attributes: dict[str, Any]) -> None:
        """Make the volume whole, in one atomic step: write the group's attributes."""
        with self._explained("its metadata could not be written"):
            name, metadata = group_metadata(self._version, attributes)
            storage_of(self.path / name).replace(_to_json(metadata))

    def abandon(self) -> None:
        """Wait for the disk no longer: what is not yet safely there may never be."""
        self._given_up = self._given_up or ConversionError(f"{self.path.name} was abandoned")

    def close(self) -> None:
        """Let go of every file."""
        self._writers.shutdown()
        self._shards.close()

    def _make_safe(self, level: int, files: set[Triple]) -> None:
        made = self._levels[level]
        if made.shards:
            for number in files:
                storage_of(self.chunks.file(level, number)).sync()
        for folder in sorted({number[:n] for number in files for n in range(3)}, key=len, reverse=True):
            storage_of(self.path / file_key(made, self._version, folder)).sync_folder()

    def _write(
        self,
        done: Future[Checksum],
        level: int,
        index: Triple,
        buffer: memoryview,
        size: int,
        offset: int,
        checksum: Checksum,
    ) -> None:
        try:
            if self._given_up:
                raise self._given_up
            with self._explained(f"chunk {key_of(level, index)} could not be written"):
                self.write_encoded(level, index, buffer, size, offset)
        except BaseException as error:  # noqa: BLE001  handed to whoever waits
            # A store that does not answer would be asked again for each chunk that waits.
            self._given_up = self._given_up or error
            self._buffers.put(buffer)
            done.set_exception(error)
        else:
            self._buffers.put(buffer)
            done.set_result(checksum)

    def write_encoded(self, level: int, index: Triple, buffer: memoryview, size: int, offset: int) -> None:
        """Write a compressed chunk, the first `size` bytes of `buffer`: to its file, or at `offset` of its shard."""
        if self._levels[level].shards:
            self._shards.write(level, index, buffer, size, offset)
            return
        storage = storage_of(self.chunks.file(level, index))
        try:
            storage.write(buffer, size)
        except FileNotFoundError:
            storage.make_folders()
            storage.write(buffer, size)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, imagecodecs.BloscError) as error:
            why = (isinstance(error, OSError) and error.strerror) or error
            raise ConversionError(f"{self.path.name}: {what}: {why}") from error


class ChunkWrite:
    """A chunk that is to be written."""

    def __init__(self, store: OmeZarrWriter, level: int, index: Triple, buffer: memoryview) -> None:
        self._store = store
        self._chunk = (level, index, buffer)

    def write(self, voxels: np.ndarray) -> Future[Checksum]:
        """Compress and write it; the future has its checksum when it is written.

        Parameters
        ----------
        voxels : numpy.ndarray
            Shape (z, y, x): the chunk's, or less at the level's far edges.
        """
        return self._store._encode_and_write(*self._chunk, voxels)

    def cancel(self) -> None:
        """Write it never."""
        self._store._cancel(*self._chunk)


def bytes_in_transit(
    output: AnyPath | None, options: ConversionOptions, volume: Volume, source: Iterable[AnyPath] = ()
) -> int:
    """What carries chunks, or parts of shards, to an object store and from there holds so many bytes, at most.

    Parameters
    ----------
    output : path or None
    options : ConversionOptions
    volume : Volume
    source : iterable of path
        Its files.
    """
    carried = []
    if output is not None and storage_of(output).is_remote:
        chunk = math.prod(options.chunks) * np.dtype(options.dtype or volume.dtype).itemsize
        carried += [max(chunk, PART_BYTES) if options.shards else chunk] * _WRITERS + [chunk] * options.thread_count
    if any(storage_of(path).is_remote for path in source):
        carried += [math.prod(volume.granularity) * volume.dtype.itemsize] * options.thread_count
    return _CARRIER_BYTES + _COPIES * sum(carried) if carried else 0


def _to_json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2).encode()
