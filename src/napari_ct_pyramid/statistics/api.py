"""The public functions for statistics. Their parameters are the fields of `StatsOptions`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from napari_ct_pyramid.conversion.notebook import notebook_bar
from napari_ct_pyramid.conversion.progress import run_through
from napari_ct_pyramid.conversion.public import public
from napari_ct_pyramid.sources.inputs import SourceLike

from .options import BINS, OTSU, StatsOptions
from .result import StatsProgress, VolumeStatistics
from .run import iter_statistics

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.dask.client import Client


def options_from(arguments: dict[str, Any]) -> StatsOptions:
    """The options among the arguments of a public function."""
    names = (option.name for option in fields(StatsOptions))
    return StatsOptions(**{name: arguments[name] for name in names if name in arguments})


@public
def stats(
    src: SourceLike,
    *,
    client: Client | None = None,
    progress: Callable[[StatsProgress], None] | None = None,
    level: int = 0,
    crop: str | Sequence[Sequence[int | None]] | None = None,
    axes: str = "zyx",
    grey_values: bool = False,
    bins: int = BINS,
    threshold: float | str = OTSU,
    per_slice: bool = False,
    channel: int | None = None,
    time: int | None = None,
    follow_links: bool = False,
    raw_shape: str | Sequence[int] | None = None,
    raw_dtype: str | None = None,
    raw_offset: int = 0,
    max_memory: str | int = "4G",
    threads: int | None = None,
) -> VolumeStatistics:
    """Statistics of a volume: extremes, mean, standard deviation, percentiles, histogram, Otsu's threshold.

    It streams: a volume of 8 or 16 bits is read once, another two or three times. Padding is never counted. NaN and
    infinities are counted apart, and belong to no other number.

    Parameters
    ----------
    src : path or array
        An OME-Zarr of any program, or any other source of a conversion.
    client : distributed.Client, optional
        Of a Dask cluster whose workers read the volume. `max_memory` and `threads` are those of each worker.
    progress : callable, optional
        Called with a `StatsProgress` several times a second.
    level : int, default 0
        The level of an OME-Zarr.
    crop : str or three pairs, optional
        Only a part, in voxels of level 0 whatever the level: ``"z0:z1,y0:y1,x0:x1"``.
    axes : str, default 'zyx'
        Order of the source's axes.
    grey_values : bool, default False
        Of the grey values that the stored voxels stand for, where the volume was rescaled or is calibrated.
    bins : int, default 256
        Of the histogram, from the smallest to the largest value, as `numpy.histogram` counts them.
    threshold : float or "otsu", default "otsu"
        Above which voxels are counted. Otsu's is that of `skimage.filters.threshold_otsu`: from the values of 8 and 16
        bits, otherwise from the histogram.
    per_slice : bool, default False
        Count, extremes, mean, standard deviation and the share above the threshold of every slice, too.
    channel, time, follow_links, raw_shape, raw_dtype, raw_offset
        What to read of the source, as for `convert`.
    max_memory : str or int, default '4G'
        The peak resident memory of the process.
    threads : int, optional
        Number of threads; if not given, one for each core.

    Returns
    -------
    VolumeStatistics

    Raises
    ------
    SourceError
        If the source is not a volume that can be read.
    RequestError
        If a value is wrong, or the memory budget is too small.

    Examples
    --------
    >>> found = ct.stats("scan.ome.zarr", per_slice=True)  # doctest: +SKIP
    >>> porosity = 1 - found.slices.above  # doctest: +SKIP
    """
    return run_through(iter_statistics(src, options_from(locals()), client), progress or notebook_bar())


@public
def iter_stats(
    src: SourceLike,
    *,
    client: Client | None = None,
    level: int = 0,
    crop: str | Sequence[Sequence[int | None]] | None = None,
    axes: str = "zyx",
    grey_values: bool = False,
    bins: int = BINS,
    threshold: float | str = OTSU,
    per_slice: bool = False,
    channel: int | None = None,
    time: int | None = None,
    follow_links: bool = False,
    raw_shape: str | Sequence[int] | None = None,
    raw_dtype: str | None = None,
    raw_offset: int = 0,
    max_memory: str | int = "4G",
    threads: int | None = None,
) -> Generator[StatsProgress, None, VolumeStatistics]:
    """Statistics step by step: a generator that yields a `StatsProgress` several times a second.

    Closing it cancels the work. Parameters and errors are those of `stats`.

    Returns
    -------
    Generator
        It returns the `VolumeStatistics`.
    """
    return iter_statistics(src, options_from(locals()), client)
