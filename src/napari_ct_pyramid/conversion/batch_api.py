"""The public functions for many volumes. `api` has those for one, and explains how options are passed on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from napari_ct_pyramid.options import Compressor, Dtype, Edges, Method, OmeZarrVersion
from napari_ct_pyramid.sources.inputs import SourceLike
from napari_ct_pyramid.storage.paths import PathLike, any_path

from .api import options_from
from .batch import Batch, iter_convert_batch, iter_plan_batch, iter_verify_batch
from .comparison import Verification
from .output import folder_for_outputs
from .progress import run_through
from .public import public
from .receipt import Receipt

if TYPE_CHECKING:
    from .dask.client import Client


@public
def convert_many(
    sources: Iterable[SourceLike],
    output_dir: PathLike | None = None,
    *,
    client: Client | None = None,
    progress: Callable[[Batch[Receipt]], None] | None = None,
    chunks: str | int | Sequence[int] | None = None,
    num_levels: int | Literal["auto"] | None = "auto",
    dtype: Dtype | None = None,
    window: str | Sequence[float] | None = None,
    calibration: str | Sequence[float | str] | None = None,
    air: float | None = None,
    water: float | None = None,
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
    channel: int | None = None,
    time: int | None = None,
    follow_links: bool = False,
    raw_shape: str | Sequence[int] | None = None,
    raw_dtype: str | None = None,
    raw_offset: int = 0,
    threads: int | None = None,
    overwrite: bool = False,
) -> Batch[Receipt]:
    """Convert many volumes, one after another.

    Parameters
    ----------
    sources : iterable of path or array
    output_dir : path, optional
        Folder for the outputs, which have the names that `convert` gives them. It is made if its parent exists. If not
        given, each output lies beside its source.
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
    options = options_from(locals())
    with folder_for_outputs(None if output_dir is None else any_path(output_dir)):
        planned = run_through(iter_plan_batch(sources, output_dir, options, client), progress)
        return run_through(iter_convert_batch(planned, client), progress)


@public
def iter_plan_many(
    sources: Iterable[SourceLike],
    output_dir: PathLike | None = None,
    *,
    client: Client | None = None,
    chunks: str | int | Sequence[int] | None = None,
    num_levels: int | Literal["auto"] | None = "auto",
    dtype: Dtype | None = None,
    window: str | Sequence[float] | None = None,
    calibration: str | Sequence[float | str] | None = None,
    air: float | None = None,
    water: float | None = None,
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
    channel: int | None = None,
    time: int | None = None,
    follow_links: bool = False,
    raw_shape: str | Sequence[int] | None = None,
    raw_dtype: str | None = None,
    raw_offset: int = 0,
    threads: int | None = None,
    overwrite: bool = False,
) -> Generator[Batch[Receipt], None, Batch[Receipt]]:
    """Plan many conversions: a generator that yields the `Batch` before the first plan and after each.

    Afterwards each item is waiting, or failed with its error, or done, if its output is finished and is just what the
    conversion would make. Writes nothing.

    Parameters
    ----------
    sources : iterable of path or array
    output_dir : path, optional
        As for `convert_many`, but it must exist.
    client : distributed.Client, optional
        As for `convert_many`.
    {options}

    Returns
    -------
    Generator
        It returns the `Batch`, for `iter_convert_many`. Errors are those of `convert_many`, raised when it is iterated
        over.
    """
    return iter_plan_batch(sources, output_dir, options_from(locals()), client)


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
