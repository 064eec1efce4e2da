"""Writes an OME-Zarr: its arrays, their chunks, and at the end the metadata that make it a finished volume.

Until `OmeZarrWriter.publish` the group has no multiscales metadata, so no program takes it for a finished volume.

Chunks are written here and not by a Zarr library, to keep to the memory budget: libraries allocate and free memory for
every chunk, and the process keeps an unpredictable part of it.
"""

from __future__ import annotations

import errno
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
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
from napari_ct_pyramid.storage.lease import Lease
from napari_ct_pyramid.storage.paths import AnyPath
from napari_ct_pyramid.storage.store_access import PART_BYTES

from .checksums import Checksum, Checksums
from .codec import ChunkReader, chunk_name, encoded_bytes
from .metadata import array_metadata, file_key, folder_of_chunks, group_metadata
from .shards import ShardWriter

_WRITERS = 4  # threads that write at once: enough to keep the disk busy
_STORE_LIBRARIES_BYTES = 60_000_000  # memory of the libraries that access an object store, measured
_COPIES = 2  # that these libraries hold of the data that they send or receive


class OmeZarrWriter:
    """An OME-Zarr that is being written. Several threads may read and write chunks at once.

    Parameters
    ----------
    path : path
        A folder that is empty, or holds the unfinished output of the same plan.
    plan : Plan
        Gives the levels, dtype and compressor.
    checksums : Checksums
        Of the chunks that were written before: what is read back must be as it was written.
    lease : Lease
        Under which chunks are written.

    Raises
    ------
    ConversionError
        From every method, if the disk or the store fails.
    """

    def __init__(self, path: AnyPath, plan: Plan, checksums: Checksums, lease: Lease) -> None:
        self.path = path
        self._lease = lease
        self._checksums = checksums
        self._levels = plan.levels
        self._version = plan.options.ome_zarr_version
        self.chunks = ChunkReader(path, plan)
        self._writers = ThreadPoolExecutor(_WRITERS, "ct-pyramid-write")
        # A thread that begins a chunk waits for one of these buffers, which are free again when a chunk is on disk.
        self._buffers: SimpleQueue[memoryview] = SimpleQueue()
        for _ in range(plan.chunk_buffers):
            self._buffers.put(
                page_buffer(encoded_bytes(math.prod(plan.levels[0].chunks) * plan.levels[0].dtype.itemsize))
            )
        self._shards = ShardWriter(self.chunks.file, plan.levels, lease)
        self._given_up: BaseException | None = None  # why nothing more is written
        self._plan = plan

    def begin(self) -> None:
        """Write the metadata of the arrays, and make their folders if they do not exist."""
        with self._explained("its metadata could not be written"):
            for key, metadata in array_metadata(self._plan).items():
                self._make_folder((self.path / key).parent)
                storage_of(self.path / key).replace(_to_json(metadata))
            for level in self._levels:
                folder = self.path / folder_of_chunks(level, self._version)
                self._make_folder(folder)
                storage_of(folder.parent).sync_folder()
            storage_of(self.path).sync_folder()

    def _make_folder(self, path: AnyPath) -> None:
        if path != self.path and isinstance(path, Path) and path.is_symlink():
            raise OSError(errno.EINVAL, f"{path} is a link, and chunks are not written through links")
        path.mkdir(exist_ok=True)

    def begin_chunk(self, level: int, index: Triple) -> ChunkWrite:
        """Begin to write a chunk. Waits while too many chunks are being written.

        Chunks are in a shard in the order in which they were begun. Each must be written or cancelled.

        Parameters
        ----------
        level : int
        index : tuple of int
            Index of the chunk in the level, along z, y, x.
        """
        buffer = self._buffers.get()
        if self._levels[level].shards:
            self._shards.begin(level, index)
        return ChunkWrite(self, level, index, buffer)

    def _encode_and_write(self, level: int, index: Triple, buffer: memoryview, voxels: np.ndarray) -> Future[Checksum]:
        done: Future[Checksum] = Future()
        try:
            with self._explained(f"chunk {chunk_name(level, index)} could not be compressed"):
                size, checksum = self.chunks.own_codec().encode(voxels, buffer)
        except BaseException:
            self._cancel(level, index, buffer)
            raise

        def start(offset: int | None) -> None:
            if offset is None:
                self._buffers.put(buffer)
                done.set_exception(ConversionError(f"chunk {chunk_name(level, index)} was given up"))
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
        """The voxels (z, y, x) of a chunk that was written, cut at the level's edges.

        They are in a buffer of this thread, which its next chunk overwrites.

        Raises
        ------
        LostChunkError
            If it cannot be read, or is not as it was written.
        """
        try:
            return self.chunks.read_checked(level, index, self._checksums.get(level, index))[0]
        except (OSError, ValueError, imagecodecs.BloscError) as error:
            why = (isinstance(error, OSError) and error.strerror) or error
            message = f"{self.path.name}: chunk {chunk_name(level, index)} could not be read back: {why}"
            raise LostChunkError(message, level, index) from error

    def make_safe(self, chunks: Iterable[tuple[int, Triple]]) -> None:
        """Wait until chunks that were written, and the names of their files, are safely on disk.

        If the level has shards, all chunks of these shards must be written.

        Parameters
        ----------
        chunks : iterable of (int, tuple of int)
            Level and index of each chunk.
        """
        files: dict[int, set[Triple]] = defaultdict(set)
        for level, index in chunks:
            array = self._levels[level]
            files[level].add(array.place_in_shard(index)[0] if array.shards else index)
        with self._explained("its files could not be made safe"):
            for level, numbers in files.items():
                self._make_safe(level, numbers)

    def publish(self, attributes: dict[str, Any]) -> int:
        """Make the volume a finished one, in one atomic step: write the group's attributes. Returns their bytes."""
        name, metadata = group_metadata(self._version, attributes)
        data = _to_json(metadata)
        with self._explained("its metadata could not be written"):
            storage_of(self.path / name).replace(data)
        return len(data)

    def abandon(self) -> None:
        """Write no more chunks: those that wait for the disk or the store fail."""
        self._given_up = self._given_up or ConversionError(f"{self.path.name} was abandoned")

    def close(self) -> None:
        """Wait until nothing is being written, and close all files."""
        self._writers.shutdown()
        self._shards.close()

    def _make_safe(self, level: int, files: set[Triple]) -> None:
        array = self._levels[level]
        if array.shards:
            for number in files:
                storage_of(self.chunks.file(level, number)).sync()
        for folder in sorted({number[:n] for number in files for n in range(3)}, key=len, reverse=True):
            storage_of(self.path / file_key(array, self._version, folder)).sync_folder()

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
            with self._explained(f"chunk {chunk_name(level, index)} could not be written"):
                self.write_encoded(level, index, buffer, size, offset)
        except BaseException as error:  # noqa: BLE001  the thread that waits for the future gets it
            # Otherwise each waiting chunk would be sent to a store that does not answer, until its time limit.
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
        storage_of(self.chunks.file(level, index)).write(buffer, size, self._lease)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, imagecodecs.BloscError) as error:
            why = (isinstance(error, OSError) and error.strerror) or error
            raise ConversionError(f"{self.path.name}: {what}: {why}") from error


