"""Grey values under the cursor, in napari's status bar, where the voxels of a layer stand for them."""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from threading import Lock
from typing import TYPE_CHECKING, Any

from napari_ct_pyramid.model.lazy_array import LazyArray
from napari_ct_pyramid.sources.lazy_levels import PagedArray

if TYPE_CHECKING:
    from napari.viewer import Viewer


_told: weakref.WeakSet[Any] = weakref.WeakSet()


def tell_grey_values(layer: Any) -> None:
    """From now on, have the status of a layer say the grey value of a voxel besides what is stored.

    What it is stands in the layer's metadata, as long as it does: ``{"rescale": {"slope": …, "intercept": …}}``.
    """
    if layer in _told:
        return
    _told.add(layer)
    get_status = type(layer).get_status
    reference = weakref.ref(layer)

    @wraps(get_status)
    def with_grey_value(*args: Any, **more: Any) -> dict[str, str]:
        status: dict[str, str] = get_status(reference(), *args, **more)
        stored = status["value"].rpartition(", ")[2]  # after the number of the level
        if stored.isdigit() and (rescale := layer_rescale()):
            grey = int(stored) * rescale["slope"] + rescale["intercept"]
            told = f"{status['value']} (grey value {grey:.5g})"
            status["coordinates"] = status["coordinates"].removesuffix(status["value"]) + told
            status["value"] = told
        return status

    def layer_rescale() -> Any:
        there = reference()
        return there.metadata.get("rescale") if there is not None else None

    layer.get_status = with_grey_value


VOLUME_BYTES = 256_000_000
"""Voxels shown in 3D take at most this much."""

CUT_BYTES = 1_000_000_000
"""At most this much of a TIFF is read to cut it along y or x at full size."""

LEAST_TEXTURE = 2048
"""Every graphics card takes this many voxels along each axis in 3D."""

_followed: weakref.WeakSet[Any] = weakref.WeakSet()
_locks: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()  # layer: the level that was locked here


def choose_levels(viewer: Viewer) -> None:
    """From now on, choose the levels of all volumes in this viewer that this package reads lazily."""
    if viewer not in _followed:
        _followed.add(viewer)
        _follow(viewer)
    for layer in viewer.layers:
        _choose_level(viewer, layer)


def _follow(viewer: Viewer) -> None:
    reference = weakref.ref(viewer)  # the viewer's events hold on to what is connected to them

    def choose() -> None:
        if (followed := reference()) is not None:
            for layer in followed.layers:
                _choose_level(followed, layer)

    # napari reads for the new view in a callback of its own, and calls those of its own modules first. Were a level
    # chosen only then, all of a TIFF would have been read to cut it along x. So this passes for one of napari's.
    choose.__module__ = "napari.plugins"

    def lock_again() -> None:
        # A lock comprises the part of a level that is shown, which napari takes from the axes shown before.
        if (followed := reference()) is not None:
            for layer in followed.layers:
                if (level := _locks.get(layer)) is not None and layer.locked_data_level == level:
                    layer.locked_data_level = level

    def choose_for_new(event: Any) -> None:
        if (followed := reference()) is not None:
            _choose_level(followed, event.value)

    viewer.dims.events.ndisplay.connect(choose, position="first")
    viewer.dims.events.order.connect(choose, position="first")
    viewer.dims.events.order.connect(lock_again)
    viewer.layers.events.inserted.connect(choose_for_new)


def with_one_for_3d(levels: list[LazyArray]) -> list[LazyArray]:
    """The levels, and one more where even the coarsest is too large for 3D: every nth voxel of that.

    To show it, napari reads all of the coarsest level once. Volumes made by this package are never in need of it.
    """
    coarsest = levels[-1]
    shape = coarsest.shape[-3:]
    step = 1
    while not _fits([math.ceil(n / step) for n in shape], coarsest, LEAST_TEXTURE):
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
        return  # the user's
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
    """The level to draw; None where that is left to napari."""
    if isinstance(levels[0], PagedArray):  # its coarsest level is made for 3D
        too_much = ndisplay == 2 and levels[0].bytes_read_for(displayed) > CUT_BYTES
        return len(levels) - 1 if too_much else None
    if ndisplay == 2:
        return None
    texture = _texture_limit()
    for number, level in enumerate(levels):
        if _fits([level.shape[axis] for axis in displayed], level, texture):
            return number if number < len(levels) - 1 else None
    return None


def _texture_limit() -> int:
    """The most voxels along an axis that the graphics card takes in 3D."""
    try:
        from napari._vispy.utils.gl import get_max_texture_sizes  # private, and no other way to know

        return int(get_max_texture_sizes()[1] or LEAST_TEXTURE)
    except (ImportError, RuntimeError):
        return LEAST_TEXTURE


# For the whole process

_SWITCH_INTERVAL = 0.0005  # seconds

_intervals_lock = Lock()
_intervals: list[float] = []  # what the interval was when each block that is still open began


@contextmanager
def short_switch_interval() -> Iterator[None]:
    """Let Python's threads take turns more often, so that the window's thread waits less for the others.

    The window's thread gives up the interpreter lock at each of its many calls into Qt. To get it back, it waits for
    one switch interval (5 ms by default) of each thread that runs Python code.
    """
    with _intervals_lock:
        _intervals.append(sys.getswitchinterval())
        sys.setswitchinterval(min(_SWITCH_INTERVAL, _intervals[0]))
    try:
        yield
    finally:
        with _intervals_lock:
            before = _intervals[0]
            _intervals.pop()
            if not _intervals:
                sys.setswitchinterval(before)
