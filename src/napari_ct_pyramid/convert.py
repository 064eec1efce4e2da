"""One conversion, from a source to a finished OME-Zarr: opens, plans, runs the plan, says how it went.

The rooms it introduces to each other (source, plan, engine, store) do not know one another.
"""

from __future__ import annotations

import importlib
import math
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from .bench import Block
from .checksums import Checksums, checksums_are_there, crc32
from .chunkfiles import compressed_size
from .engine import Engine
from .errors import ConversionError, CtPyramidError, OutputExistsError
from .identity import differences, identify, other_options, source_mark
from .journal import Journal, Record, read_journal
from .layout import is_published
from .lock import hold
from .memory import peak_resident_memory, resident_memory
from .metadata import make_attributes
from .options import ConversionOptions
from .output import PathLike, begin_output, bytes_free, bytes_there, check_output, default_output, is_unfinished
from .plan import PROCESS_BYTES, Plan, make_plan
from .receipt import write_receipt
from .report import Progress, Receipt, run_through
from .source import Source, open_source
from .store import Store
from .volume import Triple
from .window import display_window

__all__ = ["convert", "default_output", "iter_convert", "plan"]

_PROGRESS_SECONDS = 0.25
_GROWTH_BYTES = 60_000_000  # of a process that has begun already: what it may still import, measured;
_LATER_GROWTH_BYTES = 10_000_000  # and of one that has imported all of it
_SAMPLE_BYTES = 4_000_000
_SAMPLE_PLACES = 8


def plan(src: PathLike, dst: PathLike | None = None, **options: Any) -> Plan:
    """Work a conversion out from the source's header and a few of its rows. Writes nothing.

    Parameters
    ----------
    src, dst : path
        The source, and the OME-Zarr to be; `dst` is `default_output` of `src` unless given.
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
        planned, identity = plan_source(source, output, asked)
        return _go_on(planned, identity, output)[0]


def already_made(src: PathLike, dst: PathLike, **options: Any) -> Plan | None:
    """The plan of a conversion whose output is finished already, just as it would be; None where it is not.

    Parameters and errors are those of `plan`.
    """
    asked = ConversionOptions(**{"chunks": None, **options})
    output = Path(dst)
    record = read_journal(output) if is_published(output) else None
    if record is None:
        return None
    with open_source(src, axes=asked.axes, crop=asked.crop) as source:
        planned, identity = plan_source(source, None, asked)
    return None if differences(record.identity, identity) else planned


def convert(
    src: PathLike, dst: PathLike | None = None, *, progress: Callable[[Progress], None] | None = None, **options: Any
) -> Receipt:
    """Convert a volume to a multiscale OME-Zarr.

    Parameters
    ----------
    src, dst, **options
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
    return run_through(iter_convert(src, dst, **options), progress)


def iter_convert(src: PathLike, dst: PathLike | None = None, **options: Any) -> Generator[Progress, None, Receipt]:
    """The generator under `convert`: yields a `Progress` at least every half second, returns the `Receipt`.

    By the first `Progress` the output's arrays are all there, still empty. Closing the generator
    cancels the conversion: its threads end, its files are let go, and the output stays unfinished.

    Parameters and errors are those of `convert`.
    """
    asked = ConversionOptions(**{"chunks": None, **options})
    with open_source(src, axes=asked.axes, crop=asked.crop) as source:
        output = _output(src, dst, asked)
        planned, identity = plan_source(source, output, asked)
        _go_on(planned, identity, output)
        with hold(output):
            check_output(src, output, asked.overwrite)  # again: somebody may have written there until now
            planned, record = _go_on(planned, identity, output)
            if record is None:
                record = begin_output(output, identity, planned.blocks)
            return (yield from run(source, planned, output, record))


