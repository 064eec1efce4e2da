"""The index at the end of a shard: where in the file each of its chunks is.

https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html: for each chunk, in C order of
z, y, x, its offset and its size in bytes, little-endian; all ones where there is none; then their CRC-32C.
"""

from __future__ import annotations

import itertools
import os
import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from .files import open_file
from .paths import OpenFile, any_path
from .remote import RemoteFile

_CHECKSUM = struct.Struct("<I")
_PLACE = struct.Struct("<2Q")


class Place(NamedTuple):
    """Of a chunk in a file, in bytes."""

    offset: int
    size: int


NOWHERE = Place(2**64 - 1, 2**64 - 1)


def place_in_shard(index: Iterable[int], grid: Iterable[int]) -> tuple[tuple[int, ...], int]:
    """The shard that a chunk is in, and the chunk's number there, where shards hold a `grid` of chunks."""
    shard, slot = [], 0
    for i, n in zip(index, grid, strict=True):
        shard.append(i // n)
        slot = slot * n + i % n
    return tuple(shard), slot


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
    with open_file(any_path(path)) as file:
        file.seek(state[-1] - size)
        index = file.read(size)
    if len(index) < size or _CHECKSUM.unpack(index[-_CHECKSUM.size :])[0] != value(index[: -_CHECKSUM.size]):
        raise _damaged(path)
    return index


def _damaged(path: str) -> ValueError:
    return ValueError(f"the index of the shard {path} is damaged")
