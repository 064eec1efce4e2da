"""The public functions. Each has a parameter for every option of a conversion, with its default.

The options are the fields of `ConversionOptions`; their help texts document the parameters. All other modules pass
the options on as one `ConversionOptions`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.options import Compressor, ConversionOptions, Dtype, Edges, Method, OmeZarrVersion
from napari_ct_pyramid.sources.inputs import SourceLike
from napari_ct_pyramid.storage.paths import PathLike

from .convert import iter_conversion, plan_conversion
from .notebook import notebook_bar
from .progress import Progress, run_through
from .public import public
from .receipt import Receipt

if TYPE_CHECKING:
    from .dask.client import Client


def options_from(arguments: dict[str, Any]) -> ConversionOptions:
    """The options among the arguments of a public function."""
    return ConversionOptions(**{option.name: arguments[option.name] for option in fields(ConversionOptions)})


@public
def plan(
    src: SourceLike,
    dst: PathLike | None = None,
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
) -> Plan:
    """Plan a conversion, from the source's header and a few of its rows. Writes nothing.

    Parameters
    ----------
    src : path or array
        The source: a file, a folder of slices, a dataset in a file, or an array of NumPy, Dask, Zarr or xarray.
    dst : path, optional
        The OME-Zarr to make. If not given, it lies beside the source: ``scan.tif`` becomes ``scan.ome.zarr``. For an
        array it must be given.
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
    return plan_conversion(src, dst, options_from(locals()), client)


@public
def convert(
    src: SourceLike,
    dst: PathLike | None = None,
    *,
    client: Client | None = None,
    progress: Callable[[Progress], None] | None = None,
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
) -> Receipt:
    """Convert a volume to a multiscale OME-Zarr.

    Parameters
    ----------
    src : path or array
        The source: a file, a folder of slices, a dataset in a file, or an array of NumPy, Dask, Zarr or xarray.
    dst : path, optional
        The OME-Zarr to make. If not given, it lies beside the source: ``scan.tif`` becomes ``scan.ome.zarr``. For an
        array it must be given.
    client : distributed.Client, optional
        Of a Dask cluster whose workers make the blocks. They must see `src` and `dst` by the same paths, and
        `max_memory` and `threads` are those of each worker. If not given, threads of this process make the blocks.
    progress : callable, optional
        Called with a `Progress` at least every half second. If not given, notebooks show a bar.
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
        If the conversion failed. The output is unfinished, and the same call resumes it, unless the source is
        an array.
    """
    return run_through(iter_conversion(src, dst, options_from(locals()), client), progress or notebook_bar())


@public
def iter_convert(
    src: SourceLike,
    dst: PathLike | None = None,
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
) -> Generator[Progress, None, Receipt]:
    """Convert a volume step by step: a generator that yields a `Progress` at least every half second.

    At the first `Progress` the output has all its arrays, still empty. Closing the generator cancels the conversion:
    all work ends, here and on the workers of a cluster, all files are closed, and the output stays unfinished. The same
    call resumes it.

    Parameters
    ----------
    src : path or array
        The source: a file, a folder of slices, a dataset in a file, or an array of NumPy, Dask, Zarr or xarray.
    dst : path, optional
        The OME-Zarr to make. If not given, it lies beside the source: ``scan.tif`` becomes ``scan.ome.zarr``. For an
        array it must be given.
    client : distributed.Client, optional
        Of a Dask cluster whose workers make the blocks. They must see `src` and `dst` by the same paths, and
        `max_memory` and `threads` are those of each worker. If not given, threads of this process make the blocks.
    {options}

    Returns
    -------
    Generator
        It returns the `Receipt`. Errors are those of `convert`, raised when it is iterated over.
    """
    return iter_conversion(src, dst, options_from(locals()), client)
