"""What the engine works with: where voxels come from and go to, the block at work, and its buffers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np

from .checksums import Checksum
from .chunkgrid import ChunkGrid
from .journal import BlockId
from .stages import Region, Stage
from .tally import Tally
from .volume import Triple

T = TypeVar("T")


class Rows(Protocol):
    """Where the source's voxels come from."""

    def read(self, z0: int, z1: int, y0: int, y1: int, out: np.ndarray, /) -> None:
        """Fill `out` (z, y, x) with a region, all of x. Several threads call this at once."""


class ChunkWrite(Protocol):
    """A chunk that is to be written: one of the two is called, by any thread."""

    def write(self, voxels: np.ndarray, /) -> Future[Checksum]:
        """Write it; it is written when the future has its checksum."""

    def cancel(self) -> None:
        """Write it never."""


class Chunks(Protocol):
    """Where the levels go to. Several threads call it at once."""

    def read_chunk(self, level: int, index: Triple, /) -> np.ndarray:
        """A chunk that was written, in a buffer of the calling thread's."""

    def begin_chunk(self, level: int, index: Triple, /) -> ChunkWrite:
        """Begin to write a chunk. Called by one thread; it may have to wait there."""


Write = Future[Future[Checksum]]
"""A chunk being written. The outer future: its voxels are no longer needed; the inner: it is written."""


@dataclass(frozen=True)
class Made:
    """A block that is made. Picklable.

    Attributes
    ----------
    id : BlockId
        What a journal calls it.
    chunks : tuple of (int, Triple, Checksum)
        Level, index and checksum of each of its chunks.
    tally : Tally
        Of its voxels, where they are of level 0.
    """

    id: BlockId
    chunks: tuple[tuple[int, Triple, Checksum], ...]
    tally: Tally


@dataclass
class Block:
    """A block as it is being made.

    Attributes
    ----------
    stage : int
        Number of its stage.
    number : int
        Of the block within the stage.
    region : Region
        Where it lies on the stage's base level.
    chunks : list of (int, Triple, Write)
        Its chunks so far: level, index, and what becomes of it.
    tally : Tally
        Of its voxels so far.
    """

    stage: int
    number: int
    region: Region
    chunks: list[tuple[int, Triple, Write]] = field(default_factory=list)
    tally: Tally = Tally()

    @property
    def id(self) -> BlockId:
        """What a journal calls it."""
        return self.stage, self.number

    def made(self) -> Made:
        """It, once all of its chunks are written: waits for that."""
        chunks = tuple((level, index, write.result().result()) for level, index, write in self.chunks)
        return Made(self.id, chunks, self.tally)


class Turns(Generic[T]):
    """The buffers of a level, used in turns."""

    def __init__(self, buffers: Iterable[T]) -> None:
        self._buffers = deque(buffers)
        self._writes: deque[list[Write]] = deque()

    def next(self) -> T:
        """The buffer used longest ago, once what it held has been written."""
        if len(self._writes) == len(self._buffers):
            for write in self._writes.popleft():
                write.result()
        self._buffers.rotate()
        return self._buffers[0]

    def keep(self, writes: list[Write]) -> None:
        """Leave the buffer just used alone until these are done."""
        self._writes.append(writes)


@dataclass
class Bench:
    """A stage at work. Voxels of the source are kept chunk by chunk, those of a level above as one array."""

    stage: Stage
    grids: Turns[ChunkGrid]
    cells: dict[int, Turns[np.ndarray]]
