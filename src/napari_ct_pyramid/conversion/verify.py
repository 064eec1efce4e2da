"""Verifies that an output is complete and correct, and repairs it from its source.

It runs the same engine as a conversion, on a store that compares chunks instead of writing them. A repair is a resumed
conversion: the blocks with something wrong are removed from the journal, and made again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import numpy as np

from napari_ct_pyramid.errors import Advice, ConversionError, CtPyramidError, RequestError, SourceError
from napari_ct_pyramid.model.blocks import BlockId
from napari_ct_pyramid.model.histogram import BINS_SAMPLE, choose_bins
from napari_ct_pyramid.model.intensity import some_of
from napari_ct_pyramid.model.levels import factors_between
from napari_ct_pyramid.model.memory import peak_resident_memory, process_memory
from napari_ct_pyramid.model.plan import Plan, make_plan
from napari_ct_pyramid.model.statistics import Statistics
from napari_ct_pyramid.model.version import __version__
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.omezarr.checksums import OLD_FILE, Checksums, crc32, read_old_checksums
from napari_ct_pyramid.omezarr.chunk_files import lost_chunks
from napari_ct_pyramid.omezarr.codec import ChunkReader
from napari_ct_pyramid.omezarr.contents import stray_chunks
from napari_ct_pyramid.omezarr.journal import Record, read_journal, write_journal
from napari_ct_pyramid.omezarr.kind import JOURNAL, REBUILD, is_being_rebuilt, is_published, unpublish
from napari_ct_pyramid.omezarr.metadata import array_metadata, group_metadata
from napari_ct_pyramid.omezarr.reader import open_pyramid
from napari_ct_pyramid.omezarr.validation import flaw_in, load_models
from napari_ct_pyramid.omezarr.writer import bytes_in_transit
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.parsing import parse_json, parse_size
from napari_ct_pyramid.sources.base import Source, check_shape
from napari_ct_pyramid.sources.inputs import SourceLike
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.sources.sampling import a_few_rows
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.lock import Hold, hold
from napari_ct_pyramid.storage.paths import AnyPath, PathLike, any_path

from .buffers import FinishedBlock
from .comparison import ComparingStore, Problem, Verification
from .convert import run
from .engine import Engine
from .identity import asked_options, differences, fingerprint, identify
from .padded_reader import VoxelSource
from .progress import Progress, ProgressTracker, follow
from .receipt import disagreement, note_verified, read_receipt, settle_edit, wrong_metadata
from .unfinished import explained
from .voxel_facts import wrong_blocks, wrong_facts

# A source may have another name and time; these must be equal.
_OF_THE_VOXELS = ("sample", "shape", "source_dtype")


def iter_verification(
    output: PathLike,
    source: SourceLike | None,
    *,
    repair: bool,
    max_memory: str | int,
    threads: int | None,
) -> Generator[Progress, None, Verification]:
    """The generator behind `api.iter_verify`."""
    path = any_path(output)
    # Checked now, as `convert` checks them: an error is one of the request, and not of the output.
    limits = ConversionOptions(chunks=(1, 1, 1), max_memory=parse_size(max_memory), threads=threads)
    if repair and source is None:
        raise RequestError("A repair needs the source. Give the source (", Advice("source"), ").")
    with explained(f"{path} could not be {'repaired' if repair else 'verified'}"), ExitStack() as stack:
        record = read_record(path, repair=repair)
        opened = None if source is None else stack.enter_context(_open(source, record.identity))
        held = None
        if repair:
            held = stack.enter_context(hold(path))
            record = read_record(path, repair=repair)
        plan, identity = plan_of(path, record, opened, limits)
        if repair:
            _check_trustworthy(path, record)
        found = yield from _find(path, plan, record, opened)
        if held and not all(problem.is_stray for problem in found.problems):
            assert opened is not None
            yield from _repair(path, plan, identity, record, opened, held, found)
            found = replace(found, repaired=True)
        with suppress(OSError, RequestError):  # an output on a disk that is read-only can be verified, too
            if not held:
                stack.enter_context(hold(path))
            now = read_journal(path)
            if held or (now and now.identity == record.identity):  # nobody has replaced the output meanwhile
                note_verified(path, len(found.problems), with_source=source is not None, repaired=found.repaired)
    return found


def _open(source: SourceLike, identity: dict[str, Any]) -> Source:
    """The source, with the axes and the crop of the conversion."""
    try:
        asked = asked_options(identity)
    except CtPyramidError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise _damaged(error) from error
    return open_source(source, asked)


def _damaged(error: Exception) -> SourceError:
    return SourceError(f"The journal of the output is damaged: {str(error).rstrip('.')}. Convert the source again.")


def read_record(path: AnyPath, *, repair: bool = False) -> Record:
    """The journal of an output, which is finished unless it is to be repaired.

    Raises
    ------
    SourceError
        If there is none.
    """
    try:
        record = read_journal(path)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}.") from error
    if record is None or not (repair or is_published(path)):
        open_pyramid(path)  # raises a better error if it does not exist, or is unfinished
    if record is None:
        raise SourceError(
            f"{path} has no {JOURNAL} that can be read. Either it was not made by ct-pyramid, or that file is damaged. "
            "Without it, the output cannot be verified. Convert its source again."
        )
    return record


def plan_of(
    path: AnyPath, record: Record, source: Source | None, limits: ConversionOptions
) -> tuple[Plan, dict[str, Any]]:
    """The plan with which to read the output, and the identity of its conversion, as a repair writes it."""
    load_models()  # for `process_memory`, which measures now

    identity = record.identity
    try:
        asked = replace(asked_options(identity), max_memory=limits.max_memory, threads=limits.threads)
        volume = source.volume if source else _volume_of(path, identity)
        plan = make_plan(
            volume,
            asked,
            process_memory=process_memory(),
            in_transit=bytes_in_transit(path, asked, volume, source.files if source else ()),
        )
    except CtPyramidError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise _damaged(error) from error
    dtype, voxels = plan.levels[0].dtype, math.prod(plan.volume.shape)
    if source is None:
        if dtype.itemsize <= 2:  # the bins of larger types depend on the voxels
            plan = replace(plan, bins=choose_bins(dtype, voxels, np.empty(0, dtype)))
        return plan, identity
    rows = a_few_rows(source)
    now = identify(plan, fingerprint(source, crc32(rows)))
    different = differences({k: identity.get(k) for k in _OF_THE_VOXELS}, {k: now[k] for k in _OF_THE_VOXELS})
    if different:
        raise RequestError(f"This is not the source that the output was made from: it differs in {different}.")
    if now["stages"] != identity["stages"]:
        raise RequestError(
            f"The output was made by version {identity.get('version')} of this program, which made "
            "other blocks. Verify it without the source, or with that version."
        )
    return replace(plan, bins=choose_bins(dtype, voxels, some_of(rows, BINS_SAMPLE))), now


def _check_trustworthy(path: AnyPath, record: Record) -> None:
    """Make sure that the journal states what the conversion did: a repair by a wrong one would damage the output."""
    receipt = read_receipt(path)
    if receipt is None:
        if record.is_old:
            raise SourceError(
                f"{path} was made by an older version of this program, and its receipt is damaged or missing: nothing "
                "confirms what its journal states. Convert the source again."
            )
        return
    different = disagreement(receipt, record.identity, same_source=False)
    if different:
        raise SourceError(
            f"The journal and the receipt of {path} state different conversions: they differ in {different}. Nothing "
            "was repaired. Convert the source again."
        )


def _volume_of(path: AnyPath, identity: dict[str, Any]) -> Volume:
    z, y, x = check_shape(f"The journal of {path}", identity["shape"])
    granularity = identity["grain"]  # on which the blocks depend
    return Volume(
        name=identity["source"],
        shape=(z, y, x),
        dtype=np.dtype(identity["source_dtype"]),
        format="OME-Zarr",
        granularity=tuple(granularity[:3]),
        granularity_start=tuple(granularity[3:]),
    )


class _NoSource:
    """In place of a source that is not given: level 0 is read back instead."""

    def read(self, *_: object) -> None:
        raise AssertionError("there is no source to read")


def _find(
    path: AnyPath, plan: Plan, record: Record, source: VoxelSource | None
) -> Generator[Progress, None, Verification]:
    began = time.perf_counter()
    unfinished = not is_published(path)
    problems = [Problem(None, None, what) for what in _metadata_problems(path, plan, record)]
    try:
        checksums = read_old_checksums(path, plan) if record.is_old else Checksums(plan, record.checksums)
    except SourceError as error:
        checksums = Checksums(plan)
        problems.append(Problem(None, None, f"the checksums are missing: {str(error).rstrip('.')}"))
    except ValueError as error:
        raise _damaged(error) from error
    lost_files = list(lost_chunks(path, plan, checksums))
    if source is None:
        first, *others = plan.stages
        plan = replace(plan, stages=(replace(first, from_source=False), *others))
    store = ComparingStore(ChunkReader(path, plan), plan, checksums)
    if not unfinished and not set(plan.block_ids) <= record.done.keys():
        problems.append(Problem(None, None, f"{JOURNAL} is damaged"))
    skip = {block: Statistics() for block in plan.block_ids if unfinished and block not in record.done}
    tracker = ProgressTracker(plan, skip)
    counted: dict[BlockId, Statistics] = {}

    def note(block: FinishedBlock) -> None:
        counted[block.id] = block.statistics

    engine = Engine(source or _NoSource(), plan, store, tracker, note)

    def progress() -> Progress:
        done = int(tracker.fraction * plan.volume.nbytes)
        return tracker.progress(path, seconds=time.perf_counter() - began, bytes_done=done)

    yield progress()
    yield from follow(engine, progress)
    yield progress()
    chunks = store.problems()
    named = {(problem.level, problem.chunk) for problem in chunks}
    chunks += [Problem(*lost, "it is not the file that was written") for lost in lost_files if lost not in named]
    problems += _fact_problems(path, plan, record, counted if source else {}, chunks)
    problems += [
        Problem(None, None, f"{key} does not belong to the volume", is_stray=True) for key in stray_chunks(path, plan)
    ]
    return Verification(
        output=path,
        problems=(*problems, *chunks),
        chunks=sum(level.chunk_count for level in plan.levels),
        with_source=source is not None,
        seconds=time.perf_counter() - began,
        peak_memory_bytes=peak_resident_memory(),
    )


def _fact_problems(
    path: AnyPath, plan: Plan, record: Record, counted: dict[BlockId, Statistics], chunks: list[Problem]
) -> Iterator[Problem]:
    """Where journal and receipt state other numbers than were counted again, or than each other."""
    made_again = {block for chunk in chunks for block in _blocks_with(plan, chunk)}
    counted = {block: found for block, found in counted.items() if block not in made_again and block[0] == 0}
    for block in wrong_blocks(counted, record.done, histograms=record.identity.get("version") == __version__):
        yield Problem(None, None, f"the journal states other numbers of block {block[1]} than it has", block=block)
    receipt = read_receipt(path)
    if receipt is None or not set(plan.block_ids) <= record.done.keys():
        return
    total = sum(record.done.values(), start=Statistics())
    for name in wrong_facts(receipt, plan, total, complete=not record.is_old):
        yield Problem(None, None, f"the receipt states another {name} than the volume has")


def _repair(
    path: AnyPath,
    plan: Plan,
    identity: dict[str, Any],
    record: Record,
    source: Source,
    held: Hold,
    found: Verification,
) -> Generator[Progress, None, None]:
    """Remove the blocks with something wrong from the journal, and resume the conversion."""
    wrong = {block for problem in found.problems for block in _blocks_with(plan, problem)}
    intact = replace(_renewed(path, plan, record).without(wrong), identity=identity, blocks=plan.blocks)
    settle_edit(path)
    begun = write_journal(path, intact)
    (path / REBUILD).unlink(missing_ok=True)  # all levels are made as the journal states them
    unpublish(path)  # from here on the output is unfinished
    yield from run(source, replace(plan, blocks_done=len(begun.done)), path, begun, held)
    (path / OLD_FILE).unlink(missing_ok=True)
    made = read_journal(path)
    assert made
    store = ComparingStore(ChunkReader(path, plan), plan, Checksums(plan, made.checksums))
    for problem in found.problems:
        if problem.level is not None and problem.chunk is not None:
            store.read_chunk(problem.level, problem.chunk)
    remaining = store.problems()
    if remaining:
        raise ConversionError(f"{path} was repaired, but {remaining[0]} again. Its disk may be failing.")


def _renewed(path: AnyPath, plan: Plan, record: Record) -> Record:
    """The record as this version writes it. Without its checksums, no block of an old one is done."""
    if not record.is_old:
        return record
    try:
        checksums = read_old_checksums(path, plan)
    except SourceError:
        return replace(record, done={}, is_old=False)
    return replace(record, checksums={block: checksums.packed(plan, block) for block in record.done}, is_old=False)


def _blocks_with(plan: Plan, problem: Problem) -> Iterator[BlockId]:
    """The block with the chunk that is wrong, and the blocks of later stages that are made from it."""
    if problem.block:
        yield problem.block
    if problem.level is None or problem.chunk is None:
        return
    there = plan.levels[problem.level]
    z, y, _ = (i * c for i, c in zip(problem.chunk, there.chunks, strict=True))
    for number, stage in enumerate(plan.stages):
        if problem.level <= stage.top:
            level = max(problem.level, stage.base)
            fz, fy, _ = factors_between(there, plan.levels[level])
            yield number, stage.block_of(level, z // fz, y // fy)


def _metadata_problems(path: AnyPath, plan: Plan, record: Record) -> Iterator[str]:
    """What is wrong with the metadata, compared with the specification and with what the conversion wrote."""
    receipt = read_receipt(path)
    expected: dict[str, Any] = array_metadata(plan)
    if receipt is None:
        yield "the receipt is missing, or is not as it was written"
    else:
        yield from _receipt_problems(receipt, record)
        name, metadata = group_metadata(plan.options.ome_zarr_version, receipt["metadata"])
        expected[name] = metadata
    if is_being_rebuilt(path):
        yield "a rebuild of its levels is under way, or was interrupted: rebuild them again to complete it"
    as_written = True
    for key, written in expected.items():
        try:
            value = parse_json(storage_of(path / key).read())
        except FileNotFoundError:
            yield f"{key} is missing"
        except (OSError, ValueError) as error:
            yield f"{key} cannot be read: {error}"
        else:
            where = next(_changes(written, value), None)
            if where is None:
                continue
            yield f"{key} was changed: {where}"
        as_written = False
    if (as_written or is_published(path)) and (flaw := flaw_in(path, plan.options.ome_zarr_version)):
        yield f"the metadata are not valid by the specification: {flaw}"


def _receipt_problems(receipt: dict[str, Any], record: Record) -> Iterator[str]:
    if different := disagreement(receipt, record.identity, same_source=not record.is_old):
        yield f"the journal and the receipt differ in {different}"
    elif not record.is_old and (names := wrong_metadata(receipt)):
        yield f"the receipt notes neither a conversion nor an edit to its {', '.join(names)}"


def _changes(written: Any, value: Any, at: str = "") -> Iterator[str]:
    """Where two JSON values differ."""
    if isinstance(written, dict) and isinstance(value, dict):
        for key in sorted({*written, *value}):
            if key not in value or key not in written:  # not even null
                yield f"{at}/{key} is {'missing' if key in written else 'new'}"
            else:
                yield from _changes(written[key], value[key], f"{at}/{key}")
    elif isinstance(written, list) and isinstance(value, list) and len(written) == len(value):
        for i, (a, b) in enumerate(zip(written, value, strict=True)):
            yield from _changes(a, b, f"{at}/{i}")
    elif written != value:
        yield f"{at or '/'} is {json.dumps(value)} where {json.dumps(written)} was written"
