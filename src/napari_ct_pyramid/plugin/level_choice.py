"""Chooses the level of a lazily read volume that napari draws, if its own choice is too coarse or takes too long.

In 3D, napari would draw the coarsest level. This module chooses the finest one that fits the graphics card and the
memory. In 2D, a cut that would read most of a TIFF shows the sample instead. A level that the user chose stays.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari_ct_pyramid.model.lazy_array import LazyArray
from napari_ct_pyramid.sources.lazy_levels import SourceArray

from .viewer_hooks import SMALLEST_TEXTURE, connect_before_napari, largest_texture

if TYPE_CHECKING:
    from napari.viewer import Viewer


VOLUME_BYTES = 256_000_000
"""The voxels that are shown in 3D take at most this much memory."""

CUT_BYTES = 1_000_000_000
"""A cut along y or x at full size reads at most this much of a TIFF."""

_viewers: weakref.WeakSet[Any] = weakref.WeakSet()  # those whose events are connected
_locks: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()  # layer: the level that this module locked


def choose_levels(viewer: Viewer) -> None:
    """From now on, choose the levels of all volumes in this viewer that this package reads lazily."""
    if viewer not in _viewers:
        _viewers.add(viewer)
        _connect(viewer)
    for layer in viewer.layers:
        _choose_level(viewer, layer)


def _connect(viewer: Viewer) -> None:
    reference = weakref.ref(viewer)  # the viewer's events hold what is connected to them

    def choose() -> None:
        if (there := reference()) is not None:
            for layer in there.layers:
                _choose_level(there, layer)

    def lock_again() -> None:
        # A lock also fixes the part of the level that is shown, which napari computes from the axes shown before.
        if (there := reference()) is not None:
            for layer in there.layers:
                if (level := _locks.get(layer)) is not None and layer.locked_data_level == level:
                    layer.locked_data_level = level

    def choose_for_new(event: Any) -> None:
        if (there := reference()) is not None:
            _choose_level(there, event.value)

    connect_before_napari(viewer.dims.events.ndisplay, choose)
    connect_before_napari(viewer.dims.events.order, choose)
    viewer.dims.events.order.connect(lock_again)
    viewer.layers.events.inserted.connect(choose_for_new)


def with_level_for_3d(levels: list[LazyArray]) -> list[LazyArray]:
    """The levels, and one more if even the coarsest is too large for 3D: every nth voxel of the coarsest.

    To show that level, napari reads all of the coarsest level once. Volumes made by this package never need it.
    """
    coarsest = levels[-1]
    shape = coarsest.shape[-3:]
    step = 1
    while not _fits([math.ceil(n / step) for n in shape], coarsest, SMALLEST_TEXTURE):
        step += 1
    if step == 1:
        return levels
    return [*levels, coarsest.every((1,) * (coarsest.ndim - len(shape)) + (step,) * len(shape))]


def _fits(shape: Sequence[int], level: LazyArray, texture: int) -> bool:
    return max(shape) <= texture and math.prod(shape) * level.dtype.itemsize <= VOLUME_BYTES


def _choose_level(viewer: Viewer, layer: Any) -> None:
    if not (getattr(layer, "multiscale", False) and isinstance(layer.data[0], LazyArray)):
        return
    ours, now = _locks.get(layer), layer.locked_data_level
    if now is not None and now != ours:
        return  # the user's own choice
    before = viewer.dims.ndim - layer.ndim  # axes that this layer does not have
    displayed = [axis - before for axis in viewer.dims.displayed if axis >= before]
    wanted = _wanted_level(layer.data, displayed, viewer.dims.ndisplay)
    if wanted is None:
        _locks.pop(layer, None)
    else:
        _locks[layer] = wanted
    if wanted != now:
        layer.locked_data_level = wanted


def _wanted_level(levels: Sequence[LazyArray], displayed: list[int], ndisplay: int) -> int | None:
    """The level to draw; None if napari chooses."""
    if isinstance(levels[0], SourceArray):  # its coarsest level is made for 3D
        too_much = ndisplay == 2 and levels[0].bytes_read_for(displayed) > CUT_BYTES
        return len(levels) - 1 if too_much else None
    if ndisplay == 2:
        return None
    texture = largest_texture()
    for number, level in enumerate(levels):
        if _fits([level.shape[axis] for axis in displayed], level, texture):
            return number if number < len(levels) - 1 else None
    return None
