"""Shards: reads and writes the index at the end of a shard, and writes chunks into shards."""

from __future__ import annotations

import itertools
import math
import os
import struct
import threading
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from napari_ct_pyramid.model.levels import Level
from napari_ct_pyramid.model.memory import pages
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.storage.base import PartFile
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.lease import Lease
from napari_ct_pyramid.storage.paths import AnyPath, OpenFile, any_path
from napari_ct_pyramid.storage.remote_path import RemoteFile

_CHECKSUM = struct.Struct("<I")
_PLACE = struct.Struct("<2Q")


class Place(NamedTuple):
    """Where a chunk is in a shard's file, in bytes."""

    offset: int
    size: int


NOWHERE = Place(2**64 - 1, 2**64 - 1)
"""Stands in an index for a missing chunk. The specification of Zarr v3 shards defines it."""


def index_bytes(slots: int) -> int:
    """Size of the index of a shard with so many slots."""
    return _PLACE.size * slots + _CHECKSUM.size


def write_index(places: list[Place]) -> bytes:
    """The index of a shard, from the place of the chunk in each slot, `NOWHERE` where there is none."""
    from google_crc32c import value

    data = struct.pack(f"<{2 * len(places)}Q", *itertools.chain.from_iterable(places))
    return data + _CHECKSUM.pack(value(data))


def parse_index(data: bytes, path: str) -> list[Place | None]:
    """Where the chunks of a shard are, from its index; None for those that are missing.

    Raises
    ------
    ValueError
        If it is no complete index.
    """
    from google_crc32c import value

    end = len(data) - _CHECKSUM.size
    if end < 0 or end % _PLACE.size or _CHECKSUM.unpack(data[end:])[0] != value(data[:end]):
        raise _damaged(path)
    places = itertools.starmap(Place, _PLACE.iter_unpack(data[:end]))
    return [None if place == NOWHERE else place for place in places]


def read_place(file: OpenFile, slots: int, slot: int) -> Place | None:
    """Where the chunk of a slot is in a shard with `slots` slots; None if the chunk is missing.

    Raises
    ------
    ValueError
        If the file does not end with a complete index.
    """
    status = file.status() if isinstance(file, RemoteFile) else os.fstat(file.fileno())
    index = _read_index(str(file.name), (status.st_ino, status.st_mtime_ns, status.st_size), slots)
    place = Place(*_PLACE.unpack_from(index, _PLACE.size * slot))
    if place == NOWHERE:
        return None
    if place.offset + place.size > status.st_size - len(index):
        raise _damaged(str(file.name))
    return place


def read_places(path: AnyPath, slots: int) -> dict[int, Place]:
    """Where the chunks of a shard are, by slot; none where its index is damaged."""
    places = {}
    try:
        with storage_of(path).open() as file:
            for slot in range(slots):
                place = read_place(file, slots, slot)
                if place:
                    places[slot] = place
    except (OSError, ValueError):
        return {}
    return places


# To read a slice of a volume, many chunks of a few shards are read.
@lru_cache(maxsize=16)
def _read_index(path: str, state: tuple[int | str, int, int], slots: int) -> bytes:
    """The index of a shard whose file is in this state (inode, modification time, size)."""
    from google_crc32c import value

    size = index_bytes(slots)
    if state[-1] < size:
        raise ValueError(f"{path} is too short to be a shard")
    with storage_of(any_path(path)).open() as file:
        file.seek(state[-1] - size)
        index = file.read(size)
    if len(index) < size or _CHECKSUM.unpack(index[-_CHECKSUM.size :])[0] != value(index[: -_CHECKSUM.size]):
        raise _damaged(path)
    return index


def _damaged(path: str) -> ValueError:
    return ValueError(f"the index of the shard {path} is damaged")


_LARGE_CHUNK = 1_000_000  # bytes; a chunk of this size begins at a page, so that it can bypass the page cache


Start = Callable[[int | None], None]
"""Begins to write a chunk at this offset of its shard's file; None if the chunk was cancelled."""


