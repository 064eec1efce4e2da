"""The index at the end of a shard: where in the file each of its chunks is.

https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html: for each chunk, in C order of
z, y, x, its offset and its size in bytes, little-endian; all ones where there is none; then their CRC-32C.
"""

from __future__ import annotations

import struct
from io import FileIO
from typing import NamedTuple

import numpy as np

_CHECKSUM = struct.Struct("<I")


class Place(NamedTuple):
    """Of a chunk in a file, in bytes."""

    offset: int
    size: int


NOWHERE = Place(2**64 - 1, 2**64 - 1)


def index_bytes(slots: int) -> int:
    """Size of the index of a shard for so many chunks."""
    return 16 * slots + _CHECKSUM.size


def write_index(places: list[Place]) -> bytes:
    """The index of these chunks, `NOWHERE` where there is none."""
    from google_crc32c import value

    data = np.array(places, "<u8").tobytes()
    return data + _CHECKSUM.pack(value(data))


def read_place(file: FileIO, slots: int, slot: int) -> Place | None:
    """Where a chunk is in a shard; None if it is nowhere.

    Raises
    ------
    ValueError
        If the file ends with no whole index.
    """
    from google_crc32c import value

    begin = file.seek(0, 2) - index_bytes(slots)
    if begin < 0:
        raise ValueError(f"{file.name!s} is too short to be a shard")
    file.seek(begin)
    index = file.read(index_bytes(slots))
    if _CHECKSUM.unpack(index[-_CHECKSUM.size :])[0] != value(index[: -_CHECKSUM.size]):
        raise ValueError(f"the index of the shard {file.name!s} is damaged")
    place = Place(*(int(n) for n in np.frombuffer(index, "<u8", 2, 16 * slot)))
    if place == NOWHERE:
        return None
    if place.offset + place.size > begin:
        raise ValueError(f"the index of the shard {file.name!s} is damaged")
    return place
