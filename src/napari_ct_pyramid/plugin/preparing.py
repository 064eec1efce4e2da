"""Gives the layers of this plugin what layer data cannot express, once they are in a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .layers import CALIBRATION, CONTRAST_RANGE

if TYPE_CHECKING:
    from napari.viewer import Viewer


def prepare_viewer(viewer: Viewer) -> None:
    """Prepare all layers of this plugin in a viewer."""
    from .grey_values import show_grey_values
    from .level_choice import choose_levels

    choose_levels(viewer)
    for layer in viewer.layers:
        if CALIBRATION in layer.metadata:
            show_grey_values(layer)
        if contrast_range := layer.metadata.pop(CONTRAST_RANGE, None):
            layer.contrast_limits_range = contrast_range