class LostChunkError(ConversionError):
    """A chunk that was written cannot be read back.

    Attributes
    ----------
    level : int
    index : tuple of int
    """

    def __init__(self, message: str, level: int, index: Triple) -> None:
        super().__init__(message)
        self.args = (message, level, index)  # with which it is made again in another process
        self.level = level
        self.index = index


class ChunkWrite:
    """A chunk that was begun. Call `write` or `cancel`, once."""

    def __init__(self, store: OmeZarrWriter, level: int, index: Triple, buffer: memoryview) -> None:
        self._store = store
        self._chunk = (level, index, buffer)

    def write(self, voxels: np.ndarray) -> Future[Checksum]:
        """Compress the chunk, and write it in the background. The future gets its checksum when it is written.

        Parameters
        ----------
        voxels : numpy.ndarray
            Shape (z, y, x), as large as the chunk, or smaller at the level's edges.
        """
        return self._store._encode_and_write(*self._chunk, voxels)

    def cancel(self) -> None:
        """Do not write the chunk after all."""
        self._store._cancel(*self._chunk)


def bytes_in_transit(
    output: AnyPath | None, options: ConversionOptions, volume: Volume, source: Iterable[AnyPath] = ()
) -> int:
    """The most memory, in bytes, that the libraries which access an object store hold; 0 if everything is on disks.

    Parameters
    ----------
    output : path or None
    options : ConversionOptions
    volume : Volume
    source : iterable of path
        The files of the source.
    """
    transfers = []  # bytes of each transfer that may run at the same time
    if output is not None and storage_of(output).is_remote:
        chunk = math.prod(options.chunks) * np.dtype(options.dtype or volume.dtype).itemsize
        transfers += [max(chunk, PART_BYTES) if options.shards else chunk] * _WRITERS + [chunk] * options.thread_count
    if any(storage_of(path).is_remote for path in source):
        transfers += [math.prod(volume.granularity) * volume.dtype.itemsize] * options.thread_count
    return _STORE_LIBRARIES_BYTES + _COPIES * sum(transfers) if transfers else 0


def _to_json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2).encode()
