"""Grey values under the cursor, in napari's status bar, where the voxels of a layer stand for them."""

from __future__ import annotations

import weakref
from functools import wraps
from typing import Any

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