class ShardWriter:
    """Writes the shards of an output.

    Chunks lie in a shard in the order in which they were begun. The offset of a chunk is known when all chunks before
    it are compressed.

    Parameters
    ----------
    path : callable
        Gives the file of a shard, from its level and its index (z, y, x).
    levels : tuple of Level
    lease : Lease
        Under which shards are written.
    """

    def __init__(self, path: Callable[[int, Triple], AnyPath], levels: tuple[Level, ...], lease: Lease) -> None:
        self._lease = lease
        self._path = path
        self._levels = levels
        self._chunk_bytes = math.prod(levels[0].chunks) * levels[0].dtype.itemsize
        self._own_pages = self._chunk_bytes >= _LARGE_CHUNK
        self._shards: dict[tuple[int, Triple], _OpenShard] = {}

    def begin(self, level: int, index: Triple) -> None:
        """Give a chunk the next place in its shard. Only one thread may call this."""
        array = self._levels[level]
        number, slot = array.place_in_shard(index)
        shard = self._shards.get((level, number))
        if shard is None:
            chunks = array.chunks_in_shard(number)
            shard = _OpenShard(
                self._path(level, number),
                array.chunks_per_shard,
                chunks,
                chunks * pages(self._chunk_bytes),
                self._lease,
            )
            self._shards[level, number] = shard
        shard.order.append(slot)

    def put(self, level: int, index: Triple, size: int, start: Start) -> None:
        """Set the size of a chunk in bytes. `start` is called with the chunk's offset once that is known."""
        shard, slot = self._find(level, index)
        shard.put(slot, pages(size) if self._own_pages else size, size, start)

    def cancel(self, level: int, index: Triple) -> None:
        """Cancel a chunk, and all later chunks of its shard, whose offsets are then never known."""
        self._find(level, index)[0].cancel()

    def write(self, level: int, index: Triple, buffer: memoryview, size: int, offset: int) -> None:
        """Write a chunk, the first `size` bytes of a `page_buffer`, at the offset that `start` got."""
        shard, _ = self._find(level, index)
        if shard.write(buffer, size, offset, own_pages=self._own_pages):
            del self._shards[level, self._levels[level].place_in_shard(index)[0]]

    def close(self) -> None:
        """Close the shards that are not complete."""
        for shard in self._shards.values():
            shard.close()

    def _find(self, level: int, index: Triple) -> tuple[_OpenShard, int]:
        number, slot = self._levels[level].place_in_shard(index)
        return self._shards[level, number], slot


class _OpenShard:
    def __init__(self, path: AnyPath, slots: int, chunks: int, size: int, lease: Lease) -> None:
        self._path = path
        self._lease = lease
        self._size = size
        self._file: PartFile | None = None
        self._places = [NOWHERE] * slots
        self._missing = chunks
        self._end = 0
        self._waiting: dict[int, tuple[int, int, Start]] = {}
        self._cancelled = False
        self._lock = threading.Lock()
        self.order: deque[int] = deque()

    def put(self, slot: int, space: int, size: int, start: Start) -> None:
        """Set the size of a chunk, and the `space` that it takes in the file, in bytes."""
        ready: list[tuple[Start, int | None]] = []
        with self._lock:
            self._waiting[slot] = (space, size, start)
            while not self._cancelled and self.order and self.order[0] in self._waiting:
                slot = self.order.popleft()
                space, size, start = self._waiting.pop(slot)
                self._places[slot] = Place(self._end, size)
                ready.append((start, self._end))
                self._end += space
        for start, offset in ready:
            start(offset)
        if self._cancelled:
            self.cancel()

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            waiting, self._waiting = self._waiting, {}
        for _, _, start in waiting.values():
            start(None)

    def write(self, buffer: memoryview, size: int, offset: int, *, own_pages: bool) -> bool:
        """Write a chunk. Returns whether it was the last one of the shard."""
        with self._lock:
            if self._file is None:
                self._file = storage_of(self._path).begin_parts(self._size, self._lease)
        self._file.write(buffer, size, offset, own_pages=own_pages)
        with self._lock:
            self._missing -= 1
            if self._missing:
                return False
        self._file.finish(self._end, write_index(self._places))
        self._file.close()
        return True

    def close(self) -> None:
        if self._file:
            self._file.close()
