"""Shards: the index at the end of each, and shards that are being written."""

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
from napari_ct_pyramid.storage.paths import AnyPath, OpenFile, any_path
from napari_ct_pyramid.storage.remote_path import RemoteFile

_CHECKSUM = struct.Struct("<I")
_PLACE = struct.Struct("<2Q")


class Place(NamedTuple):
    """Of a chunk in a file, in bytes."""

    offset: int
    size: int


NOWHERE = Place(2**64 - 1, 2**64 - 1)


def index_bytes(slots: int) -> int:
    """Size of the index of a shard for so many chunks."""
    return _PLACE.size * slots + _CHECKSUM.size


def write_index(places: list[Place]) -> bytes:
    """The index of these chunks, `NOWHERE` where there is none."""
    from google_crc32c import value

    data = struct.pack(f"<{2 * len(places)}Q", *itertools.chain.from_iterable(places))
    return data + _CHECKSUM.pack(value(data))


def read_place(file: OpenFile, slots: int, slot: int) -> Place | None:
    """Where a chunk is in a shard; None if it is nowhere.

    Raises
    ------
    ValueError
        If the file ends with no whole index.
    """
    status = file.status() if isinstance(file, RemoteFile) else os.fstat(file.fileno())
    index = _read_index(str(file.name), (status.st_ino, status.st_mtime_ns, status.st_size), slots)
    place = Place(*_PLACE.unpack_from(index, _PLACE.size * slot))
    if place == NOWHERE:
        return None
    if place.offset + place.size > status.st_size - len(index):
        raise _damaged(str(file.name))
    return place


# A slice of a volume needs many chunks of a few shards.
@lru_cache(maxsize=16)
def _read_index(path: str, state: tuple[int | str, int, int], slots: int) -> bytes:
    """The index of a shard, as the file is in this state."""
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


_LARGE_CHUNK = 1_000_000  # bytes: such chunks begin at a page, so that they can be written past the system's cache


Start = Callable[[int | None], None]
"""Begins to write a chunk at an offset of its shard's file; None: it is given up."""


class ShardWriter:
    """The shards of an output that are being written.

    Parameters
    ----------
    path : callable
        Gives the file of a shard, from its level and its index (z, y, x).
    levels : sequence of Level
        With shards.
    """

    def __init__(self, path: Callable[[int, Triple], AnyPath], levels: tuple[Level, ...]) -> None:
        self._path = path
        self._levels = levels
        self._chunk_bytes = math.prod(levels[0].chunks) * levels[0].dtype.itemsize
        self._own_pages = self._chunk_bytes >= _LARGE_CHUNK
        self._shards: dict[tuple[int, Triple], _OpenShard] = {}

    def begin(self, level: int, index: Triple) -> None:
        """Give a chunk the next place in its shard. To be called by one thread."""
        made = self._levels[level]
        number, slot = made.place_in_shard(index)
        shard = self._shards.get((level, number))
        if shard is None:
            chunks = made.chunks_in_shard(number)
            shard = _OpenShard(
                self._path(level, number), made.chunks_per_shard, chunks, chunks * pages(self._chunk_bytes)
            )
            self._shards[level, number] = shard
        shard.order.append(slot)

    def put(self, level: int, index: Triple, size: int, start: Start) -> None:
        """Say that a chunk takes `size` bytes; `start` is called once it is known where, for it or later for others."""
        shard, slot = self._find(level, index)
        shard.put(slot, pages(size) if self._own_pages else size, size, start)

    def cancel(self, level: int, index: Triple) -> None:
        """Give up a chunk, and with it all those of its shard that come after."""
        self._find(level, index)[0].cancel()

    def write(self, level: int, index: Triple, buffer: memoryview, size: int, offset: int) -> None:
        """Write a chunk, the first `size` bytes of a `page_buffer`, to where it was told."""
        shard, _ = self._find(level, index)
        if shard.write(buffer, size, offset, own_pages=self._own_pages):
            del self._shards[level, self._levels[level].place_in_shard(index)[0]]

    def close(self) -> None:
        """Let go of those that are not complete."""
        for shard in self._shards.values():
            shard.close()

    def _find(self, level: int, index: Triple) -> tuple[_OpenShard, int]:
        number, slot = self._levels[level].place_in_shard(index)
        return self._shards[level, number], slot


class _OpenShard:
    def __init__(self, path: AnyPath, slots: int, chunks: int, size: int) -> None:
        self._path = path
        self._size = size
        self._file: PartFile | None = None
        self._places = [NOWHERE] * slots
        self._missing = chunks
        self._end = 0
        self._waiting: dict[int, tuple[int, int, Start]] = {}
        self._given_up = False
        self._lock = threading.Lock()
        self.order: deque[int] = deque()

    def put(self, slot: int, room: int, size: int, start: Start) -> None:
        ready: list[tuple[Start, int | None]] = []
        with self._lock:
            self._waiting[slot] = (room, size, start)
            while not self._given_up and self.order and self.order[0] in self._waiting:
                slot = self.order.popleft()
                room, size, start = self._waiting.pop(slot)
                self._places[slot] = Place(self._end, size)
                ready.append((start, self._end))
                self._end += room
        for start, offset in ready:
            start(offset)
        if self._given_up:
            self.cancel()

    def cancel(self) -> None:
        with self._lock:
            self._given_up = True
            waiting, self._waiting = self._waiting, {}
        for _, _, start in waiting.values():
            start(None)

    def write(self, buffer: memoryview, size: int, offset: int, *, own_pages: bool) -> bool:
        """Write a chunk; whether it was the last."""
        with self._lock:
            if self._file is None:
                self._file = storage_of(self._path).begin_parts(self._size)
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
