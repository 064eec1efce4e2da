"""One conversion, from a source to a finished OME-Zarr: opens, plans, runs the plan, says how it went.

The rooms it introduces to each other (source, plan, engine, store) do not know one another.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ct_pyramid.conversion.dask.client import Cluster
from napari_ct_pyramid.conversion.dask.scheduler import BlockScheduler, make_scheduler
from napari_ct_pyramid.errors import (
    RESUME,
    Advice,
    ConversionError,
    CtPyramidError,
    OutputExistsError,
    Part,
    without_period,
)
from napari_ct_pyramid.model.intensity import automatic_window
from napari_ct_pyramid.model.memory import peak_resident_memory, process_memory
from napari_ct_pyramid.model.plan import Plan, make_plan, rescaling
from napari_ct_pyramid.model.version import __version__
from napari_ct_pyramid.omezarr.codec import compressed_size
from napari_ct_pyramid.omezarr.journal import Checksums, Journal, Record, checksums_are_there, crc32, read_journal
from napari_ct_pyramid.omezarr.kind import is_published, is_unfinished
from napari_ct_pyramid.omezarr.metadata import make_attributes
from napari_ct_pyramid.omezarr.writer import Store, bytes_in_transit
from napari_ct_pyramid.options import AUTO, ConversionOptions
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.sources.sampling import a_few_rows, spread_rows
from napari_ct_pyramid.storage.local import bytes_below, hold
from napari_ct_pyramid.storage.paths import AnyPath, PathLike, any_path, image_name

from .buffers import FinishedBlock
from .display_window import display_window
from .engine import Engine
from .identity import differences, fingerprint, identify, other_options
from .output import begin_output, bytes_free, check_output, default_output
from .progress import Progress, ProgressTracker
from .receipt import Receipt, rescaled, write_receipt

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.dask.client import Client


_PROGRESS_SECONDS = 0.25


def plan_conversion(
    src: PathLike, dst: PathLike | None, options: ConversionOptions, client: Client | None = None
) -> Plan:
    """The function under `api.plan`."""
    with open_source(src, axes=options.axes, crop=options.crop) as source:
        output = _output(src, dst, options)
        planned, identity = plan_source(source, output, options, _cluster(client))
        return _go_on(planned, identity, output)[0]


def already_made(src: PathLike, dst: PathLike, options: ConversionOptions, client: Client | None = None) -> Plan | None:
    """The plan of a conversion whose output is finished already, just as it would be; None where it is not."""
    output = any_path(dst)
    record = read_journal(output) if is_published(output) else None
    if record is None:
        return None
    with open_source(src, axes=options.axes, crop=options.crop) as source:
        planned, identity = plan_source(source, None, options, _cluster(client))
    return None if differences(record.identity, identity) else planned


def iter_conversion(
    src: PathLike, dst: PathLike | None, options: ConversionOptions, client: Client | None = None
) -> Generator[Progress, None, Receipt]:
    """The generator under `api.iter_convert`."""
    with open_source(src, axes=options.axes, crop=options.crop) as source:
        output = _output(src, dst, options)
        cluster = _cluster(client)
        planned, identity = plan_source(source, output, options, cluster)
        _go_on(planned, identity, output)
        with hold(output), ExitStack() as stack:
            check_output(src, output, options.overwrite)  # again: somebody may have written there until now
            planned, record = _go_on(planned, identity, output)
            scheduler = (
                stack.enter_context(make_scheduler(cluster, src, output, planned, identity)) if cluster else None
            )
            if record is None:
                record = begin_output(output, identity, planned.blocks)
            return (yield from run(source, planned, output, record, scheduler))


def run(
    source: Source, planned: Plan, output: AnyPath, record: Record, scheduler: BlockScheduler | None = None
) -> Generator[Progress, None, Receipt]:
    """Do what of a plan is not done yet, and publish the volume. To be done by whoever holds the output's lock.

    The work is done by threads of this process, or by the `scheduler`.
    """
    began = time.perf_counter()
    with _unfinished_on_error(output), ExitStack() as stack:
        journal = stack.enter_context(closing(Journal(output, record)))
        checksums = stack.enter_context(closing(Checksums(output, planned.levels, write=True)))
        store = stack.enter_context(closing(Store(output, planned)))
        store.begin()
        tracker = ProgressTracker(planned, record.done)

        def seconds() -> float:
            return record.seconds + time.perf_counter() - started

        def keep(made: FinishedBlock) -> None:
            store.make_safe((level, index) for level, index, _ in made.chunks)
            note(made)

        def note(made: FinishedBlock) -> None:
            """Its chunks are safe; now their checksums, and then that it is done."""
            for level, index, checksum in made.chunks:
                checksums.put(level, index, checksum)
            checksums.sync()
            journal.append(made.id, made.statistics, seconds())

        engine = scheduler.assign(tracker, note) if scheduler else Engine(source, planned, store, tracker, keep)
        started = time.perf_counter()

        def progress() -> Progress:
            return Progress(
                output=output,
                plan=planned,
                blocks_done=tracker.blocks_done,
                blocks=planned.blocks,
                bytes_done=tracker.bytes_done,
                bytes_total=planned.volume.nbytes,
                seconds=seconds(),
                fraction=tracker.fraction,
            )

        try:
            yield progress()  # before the work begins: whoever shows what is made may get ready in peace
            started = time.perf_counter()
            engine.start()
            # ome-zarr takes seconds to import: done by the time it is needed, with nobody waiting.
            threading.Thread(target=importlib.import_module, args=["ome_zarr.writer"], daemon=True).start()
            while not engine.wait(_PROGRESS_SECONDS):
                yield progress()
            yield progress()  # the last chance to cancel
        except BaseException:  # failed, or cancelled by closing this generator
            store.abandon()
            raise
        finally:
            engine.stop()
        _check_whole(source, store, output, record.identity)
        window = display_window(store, planned, tracker.statistics)
        attributes = make_attributes(planned, name=_image_name(output), version=__version__, window=window)
        receipt = Receipt(
            output=output,
            ome_zarr_version=planned.options.ome_zarr_version,
            levels=planned.levels,
            seconds=record.seconds + time.perf_counter() - began,
            bytes_read=tracker.bytes_done,
            bytes_written=0,
            peak_memory_bytes=(scheduler and scheduler.peak_memory_bytes) or peak_resident_memory(),
            workers=len(scheduler.workers_used) if scheduler else 0,
            minimum=window["min"],
            maximum=window["max"],
            nans=tracker.statistics.nans,
            infinities=tracker.statistics.infinities,
            rescaled=rescaled(planned, tracker.statistics),
            window=(window["start"], window["end"]),
        )
        write_receipt(output, receipt, planned, record.identity, attributes)
        store.publish(attributes)
    return replace(receipt, bytes_written=bytes_below(output))


class _SourceChangedError(ConversionError):
    """There is no going on with another source."""


def _check_whole(source: Source, store: Store, output: AnyPath, identity: dict[str, Any]) -> None:
    """Nothing has changed behind the conversion's back."""
    found = fingerprint(source.files, identity["sample"])
    if (found.size, found.modified) != (identity["size"], identity["modified"]):
        raise _SourceChangedError(
            f"{identity['source']} was changed while it was being read. The output {output} is unfinished. Overwrite "
            "it (",
            Advice("overwrite", True),
            ") to begin anew.",
        )
    missing = store.missing()
    if missing:
        raise ConversionError(f"{missing:,} files of chunks were removed while others were being written")


