"""A layer that shows a conversion's output while it grows, and is the finished volume's layer in the end."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from .errors import SourceError
from .lazy import Box, LazyArray
from .report import Progress, Receipt

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from ._worker import Conversion
    from .plan import Plan

Limits = tuple[float, float]

_PAUSE = 0.4  # seconds between two refreshes, at least
_SHARE = 0.1  # of the window's time that refreshes may take
_KEPT = 2  # boxes of a level: napari asks for what is on the screen and for the thumbnail
_KEPT_BYTES = 300_000_000
_SAMPLE_BYTES = 32_000_000


class GrowingLevel:
    """Reads boxes of a level that is being written.

    The boxes that were read last are kept, and what is asked for again comes from there: the window only ever
    waits for voxels once. `renew` brings them up to date, in a thread of somebody else's.

    Parameters
    ----------
    read : callable
        Reads a box as it is on disk.
    chunks : tuple of int
        Of the level: one that is just being written cannot be read, and counts as not there yet.
    dtype : numpy.dtype
        Of the voxels.
    """

    def __init__(self, read: Callable[[Box], np.ndarray], chunks: tuple[int, ...], dtype: np.dtype) -> None:
        self._read_disk = read
        self._chunks = chunks
        self._dtype = dtype
        self._kept: OrderedDict[tuple[tuple[int, int, int], ...], np.ndarray] = OrderedDict()
        self._growing = True

    def read(self, box: Box) -> np.ndarray:
        """The voxels in a box, as of the last `renew` if they are kept."""
        key = tuple((s.start, s.stop, s.step) for s in box)
        kept = self._kept.get(key)
        if kept is not None:
            return kept.copy()
        voxels = self.read_now(box)
        if self._growing and voxels.nbytes <= _KEPT_BYTES:
            self._kept[key] = voxels.copy()
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return voxels

    def read_now(self, box: Box) -> np.ndarray:
        """The voxels in a box, as they are on disk; zeros where there are none yet."""
        try:
            return self._read_disk(box)
        except SourceError:
            if not self._growing:
                raise
        whole = tuple(slice(s.start, s.stop, 1) for s in box)
        voxels = np.zeros([s.stop - s.start for s in whole], self._dtype)
        for part in _parts(whole, self._chunks):
            with suppress(SourceError):
                there = tuple(slice(p.start - s.start, p.stop - s.start) for p, s in zip(part, whole, strict=True))
                voxels[there] = self._read_disk(part)
        return voxels[tuple(slice(None, None, s.step) for s in box)]

    def renew(self) -> None:
        """Read again what is kept."""
        for key in list(self._kept):
            voxels = self.read_now(tuple(slice(*part) for part in key))
            if key in self._kept:
                self._kept[key] = voxels

    def samples(self) -> np.ndarray:
        """Some voxels of what is kept."""
        kept = [voxels.ravel() for voxels in list(self._kept.values())]
        return np.concatenate([np.zeros(0, self._dtype), *(v[:: math.ceil(v.size / 65_536)] for v in kept)])

    def stop(self) -> None:
        """The level is whole: keep nothing any more."""
        self._growing = False
        self._kept.clear()


def _parts(box: Box, chunks: tuple[int, ...]) -> Iterator[Box]:
    """A box, cut where chunks meet."""
    cuts = [
        [slice(max(s.start, at), min(s.stop, at + c), 1) for at in range(s.start // c * c, s.stop, c)]
        for s, c in zip(box, chunks, strict=True)
    ]
    return itertools.product(*cuts)


class LivePreview(QObject):
    """Shows a conversion's output in a viewer, from the first `Progress` on.

    All reading is done in a thread; the window only ever takes what is there. If the user takes the layer away, it
    stays away; what the user changes about it (its contrast, for one) stays changed.

    Parameters
    ----------
    viewer : napari.Viewer

    Attributes
    ----------
    layer : napari.layers.Image or None
        Once there is one.
    """

    shown = Signal()
    finished = Signal()

    _opened = Signal(object, object)
    _renewed = Signal(object)
    _finished = Signal(object, object)

    _living: set[LivePreview] = set()  # until they have ended: whoever made one need not keep it

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._living.add(self)
        self.layer: Image | None = None
        self._viewer = viewer
        self._levels: list[GrowingLevel] = []
        self._limits: Limits | None = None  # that were set here
        self._plan: Plan | None = None
        self._output = Path()
        self._busy = False
        self._over = False
        self._discarded = False
        self._next_time = 0.0
        self._thread = ThreadPoolExecutor(1, "ct-pyramid-preview")
        self._opened.connect(self._add_layer)
        self._renewed.connect(self._refresh)
        self._finished.connect(self._complete)

    def show_progress(self, progress: Progress) -> None:
        """Show what there is by now."""
        if self._over or self._busy:
            return
        if self._plan is None:
            self._plan, self._output = progress.plan, progress.output
            self._run(self._open)
        elif self._alive() and time.perf_counter() >= self._next_time:
            self._run(self._renew)

    def end(self, conversion: Conversion) -> None:
        """The conversion has ended: so does the preview, as the finished volume's layer or without any."""
        if isinstance(conversion.outcome, Receipt):
            self._finish(conversion.outcome)
        else:
            self._discard()

    def _finish(self, receipt: Receipt) -> None:
        self._over = True
        self._thread.submit(self._renew_finished, (receipt.minimum, receipt.maximum), receipt.window)
        self._thread.shutdown(wait=False)

    def _discard(self) -> None:
        self._over = self._discarded = True
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._alive():
            self._viewer.layers.remove(self.layer)
        self._release()

    def _run(self, work: Callable[[], None]) -> None:
        def safely() -> None:
            try:
                work()
            except Exception:  # the conversion itself says what is wrong with its output
                logging.getLogger(__name__).exception("The live preview could not be brought up to date.")
                self._busy = False

        self._busy = True
        self._thread.submit(safely)

    def _alive(self) -> bool:
        return self.layer is not None and self.layer in self._viewer.layers

    # In the thread

    def _open(self) -> None:
        from .zarrarray import ZarrArray

        assert self._plan is not None
        arrays = [ZarrArray(self._output / level.path) for level in self._plan.levels]
        levels = [GrowingLevel(array.read, array.chunks, array.dtype) for array in arrays]
        data = [LazyArray(g.read, a.shape, a.dtype, a.chunks) for g, a in zip(levels, arrays, strict=True)]
        original = self._plan.volume.shape
        data = [d.crop(tuple(math.ceil(n / 2**k) for n in original)) for k, d in enumerate(data)]
        self._opened.emit(levels, data)

    def _renew(self) -> None:
        for level in self._levels:
            level.renew()
        self._renewed.emit(self._estimate())

    def _renew_finished(self, extremes: Limits, window: Limits) -> None:
        for level in self._levels:
            level.renew()
        self._finished.emit(extremes, window)

    def _estimate(self) -> Limits | None:
        """The display window of what is there, found much as it will be found in the end; None where nothing is."""
        from .window import PERCENT

        assert self._plan is not None
        level = self._plan.levels[-1]
        plane_bytes = level.nbytes // level.shape[0]
        count = max(1, min(16, _SAMPLE_BYTES // plane_bytes))
        found = [_written(self._coarse_plane((2 * i + 1) * level.shape[0] // (2 * count)), level.chunks) for i in range(count)]
        samples = np.concatenate(found)
        if not samples.size:  # coarse levels come last
            samples = np.concatenate([g.samples() for g in self._levels])
            samples = samples[samples != 0]
        samples = samples[np.isfinite(samples)]
        if not samples.size:
            return None
        low, high = np.percentile(samples.astype(np.float64), PERCENT)
        return (float(low), float(high)) if low < high else None

    def _coarse_plane(self, z: int) -> np.ndarray:
        assert self._plan is not None
        _, rows, columns = self._plan.levels[-1].shape
        return self._levels[-1].read_now((slice(z, z + 1, 1), slice(0, rows, 1), slice(0, columns, 1)))[0]

    # In the window

    def _add_layer(self, levels: list[GrowingLevel], data: list[LazyArray]) -> None:
        self._busy = False
        if self._discarded:
            return
        from napari.layers._source import layer_source  # as napari does for what a reader reads

        assert self._plan is not None
        self._levels = levels
        with layer_source(path=str(self._output), reader_plugin="napari-ct-pyramid"):
            self.layer = self._viewer.add_image(data, multiscale=True, contrast_limits=(0, 1), **appearance(self._plan, self._output))
        if len(self._viewer.layers) == 1:
            # napari fits the first layer to the canvas, which then gives way to the layer's controls.
            QTimer.singleShot(0, self._viewer.reset_view)
        self._next_time = time.perf_counter()
        self.shown.emit()

    def _refresh(self, limits: Limits | None) -> None:
        self._busy = False
        if self._over or not self._alive() or self.layer is None:
            return
        began = time.perf_counter()
        if limits:
            self._set_limits(limits, limits)
        self.layer.refresh(extent=False)
        took = time.perf_counter() - began
        self._next_time = began + max(_PAUSE, took / _SHARE)

    def _complete(self, extremes: Limits, window: Limits) -> None:
        if self._alive() and self.layer is not None:
            self._set_limits(window, extremes)
            self.layer.refresh(extent=False)
        self.finished.emit()
        self._release()

    def _set_limits(self, limits: Limits, extremes: Limits) -> None:
        assert self.layer is not None
        now = tuple(self.layer.contrast_limits)
        if self._limits is not None and now != self._limits:
            return  # the user's own
        self.layer.contrast_limits_range = (min(extremes[0], limits[0]), max(extremes[1], limits[1]))
        self.layer.contrast_limits = limits
        self._limits = tuple(self.layer.contrast_limits)

    def _release(self) -> None:
        for level in self._levels:
            level.stop()
        self._living.discard(self)


def appearance(plan: Plan, output: Path) -> dict[str, Any]:
    """How the layer of a finished output looks, before it is finished: name, scale, units, axes."""
    return {
        "name": output.name.removesuffix(".zarr").removesuffix(".ome"),
        "scale": plan.levels[0].voxel_size,
        "axis_labels": ("z", "y", "x"),
        **({"units": (plan.unit,) * 3} if plan.unit else {}),
    }


def _written(plane: np.ndarray, chunks: tuple[int, ...]) -> np.ndarray:
    """The voxels of those chunks of a plane (y, x) that hold anything, thinned out."""
    rows, columns = chunks[1:]
    tiles = [
        plane[y : y + rows, x : x + columns].ravel()
        for y in range(0, plane.shape[0], rows)
        for x in range(0, plane.shape[1], columns)
    ]
    return np.concatenate([np.zeros(0, plane.dtype), *(tile[::4] for tile in tiles if tile.any())])
