"""A rectangle in the viewer as a crop. It crops the two axes that are displayed, and leaves the third as it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Shapes
from napari.viewer import Viewer
from qtpy.QtCore import QObject, QTimer

from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.plugin.origins import layers_showing

from .form import Form

NAME = "Crop"
_PAUSE_MS = 100  # after the last change of a rectangle that is being drawn

Ranges = tuple[tuple[int, int] | None, ...]
"""First voxel and the one after the last, along z, y, x; None where the rectangle leaves an axis as it is."""


class CropRectangle(QObject):
    """Follows a rectangle in a layer of shapes, and writes the part that it surrounds into the form.

    Parameters
    ----------
    viewer : napari.Viewer
    form : Form
    """

    def __init__(self, viewer: Viewer, form: Form) -> None:
        super().__init__(form)
        self._viewer = viewer
        self._form = form
        form.draw_crop.clicked.connect(self._begin)
        self._shapes: Shapes | None = None
        self._source: Any = None
        self._extent: Triple | None = None
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._report)

    def _begin(self) -> None:
        """Use the rectangle that is selected; if there is none, let the user draw one."""
        shown = layers_showing(self._viewer, self._form.source_value)
        self._source = next(shown, None)  # without it, a unit of the viewer is a voxel
        self._extent = self._form.extent
        active = self._viewer.layers.selection.active
        if isinstance(active, Shapes) and len(active.data):
            self._follow(active)
            self._report()
            return
        old = self._shapes if self._shapes in self._viewer.layers else None
        shapes = old or self._add_layer()
        self._viewer.layers.selection = {shapes}
        self._viewer.dims.ndisplay = 2
        shapes.mode = "add_rectangle"
        self._follow(shapes)

    def _add_layer(self) -> Shapes:
        source = self._source
        settings = (
            {} if source is None else {"scale": source.scale, "translate": source.translate, "units": source.units}
        )
        shapes = Shapes(ndim=3, name=NAME, edge_color="yellow", face_color="transparent", **settings)
        shapes.current_edge_width = max(1.0, (max(self._extent) if self._extent else 300) / 300)
        shapes.current_edge_color = "yellow"
        shapes.current_face_color = "transparent"
        self._viewer.add_layer(shapes)
        return shapes

    def _follow(self, shapes: Shapes) -> None:
        if shapes is not self._shapes:
            self._stop()
            self._shapes = shapes
            shapes.events.data.connect(self._on_change)

    def _stop(self) -> None:
        if self._shapes is not None:
            self._shapes.events.data.disconnect(self._on_change)
            self._shapes = None

    def _on_change(self, _event: Any = None) -> None:
        self._pause.start()

    def _report(self) -> None:
        if self._shapes is None or not len(self._shapes.data):
            return
        chosen = sorted(self._shapes.selected_data) or [len(self._shapes.data) - 1]
        corners = np.asarray(self._shapes.data[chosen[-1]])
        if corners.shape[1] != 3:
            return
        world = [self._shapes.data_to_world(corner) for corner in corners]
        voxels = [self._source.world_to_data(point) if self._source is not None else point for point in world]
        ranges = voxel_ranges(np.asarray(voxels), self._extent)
        if any(ranges) and self._form.isEnabled():
            self._form.set_crop(ranges)


def voxel_ranges(corners: np.ndarray, extent: Sequence[int] | None) -> Ranges:
    """The voxels whose centres are inside a rectangle, along z, y, x.

    Parameters
    ----------
    corners : numpy.ndarray
        Shape (corners, 3), in voxels, whose centres are at whole numbers.
    extent : sequence of int or None
        Voxels that there are along each axis.

    Returns
    -------
    tuple
        For each axis the first voxel and the one after the last; None along the axis on which the rectangle has no
        extent, and where it touches no voxel.
    """
    found: list[tuple[int, int] | None] = []
    for axis in range(3):
        low, high = corners[:, axis].min(), corners[:, axis].max()
        first, end = max(0, math.ceil(low - 1e-6)), math.floor(high + 1e-6) + 1
        if extent:
            end = min(end, extent[axis])
        found.append((first, end) if high - low > 1e-6 and end > first else None)
    return tuple(found)
