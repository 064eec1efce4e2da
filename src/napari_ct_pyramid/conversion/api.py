"""The functions for Python: each names all its options, with their defaults.

The options are the fields of `ConversionOptions`; a test holds the two against each other. Everything below takes the
options as one `ConversionOptions`.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import fields
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.options import Compressor, ConversionOptions, Dtype, Edges, Method, OmeZarrVersion
from napari_ct_pyramid.storage.paths import PathLike

from .batch import Batch, iter_convert_batch, iter_plan_batch, iter_verify_batch
from .comparison import Verification
from .convert import iter_conversion, plan_conversion
from .progress import Progress, run_through
from .receipt import Receipt
from .verify import iter_verification

if TYPE_CHECKING:
    from .dask.client import Client

P = ParamSpec("P")
R = TypeVar("R")


def _suggests(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function name the nearest parameter where a caller misspells one."""
    names = list(inspect.signature(function).parameters)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else f" It has {', '.join(names)}."
                raise TypeError(f"{function.__name__}() has no parameter {name!r}.{hint}")
        return function(*args, **kwargs)

    return checked


def _options(given: dict[str, Any]) -> ConversionOptions:
    """The options among a function's arguments."""
    return ConversionOptions(**{option.name: given[option.name] for option in fields(ConversionOptions)})


@_suggests
def plan(
    src: PathLike,
    dst: PathLike | None = None,
    *,
    client: Client | None = None,
    chunks: str | int | Sequence[int] | None = None,
    num_levels: int | Literal["auto"] | None = "auto",
    dtype: Dtype | None = None,
    window: str | Sequence[float] | None = None,
    method: Method = "mean",
    downsample: str | Sequence[int] | None = "2 2 2",
    edges: Edges = "strict",
    max_memory: str | int = "4G",
    compressor: Compressor = "lz4",
    ome_zarr_version: OmeZarrVersion = "0.4",
    shards: str | Sequence[int] | None = "auto",
    voxel_size: str | float | Sequence[float] | None = None,
    unit: str | None = None,
    axes: str = "zyx",
    crop: str | Sequence[Sequence[int | None]] | None = None,
    threads: int | None = None,
    overwrite: bool = False,
) -> Plan:
    """Work a conversion out from the source's header and a few of its rows. Writes nothing.

    Parameters
    ----------
    src, dst : path
        The source, and the OME-Zarr to make; `dst` is `default_output` of `src` unless given.
    client : distributed.Client, optional
        Of the Dask cluster whose workers are to make the blocks. They must see `src` and `dst` by the same paths;
        ``max_memory`` and ``threads`` are of each of them.
    chunks : str, int or sequence of int
        Chunk size along z, y, x in voxels, or one number for all three; or ``"visualization"`` (128 128 128) or
        ``"conversion"`` (32 256 256). It has to be given.
    num_levels, dtype, window, method, downsample, edges, max_memory, compressor, ome_zarr_version, shards, voxel_size,
    unit, axes, crop, threads, overwrite
        The fields of `ConversionOptions`, in the same words; ``ct-pyramid convert --help`` describes each.

    Raises
    ------
    SourceError
        If the source is not a volume that can be read.
    RequestError
        If the request cannot be done; its subclasses say what can.
    """
    return plan_conversion(src, dst, _options(locals()), client)


