"""The public functions. Each has a parameter for every option of a conversion, with its default.

The options are the fields of `ConversionOptions`; their help texts document the parameters. All other modules pass
the options on as one `ConversionOptions`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.options import Compressor, ConversionOptions, Dtype, Edges, Method, OmeZarrVersion
from napari_ct_pyramid.storage.paths import PathLike

from .batch import Batch, iter_convert_batch, iter_plan_batch, iter_verify_batch
from .comparison import Verification
from .convert import iter_conversion, plan_conversion
from .progress import Progress, run_through
from .public import public
from .receipt import Receipt
from .verify import iter_verification

if TYPE_CHECKING:
    from .dask.client import Client


def _options(arguments: dict[str, Any]) -> ConversionOptions:
    return ConversionOptions(**{option.name: arguments[option.name] for option in fields(ConversionOptions)})


@public
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
    """Plan a conversion, from the source's header and a few of its rows. Writes nothing.

    Parameters
    ----------
    src : path
        The source: a file, a folder of slices, or a dataset in a file.
    dst : path, optional
        The OME-Zarr to make. If not given, it lies beside the source: ``scan.tif`` becomes ``scan.ome.zarr``.
    client : distributed.Client, optional
        Of a Dask cluster whose workers make the blocks. They must see `src` and `dst` by the same paths, and
        `max_memory` and `threads` are those of each worker. If not given, threads of this process make the blocks.
    {options}

    Returns
    -------
    Plan
        Levels, blocks, memory and files of the conversion, and warnings.

    Raises
    ------
    SourceError
        If the source is not a volume that can be read.
    RequestError
        If the conversion cannot be done like this. Its subclasses have attributes that state what is possible.
    """
    return plan_conversion(src, dst, _options(locals()), client)


@public
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
    src : path
        The source: a file, a folder of slices, or a dataset in a file.
    dst : path, optional
        The OME-Zarr to make. If not given, it lies beside the source: ``scan.tif`` becomes ``scan.ome.zarr``.
    client : distributed.Client, optional
        Of a Dask cluster whose workers make the blocks. They must see `src` and `dst` by the same paths, and
        `max_memory` and `threads` are those of each worker. If not given, threads of this process make the blocks.
    progress : callable, optional
        Called with a `Progress` at least every half second.
    {options}

    Returns
    -------
    Receipt
        What was made, and what it took.

    Raises
    ------
    SourceError
        If the source is not a volume that can be read. Nothing was written.
    RequestError
        If the conversion cannot be done like this. Nothing was written.
    ConversionError
        If the conversion failed. The output is unfinished, and the same call resumes it.
    """
    return run_through(iter_conversion(src, dst, _options(locals()), client), progress)


@public
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
    """Convert a volume step by step: a generator that yields a `Progress` at least every half second.

    At the first `Progress` the output has all its arrays, still empty. Closing the generator cancels the conversion:
    all work ends, here and on the workers of a cluster, all files are closed, and the output stays unfinished. The same
    call resumes it.

    Parameters
    ----------
    src : path
        The source: a file, a folder of slices, or a dataset in a file.
    dst : path, optional
        The OME-Zarr to make. If not given, it lies beside the source: ``scan.tif`` becomes ``scan.ome.zarr``.
    client : distributed.Client, optional
        Of a Dask cluster whose workers make the blocks. They must see `src` and `dst` by the same paths, and
        `max_memory` and `threads` are those of each worker. If not given, threads of this process make the blocks.
    {options}

    Returns
    -------
    Generator
        It returns the `Receipt`. Errors are those of `convert`, raised when it is iterated over.
    """
    return iter_conversion(src, dst, _options(locals()), client)


