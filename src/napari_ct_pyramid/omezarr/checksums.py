"""The checksums of the chunks of an output."""

from __future__ import annotations

import math
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, starmap
from typing import Any, NamedTuple

import imagecodecs
import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.blocks import BlockId
from napari_ct_pyramid.model.levels import Level
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import STATE_FOLDER, AnyPath

# That of libdeflate is ten times as fast as that of zlib.
crc32: Callable[[Any], int] = imagecodecs.deflate_crc32 if imagecodecs.DEFLATE.available else zlib.crc32


class Checksum(NamedTuple):
    """What is known of a chunk that was written.

    Attributes
    ----------
    file, voxels : int
        CRC-32 of its compressed bytes, and of its voxels.
    size : int
        Compressed bytes; 0 where an older version of this package wrote the chunk, which did not record it.
    """

    file: int
    voxels: int
    size: int


_PACKED = struct.Struct("<IIQ")


def pack(checksums: Iterable[Checksum]) -> bytes:
    """Checksums as bytes, one after another."""
    return b"".join(starmap(_PACKED.pack, checksums))


class Checksums:
    """The checksums of the chunks of all levels, 16 bytes each. Several threads may use them at once.

    Parameters
    ----------
    plan : Plan
    blocks : mapping of BlockId to bytes
        The packed checksums of the chunks of blocks that are done, in the order of `Plan.chunks_of`.

    Raises
    ------
    ValueError
        If a block is not one of the plan, or has another number of chunks.
    """

    def __init__(self, plan: Plan, blocks: Mapping[BlockId, bytes] | None = None) -> None:
        self._table = _Table(plan.levels)
        self._values = np.zeros((self._table.chunks, _PACKED.size), "u1")
        self._known = np.zeros(self._table.chunks, bool)
        self._lock = threading.Lock()
        for block, packed in (blocks or {}).items():
            chunks = list(plan.chunks_of(block))
            if len(packed) != len(chunks) * _PACKED.size:
                raise ValueError(f"block {block} has {len(packed):,} bytes of checksums for {len(chunks):,} chunks")
            for chunk, checksum in zip(chunks, _PACKED.iter_unpack(packed), strict=True):
                self.put(*chunk, Checksum(*checksum))

    def put(self, level: int, index: Triple, checksum: Checksum) -> None:
        """Set the checksum of a chunk."""
        place = self._table.place(level, index)
        with self._lock:
            self._values[place] = np.frombuffer(_PACKED.pack(*checksum), "u1")
            self._known[place] = True

    def packed(self, plan: Plan, block: BlockId) -> bytes:
        """The packed checksums of the chunks of a block, all of which are known."""
        found = (self.get(*chunk) for chunk in plan.chunks_of(block))
        return pack(checksum for checksum in found if checksum)

    def get(self, level: int, index: Triple) -> Checksum | None:
        """The checksum of a chunk; None where it is not known."""
        place = self._table.place(level, index)
        with self._lock:
            return Checksum(*_PACKED.unpack(self._values[place].tobytes())) if self._known[place] else None


class _Table:
    """Gives each chunk of all levels a number."""

    def __init__(self, levels: Sequence[Level]) -> None:
        self._grids = [
            tuple(math.ceil(n / c) for n, c in zip(level.shape, level.chunks, strict=True)) for level in levels
        ]
        *self._starts, self.chunks = accumulate((level.chunk_count for level in levels), initial=0)

    def place(self, level: int, index: Triple) -> int:
        _, rows, columns = self._grids[level]
        return self._starts[level] + (index[0] * rows + index[1]) * columns + index[2]


OLD_FILE = f"{STATE_FOLDER}/checksums"
"""Where version 0.1.0 wrote the checksums of all chunks: two CRC-32 for each. Now the journal holds them."""

_OLD = struct.Struct("<II")


def read_old_checksums(output: AnyPath, plan: Plan) -> Checksums:
    """The checksums in an output of version 0.1.0.

    Raises
    ------
    SourceError
        If there are none that can be read.
    """
    try:
        data = storage_of(output / OLD_FILE).read()
    except OSError as error:
        raise SourceError(f"{output / OLD_FILE} cannot be read: {error.strerror or error}.") from error
    checksums = Checksums(plan)
    chunks = [
        (number, index)
        for number, level in enumerate(plan.levels)
        for index in np.ndindex(*(math.ceil(n / c) for n, c in zip(level.shape, level.chunks, strict=True)))
    ]
    if len(data) != len(chunks) * _OLD.size:
        raise SourceError(f"{output / OLD_FILE} is damaged: it does not have the right size.")
    for (level, (z, y, x)), (file, voxels) in zip(chunks, _OLD.iter_unpack(data), strict=True):
        checksums.put(level, (z, y, x), Checksum(file, voxels, 0))
    return checksums
