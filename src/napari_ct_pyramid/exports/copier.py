"""Copies the voxels of a source to an output: threads read, decode and write at the same time, cell by cell."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np

from napari_ct_pyramid.model.intensity import Rescale
from napari_ct_pyramid.model.memory import own_array
from napari_ct_pyramid.model.volume import Box, box_shape, within
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.sources.base import Source

from .cells import Cells

T = TypeVar("T")

_WRITE_BYTES = 4_000_000  # by each thread at a time, about


class Sink(Protocol):
    """Where the voxels go. Several threads call it at once."""

    def write(self, z: int, y: int, rows: np.ndarray) -> None:
        """Write whole rows (y, x) of a slice, from row `y` on. They lie in memory one after another."""

    def sync(self) -> None:
        """Have the disk write what it has so far, and wait until it has."""


class _Stopped(Exception):
    """The work was stopped before it was done."""


class Copier:
    """Copies a volume in the background. It is a `Runner`.

    Parameters
    ----------
    source : Source
    cells : Cells
    dtype : numpy.dtype
        Of the voxels that are written.
    rescale : Rescale or None
        How they are made from those of the source.
    sink : Sink

    Attributes
    ----------
    cells_done, voxels_done : int
        What has been written.
    clipped : int
        Voxels outside of the window of `rescale`.
    """

    def __init__(self, source: Source, cells: Cells, dtype: np.dtype, rescale: Rescale | None, sink: Sink) -> None:
        self._source = source
        self._cells = cells
        self._dtype = dtype
        self._rescale = rescale
        self._sink = sink
        self._pool = ThreadPoolExecutor(cells.threads, "ct-pyramid")
        self._syncer = ThreadPoolExecutor(1, "ct-pyramid-sync")
        self._thread = threading.Thread(target=self._run, name="ct-pyramid")
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self.cells_done = 0
        self.voxels_done = 0
        self.clipped = 0

    def start(self) -> None:
        """Begin, in the background."""
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait, at most so long; True once all is written. Raises what stopped the work."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            return False
        if self._error:
            raise self._error
        return True

    def stop(self) -> None:
        """Stop after the voxels that are being read and written now, and wait until then."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._pool.shutdown()
        self._syncer.shutdown()

    def _run(self) -> None:
        try:
            self._copy()
        except BaseException as error:  # noqa: BLE001  `wait` raises it
            self._error = error
            self._stop.set()

    def _copy(self) -> None:
        ring = [own_array(self._cells.cell, self._dtype) for _ in range(self._cells.buffers)]
        reading: deque[tuple[Box, np.ndarray, list[Future[None]]]] = deque()
        writing: deque[list[Future[None]]] = deque()
        syncing: Future[None] | None = None
        for number, box in enumerate(self._cells.boxes(self._source.volume.shape)):
            while len(reading) + len(writing) >= len(ring):  # wait for a buffer
                if not writing:
                    writing.append(self._write(reading.popleft()))
                self._finish(writing.popleft())
                if syncing is None or syncing.done():
                    if syncing:
                        syncing.result()  # the system reports an error of the disk only once
                    syncing = self._syncer.submit(self._sink.sync)
            buffer = ring[number % len(ring)]
            reading.append((box, buffer, self._read(box, buffer)))
            if len(reading) > 1:  # the threads read the next cell while this one is awaited
                writing.append(self._write(reading.popleft()))
        while reading:
            writing.append(self._write(reading.popleft()))
        while writing:
            self._finish(writing.popleft())
        if syncing:
            syncing.result()

    def _read(self, box: Box, buffer: np.ndarray) -> list[Future[None]]:
        def read(unit: Box) -> None:
            start: Triple = (unit[0].start, unit[1].start, unit[2].start)
            target = buffer[within(unit, box)]
            if self._source.volume.dtype == self._dtype:
                self._source.read_box(start, target)
                return
            voxels = np.empty(target.shape, self._source.volume.dtype)
            self._source.read_box(start, voxels)
            if self._rescale is None:
                target[...] = voxels
                return
            clipped = self._rescale.apply(voxels, target)
            with self._lock:
                self.clipped += clipped

        return self._submit(read, self._cells.units(box))

    def _write(self, cell: tuple[Box, np.ndarray, list[Future[None]]]) -> list[Future[None]]:
        """Wait until a cell is read, and begin to write it."""
        box, buffer, reads = cell
        _wait(reads)
        slices, rows, columns = box_shape(box)
        # Rows that fill the buffer lie one after another in it; the last cells of a volume may be smaller.
        step = max(1, _WRITE_BYTES // (rows * columns * self._dtype.itemsize))

        def write(first: int) -> None:
            last = min(first + step, slices)
            for k in range(first, last):
                self._sink.write(box[0].start + k, box[1].start, buffer[k, :rows])
            with self._lock:
                self.voxels_done += (last - first) * rows * columns

        return self._submit(write, range(0, slices, step))

    def _finish(self, writes: list[Future[None]]) -> None:
        _wait(writes)
        self.cells_done += 1

    def _submit(self, work: Callable[[T], None], items: Iterable[T]) -> list[Future[None]]:
        def unless_stopped(item: T) -> None:
            if self._stop.is_set():
                raise _Stopped
            work(item)

        return [self._pool.submit(unless_stopped, item) for item in items]


def _wait(work: list[Future[None]]) -> None:
    """Wait until all is done, and raise the first error: a buffer must not be used while a thread works in it."""
    errors = [error for one in work if (error := one.exception())]
    if errors:
        raise errors[0]
