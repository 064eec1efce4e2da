"""One conversion, from a source to a finished OME-Zarr: opens, plans, runs the plan, says how it went.

The rooms it introduces to each other (source, plan, engine, store) do not know one another.
"""

from __future__ import annotations

import importlib
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__, downsample
from .engine import Engine
from .errors import ConversionError, CtPyramidError
from .memory import peak_resident_memory, resident_memory
from .metadata import OME_ZARR_VERSION, make_attributes
from .options import ConversionOptions
from .output import PathLike, bytes_free, bytes_there, check_output, default_output, make_output
from .plan import PROCESS_BYTES, Plan, make_plan
from .report import Progress, Receipt
from .source import Source, open_source
from .store import Store, compressed_size
from .window import display_window

__all__ = ["convert", "default_output", "iter_convert", "plan"]

_PROGRESS_SECONDS = 0.25
_GROWTH_BYTES = 60_000_000  # of a process that has begun already: what it may still import, measured
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
    with open_source(src) as source:
        return _plan(source, _output(src, dst, asked), asked)


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
    steps = iter_convert(src, dst, **options)
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            receipt: Receipt = end.value
            return receipt
        if progress:
            progress(step)


def iter_convert(src: PathLike, dst: PathLike | None = None, **options: Any) -> Generator[Progress, None, Receipt]:
    """The generator under `convert`: yields a `Progress` at least every half second, returns the `Receipt`.

    By the first `Progress` the output's arrays are all there, still empty. Closing the generator
    cancels the conversion: its threads end, its files are let go, and the output stays unfinished.

    Parameters and errors are those of `convert`.
    """
    began = time.perf_counter()
    asked = ConversionOptions(**{"chunks": None, **options})
    with open_source(src) as source:
        output = _output(src, dst, asked)
        planned = _plan(source, output, asked)
        make_output(output)
        with _unfinished_on_error(output), closing(Store(output, planned)) as store:
            engine = Engine(source, planned, store)
            started = time.perf_counter()

            def progress() -> Progress:
                return Progress(
                    output=output,
                    plan=planned,
                    blocks_done=engine.blocks_done,
                    blocks=planned.blocks,
                    bytes_done=engine.bytes_done,
                    bytes_total=planned.volume.nbytes,
                    seconds=time.perf_counter() - started,
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
            window = display_window(store, planned, engine.extremes)
            store.publish(
                make_attributes(
                    planned, name=_image_name(output), method=downsample.METHOD, version=__version__, window=window
                )
            )
    return Receipt(
        output=output,
        ome_zarr_version=OME_ZARR_VERSION,
        levels=planned.levels,
        seconds=time.perf_counter() - began,
        bytes_read=engine.bytes_done,
        bytes_written=bytes_there(output),
        peak_memory_bytes=peak_resident_memory(),
        minimum=window["min"],
        maximum=window["max"],
        window=(window["start"], window["end"]),
    )


def _output(src: PathLike, dst: PathLike | None, options: ConversionOptions) -> Path:
    output = default_output(src) if dst is None else Path(dst)
    check_output(src, output, options.overwrite)
    return output


def _plan(source: Source, output: Path, options: ConversionOptions) -> Plan:
    return make_plan(
        source.volume,
        options,
        compression_ratio=_sample_compression(source, options),
        bytes_free=bytes_free(output),
        process_memory=max(PROCESS_BYTES, resident_memory() + _GROWTH_BYTES),
    )


def _sample_compression(source: Source, options: ConversionOptions) -> float:
    """Bytes before by bytes after, of a few rows here and there."""
    volume = source.volume
    depth, rows, columns = volume.shape
    height = min(rows, math.ceil(_SAMPLE_BYTES / _SAMPLE_PLACES / (columns * volume.dtype.itemsize)))
    places = sorted({(depth - 1) * i // (_SAMPLE_PLACES - 1) for i in range(_SAMPLE_PLACES)})
    sample = np.empty((len(places), height, columns), volume.dtype)
    for i, z in enumerate(places):
        y = (rows - height) * i // len(places)
        source.read(z, z + 1, y, y + height, sample[i : i + 1])
    return sample.nbytes / compressed_size(sample, options.compressor)


def _image_name(output: Path) -> str:
    return output.name.removesuffix(".zarr").removesuffix(".ome")


@contextmanager
def _unfinished_on_error(output: Path) -> Iterator[None]:
    """What goes wrong from here on leaves an unfinished output, and says so."""
    try:
        yield
    except (CtPyramidError, OSError, MemoryError) as error:
        why = "There was not enough memory" if isinstance(error, MemoryError) else str(error).rstrip(".")
        raise ConversionError(f"{why}. The output {output} is unfinished; --overwrite begins anew.") from error
