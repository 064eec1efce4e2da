"""A block while it is made and once it is finished, and the interface of what its chunks are written to."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from napari_ct_pyramid.model.statistics import Statistics
from napari_ct_pyramid.omezarr.journal import BlockId, Checksum
from napari_ct_pyramid.options import Triple


class PendingChunk(Protocol):
    """A chunk that is to be written. Some thread calls one of the two methods, once."""

    def write(self, voxels: np.ndarray, /) -> Future[Checksum]:
        """Write the chunk. The future gets its checksum when it is written."""

    def cancel(self) -> None:
        """Do not write it after all."""


class ChunkStore(Protocol):
    """Where the chunks of all levels are written to, and read back from. Several threads use it at once."""

    def read_chunk(self, level: int, index: Triple, /) -> np.ndarray:
        """The voxels (z, y, x) of a chunk, in a buffer that the calling thread may use until its next call."""

    def begin_chunk(self, level: int, index: Triple, /) -> PendingChunk:
        """Begin to write a chunk. Only one thread calls this; it waits while too many chunks are being written."""


Write = Future[Future[Checksum]]
"""A chunk that is being written. The outer future ends when its voxels are no longer needed, the inner one when it
is written."""


@dataclass(frozen=True)
class FinishedBlock:
    """A block whose chunks are all written. Picklable.

    Attributes
    ----------
    id : BlockId
        Its name in the journal.
    chunks : tuple of (int, Triple, Checksum)
        Level, index and checksum of each of its chunks.
    statistics : Statistics
        Of its voxels of the source; without voxels where it is made from another level.
    """

    id: BlockId
    chunks: tuple[tuple[int, Triple, Checksum], ...]
    statistics: Statistics


@dataclass
class BlockInProgress:
    """A block that is being made.

    Attributes
    ----------
    id : BlockId
        Its name in the journal: numbers of its stage, and of the block within the stage.
    chunks : list of (int, Triple, Write)
        Its chunks so far: level, index, and how its writing goes.
    statistics : Statistics
        Of its voxels of the source so far.
    """

    id: BlockId
    chunks: list[tuple[int, Triple, Write]] = field(default_factory=list)
    statistics: Statistics = Statistics()

    def finish(self) -> FinishedBlock:
        """Wait until all of its chunks are written."""
        chunks = tuple((level, index, write.result().result()) for level, index, write in self.chunks)
        return FinishedBlock(self.id, chunks, self.statistics)
