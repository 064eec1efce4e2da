"""What a resumed conversion finds: whether the blocks that its journal lists are still there, and as they were written.

All names and sizes are compared, which takes a moment. Then as many chunks are read and compared with their checksums
as 2 % of the time of the conversion so far allows; if one of them is damaged, all are.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np

from napari_ct_pyramid.model.blocks import BlockId
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.omezarr.checksums import Checksums, crc32
from napari_ct_pyramid.omezarr.chunk_files import lost_chunks
from napari_ct_pyramid.omezarr.codec import ChunkReader
from napari_ct_pyramid.omezarr.journal import Record, read_journal, write_journal
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.storage.paths import AnyPath

from .padded_reader import PaddedReader, VoxelSource

_SHARE = 0.02  # of the time of the conversion so far, to read chunks
_ROWS = 8  # of chunks, to compare with a source
_STEP = 618_034  # of a million: steps of the golden ratio leave no large gaps, however many are taken

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
        That the conversion has now. The journal is written anew if anything differs.
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


def holds_same_voxels(source: VoxelSource, plan: Plan, record: Record) -> bool:
    """Whether a source has the voxels that a conversion read: a sample of those in the blocks that are done."""
    checksums = Checksums(plan, record.checksums)
    level = plan.levels[0]
    z, y, x = level.chunks
    rows = sorted({chunk[:2] for block in record.done for k, chunk in plan.chunks_of(block) if k == 0})
    reader = PaddedReader(source, plan, (z, y))
    cell, chunk = np.zeros((z, y, level.shape[2]), level.dtype), np.zeros(level.chunks, level.dtype)
    for row in rows[:: -(-len(rows) // _ROWS)] if rows else ():
        depth, height = (min(c, n - i * c) for c, n, i in zip((z, y), level.shape, row, strict=False))
        part = cell[:depth, :height]
        reader.read(row[0] * z, row[1] * y, part)
        for column in range(-(-level.shape[2] // x)):
            written = checksums.get(0, (*row, column))
            chunk[...] = 0  # as the edges of the volume are written
            inside = part[:, :, column * x : (column + 1) * x]
            chunk[:depth, :height, : inside.shape[2]] = inside
            if written and crc32(chunk) != written.voxels:
                return False
    return True


def forget(output: AnyPath, blocks: set[BlockId]) -> None:
    """Note in the journal that blocks are not done after all, so that they are made again."""
    record = read_journal(output)
    if record:
        write_journal(output, record.without(blocks))


def _sample(chunks: list[Chunk], seconds: float) -> Iterator[Chunk]:
    """Chunks from all over, until the time is over."""
    end = time.perf_counter() + seconds
    chunks = sorted(chunks)
    for n in range(len(chunks)):
        yield chunks[n * _STEP // 1_000_000 % len(chunks) if len(chunks) > 1 else 0]
        if time.perf_counter() > end:
            return


def _damaged(reader: ChunkReader, checksums: Checksums, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    for chunk in chunks:
        try:
            reader.read_checked(*chunk, checksums.get(*chunk))
        except (OSError, ValueError, imagecodecs.BloscError):
            yield chunk
