"""Checksums of every chunk of an output, in a file inside it.

Two CRC-32, little-endian, for each chunk: of the file as it was written, and of the voxels before they were
compressed. Levels follow one another, chunks are in C order of z, y, x.
"""

from __future__ import annotations

import math
import struct
import threading
import zlib
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import imagecodecs

from .journal import FOLDER
from .levels import Level
from .paths import AnyPath
from .statefiles import open_state
from .volume import Triple

CHECKSUMS = f"{FOLDER}/checksums"

_PAIR = struct.Struct("<II")

# libdeflate's is ten times as fast as zlib's.
crc32: Callable[[Any], int] = imagecodecs.deflate_crc32 if imagecodecs.DEFLATE.available else zlib.crc32


class Checksum(NamedTuple):
    """Of a chunk."""

    file: int
    voxels: int


class Checksums:
    """The checksums of an output. Several threads may read them at once.

    Parameters
    ----------
    output : path
    levels : sequence of Level
    write : bool
        Make the file if there is none of the right size.
    """

    def __init__(self, output: AnyPath, levels: Sequence[Level], *, write: bool = False) -> None:
        self._grids = [
            tuple(math.ceil(n / c) for n, c in zip(level.shape, level.chunks, strict=True)) for level in levels
        ]
        self._starts = list(accumulate((level.chunk_count for level in levels), initial=0))
        self._lock = threading.Lock()
        there = checksums_are_there(output, levels)
        self._file = open_state(output / CHECKSUMS, _size(levels) if write else None, fresh=write and not there)

    def put(self, level: int, index: Triple, checksum: Checksum) -> None:
        """Write down a chunk's."""
        with self._lock:
            self._file.write(self._place(level, index), _PAIR.pack(*checksum))

    def get(self, level: int, index: Triple) -> Checksum:
        """A chunk's, as written down."""
        with self._lock:
            return Checksum(*_PAIR.unpack(self._file.read(self._place(level, index), _PAIR.size)))

    def sync(self) -> None:
        """Have all that was put safely on disk."""
        self._file.sync()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _place(self, level: int, index: Triple) -> int:
        _, rows, columns = self._grids[level]
        number = (index[0] * rows + index[1]) * columns + index[2]
        return (self._starts[level] + number) * _PAIR.size


def checksums_are_there(output: AnyPath, levels: Sequence[Level]) -> bool:
    """Whether an output has a file of checksums, of the right size."""
    path = output / CHECKSUMS
    return path.is_file() and path.stat().st_size == _size(levels)


def _size(levels: Sequence[Level]) -> int:
    return sum(level.chunk_count for level in levels) * _PAIR.size