@public
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
        Folder for the outputs, which have the names that `convert` gives them. If not given, each lies beside its
        source.
    client : distributed.Client, optional
        As for `convert`.
    progress : callable, optional
        Called with a `Batch` at every change, and at least every half second while a volume is converted.
    {options}

    Returns
    -------
    Batch
        Every item is done, or failed with ``item.error``.

    Raises
    ------
    RequestError
        If two sources would have the same output, or the options make no sense. Nothing was written.
    DiskSpaceError
        If the outputs do not fit on their disks together. Nothing was written.
    """
    planned = run_through(iter_plan_batch(sources, output_dir, _options(locals()), client), progress)
    return run_through(iter_convert_batch(planned, client), progress)


@public
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
    """Plan many conversions: a generator that yields the `Batch` before the first plan and after each.

    Afterwards each item is waiting, or failed with its error, or done, if its output is finished and is just what the
    conversion would make. Writes nothing.

    Parameters
    ----------
    sources : iterable of path
    output_dir : path, optional
    client : distributed.Client, optional
        As for `convert_many`.
    {options}

    Returns
    -------
    Generator
        It returns the `Batch`, for `iter_convert_many`. Errors are those of `convert_many`, raised when it is iterated
        over.
    """
    return iter_plan_batch(sources, output_dir, _options(locals()), client)


@public
def iter_convert_many(
    batch: Batch[Receipt], *, client: Client | None = None
) -> Generator[Batch[Receipt], None, Batch[Receipt]]:
    """Convert what is waiting in a batch: a generator that yields the `Batch` at every change, and returns it.

    Closing the generator cancels the conversion that is running. Those that wait have not begun.

    Parameters
    ----------
    batch : Batch
        What `iter_plan_many` returned.
    client : distributed.Client, optional
        As for `convert`.
    """
    return iter_convert_batch(batch, client)


@public
def verify(
    output: PathLike,
    source: PathLike | None = None,
    *,
    repair: bool = False,
    max_memory: str | int = "4G",
    threads: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Verification:
    """Read an output, and check whether it is complete and correct.

    Its metadata must meet the specification and be what the conversion wrote. Every chunk must exist, decode, and be
    as it was written. Every level must be the mean of the finer one, or what the method makes of it. Level 0 must hold
    the voxels of the source; if no source is given, those that the conversion read, by their checksums.

    Parameters
    ----------
    output : path
        A finished OME-Zarr that this package made.
    source : path, optional
        The source that it was made from.
    repair : bool, default False
        Make again what is wrong, from the source.
    {options}
    progress : callable, optional
        Called with a `Progress` at least every half second.

    Returns
    -------
    Verification

    Raises
    ------
    SourceError
        If the output does not exist (`SourceNotFoundError`), is unfinished (`UnfinishedError`), or was not made by
        this package, or if the source cannot be read.
    RequestError
        If the output was made from another source, or the memory budget is too small.
    ConversionError
        If the repair failed.
    """
    return run_through(
        iter_verification(output, source, repair=repair, max_memory=max_memory, threads=threads), progress
    )


@public
def iter_verify(
    output: PathLike,
    source: PathLike | None = None,
    *,
    repair: bool = False,
    max_memory: str | int = "4G",
    threads: int | None = None,
) -> Generator[Progress, None, Verification]:
    """Verify an output step by step: a generator that yields a `Progress` at least every half second.

    Parameters
    ----------
    output : path
    source : path, optional
    repair : bool, default False
        As for `verify`.
    {options}

    Returns
    -------
    Generator
        It returns the `Verification`. Errors are those of `verify`, raised when it is iterated over.
    """
    return iter_verification(output, source, repair=repair, max_memory=max_memory, threads=threads)


@public
def iter_verify_many(
    outputs: Iterable[PathLike], *, max_memory: str | int = "4G", threads: int | None = None
) -> Generator[Batch[Verification], None, Batch[Verification]]:
    """Verify many outputs, one after another: a generator that yields the `Batch` at every change, and returns it.

    Parameters
    ----------
    outputs : iterable of path
    {options}

    Returns
    -------
    Generator
        Of the `Batch`. An item is done if its output could be read; ``item.result.sound`` is the outcome.
    """
    return iter_verify_batch(outputs, max_memory=max_memory, threads=threads)
