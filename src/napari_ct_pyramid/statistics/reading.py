"""Reads a volume tile by tile with threads, and counts each tile."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import numpy as np

from napari_ct_pyramid.model.volume import Box, box_shape
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.sources.registry import open_source

from .counts import Reading
from .options import StatsOptions


def open_volume(src: Any, options: StatsOptions) -> Source:
    """The volume that statistics are of."""
    return open_source(src, options, level=options.level, grey=options.grey_values)


def read_through(source: Source, tiles: Iterable[Box], threads: int, reading: Reading) -> Iterator[int]:
    """Count tiles, and add the counts in the order of the tiles. Yields the voxels of each tile that is done."""
    own = threading.local()

    def count_tile(box: Box) -> Any:
        voxels = _buffer(own, box, source.volume.dtype)
        start: Triple = (box[0].start, box[1].start, box[2].start)
        source.read_box(start, voxels)
        return reading.count(voxels)

    waiting: deque[tuple[Box, Future[Any]]] = deque()
    with ThreadPoolExecutor(threads, "ct-pyramid") as pool:
        try:
            for box in tiles:
                waiting.append((box, pool.submit(count_tile, box)))
                while len(waiting) > 2 * threads or (waiting and waiting[0][1].done()):
                    yield _add(reading, *waiting.popleft())
            while waiting:
                yield _add(reading, *waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _add(reading: Reading, box: Box, counted: Future[Any]) -> int:
    reading.add(counted.result(), box[0].start)
    return int(np.prod(box_shape(box)))


def _buffer(own: threading.local, box: Box, dtype: np.dtype) -> np.ndarray:
    """This thread's buffer for the voxels of a tile."""
    size = int(np.prod(box_shape(box)))
    if not hasattr(own, "voxels") or own.voxels.size < size:
        own.voxels = np.empty(size, dtype)
    buffer: np.ndarray = own.voxels[:size].reshape(box_shape(box))
    return buffer


def read_part(src: str, options: StatsOptions, tiles: list[Box], threads: int, reading: Reading) -> Reading:
    """Count some tiles, in any process: it opens the volume itself. `reading` is empty, and stays so."""
    reading = deepcopy(reading)
    with open_volume(src, options) as source:
        for _ in read_through(source, tiles, threads, reading):
            pass
    return reading
