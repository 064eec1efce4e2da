"""The live preview: a layer that shows a conversion's output while it grows.

Where nothing is written yet it is transparent, so that the source's layer below it shows. At the end it takes the place
of that layer, and is the layer that the reader would make of the finished volume.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ct_pyramid.conversion.progress import Progress
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.model.intensity import percentile_limits
from napari_ct_pyramid.model.lazy_array import LazyArray
from napari_ct_pyramid.model.levels import factors_between
from napari_ct_pyramid.model.volume import Box
from napari_ct_pyramid.omezarr.array import ZarrArray
from napari_ct_pyramid.omezarr.channels import Channel
from napari_ct_pyramid.omezarr.growing import GrowingLevel, read_ahead, written
from napari_ct_pyramid.omezarr.labels import ImageLabel
from napari_ct_pyramid.omezarr.level import PyramidLevel
from napari_ct_pyramid.omezarr.metadata import ChunkLocator
from napari_ct_pyramid.omezarr.reader import Pyramid, open_pyramid
from napari_ct_pyramid.storage.paths import AnyPath, any_path, image_name

from .after_opening import prepare_layers
from .layer_settings import LayerData
from .layers import CONTRAST_RANGE, pyramid_layers
from .placing import Place, show_alone
from .viewer_hooks import layer_source, renew_status
from .voxel_sizes import show_voxel_size

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_ct_pyramid.model.plan import Plan


Limits = tuple[float, float]

_PAUSE = 0.4  # seconds between two refreshes, at least
_REFRESH_SHARE = 0.1  # the largest part of the GUI's time that refreshes may take
_FIRST_DRAWING_MS = 50  # after this time, napari has begun its first drawing, which takes longest
_SLIDERS_MS = 20  # lets the window paint itself between two long steps
_CONTRAST_PLANES = 16  # of the coarsest level, to estimate the contrast limits
_CONTRAST_BYTES = 32_000_000


class LivePreview(QObject):
    """Shows a conversion's output in a viewer, from the first `Progress` on.

    A thread reads all voxels, and the window shows what the thread has read. A layer that the user removes stays
    removed. What the user changes about the layer (its contrast limits, its name) stays changed.

    Parameters
    ----------
    viewer : napari.Viewer
    source : path or ArrayInput
        The source of the conversion. If the viewer has a layer of it, the preview takes its place.
    follow : bool
        Whether to hide other volumes and to move the view to this one: for each of several volumes.

    Attributes
    ----------
    layer : napari.layers.Layer or None
        The layer; None before it is added.
    """

    ready = Signal()  # the layer was added, or there will be none
    finished = Signal()

    # From the thread to the window
    _opened = Signal(object)  # the layer
    _failed = Signal()
    _read_again = Signal(object)  # contrast limits, or None
    _read_finished = Signal(object)  # layer data of the finished volume, or None

    under_way: ClassVar[set[LivePreview]] = set()
    """All previews that have not ended."""

    def __init__(self, viewer: Viewer, source: object = None, *, follow: bool = False) -> None:
        super().__init__()
        self.under_way.add(self)
        self.layer: Layer | None = None
        self._viewer = viewer
        self._source = source
        self._follow = follow
        self._place: Place | None = None
        self._forget_read: list[Callable[[], None]] = []
        self._levels: list[GrowingLevel] = []
        self._values_set: dict[str, Any] = {}  # attributes of the layer; if one differs now, the user has changed it
        self._plan: Plan | None = None
        self._output = any_path("")
        self._busy = False
        self._discarded = False
        self._next_refresh = self._reading_began = 0.0
        self._thread = ThreadPoolExecutor(1, "ct-pyramid-preview")
        self._opened.connect(self._make_sliders)
        self._failed.connect(self.ready)
        self._read_again.connect(self._refresh)
        self._read_finished.connect(self._complete)

    def show_progress(self, progress: Progress) -> None:
        """Show what has been written so far."""
        if self._busy:
            return
        if self._plan is None:
            self._plan, self._output = progress.plan, progress.output
            self._run(self._open)
        elif self._is_shown() and time.perf_counter() >= self._next_refresh:
            self._reading_began = time.perf_counter()
            self._run(self._read_levels)

    def end(self, outcome: Receipt | Exception | None) -> None:
        """End the preview with its conversion: with the finished volume's layer, or without a layer."""
        if isinstance(outcome, Receipt):
            self._run(self._read_finished_volume)
        else:
            self._discarded = True
            if self._is_shown():
                self._viewer.layers.remove(self.layer)
            if self._place:
                self._place.give_back()
            self._release()
        self._thread.shutdown(wait=False)

    def _run(self, call: Callable[[], None]) -> None:
        def run_and_log() -> None:
            try:
                call()
            except Exception:
                # If the output is at fault, the conversion itself reports it.
                logging.getLogger(__name__).exception("The live preview could not be updated.")
                self._busy = False
                self._failed.emit()
                if call == self._read_finished_volume:
                    self._read_finished.emit(None)

        self._busy = True
        self._thread.submit(run_and_log)

    def _is_shown(self) -> bool:
        return self.layer is not None and self.layer in self._viewer.layers

    # In the thread

    def _open(self) -> None:
        assert self._plan is not None
        pyramid, self._levels = growing_pyramid(self._plan, self._output)
        [layer_data] = pyramid_layers(pyramid)
        with layer_source(self._output):
            self._opened.emit(Layer.create(*layer_data))

    def _read_levels(self) -> None:
        for level in self._levels:
            level.renew()
        estimated = "contrast_limits" in self._values_set
        self._read_again.emit(self._contrast_limits() if estimated else None)

    def _read_finished_volume(self) -> None:
        pyramid = open_pyramid(self._output)
        levels = [
            replace(level, array=self._read_ahead(level.array, growing.kept_boxes))
            for level, growing in zip(pyramid.levels, self._levels, strict=True)
        ]
        [layer_data] = pyramid_layers(replace(pyramid, levels=tuple(levels)))
        self._read_finished.emit(layer_data)

    def _read_ahead(self, array: LazyArray, boxes: Sequence[Box]) -> LazyArray:
        """The array, of which what the window shows is read now, so that the window need not wait for it."""
        read, forget = read_ahead(lambda box: np.asarray(array[box]), boxes)
        self._forget_read.append(forget)
        return LazyArray(read, array.shape, array.dtype, array.chunks)

    def _contrast_limits(self) -> Limits | None:
        """Contrast limits of what has been written, close to the final ones; None while there is nothing."""
        assert self._plan is not None
        level = self._plan.levels[-1]
        depth, rows, columns = (n // r or 1 for n, r in zip(self._plan.volume.shape, level.reduction, strict=True))
        count = min(_CONTRAST_PLANES, max(1, _CONTRAST_BYTES * depth // level.nbytes))
        planes = [
            self._levels[-1].read_now((slice(z, z + 1, 1), slice(0, rows, 1), slice(0, columns, 1)))[0]
            for z in sorted({(2 * i + 1) * depth // (2 * count) for i in range(count)})
        ]
        samples = np.concatenate([written(plane) for plane in planes])
        if not samples.size:  # coarse levels are written last
            samples = np.concatenate([level.samples() for level in self._levels])
        return percentile_limits(samples)

    # In the window

    def _make_sliders(self, layer: Layer) -> None:
        """Let napari make its sliders first. Made with the first layer, they would block the window too long."""
        dims = self._viewer.dims
        if not self._viewer.layers and dims.ndim < layer.ndim and not self._discarded:
            dims.ndim = layer.ndim
        QTimer.singleShot(_SLIDERS_MS, lambda: self._add_layer(layer))

    def _add_layer(self, layer: Layer) -> None:
        self._busy = False
        if self._discarded:
            return
        assert self._plan is not None
        self.layer = layer
        show_voxel_size(self._viewer, self._source, self._plan.voxel_size, self._plan.unit)
        self._place = Place(self._viewer, self._source, type(layer))
        layer.blending = "translucent_no_depth"  # in 3D, too, it is drawn over the source's layer
        self._place.take(layer, self._plan.rescale)
        renew_status(self._viewer, layer)
        prepare_layers()
        if isinstance(layer, Image) and not self._place.gives_contrast:
            self._values_set = {"contrast_limits": list(layer.contrast_limits)}
        if self._follow:
            show_alone(self._viewer, *filter(None, [self._place.layer, layer]))
        if len(self._viewer.layers) == 1:
            # napari fits the first layer to the canvas. Then the layer's controls make the canvas smaller.
            QTimer.singleShot(0, self._viewer.reset_view)
        self._next_refresh = time.perf_counter()
        QTimer.singleShot(_FIRST_DRAWING_MS, self.ready.emit)

    def _refresh(self, limits: Limits | None) -> None:
        self._busy = False
        if self._discarded or self.layer is None or not self._is_shown():
            return
        began = time.perf_counter()
        if limits:
            self._set(contrast_limits=limits)
        self.layer.refresh(extent=False)
        ended = time.perf_counter()
        # While the thread reads, the conversion has less processor time. So a long reading makes the pause longer.
        self._next_refresh = ended + max(_PAUSE, (ended - began) / _REFRESH_SHARE, began - self._reading_began)

    def _complete(self, made: LayerData | None) -> None:
        try:
            if made and self._is_shown():
                self._show_finished(*made)
        finally:
            self.finished.emit()
            self._release()

    def _show_finished(self, data: Any, settings: dict[str, Any], _: str) -> None:
        """Make the layer that of the finished volume."""
        assert self.layer is not None
        assert self._place is not None
        self.layer.data = data
        metadata = settings["metadata"]
        if isinstance(self.layer, Image):
            self._set(contrast_limits=settings["contrast_limits"])
            if CONTRAST_RANGE in metadata:  # napari would clip the user's own limits to this range
                (low, high), limits = metadata[CONTRAST_RANGE], self.layer.contrast_limits
                metadata[CONTRAST_RANGE] = (min(low, limits[0]), max(high, limits[1]))
        self.layer.metadata = metadata
        prepare_layers()
        self._place.complete(self.layer)

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            if name in self._values_set and getattr(self.layer, name) == self._values_set[name]:
                setattr(self.layer, name, value)
                self._values_set[name] = getattr(self.layer, name)

    def _release(self) -> None:
        for level in self._levels:
            level.stop()
        for forget in self._forget_read:
            forget()
        self.under_way.discard(self)


def growing_pyramid(plan: Plan, output: AnyPath) -> tuple[Pyramid, list[GrowingLevel]]:
    """A conversion's output, described as the finished volume, and its levels, which show what has been written."""
    levels: list[PyramidLevel] = []
    growing: list[GrowingLevel] = []
    for number, level in enumerate(plan.levels):
        array = ZarrArray(output / level.path)
        finer = growing[-1] if growing else None
        factors = factors_between(plan.levels[max(0, number - 1)], level)
        grows = GrowingLevel(
            array.read,
            _chunk_finder(array),
            array.chunks,
            array.dtype,
            finer,
            factors,
            plan.options.method,
            nan=not plan.volume.is_labels,
        )
        lazy = LazyArray(grows.read, array.shape, grows.dtype, array.chunks)
        shape = tuple(-(-n // r) for n, r in zip(plan.volume.shape, level.reduction, strict=True))  # without padding
        growing.append(grows)
        place = level.voxel_size, level.translation
        levels.append(PyramidLevel(level.path, array.shape, grows.dtype, array.chunks, *place, lazy.crop(shape)))
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
        calibration=plan.calibration,
        rescale=plan.meaning,
        image_label=ImageLabel() if plan.volume.is_labels else None,
    )
    return pyramid, growing


def _chunk_finder(array: ZarrArray) -> Callable[[tuple[int, ...]], bool]:
    files = ChunkLocator(array.path, array.metadata)
    return lambda index: files.path(index).exists()
