"""One conversion, from a source to a finished OME-Zarr: opens, plans, runs the plan, says how it went.

The rooms it introduces to each other (source, plan, engine, store) do not know one another.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__
from .bench import Made
from .checksums import Checksums, checksums_are_there, crc32
from .chunkfiles import compressed_size
from .cluster import Cluster
from .crew import Crew, gather
from .engine import Engine
from .errors import ConversionError, CtPyramidError, OutputExistsError
from .files import bytes_below
from .identity import differences, identify, other_options, source_mark
from .journal import Journal, Record, read_journal
from .layout import is_published
from .lock import hold
from .memory import peak_resident_memory, process_memory
from .metadata import make_attributes
from .options import AUTO, ConversionOptions
from .output import begin_output, bytes_free, check_output, default_output, is_unfinished
from .paths import AnyPath, PathLike, any_path
from .plan import Plan, make_plan
from .receipt import write_receipt
from .report import Progress, Receipt, rescaled, run_through
from .rescale import automatic_window, rescaling
from .sampling import a_few_rows, spread_rows
from .source import Source, open_source
from .store import Store, bytes_in_transit
from .window import display_window
from .work import Work

if TYPE_CHECKING:
    from .cluster import Client

__all__ = ["convert", "default_output", "iter_convert", "plan"]

_PROGRESS_SECONDS = 0.25


def plan(src: PathLike, dst: PathLike | None = None, *, client: Client | None = None, **options: Any) -> Plan:
    """Work a conversion out from the source's header and a few of its rows. Writes nothing.

    Parameters
    ----------
    src, dst : path
        The source, and the OME-Zarr to be; `dst` is `default_output` of `src` unless given.
    client : distributed.Client, optional
        Of the Dask cluster whose workers are to make the blocks. They must see `src` and `dst` by the same paths;
        ``max_memory`` and ``threads`` are of each of them.
    **options
        Fields of `ConversionOptions`.

    Raises
    ------
    SourceError
        If the source is no volume that can be read.
    RequestError
        If what is asked for cannot be done; its subclasses say what would.
    """
    asked = ConversionOptions(**{"chunks": None, **options})
    with open_source(src, axes=asked.axes, crop=asked.crop) as source:
        output = _output(src, dst, asked)
        planned, identity = plan_source(source, output, asked, _cluster(client))
        return _go_on(planned, identity, output)[0]


def already_made(src: PathLike, dst: PathLike, *, client: Client | None = None, **options: Any) -> Plan | None:
    """The plan of a conversion whose output is finished already, just as it would be; None where it is not.

    Parameters and errors are those of `plan`.
    """
    asked = ConversionOptions(**{"chunks": None, **options})
    output = any_path(dst)
    record = read_journal(output) if is_published(output) else None
    if record is None:
        return None
    with open_source(src, axes=asked.axes, crop=asked.crop) as source:
        planned, identity = plan_source(source, None, asked, _cluster(client))
    return None if differences(record.identity, identity) else planned


def convert(
    src: PathLike,
    dst: PathLike | None = None,
    *,
    client: Client | None = None,
    progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Receipt:
    """Convert a volume to a multiscale OME-Zarr.

    Parameters
    ----------
    src, dst, client, **options
        As for `plan`.
    progress : callable, optional
        Called with a `Progress` at least every half second.

    Returns
    -------
    Receipt

    Raises
    ------
    SourceError, RequestError
        As for `plan`; nothing was written.
    ConversionError
        If it failed on the way.
    """
    return run_through(iter_convert(src, dst, client=client, **options), progress)


def iter_convert(
    src: PathLike, dst: PathLike | None = None, *, client: Client | None = None, **options: Any
) -> Generator[Progress, None, Receipt]:
    """The generator under `convert`: yields a `Progress` at least every half second, returns the `Receipt`.

    By the first `Progress` the output's arrays are all there, still empty. Closing the generator
    cancels the conversion: its threads end, on a cluster those of its workers too, its files are let go, and the
    output stays unfinished.

    Parameters and errors are those of `convert`.
    """
    asked = ConversionOptions(**{"chunks": None, **options})
    with open_source(src, axes=asked.axes, crop=asked.crop) as source:
        output = _output(src, dst, asked)
        cluster = _cluster(client)
        planned, identity = plan_source(source, output, asked, cluster)
        _go_on(planned, identity, output)
        with hold(output), ExitStack() as stack:
            check_output(src, output, asked.overwrite)  # again: somebody may have written there until now
            planned, record = _go_on(planned, identity, output)
            crew = stack.enter_context(gather(cluster, src, output, planned, identity)) if cluster else None
            if record is None:
                record = begin_output(output, identity, planned.blocks)
            return (yield from run(source, planned, output, record, crew))


def run(
    source: Source, planned: Plan, output: AnyPath, record: Record, crew: Crew | None = None
) -> Generator[Progress, None, Receipt]:
    """Do what of a plan is not done yet, and publish the volume. To be done by whoever holds the output's lock.

    The work is done by threads of this process, or by the `crew`.
    """
    began = time.perf_counter()
    with _unfinished_on_error(output), ExitStack() as stack:
        journal = stack.enter_context(closing(Journal(output, record)))
        checksums = stack.enter_context(closing(Checksums(output, planned.levels, write=True)))
        store = stack.enter_context(closing(Store(output, planned)))
        store.begin()
        work = Work(planned, record.done)

        def seconds() -> float:
            return record.seconds + time.perf_counter() - started

        def keep(made: Made) -> None:
            store.make_safe((level, index) for level, index, _ in made.chunks)
            note(made)

        def note(made: Made) -> None:
            """Its chunks are safe; now their checksums, and then that it is done."""
            for level, index, checksum in made.chunks:
                checksums.put(level, index, checksum)
            checksums.sync()
            journal.append(made.id, made.tally, seconds())

        engine = crew.set_to(work, note) if crew else Engine(source, planned, store, work, keep)
        started = time.perf_counter()

        def progress() -> Progress:
            return Progress(
                output=output,
                plan=planned,
                blocks_done=work.blocks_done,
                blocks=planned.blocks,
                bytes_done=work.bytes_done,
                bytes_total=planned.volume.nbytes,
                seconds=seconds(),
                fraction=work.fraction,
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
        window = display_window(store, planned, work.tally)
        attributes = make_attributes(planned, name=_image_name(output), version=__version__, window=window)
        receipt = Receipt(
            output=output,
            ome_zarr_version=planned.options.ome_zarr_version,
            levels=planned.levels,
            seconds=record.seconds + time.perf_counter() - began,
            bytes_read=work.bytes_done,
            bytes_written=0,
            peak_memory_bytes=(crew and crew.peak_memory_bytes) or peak_resident_memory(),
            workers=len(crew.hands) if crew else 0,
            minimum=window["min"],
            maximum=window["max"],
            nans=work.tally.nans,
            infinities=work.tally.infinities,
            rescaled=rescaled(planned, work.tally),
            window=(window["start"], window["end"]),
        )
        write_receipt(output, receipt, planned, record.identity, attributes)
        store.publish(attributes)
    return replace(receipt, bytes_written=bytes_below(output))


class _SourceChangedError(ConversionError):
    """There is no going on with another source."""


def _check_whole(source: Source, store: Store, output: AnyPath, identity: dict[str, Any]) -> None:
    """Nothing has changed behind the conversion's back."""
    mark = source_mark(source.files, identity["sample"])
    if (mark.size, mark.modified) != (identity["size"], identity["modified"]):
        raise _SourceChangedError(
            f"{identity['source']} was changed while it was being read. The output {output} is unfinished; --overwrite "
            "begins anew."
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
    return planned, identify(planned, source_mark(source.files, crc32(rows)))


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
            f"differs in {different}. Ask for the same again, or to overwrite it (--overwrite), or choose another "
            "name.",
            options=other_options(record.identity, identity),
        )
    if not record.done or not checksums_are_there(output, planned.levels):
        return planned, None
    return replace(planned, blocks_done=len(record.done)), record


def _image_name(output: AnyPath) -> str:
    return output.name.removesuffix(".zarr").removesuffix(".ome")


@contextmanager
def _unfinished_on_error(output: AnyPath) -> Iterator[None]:
    """What goes wrong from here on leaves an unfinished output, and says so."""
    try:
        yield
    except _SourceChangedError:
        raise
    except (CtPyramidError, OSError, MemoryError) as error:
        why = str(error).rstrip(".")
        if isinstance(error, MemoryError):
            why = "There was not enough memory"
        elif isinstance(error, OSError) and error.strerror:
            why = f"{Path(error.filename).name}: {error.strerror}" if error.filename else error.strerror
        raise ConversionError(f"{why}. The output {output} is unfinished; the same command goes on with it.") from error