def run(source: Source, planned: Plan, output: Path, record: Record) -> Generator[Progress, None, Receipt]:
    """Do what of a plan is not done yet, and publish the volume. To be done by whoever holds the output's lock."""
    began = time.perf_counter()
    with _unfinished_on_error(output), ExitStack() as stack:
        journal = stack.enter_context(closing(Journal(output, record)))
        checksums = stack.enter_context(closing(Checksums(output, planned.levels, write=True)))
        store = stack.enter_context(closing(Store(output, planned)))

        def seconds() -> float:
            return record.seconds + time.perf_counter() - started

        def keep(block: Block) -> None:
            """First its chunks, then their names and checksums, then that it is done: all of it safely."""
            indices: dict[int, list[Triple]] = defaultdict(list)
            for level, index, write in block.chunks:
                checksums.put(level, index, write.result().result())
                indices[level].append(index)
            for level, those in indices.items():
                store.make_safe(level, those)
            checksums.sync()
            journal.append(block.id, block.tally, seconds())

        engine = Engine(source, planned, store, record.done, keep)
        started = time.perf_counter()

        def progress() -> Progress:
            return Progress(
                output=output,
                plan=planned,
                blocks_done=engine.blocks_done,
                blocks=planned.blocks,
                bytes_done=engine.bytes_done,
                bytes_total=planned.volume.nbytes,
                seconds=seconds(),
                fraction=engine.fraction,
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
        window = display_window(store, planned, engine.tally)
        attributes = make_attributes(planned, name=_image_name(output), version=__version__, window=window)
        receipt = Receipt(
            output=output,
            ome_zarr_version=planned.options.ome_zarr_version,
            levels=planned.levels,
            seconds=record.seconds + time.perf_counter() - began,
            bytes_read=engine.bytes_done,
            bytes_written=0,
            peak_memory_bytes=peak_resident_memory(),
            minimum=window["min"],
            maximum=window["max"],
            nans=engine.tally.nans,
            infinities=engine.tally.infinities,
            window=(window["start"], window["end"]),
        )
        write_receipt(output, receipt, planned, record.identity, attributes)
        store.publish(attributes)
    return replace(receipt, bytes_written=bytes_there(output))


class _SourceChangedError(ConversionError):
    """There is no going on with another source."""


def _check_whole(source: Source, store: Store, output: Path, identity: dict[str, Any]) -> None:
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


def _output(src: PathLike, dst: PathLike | None, options: ConversionOptions) -> Path:
    output = default_output(src) if dst is None else Path(dst)
    check_output(src, output, options.overwrite)
    return output


def plan_source(source: Source, output: Path | None, options: ConversionOptions) -> tuple[Plan, dict[str, Any]]:
    """The plan of a conversion, and its identity; without an output, whatever is free on the disk."""
    rows = sample_rows(source)
    planned = make_plan(
        source.volume,
        options,
        compression_ratio=rows.nbytes / compressed_size(rows, options.compressor),
        bytes_free=None if output is None else bytes_free(output),
        process_memory=process_memory(),
    )
    return planned, identify(planned, source_mark(source.files, crc32(rows)))


def _go_on(planned: Plan, identity: dict[str, Any], output: Path) -> tuple[Plan, Record | None]:
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


def process_memory() -> int:
    """What the process will hold without a conversion's buffers."""
    growth = _LATER_GROWTH_BYTES if "ome_zarr.writer" in sys.modules else _GROWTH_BYTES
    return max(PROCESS_BYTES, resident_memory() + growth)


def sample_rows(source: Source) -> np.ndarray:
    """A few rows here and there."""
    depth, rows, columns = source.volume.shape
    height = min(rows, math.ceil(_SAMPLE_BYTES / _SAMPLE_PLACES / (columns * source.volume.dtype.itemsize)))
    places = sorted({(depth - 1) * i // (_SAMPLE_PLACES - 1) for i in range(_SAMPLE_PLACES)})
    sample = np.empty((len(places), height, columns), source.volume.dtype)
    for i, z in enumerate(places):
        y = (rows - height) * i // len(places)
        source.read(z, z + 1, y, y + height, sample[i : i + 1])
    return sample


def _image_name(output: Path) -> str:
    return output.name.removesuffix(".zarr").removesuffix(".ome")


@contextmanager
def _unfinished_on_error(output: Path) -> Iterator[None]:
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
