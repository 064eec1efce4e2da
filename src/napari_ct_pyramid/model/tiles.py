"""How a volume is cut into tiles that threads read and work on one after another, within the memory budget.

Where the budget allows, tiles begin and end between the strips, tiles or chunks of the source, so that each is decoded
once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from napari_ct_pyramid.errors import Advice, BudgetError
from napari_ct_pyramid.options import Triple

from .formatting import format_size
from .volume import Box, Volume

_TILE_BYTES = 8_000_000  # worth the work of a thread
_TEMPORARY_BYTES = 16_000_000  # of each thread: what decoders and NumPy take, and the allocator keeps


@dataclass(frozen=True)
class Tiles:
    """The tiles of a volume.

    Attributes
    ----------
    shape : tuple of int
        Of the volume, along z, y, x.
    tile : tuple of int
        Voxels of a tile, at most.
    start : tuple of int
        Position of the volume's first voxel within its tile.
    threads : int
    memory : int
        Bytes that all threads take together.
    """

    shape: Triple
    tile: Triple
    start: Triple
    threads: int
    memory: int

    def __len__(self) -> int:
        return math.prod(len(edges) - 1 for edges in self._edges())

    def __iter__(self) -> Iterator[Box]:
        cuts = [[slice(a, b) for a, b in itertools.pairwise(edges)] for edges in self._edges()]
        return itertools.product(*cuts)

    def _edges(self) -> list[list[int]]:
        return [
            [0, *range(tile - start % tile, size, tile), size]
            for size, tile, start in zip(self.shape, self.tile, self.start, strict=True)
        ]


def make_tiles(
    volume: Volume,
    *,
    threads: int,
    max_memory: int,
    process_memory: int,
    copies: float = 1.0,
    halo: Triple = (0, 0, 0),
) -> Tiles:
    """Cut a volume so that it is worked on within a budget, with as many of the threads as possible.

    Parameters
    ----------
    volume : Volume
    threads : int
    max_memory : int
        The budget, in bytes.
    process_memory : int
        Resident memory of the process without buffers, in bytes.
    copies : float
        Bytes that a thread takes, for each byte of a tile.
    halo : tuple of int
        Voxels around a tile that are read with it.

    Raises
    ------
    BudgetError
        If the budget is too small.
    """
    best: Tiles | None = None
    smallest = math.inf
    for tile in _choices(volume, halo):
        each = _thread_bytes(volume, tile, copies, halo)
        smallest = min(smallest, process_memory + each)
        possible = min(threads, (max_memory - process_memory) // each)
        if possible > (best.threads if best else 0):
            best = Tiles(volume.shape, tile, volume.granularity_start, possible, possible * each)
    if best is None:
        raise too_small(max_memory, smallest, process_memory)
    return best


def too_small(max_memory: int, smallest: float, process_memory: int) -> BudgetError:
    """The error for a budget that is below the smallest one that works, in bytes."""
    text = f"{math.ceil(smallest / 1e6)} MB"
    return BudgetError(
        f"A budget of {format_size(max_memory)} is too small for this volume: the smallest that works is {text} (",
        Advice("max_memory", text.replace(" ", "")),
        ").",
        smallest=math.ceil(smallest / 1e6) * 1_000_000,
        process=process_memory,
    )


def _choices(volume: Volume, halo: Triple) -> Iterator[Triple]:
    """Tiles, from the fastest to the one with the least memory."""
    grain = [min(g, n) for g, n in zip(volume.granularity, volume.shape, strict=True)]
    tile = list(grain)
    for axis in (2, 1, 0):
        least = 4 * halo[axis]  # so that most of what is read is not halo
        while tile[axis] < volume.shape[axis] and (
            math.prod(tile) * volume.dtype.itemsize < _TILE_BYTES or tile[axis] < least
        ):
            tile[axis] = min(2 * tile[axis], volume.shape[axis])
    yield tile[0], tile[1], tile[2]
    while max(tile) > 1:  # a strip or chunk is decoded for each of its parts
        axis = max(range(3), key=lambda a: (tile[a] > grain[a], tile[a]))
        tile[axis] = -(-tile[axis] // 2)
        yield tile[0], tile[1], tile[2]


def _thread_bytes(volume: Volume, tile: Triple, copies: float, halo: Triple) -> int:
    """Bytes that a thread needs: to decode, and for the voxels of a tile."""
    voxels = math.prod(min(n + 2 * h, size) for n, h, size in zip(tile, halo, volume.shape, strict=True))
    temporary = min(_TEMPORARY_BYTES, 4 * volume.nbytes)
    return temporary + reading_bytes(volume, voxels) + math.ceil(voxels * volume.dtype.itemsize * copies)


def reading_bytes(volume: Volume, voxels: int) -> int:
    """Bytes that a thread needs to read some voxels of a source: to decode, and for voxels that are narrowed."""
    stored = (volume.stored_dtype or volume.dtype).itemsize
    decoding = volume.decoding_bytes
    grain = [min(g, n) for g, n in zip(volume.granularity, volume.shape, strict=True)]
    if math.prod(grain[:2]) > 1:  # decoded strips or chunks, and the bytes from which they are decoded
        decoding += 2 * math.prod(grain) * stored
    return decoding + (voxels * stored if volume.stored_dtype else 0)
