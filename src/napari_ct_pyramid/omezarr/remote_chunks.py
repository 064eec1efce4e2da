"""Reads boxes of voxels of an array in an object store or a zip archive with few requests.

Chunks are fetched as a whole. The index of a shard is fetched once, and kept; neighbouring chunks of a shard are
fetched together. Only for arrays whose chunks are Blosc frames of voxels in C order.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import numpy as np

from napari_ct_pyramid.model.volume import Box, overlap, touched
from napari_ct_pyramid.storage.remote_path import RemotePath

from .metadata import ChunkLocator
from .shards import Place, index_bytes, parse_index

_REQUESTS_AT_ONCE = 16
_GAP = 256_000  # bytes between two chunks that are fetched together
_LARGEST = 16_000_000  # bytes that are fetched together

Index = tuple[int, ...]


class _Fetch(NamedTuple):
    """Chunks to fetch with one request: the file, the place of each in it, or None for the whole file."""

    path: RemotePath
    chunks: list[tuple[Index, Place | None]]


class RemoteChunks:
    """The chunks of an array. Several threads may read.

    Parameters
    ----------
    locator : ChunkLocator
    chunks : tuple of int
        Shape of a chunk.
    dtype : numpy.dtype
        Of the voxels in the frames.
    """

    def __init__(self, locator: ChunkLocator, chunks: tuple[int, ...], dtype: np.dtype) -> None:
        self._locator = locator
        self._chunks = chunks
        self._dtype = dtype
        self._indices: dict[str, list[Place | None] | None] = {}
        self._lock = threading.Lock()

    def read(self, box: Box, out: np.ndarray) -> None:
        """Read the voxels in a box. What has no chunk stays as it is in `out`.

        Raises
        ------
        OSError, ValueError
            If a chunk cannot be read or decoded.
        """
        try:
            self._read(box, out)
        except (ValueError, RuntimeError):
            with self._lock:
                if not self._indices:
                    raise
                self._indices.clear()  # the shards may have been written again
            self._read(box, out)

    def _read(self, box: Box, out: np.ndarray) -> None:
        def fetch(task: _Fetch) -> None:
            for index, data in _fetched(task):
                inside, target = overlap(box, index, self._chunks)
                out[target] = self._decode(data, str(task.path))[inside]

        for _ in _threads().map(fetch, self._fetches(box)):
            pass  # raises the error of a thread

    def _fetches(self, box: Box) -> Iterator[_Fetch]:
        """All requests for the chunks in a box."""
        of_file: dict[RemotePath, list[tuple[Index, int]]] = {}
        for index in touched(box, self._chunks):
            path, slot = self._locator.path(index), self._locator.slot(index)
            assert isinstance(path, RemotePath)
            if slot is None:
                yield _Fetch(path, [(index, None)])
            else:
                of_file.setdefault(path, []).append((index, slot[1]))
        slots = self._locator.slots
        for (path, wanted), places in zip(
            of_file.items(), _threads().map(lambda path: self._index(path, slots), of_file), strict=True
        ):
            found = [(index, places[slot]) for index, slot in wanted] if places else []
            yield from _grouped(path, [(index, place) for index, place in found if place])

    def _index(self, path: RemotePath, slots: int) -> list[Place | None] | None:
        """Where the chunks of a shard are; None if there is no such shard."""
        with self._lock:
            if path.url in self._indices:
                return self._indices[path.url]
        try:
            found = parse_index(path.read_end(index_bytes(slots)), str(path))
        except FileNotFoundError:
            found = None
        with self._lock:
            self._indices[path.url] = found
        return found

    def _decode(self, data: bytes, name: str) -> np.ndarray:
        from numcodecs import blosc

        try:
            voxels = np.frombuffer(blosc.decompress(data), self._dtype)
        except (RuntimeError, struct.error) as error:
            raise ValueError(f"{name} is damaged") from error
        return voxels.reshape(self._chunks)


def _grouped(path: RemotePath, found: list[tuple[Index, Place]]) -> Iterator[_Fetch]:
    """Chunks that are near each other in a file, together."""
    group: list[tuple[Index, Place | None]] = []
    begin = end = 0
    for index, place in sorted(found, key=lambda one: one[1]):
        if group and (place.offset > end + _GAP or place.offset + place.size - begin > _LARGEST):
            yield _Fetch(path, group)
            group = []
        if not group:
            begin = place.offset
        group.append((index, place))
        end = place.offset + place.size
    if group:
        yield _Fetch(path, group)


def _fetched(task: _Fetch) -> Iterator[tuple[Index, bytes]]:
    """The chunks of one request; none if there is no such file."""
    places = [place for _, place in task.chunks if place]
    try:
        if not places:
            yield task.chunks[0][0], task.path.read_bytes()
            return
        begin = min(place.offset for place in places)
        data = task.path.read_range(begin, max(place.offset + place.size for place in places))
    except FileNotFoundError:
        return
    for (index, _), place in zip(task.chunks, places, strict=True):
        yield index, data[place.offset - begin : place.offset - begin + place.size]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_REQUESTS_AT_ONCE, "ct-pyramid-fetch")
