"""What a resumed conversion finds: whether the blocks that its journal lists are still there, and as they were written.

All names and sizes are compared, which takes a moment. Then as many chunks are read and compared with their checksums
as 2 % of the time of the conversion so far allows; if one of them is damaged, all are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import imagecodecs

from napari_ct_pyramid.model.blocks import BlockId
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.omezarr.checksums import Checksums
from napari_ct_pyramid.omezarr.chunk_files import lost_chunks
from napari_ct_pyramid.omezarr.codec import ChunkReader
from napari_ct_pyramid.omezarr.journal import Record, read_journal, write_journal
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.storage.paths import AnyPath

_SHARE = 0.02  # of the time of the conversion so far, to read chunks
_GOLDEN = 0.618_034  # steps of this part of the whole leave no large gaps, however many are taken

Chunk = tuple[int, Triple]


def still_done(output: AnyPath, plan: Plan, record: Record, identity: dict[str, Any]) -> Record:
    """The record of an unfinished output, without the blocks that are not there any more, or are damaged.

    Parameters
    ----------
    output : path
    plan : Plan
    record : Record
        As it was read.
    identity : dict
        That the conversion has now. The journal is written again if anything differs.
    """
    checksums = Checksums(plan, record.checksums)
    lost = {plan.block_of(*chunk) for chunk in lost_chunks(output, plan, checksums)}
    chunks = [chunk for block in record.done.keys() - lost for chunk in plan.chunks_of(block)]
    reader = ChunkReader(output, plan)
    if any(_damaged(reader, checksums, _sample(chunks, record.seconds * _SHARE))):
        lost |= {plan.block_of(*chunk) for chunk in _damaged(reader, checksums, chunks)}
    if not lost and record.identity == identity:
        return record
    return write_journal(output, replace(record.without(lost), identity=identity))


def forget(output: AnyPath, blocks: set[BlockId]) -> None:
    """Note in the journal that blocks are not done after all, so that they are made again."""
    record = read_journal(output)
    if record:
        write_journal(output, record.without(blocks))


def _sample(chunks: list[Chunk], seconds: float) -> Iterator[Chunk]:
    """Chunks from all over, until the time is over."""
    end = time.perf_counter() + seconds
    chunks = sorted(chunks)
    for place in sample_order(len(chunks)):
        yield chunks[place]
        if time.perf_counter() > end:
            return


def sample_order(size: int) -> Iterator[int]:
    """The numbers below `size`, each once, in an order in which the first ones already come from all over."""
    step = next(n for n in range(max(1, round(size * _GOLDEN)), 2 * size + 2) if math.gcd(n, size) == 1)
    return (n * step % size for n in range(size))


def _damaged(reader: ChunkReader, checksums: Checksums, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    for chunk in chunks:
        try:
            reader.read_checked(*chunk, checksums.get(*chunk))
        except (OSError, ValueError, imagecodecs.BloscError):
            yield chunk