def _cluster(client: Client | None) -> Cluster | None:
    return None if client is None else Cluster(client)


def _output(src: PathLike, dst: PathLike | None, options: ConversionOptions) -> AnyPath:
    output = default_output(src) if dst is None else any_path(dst)
    check_output(src, output, options.overwrite)
    return output


def plan_source(
    source: Source, output: AnyPath | None, options: ConversionOptions, cluster: Cluster | None = None
) -> tuple[Plan, dict[str, Any]]:
    """The plan of a conversion, and its identity; without an output, whatever is free on the disk."""
    rows = a_few_rows(source)
    if cluster:
        options = replace(options, threads=options.threads or cluster.threads)
    window = automatic_window(spread_rows(source)) if options.window == AUTO else None
    stored = rows
    if rescale := rescaling(source.volume, options, window):
        stored = np.empty(rows.shape, rescale.dtype)
        rescale.apply(rows, stored)
    planned = make_plan(
        source.volume,
        options,
        window=window,
        compression_ratio=stored.nbytes / compressed_size(stored, options.compressor),
        bytes_free=None if output is None else bytes_free(output),
        process_memory=cluster.process_memory if cluster else process_memory(),
        workers=len(cluster.workers) if cluster else 0,
        in_transit=bytes_in_transit(output, options, source.volume, source.files),
    )
    if cluster:
        cluster.check_memory(planned)
    return planned, identify(planned, fingerprint(source.files, crc32(rows)))


def _go_on(planned: Plan, identity: dict[str, Any], output: AnyPath) -> tuple[Plan, Record | None]:
    """The plan with what an unfinished conversion has done of it, and the journal of that; None to begin anew."""
    record = read_journal(output) if is_unfinished(output) else None
    if record is None:
        return planned, None
    different = differences(record.identity, identity)
    if different and planned.options.overwrite:
        return planned, None
    if different:
        raise OutputExistsError(
            f"The output {output} exists already: an unfinished conversion that this one cannot go on with, for it "
            f"differs in {different}. Ask for the same again, or to overwrite it (",
            Advice("overwrite", True),
            "), or choose another name.",
            options=other_options(record.identity, identity),
        )
    if not record.done or not checksums_are_there(output, planned.levels):
        return planned, None
    return replace(planned, blocks_done=len(record.done)), record


def _image_name(output: AnyPath) -> str:
    return image_name(output.name)


@contextmanager
def _unfinished_on_error(output: AnyPath) -> Iterator[None]:
    """What goes wrong from here on leaves an unfinished output, and says so."""
    try:
        yield
    except _SourceChangedError:
        raise
    except (CtPyramidError, OSError, MemoryError) as error:
        why: tuple[Part, ...]
        if isinstance(error, CtPyramidError):
            why = without_period(error.message.parts)
        elif isinstance(error, MemoryError):
            why = ("There was not enough memory",)
        elif error.strerror:
            why = (f"{Path(error.filename).name}: {error.strerror}" if error.filename else error.strerror,)
        else:
            why = (str(error).rstrip("."),)
        raise ConversionError(*why, f". The output {output} is unfinished; ", Advice(RESUME), ".") from error
