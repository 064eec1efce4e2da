"""Grey values in napari's status bar, for layers whose stored voxels represent them."""

from __future__ import annotations

import math
import weakref
from typing import Any

from napari_ct_pyramid.calibration import read_calibration

from .viewer_hooks import change_status

_shown: weakref.WeakSet[Any] = weakref.WeakSet()


def show_grey_values(layer: Any) -> None:
    """From now on, show the grey value of a voxel in the status bar, beside the stored value.

    The layer's metadata states it: ``{"calibration": {"slope": …, "intercept": …, "unit": …}}``. Without that entry,
    the status is napari's own.
    """
    if layer not in _shown:
        _shown.add(layer)
        change_status(layer, _add_grey_value)


def _add_grey_value(layer: Any, status: dict[str, str]) -> None:
    stored = status["value"].rpartition(", ")[2]  # after the number of the level
    calibration = read_calibration(layer.metadata.get("calibration"))
    try:
        grey = calibration.grey(float(stored)) if calibration else math.nan
    except ValueError:  # no voxel is under the cursor
        return
    if calibration and math.isfinite(grey):
        unit = f" {calibration.unit}" if calibration.unit else ""
        both = f"{status['value']} (grey value {grey:.5g}{unit})"
        status["coordinates"] = status["coordinates"].removesuffix(status["value"]) + both
        status["value"] = both
