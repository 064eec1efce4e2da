"""Makes sure that the source is the one that a conversion began with: when it goes on, and when it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np

from napari_ct_pyramid.errors import Advice, ConversionError, OutputExistsError
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.statistics import Statistics
from napari_ct_pyramid.omezarr.checksums import Checksum, Checksums, crc32
from napari_ct_pyramid.omezarr.journal import Record
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.sources.sampling import a_few_rows
from napari_ct_pyramid.storage.paths import AnyPath

from .engine import Engine
from .identity import fingerprint
from .padded_reader import VoxelSource
from .progress import Progress, ProgressTracker, follow

_OF_FILES = ("size", "modified", "files")  # in the identity


class SourceChangedError(ConversionError):
    """The source is another one now, so the conversion cannot be resumed."""


def check_unchanged(source: Source, identity: dict[str, Any], output: AnyPath) -> None:
    """Make sure that nobody has changed the source while it was read.

    Raises
    ------
    SourceChangedError
        If its files have other sizes or times, or an array has other voxels in a sample.
    """
    sample = crc32(a_few_rows(source)) if source.in_memory else identity["sample"]
    now = fingerprint(source, sample)
    if sample != identity["sample"] or any(getattr(now, name) != identity[name] for name in _OF_FILES):
        raise SourceChangedError(
            f"{identity['source']} was changed while it was being read. The output {output} is unfinished. Overwrite "
            "it (",
            Advice("overwrite", True),
            ") to start again.",
        )


def check_same(
    source: Source, plan: Plan, record: Record, identity: dict[str, Any], output: AnyPath
) -> Generator[Progress, None, None]:
    """Where the files of a source have other times, make sure that it is a copy: compare all that was read of it.

    Parameters
    ----------
    source : Source
    plan : Plan
    record : Record
        Of the conversion so far.
    identity : dict
        That the conversion has now.
    output : path

    Raises
    ------
    OutputExistsError
        If a voxel of level 0 that was written is another one in this source.
    """
    if all(record.identity.get(name) == identity[name] for name in _OF_FILES):
        return
    try:
        yield from _compare(source, plan, record, output)
    except _OtherVoxelsError:
        raise OutputExistsError(
            f"The output {output} exists already: an unfinished conversion of a source with other voxels. Ask to "
            "overwrite it (",
            Advice("overwrite", True),
            "), or choose another name.",
        ) from None


def _compare(source: VoxelSource, plan: Plan, record: Record, output: AnyPath) -> Generator[Progress, None, None]:
    """Read the blocks that are done again, as they were read, and compare their checksums."""
    began = time.perf_counter()
    part = replace(plan, stages=plan.stages[:1], bins=None)
    skipped = {block: Statistics() for block in part.block_ids if block not in record.done}
    if len(skipped) == len(part.block_ids):
        return
    tracker = ProgressTracker(part, skipped)
    before = tracker.fraction
    total = int((1 - before) * plan.volume.nbytes)

    def progress() -> Progress:
        seconds = time.perf_counter() - began
        fraction = (tracker.fraction - before) / (1 - before)
        return Progress(
            output=output,
            plan=plan,
            blocks_done=len(record.done),
            blocks=plan.blocks,
            bytes_done=int(fraction * total),
            bytes_total=total,
            seconds=record.seconds + seconds,
            working_seconds=seconds,
            fraction=fraction,
            comparing=True,
        )

    yield progress()
    yield from follow(Engine(source, part, _Written(plan, record), tracker), progress)


class _OtherVoxelsError(Exception):
    """A chunk is not the one that was written."""


class _Written:
    """Compares each chunk that the engine writes with the checksum of the one that was written."""

    def __init__(self, plan: Plan, record: Record) -> None:
        self._chunks, self._dtype = plan.levels[0].chunks, plan.levels[0].dtype
        self._checksums = Checksums(plan, record.checksums)
        self._of_thread = threading.local()

    def read_chunk(self, *_: object) -> np.ndarray:
        raise AssertionError("only the stage that reads the source is made")

    def begin_chunk(self, level: int, index: Triple) -> _Comparison:
        return _Comparison(self, level, index)

    def compare(self, level: int, index: Triple, voxels: np.ndarray) -> Future[Checksum]:
        done: Future[Checksum] = Future()
        written = self._checksums.get(level, index)
        if level or not written or crc32(self._whole(voxels)) == written.voxels:
            done.set_result(written or Checksum(0, 0, 0))
        else:
            done.set_exception(_OtherVoxelsError())
        return done

    def _whole(self, voxels: np.ndarray) -> np.ndarray:
        """A chunk as it is written: with zeros beyond the edges of the level."""
        if voxels.shape == self._chunks and voxels.flags.c_contiguous:
            return voxels
        if not hasattr(self._of_thread, "chunk"):
            self._of_thread.chunk = np.empty(self._chunks, self._dtype)
        chunk: np.ndarray = self._of_thread.chunk
        chunk[...] = 0
        chunk[tuple(slice(n) for n in voxels.shape)] = voxels
        return chunk


class _Comparison:
    """A chunk that is compared instead of written."""

    def __init__(self, written: _Written, level: int, index: Triple) -> None:
        self._written = written
        self._chunk = (level, index)

    def write(self, voxels: np.ndarray) -> Future[Checksum]:
        return self._written.compare(*self._chunk, voxels)

    def cancel(self) -> None:
        """Nothing was begun."""
