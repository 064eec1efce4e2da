"""A layer that shows a conversion's output while it grows, and is the finished volume's layer in the end."""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pint
from napari.layers import Image
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ct_pyramid.conversion.progress import Progress
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.model.lazy_array import LazyArray
from napari_ct_pyramid.model.levels import factors_between
from napari_ct_pyramid.omezarr.growing import GrowingLevel, written
from napari_ct_pyramid.omezarr.metadata import ChunkFiles
from napari_ct_pyramid.omezarr.reader import Channel, Pyramid, PyramidLevel
from napari_ct_pyramid.storage.paths import AnyPath, any_path, image_name

from .after_opening import prepare_layers
from .layers import CONTRAST_RANGE, pyramid_layers
from .viewer_hooks import layer_source, short_switch_interval

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_ct_pyramid.model.plan import Plan
    from napari_ct_pyramid.omezarr.array import ZarrArray


Limits = tuple[float, float]

_PAUSE = 0.4  # seconds between two refreshes, at least
_SHARE = 0.1  # of the window's time that refreshes may take
_FIRST_DRAWING_MS = 50  # afterwards the layer has been drawn: the first time takes napari longest
_ROOM_MS = 20  # in which the window is painted
_PLANES = 16  # of the coarsest level that tell the contrast
_PLANES_BYTES = 32_000_000


