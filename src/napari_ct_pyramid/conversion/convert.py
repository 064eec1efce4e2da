"""One conversion, from a source to a finished OME-Zarr: opens the source, plans, carries out the plan, and publishes.

Source, plan, engine and writer do not know one another; this module connects them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from napari_ct_pyramid.conversion.dask.cluster import Cluster, Job
from napari_ct_pyramid.conversion.dask.scheduler import conversion_job, make_blocks
from napari_ct_pyramid.errors import (
    Advice,
    OutputExistsError,
    RequestError,
)
from napari_ct_pyramid.model.histogram import BINS_SAMPLE, choose_bins
from napari_ct_pyramid.model.intensity import automatic_window, some_of
from napari_ct_pyramid.model.memory import peak_resident_memory, process_memory
from napari_ct_pyramid.model.plan import Plan, make_plan
from napari_ct_pyramid.model.rescaling import rescaling
from napari_ct_pyramid.model.version import __version__
from napari_ct_pyramid.omezarr.checksums import Checksums, crc32
from napari_ct_pyramid.omezarr.chunk_files import lost_chunks
from napari_ct_pyramid.omezarr.codec import compressed_size
from napari_ct_pyramid.omezarr.contents import stray_chunks
from napari_ct_pyramid.omezarr.edit import edit_attributes
from napari_ct_pyramid.omezarr.journal import Journal, Record, read_journal
from napari_ct_pyramid.omezarr.kind import is_published, is_unfinished
from napari_ct_pyramid.omezarr.metadata import make_attributes
from napari_ct_pyramid.omezarr.writer import OmeZarrWriter, bytes_in_transit
from napari_ct_pyramid.options import AUTO, ConversionOptions, SourceOptions
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.sources.inputs import ArrayInput, SourceLike, parse_input
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.sources.sampling import a_few_rows, share_decoded, spread_rows
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.lock import Hold, check_free, hold
from napari_ct_pyramid.storage.paths import AnyPath, PathLike, image_name, outer_path
from napari_ct_pyramid.storage.store_lock import is_store_lock

from .buffers import FinishedBlock
from .engine import Engine
from .identity import differences, fingerprint, identify, other_options
from .output import bytes_free, check_output, default_output
from .progress import Progress, ProgressTracker, follow
from .receipt import Receipt, disagreement, edited_facts, read_receipt, write_receipt
from .recheck import still_done
from .replacement import begin_output, check_replaceable, recover
from .same_source import check_same
from .unfinished import check_complete, explained, unfinished_on_error
from .voxel_facts import voxel_facts

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.dask.client import Client


Opener = Callable[[SourceLike, SourceOptions], Source]
"""Opens a source, as `open_source` does."""


def plan_conversion(
    src: SourceLike,
    dst: PathLike | None,
    options: ConversionOptions,
    client: Client | None = None,
    opened: Opener = open_source,
) -> Plan:
    """The function behind `api.plan`."""
    with opened(src, options) as source:
        output = _output(src, dst, options)
        plan, identity = plan_source(source, output, options, _cluster(client, src))
        with _busy_or_there(output):
            return _resume(plan, identity, output)[0]


def already_made(
    src: SourceLike, dst: PathLike, options: ConversionOptions, client: Client | None = None
) -> Plan | None:
    """The plan of a conversion, if its output exists, is finished, and has the same identity; None otherwise."""
    output = outer_path(dst)
    record = read_journal(output) if is_published(output) else None
    receipt = read_receipt(output)
    if record is None or record.is_old or not record.is_complete or receipt is None:
        return None
    with open_source(src, options) as source:
        plan, identity = plan_source(source, None, options, _cluster(client, src))
    if differences(record.identity, identity) or disagreement(receipt, identity):
        return None
    return None if any(lost_chunks(output, plan, Checksums(plan, record.checksums))) else plan


def iter_conversion(
    src: SourceLike,
    dst: PathLike | None,
    options: ConversionOptions,
    client: Client | None = None,
    opened: Opener = open_source,
) -> Generator[Progress, None, Receipt]:
    """The generator behind `api.iter_convert`. An `opened` source may be another level than the finest."""
    start = Start.now()
    with explained("The conversion failed"), opened(src, options) as source:
        output = _output(src, dst, options)
        cluster = _cluster(client, src)
        plan, identity = plan_source(source, output, options, cluster)
        with _busy_or_there(output):
            _resume(plan, identity, output)
        with hold(output) as held, ExitStack() as stack:
            recover(output)
            check_output(src, output, options.overwrite)  # again: another process may have written there meanwhile
            plan, record = _resume(plan, identity, output)
            job = None
            if cluster:
                path = cast("PathLike", src)  # `_cluster` refuses arrays
                job = stack.enter_context(conversion_job(cluster, path, output, plan, identity, held))
            if record is None:
                record = begin_output(output, Record(identity, plan.blocks, {}, 0.0, 0))
            else:
                yield from check_same(source, plan, record, identity, output)
                record = still_done(output, plan, record, identity)
            return (yield from run(source, plan, output, record, held, job, start))


class Start(NamedTuple):
    """The clock, and the most memory that this process had taken, when a conversion was requested."""

    seconds: float
    peak_memory: int

    @classmethod
    def now(cls) -> Start:
        """Read both."""
        return cls(time.perf_counter(), peak_resident_memory())


def run(
    source: Source,
    plan: Plan,
    output: AnyPath,
    record: Record,
    held: Hold,
    job: Job | None = None,
    start: Start | None = None,
) -> Generator[Progress, None, Receipt]:
    """Make the blocks of a plan that are not done, and publish the volume. The caller holds the output's lock.

    Parameters
    ----------
    source : Source
    plan : Plan
    output : path
    record : Record
        The output's journal, as read.
    held : Hold
        The output's lock.
    job : Job, optional
        Has a cluster make the blocks; threads of this process make them if not given.
    start : Start, optional
        When the conversion was requested; now if not given.
    """
    start = start or Start.now()
    with unfinished_on_error(output, plan, resumable=not source.in_memory), ExitStack() as stack:
        journal = stack.enter_context(closing(Journal(output, record)))
        checksums = Checksums(plan, record.checksums)
        writing = stack.enter_context(ExitStack())
        lease = writing.enter_context(held.lease())
        store = stack.enter_context(closing(OmeZarrWriter(output, plan, checksums, lease)))
        store.begin()
        tracker = ProgressTracker(plan, record.done)

        def seconds() -> float:
            return record.seconds + time.perf_counter() - start.seconds

        def note(block: FinishedBlock) -> None:
            """Note in the journal that a block is done."""
            journal.append(block.id, block.statistics, block.packed_checksums(plan), seconds())
            for level, index, checksum in block.chunks:
                checksums.put(level, index, checksum)

        def make_safe(block: FinishedBlock) -> None:
            store.make_safe((level, index) for level, index, _ in block.chunks)
            note(block)

        def progress() -> Progress:
            working = record.seconds + time.perf_counter() - started
            return tracker.progress(output, seconds=seconds(), working_seconds=working)

        started = time.perf_counter()
        yield progress()  # before the work begins, so that a viewer can open the empty levels undisturbed
        started = time.perf_counter()
        if job:
            with closing(make_blocks(job, plan, tracker, checksums, lease, note)) as steps:
                yield from (progress() for _ in steps)
        else:
            yield from follow(Engine(source, plan, store, tracker, make_safe), progress, abandon=store.abandon)
        earlier = read_receipt(output, strict=True)  # of an output that is repaired
        before = None if earlier is None else (earlier["window"][0], earlier["window"][1])
        found = voxel_facts(plan, tracker.statistics, before)
        attributes = make_attributes(plan, name=image_name(output.name), version=__version__, window=found.display)
        if facts := edited_facts(earlier):
            attributes = edit_attributes(attributes, facts)
        yield progress()  # the last chance to cancel
        lease.check()
        writing.close()  # from here on nobody can write chunks, not even a process that was paused
        check_complete(source, plan, output, record.identity)
        peak = (job and job.peak_memory_bytes) or peak_resident_memory()
        receipt = Receipt(
            output=output,
            ome_zarr_version=plan.options.ome_zarr_version,
            levels=plan.levels,
            seconds=seconds(),
            bytes_read=tracker.bytes_done,
            bytes_written=0,
            peak_memory_bytes=peak,
            # A process that had taken more before, such as napari, did so for another reason.
            over_budget_bytes=max(0, peak - plan.options.max_memory) if peak > start.peak_memory else 0,
            workers=len(job.workers) if job else 0,
            minimum=found.display["min"],
            maximum=found.display["max"],
            nans=found.nans,
            infinities=found.infinities,
            rescaled=found.rescaled,
            window=found.window,
            histogram=found.histogram,
            strays=tuple(stray_chunks(output, plan)),
        )
        write_receipt(output, receipt, plan, record.identity, attributes, earlier and earlier.get("edited"))
        written = _bytes_written(output)
        written += store.publish(attributes)
    return replace(receipt, bytes_written=written)


def _bytes_written(output: AnyPath) -> int:
    files = storage_of(output).files_below()
    return sum(size for key, size in files if size > 0 and not is_store_lock(key))


def _cluster(client: Client | None, src: SourceLike) -> Cluster | None:
    if client is not None and isinstance(parse_input(src), ArrayInput):
        raise RequestError(
            "The workers of a cluster cannot read an array of this process. Convert it without the cluster, or save it "
            "in a file that all workers can read."
        )
    return None if client is None else Cluster(client)


def _output(src: SourceLike, dst: PathLike | None, options: ConversionOptions) -> AnyPath:
    output = default_output(src) if dst is None else outer_path(dst)
    with _busy_or_there(output):
        check_output(src, output, options.overwrite)
    return output


@contextmanager
def _busy_or_there(output: AnyPath) -> Iterator[None]:
    """Turn the error for an output that exists into one that it is busy, if somebody writes it just now."""
    try:
        yield
    except OutputExistsError:
        check_free(output)
        raise


def plan_source(
    source: Source, output: AnyPath | None, options: ConversionOptions, cluster: Cluster | None = None
) -> tuple[Plan, dict[str, Any]]:
    """The plan of a conversion, and its identity. Without an output, free disk space is not checked."""
    began = time.perf_counter()
    rows = a_few_rows(source)
    reading = time.perf_counter() - began
    if cluster:
        options = replace(options, threads=options.threads or cluster.threads)
    window = automatic_window(spread_rows(source)) if options.window == AUTO else None
    began = time.perf_counter()
    stored = rows
    if rescale := rescaling(source.volume, options, window):
        stored = np.empty(rows.shape, rescale.dtype)
        rescale.apply(rows, stored)
    ratio = stored.nbytes / compressed_size(stored, options.compressor)
    writing = time.perf_counter() - began
    plan = make_plan(
        source.volume,
        options,
        window=window,
        compression_ratio=ratio,
        bytes_free=None if output is None else bytes_free(output),
        process_memory=cluster.process_memory if cluster else process_memory(),
        workers=len(cluster.workers) if cluster else 0,
        in_transit=bytes_in_transit(output, options, source.volume, source.files),
    )
    if cluster:
        cluster.check_memory(plan)
    sampled = share_decoded(source.volume, rows.shape)
    written = rows.size / sum(np.prod(level.shape, dtype=float) for level in plan.levels)
    estimate = (reading / sampled + writing / written) / (plan.threads * max(1, plan.workers))
    bins = choose_bins(stored.dtype, math.prod(plan.volume.shape), some_of(stored, BINS_SAMPLE))
    plan = replace(plan, seconds_estimate=float(estimate), bins=bins)
    return plan, identify(plan, fingerprint(source, crc32(rows)))


def _resume(plan: Plan, identity: dict[str, Any], output: AnyPath) -> tuple[Plan, Record | None]:
    """The plan, with the blocks that an unfinished conversion has made, and its journal; None to start from scratch."""
    record = read_journal(output) if is_unfinished(output) else None
    if record is None:
        return plan, None
    different = differences(record.identity, identity, same_time=False)
    if (different or record.is_old) and plan.options.overwrite:
        check_replaceable(output, record)
        return plan, None
    if record.is_old:
        raise OutputExistsError(
            f"The output {output} exists already: an unfinished conversion by an older version of this program, which "
            "this one cannot resume. Ask to overwrite it (",
            Advice("overwrite", True),
            "), or choose another name.",
        )
    if different:
        raise OutputExistsError(
            f"The output {output} exists already: an unfinished conversion that this one cannot resume, because it "
            f"differs in {different}. Ask for the same again, or to overwrite it (",
            Advice("overwrite", True),
            "), or choose another name.",
            options=other_options(record.identity, identity),
        )
    done = len(record.done)
    left = None if plan.seconds_estimate is None else plan.seconds_estimate * (1 - done / plan.blocks)
    return replace(plan, blocks_done=done, seconds_estimate=left), record
