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


def _add_grey_value(layer: Any, status: dict[str, str], voxel: Any) -> None:
    calibration = read_calibration(layer.metadata.get("calibration"))
    if calibration is None or voxel is None:
        return
    grey = calibration.grey(float(voxel))
    if math.isfinite(grey):
        unit = f" {calibration.unit}" if calibration.unit else ""
        both = f"{status['value']} (grey value {grey:.5g}{unit})"
        status["coordinates"] = status["coordinates"].removesuffix(status["value"]) + both
        status["value"] = both
