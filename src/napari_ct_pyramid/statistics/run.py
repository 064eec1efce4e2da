"""Statistics, step by step: opens the volume, reads it up to three times, and puts the numbers together."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ct_pyramid.conversion.progress import PROGRESS_SECONDS
from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.model.equal_bins import edges_between
from napari_ct_pyramid.model.memory import peak_resident_memory, process_memory
from napari_ct_pyramid.model.order_counts import Ranks, in_order, values_of
from napari_ct_pyramid.model.otsu import otsu_threshold
from napari_ct_pyramid.model.tiles import make_tiles
from napari_ct_pyramid.model.volume import Box, Volume
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.sources.inputs import ArrayInput, SourceLike, parse_input
from napari_ct_pyramid.storage.paths import any_path

from .counts import FirstReading, Reading, SecondReading, ThirdReading
from .options import OTSU, StatsOptions
from .reading import open_volume, read_part, read_through
from .result import PERCENTILES, SliceStatistics, StatsPlan, StatsProgress, VolumeStatistics, empty_progress

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.dask.client import Client
    from napari_ct_pyramid.conversion.dask.cluster import Cluster

_COPIES = 2.0  # of a tile's voxels: the tile, and what NumPy makes of those that are not finite
_PARTS = 4  # for each worker of a cluster and each reading


def iter_statistics(
    src: SourceLike, options: StatsOptions, client: Client | None = None
) -> Generator[StatsProgress, None, VolumeStatistics]:
    """The generator behind `api.iter_stats`."""
    began = time.perf_counter()
    with open_volume(src, options) as source:
        cluster = _cluster(src, client)
        tiles = make_tiles(
            source.volume,
            threads=min(options.thread_count, cluster.threads) if cluster else options.thread_count,
            max_memory=options.max_memory,
            process_memory=cluster.process_memory if cluster else process_memory(),
            copies=_COPIES,
        )
        work = _Work(src, source, StatsPlan(source.volume, tiles, options), cluster, began)
        return (yield from work.run())


def _cluster(src: SourceLike, client: Client | None) -> Cluster | None:
    if client is None:
        return None
    from napari_ct_pyramid.conversion.dask.cluster import Cluster

    if isinstance(parse_input(src), ArrayInput):
        raise RequestError("The workers of a cluster cannot read an array of this process. Give the path of a volume.")
    return Cluster(client)


class _Work:
    def __init__(self, src: SourceLike, source: Source, plan: StatsPlan, cluster: Cluster | None, began: float) -> None:
        self._src = src
        self._source = source
        self._plan = plan
        self._cluster = cluster
        self._began = began
        self._read = 0  # voxels, of all readings
        self._workers_peak = 0
        given = parse_input(src)
        self._is_array = isinstance(given, ArrayInput)
        # What a user named, with what is inside of it, such as a dataset.
        self._named = "array" if self._is_array else str(getattr(src, "path", src))
        self._path = any_path("array") if isinstance(given, ArrayInput) else given.path

    def run(self) -> Generator[StatsProgress, None, VolumeStatistics]:
        options, volume = self._plan.options, self._plan.volume
        dtype, slices = volume.dtype, volume.shape[0]
        wide, otsu = dtype.itemsize > 2, options.threshold == OTSU
        limit = None if isinstance(options.threshold, str) else options.threshold
        readings = 1 + wide + (otsu and (wide or options.per_slice))
        yield empty_progress(self._path, self._plan)
        first = FirstReading(slices, limit)
        yield from self._through(first, readings)
        total = first.moments.total()
        low, high = float(total.low[0]), float(total.high[0])
        ranks = Ranks(first.keys, dtype, PERCENTILES)
        edges = edges_between(low, high, options.bins) if ranks.total else np.zeros(1)
        lower: np.ndarray | None = None
        counts = np.zeros(edges.size - 1, np.int64)
        values, each = np.zeros(0), np.zeros(0, np.int64)
        if not wide:
            keys, each = in_order(first.keys, dtype)
            values = values_of(keys, dtype)
            if ranks.total:
                counts = np.histogram(values[each > 0], edges, weights=each[each > 0])[0].astype(np.int64)
        elif ranks.total:
            second = SecondReading(edges, ranks)
            yield from self._through(second, readings)
            counts, lower = second.counts, second.lower
        mean, std = float(total.mean[0]), float(total.std[0])
        if not wide and dtype.kind != "f" and ranks.total:
            mean, std = _exact(values, each)
        if otsu:
            by_value = not wide and dtype.kind != "f"
            limit = otsu_threshold(*((each, values) if by_value else (counts, edges[:-1] / 2 + edges[1:] / 2)))
        above = first.moments.above
        if otsu and limit is not None and (wide or options.per_slice):
            third = ThirdReading(slices, limit)
            yield from self._through(third, readings)
            above = third.above
        elif otsu and limit is not None:
            above = np.array([each[values > limit].sum()])
        some = ranks.total > 0
        found = ranks.percentiles(lower)
        yield self._progress(1.0, is_done=True)
        return VolumeStatistics(
            path=self._named,
            name=volume.name,
            shape=volume.shape,
            dtype=dtype,
            voxel_size=volume.voxel_size,
            unit=volume.unit,
            calibration=volume.calibration,
            count=ranks.total,
            nans=int(total.nans[0]),
            infinities=int(total.infinities[0]),
            minimum=low if some else None,
            maximum=high if some else None,
            mean=mean if some else None,
            std=std if some else None,
            percentiles=dict(zip(PERCENTILES, found, strict=True)) if found else {},
            edges=edges,
            counts=counts,
            threshold=limit,
            is_otsu=otsu,
            above=int(above.sum()) / ranks.total if some and limit is not None else None,
            slices=self._slices(first, above, limit) if options.per_slice else None,
            seconds=time.perf_counter() - self._began,
            peak_memory_bytes=self._workers_peak or peak_resident_memory(),
            notes=_notes(volume, options),
        )

    def _slices(self, first: FirstReading, above: np.ndarray, limit: float | None) -> SliceStatistics:
        moments = first.moments
        nothing = moments.counts == 0
        low, high, mean, std = (
            np.where(nothing, np.nan, each) for each in (moments.low, moments.high, moments.mean, moments.std)
        )
        share = np.full(nothing.shape, np.nan)
        if limit is not None:
            np.divide(above, moments.counts, out=share, where=~nothing)
        return SliceStatistics(
            z=np.arange(nothing.size) + self._source.start[0],
            count=moments.counts,
            nans=moments.nans,
            infinities=moments.infinities,
            minimum=low,
            maximum=high,
            mean=mean,
            std=std,
            above=share,
        )

    def _through(self, reading: Reading, readings: int) -> Generator[StatsProgress, None, None]:
        """Read the volume once, and report it."""
        looked = time.monotonic()
        total = readings * math.prod(self._plan.volume.shape)
        for voxels in self._by_workers(reading) if self._cluster else self._by_threads(reading):
            self._read += voxels
            if time.monotonic() > looked + PROGRESS_SECONDS:
                looked = time.monotonic()
                yield self._progress(self._read / total)

    def _by_threads(self, reading: Reading) -> Iterator[int]:
        return read_through(self._source, self._plan.tiles, self._plan.tiles.threads, reading)

    def _by_workers(self, reading: Reading) -> Iterator[int]:
        assert self._cluster
        tiles = list(self._plan.tiles)
        step = math.ceil(len(tiles) / (_PARTS * len(self._cluster.workers)))
        parts = [tiles[at : at + step] for at in range(0, len(tiles), step)]
        place = str(any_path(self._named).absolute())
        work = partial(_part, place, self._plan.options, self._plan.tiles.threads, deepcopy(reading))
        waiting: dict[int, Any] = {}
        added = 0
        with self._cluster.prepared() as job:
            for done in job.do(work, parts):
                if done is not None:
                    waiting[done[0]] = done[1]
                while added in waiting:  # in their order, so that rounding is the same
                    reading.merge(waiting.pop(added))
                    yield sum(math.prod(s.stop - s.start for s in box) for box in parts[added])
                    added += 1
                if done is None:
                    yield 0
            self._workers_peak = max(self._workers_peak, job.peak_memory_bytes)

    def _progress(self, fraction: float, *, is_done: bool = False) -> StatsProgress:
        blocks = len(self._plan.tiles)
        return StatsProgress(
            output=self._path,
            plan=self._plan,
            blocks_done=blocks if is_done else min(int(fraction * blocks), blocks - 1),
            blocks=blocks,
            bytes_done=round(fraction * self._plan.volume.nbytes),
            bytes_total=self._plan.volume.nbytes,
            seconds=time.perf_counter() - self._began,
            fraction=min(fraction, 1.0),
        )


def _part(src: str, options: StatsOptions, threads: int, reading: Reading, tiles: list[Box]) -> Reading:
    return read_part(src, options, tiles, threads, reading)


def _exact(values: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of integers, from exact sums."""
    pairs = [(int(value), int(count)) for value, count in zip(values, counts, strict=True) if count]
    n = sum(count for _, count in pairs)
    total = sum(value * count for value, count in pairs)
    squares = sum(value * value * count for value, count in pairs)
    return total / n, math.sqrt((n * squares - total * total) / (n * n))


def _notes(volume: Volume, options: StatsOptions) -> tuple[str, ...]:
    notes = list(volume.notes)
    if volume.calibration and not options.grey_values:
        notes.append(f"These are stored values; the grey values are {volume.calibration.formula}.")
    return tuple(notes)