class LivePreview(QObject):
    """Shows a conversion's output in a viewer, from the first `Progress` on.

    All reading is done in a thread; the window takes what is there. If the user takes the layer away, it stays
    away; what the user changes about it (its contrast, its name) stays changed.

    Parameters
    ----------
    viewer : napari.Viewer

    Attributes
    ----------
    layer : napari.layers.Image or None
        Once there is one.
    """

    ready = Signal()  # the layer is there, or never will be
    finished = Signal()

    _opened = Signal(object)
    _failed = Signal()
    _renewed = Signal(object)
    _finished = Signal(object)

    _living: ClassVar[set[LivePreview]] = set()  # until they have ended: whoever made one need not keep it

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._living.add(self)
        self.layer: Image | None = None
        self._viewer = viewer
        self._levels: list[GrowingLevel] = []
        self._set_here: dict[str, Any] = {}  # what is the layer's by our doing, unless the user changed it since
        self._plan: Plan | None = None
        self._output = any_path("")
        self._busy = False
        self._discarded = False
        self._next_time = self._renewed_at = 0.0
        self._thread = ThreadPoolExecutor(1, "ct-pyramid-preview")
        self._opened.connect(self._make_room)
        self._failed.connect(self.ready)
        self._renewed.connect(self._refresh)
        self._finished.connect(self._complete)

    def show_progress(self, progress: Progress) -> None:
        """Show what there is by now."""
        if self._busy:
            return
        if self._plan is None:
            self._plan, self._output = progress.plan, progress.output
            self._run(self._open)
        elif self._alive() and time.perf_counter() >= self._next_time:
            self._renewed_at = time.perf_counter()
            self._run(self._renew)

    def end(self, outcome: Receipt | Exception | None) -> None:
        """The conversion has ended: so does the preview, as the finished volume's layer or without any."""
        if isinstance(outcome, Receipt):
            self._run(self._renew_finished)
        else:
            self._discarded = True
            if self._alive():
                self._viewer.layers.remove(self.layer)
            self._release()
        self._thread.shutdown(wait=False)

    def _run(self, work: Callable[[], None]) -> None:
        def safely() -> None:
            try:
                work()
            except Exception:
                # The conversion itself says what is wrong with its output.
                logging.getLogger(__name__).exception("The live preview could not be brought up to date.")
                self._busy = False
                self._failed.emit()
                if work == self._renew_finished:
                    self._finished.emit(None)

        self._busy = True
        self._thread.submit(safely)

    def _alive(self) -> bool:
        return self.layer is not None and self.layer in self._viewer.layers

    # In the thread

    def _open(self) -> None:
        assert self._plan is not None
        pyramid, self._levels = growing_pyramid(self._plan, self._output)
        [(data, settings, _)] = pyramid_layers(pyramid)
        with layer_source(self._output):
            self._opened.emit(Image(data, **settings))

    def _renew(self) -> None:
        for level in self._levels:
            level.renew()
        self._renewed.emit(self._estimate())

    def _renew_finished(self) -> None:
        from napari_ct_pyramid.omezarr.reader import open_pyramid

        for level in self._levels:
            level.renew()
        [(_, settings, _)] = pyramid_layers(open_pyramid(self._output))
        self._finished.emit(settings)

    def _estimate(self) -> Limits | None:
        """The display window of what is there, found much as it will be found in the end; None where nothing is."""
        from napari_ct_pyramid.model.intensity import PERCENT

        assert self._plan is not None
        level = self._plan.levels[-1]
        depth, rows, columns = (n // r or 1 for n, r in zip(self._plan.volume.shape, level.reduction, strict=True))
        count = min(_PLANES, max(1, _PLANES_BYTES * depth // level.nbytes))
        planes = [
            self._levels[-1].read_now((slice(z, z + 1, 1), slice(0, rows, 1), slice(0, columns, 1)))[0]
            for z in sorted({(2 * i + 1) * depth // (2 * count) for i in range(count)})
        ]
        samples = np.concatenate([written(plane, level.chunks) for plane in planes])
        if not samples.size:  # coarse levels come last
            samples = np.concatenate([level.samples() for level in self._levels])
            samples = samples[samples != 0]
        samples = samples[np.isfinite(samples)]
        if not samples.size:
            return None
        low, high = np.percentile(samples.astype(np.float64), PERCENT)
        return (float(low), float(high)) if low < high else None

    # In the window

    def _make_room(self, layer: Image) -> None:
        """Have napari make its sliders in a turn of its own: to add the first layer takes the window long enough."""
        dims = self._viewer.dims
        if not self._viewer.layers and dims.ndim < layer.ndim and not self._discarded:
            dims.ndim = layer.ndim
        QTimer.singleShot(_ROOM_MS, lambda: self._add_layer(layer))

    def _add_layer(self, layer: Image) -> None:
        self._busy = False
        if self._discarded:
            return
        self.layer = layer
        self._viewer.add_layer(layer)
        prepare_layers()
        self._set_here = {"contrast_limits": list(layer.contrast_limits), "name": layer.name}
        if len(self._viewer.layers) == 1:
            # napari fits the first layer to the canvas, which then gives way to the layer's controls.
            QTimer.singleShot(0, self._viewer.reset_view)
        self._next_time = time.perf_counter()
        QTimer.singleShot(_FIRST_DRAWING_MS, self.ready.emit)

    def _refresh(self, limits: Limits | None) -> None:
        self._busy = False
        if self._discarded or self.layer is None or not self._alive():
            return
        began = time.perf_counter()
        if limits:
            self._set(contrast_limits=limits)
        self.layer.refresh(extent=False)
        ended = time.perf_counter()
        # Reading in the thread takes its time from the conversion.
        self._next_time = ended + max(_PAUSE, (ended - began) / _SHARE, began - self._renewed_at)

    def _complete(self, settings: dict[str, Any] | None) -> None:
        if settings and self.layer is not None and self._alive():
            self._set(contrast_limits=settings["contrast_limits"])
            metadata, limits = settings["metadata"], self.layer.contrast_limits
            if CONTRAST_RANGE in metadata:  # napari would cut off limits beyond these, which may be the user's
                low, high = metadata[CONTRAST_RANGE]
                metadata[CONTRAST_RANGE] = (min(low, limits[0]), max(high, limits[1]))
            self.layer.metadata = metadata
            prepare_layers()
            self.layer.refresh(extent=False)
        self.finished.emit()
        self._release()

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            if getattr(self.layer, name) == self._set_here[name]:
                setattr(self.layer, name, value)
                self._set_here[name] = getattr(self.layer, name)

    def _release(self) -> None:
        for level in self._levels:
            level.stop()
        self._living.discard(self)


def growing_pyramid(plan: Plan, output: AnyPath) -> tuple[Pyramid, list[GrowingLevel]]:
    """A conversion's output as the finished volume it will be, and the levels that show what there is of it."""
    from napari_ct_pyramid.omezarr.array import ZarrArray

    levels: list[PyramidLevel] = []
    growing: list[GrowingLevel] = []
    for number, level in enumerate(plan.levels):
        array = ZarrArray(output / level.path)
        finer = growing[-1] if growing else None
        factors = factors_between(plan.levels[max(0, number - 1)], level)
        grows = GrowingLevel(
            array.read, _chunk_finder(array), array.chunks, array.dtype, finer, factors, plan.options.method
        )
        lazy = LazyArray(grows.read, array.shape, array.dtype, array.chunks)
        shape = tuple(-(-n // r) for n, r in zip(plan.volume.shape, level.reduction, strict=True))  # without padding
        growing.append(grows)
        place = level.voxel_size, level.translation
        levels.append(PyramidLevel(level.path, array.shape, array.dtype, array.chunks, *place, lazy.crop(shape)))
    pyramid = Pyramid(
        path=output,
        name=image_name(output.name),
        ome_zarr_version="",
        axes=("z", "y", "x"),
        axis_types=("space",) * 3,
        units=(plan.unit,) * 3,
        levels=tuple(levels),
        channels=(Channel(window=(0, 1, 0, 1)),),
        original_shape=plan.volume.shape,
        compression="",
        metadata={},
        rescale=plan.meaning,
    )
    return pyramid, growing


def _chunk_finder(array: ZarrArray) -> Callable[[tuple[int, ...]], bool]:
    files = ChunkFiles(array.path, array.metadata)
    return lambda index: files.path(index).exists()


@cache
def warm_up() -> None:
    """Load, once and in a thread, what the first conversion and the first layer take seconds to load."""
    # Layers have units, which pint loads when it is first asked for one, and not for two threads at once.
    pint.get_application_registry().parse_units("pixel")
    Thread(target=_load, daemon=True, name="ct-pyramid-warm-up").start()


def _load() -> None:
    with short_switch_interval():
        for name in ("conversion.convert", "omezarr.array", "plugin.reader", "plugin.level_choice"):
            importlib.import_module(f"napari_ct_pyramid.{name}")
        Image(np.zeros((2, 2, 2)), units=("micrometer",) * 3)
        importlib.import_module("ome_zarr.writer")