@_suggests
def convert(
    src: PathLike,
    dst: PathLike | None = None,
    *,
    client: Client | None = None,
    progress: Callable[[Progress], None] | None = None,
    chunks: str | int | Sequence[int] | None = None,
    num_levels: int | Literal["auto"] | None = "auto",
    dtype: Dtype | None = None,
    window: str | Sequence[float] | None = None,
    method: Method = "mean",
    downsample: str | Sequence[int] | None = "2 2 2",
    edges: Edges = "strict",
    max_memory: str | int = "4G",
    compressor: Compressor = "lz4",
    ome_zarr_version: OmeZarrVersion = "0.4",
    shards: str | Sequence[int] | None = "auto",
    voxel_size: str | float | Sequence[float] | None = None,
    unit: str | None = None,
    axes: str = "zyx",
    crop: str | Sequence[Sequence[int | None]] | None = None,
    threads: int | None = None,
    overwrite: bool = False,
) -> Receipt:
    """Convert a volume to a multiscale OME-Zarr.

    Parameters
    ----------
    src, dst, client, chunks, ...
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
    return run_through(iter_conversion(src, dst, _options(locals()), client), progress)


@_suggests
def iter_convert(
    src: PathLike,
    dst: PathLike | None = None,
    *,
    client: Client | None = None,
    chunks: str | int | Sequence[int] | None = None,
    num_levels: int | Literal["auto"] | None = "auto",
    dtype: Dtype | None = None,
    window: str | Sequence[float] | None = None,
    method: Method = "mean",
    downsample: str | Sequence[int] | None = "2 2 2",
    edges: Edges = "strict",
    max_memory: str | int = "4G",
    compressor: Compressor = "lz4",
    ome_zarr_version: OmeZarrVersion = "0.4",
    shards: str | Sequence[int] | None = "auto",
    voxel_size: str | float | Sequence[float] | None = None,
    unit: str | None = None,
    axes: str = "zyx",
    crop: str | Sequence[Sequence[int | None]] | None = None,
    threads: int | None = None,
    overwrite: bool = False,
) -> Generator[Progress, None, Receipt]:
    """The generator under `convert`: yields a `Progress` at least every half second, returns the `Receipt`.

    By the first `Progress` the output's arrays are all there, still empty. Closing the generator cancels the
    conversion: its threads end, on a cluster those of its workers too, its files are closed, and the output stays
    unfinished.

    Parameters and errors are those of `convert`.
    """
    return iter_conversion(src, dst, _options(locals()), client)


@_suggests
def convert_many(
    sources: Iterable[PathLike],
    output_dir: PathLike | None = None,
    *,
    client: Client | None = None,
    progress: Callable[[Batch[Receipt]], None] | None = None,
    chunks: str | int | Sequence[int] | None = None,
    num_levels: int | Literal["auto"] | None = "auto",
    dtype: Dtype | None = None,
    window: str | Sequence[float] | None = None,
    method: Method = "mean",
    downsample: str | Sequence[int] | None = "2 2 2",
    edges: Edges = "strict",
    max_memory: str | int = "4G",
    compressor: Compressor = "lz4",
    ome_zarr_version: OmeZarrVersion = "0.4",
    shards: str | Sequence[int] | None = "auto",
    voxel_size: str | float | Sequence[float] | None = None,
    unit: str | None = None,
    axes: str = "zyx",
    crop: str | Sequence[Sequence[int | None]] | None = None,
    threads: int | None = None,
    overwrite: bool = False,
) -> Batch[Receipt]:
    """Convert many volumes, one after another.

    Parameters
    ----------
    sources : iterable of path
    output_dir : path, optional
        Folder for the outputs; each lies beside its source if not given. They are named as `convert` names them.
    client, chunks, ...
        As for `plan`; the same for all volumes.
    progress : callable, optional
        Called with a `Batch` whenever there is something new, and at least every half second while one is converted.

    Returns
    -------
    Batch
        Every item of it done or failed; ``item.error`` says why.

    Raises
    ------
    RequestError
        If two sources would have the same output, or the request cannot be done with any source. Nothing was written.
    DiskSpaceError
        If the outputs do not fit on their disks together. Nothing was written.
    """
    planned = run_through(iter_plan_batch(sources, output_dir, _options(locals()), client), progress)
    return run_through(iter_convert_batch(planned, client), progress)


@_suggests
def iter_plan_many(
    sources: Iterable[PathLike],
    output_dir: PathLike | None = None,
    *,
    client: Client | None = None,
    chunks: str | int | Sequence[int] | None = None,
    num_levels: int | Literal["auto"] | None = "auto",
    dtype: Dtype | None = None,
    window: str | Sequence[float] | None = None,
    method: Method = "mean",
    downsample: str | Sequence[int] | None = "2 2 2",
    edges: Edges = "strict",
    max_memory: str | int = "4G",
    compressor: Compressor = "lz4",
    ome_zarr_version: OmeZarrVersion = "0.4",
    shards: str | Sequence[int] | None = "auto",
    voxel_size: str | float | Sequence[float] | None = None,
    unit: str | None = None,
    axes: str = "zyx",
    crop: str | Sequence[Sequence[int | None]] | None = None,
    threads: int | None = None,
    overwrite: bool = False,
) -> Generator[Batch[Receipt], None, Batch[Receipt]]:
    """Plan many conversions: yields the `Batch` before the first plan and after each, and returns it.

    An item that cannot be converted has failed, with its error. One whose output is finished, and is just what this
    conversion would make, is done. All others are waiting. Writes nothing.

    Parameters and errors are those of `convert_many`.
    """
    return iter_plan_batch(sources, output_dir, _options(locals()), client)


@_suggests
def iter_convert_many(
    batch: Batch[Receipt], *, client: Client | None = None
) -> Generator[Batch[Receipt], None, Batch[Receipt]]:
    """Convert what is waiting in a batch that `iter_plan_many` returned: yields and returns the `Batch`.

    Closing the generator cancels the conversion that is running, and leaves those that wait untouched.
    """
    return iter_convert_batch(batch, client)


@_suggests
def verify(
    output: PathLike,
    source: PathLike | None = None,
    *,
    repair: bool = False,
    max_memory: str | int = "4G",
    threads: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Verification:
    """Read an output back, and find out whether it is complete and correct.

    Its metadata are compared with the specification and with what the conversion wrote; every chunk must be there,
    decode, and be as it was written; every coarser level must be the mean of the finer; and level 0 must hold the
    voxels of the source, or, where no source is given, those that the conversion read, by their checksums.

    Parameters
    ----------
    output : path
        A finished OME-Zarr that this package made.
    source : path, optional
        What it was made from.
    repair : bool
        Make what is wrong again, from the source.
    max_memory : str or int
        Peak resident memory of the process, as for `convert`.
    threads : int, optional
        Number of threads; one for each core if not given.
    progress : callable, optional
        Called with a `Progress` at least every half second.

    Returns
    -------
    Verification

    Raises
    ------
    SourceError
        If there is no such output (`SourceNotFoundError`), it is unfinished (`UnfinishedError`), or was not made by
        this package; or the source cannot be read.
    RequestError
        If the source is another one, or the budget too small.
    ConversionError
        If the repair failed.
    """
    return run_through(
        iter_verification(output, source, repair=repair, max_memory=max_memory, threads=threads), progress
    )


@_suggests
def iter_verify(
    output: PathLike,
    source: PathLike | None = None,
    *,
    repair: bool = False,
    max_memory: str | int = "4G",
    threads: int | None = None,
) -> Generator[Progress, None, Verification]:
    """The generator under `verify`: yields a `Progress` at least every half second, returns the `Verification`."""
    return iter_verification(output, source, repair=repair, max_memory=max_memory, threads=threads)


@_suggests
def iter_verify_many(
    outputs: Iterable[PathLike], *, max_memory: str | int = "4G", threads: int | None = None
) -> Generator[Batch[Verification], None, Batch[Verification]]:
    """Verify many outputs, one after another: yields and returns the `Batch`.

    Parameters
    ----------
    outputs : iterable of path
    max_memory, threads
        As for `verify`.

    Returns
    -------
    Batch
        An item is done where its output could be read: ``item.result.sound`` says with what outcome.
    """
    return iter_verify_batch(outputs, max_memory=max_memory, threads=threads)
