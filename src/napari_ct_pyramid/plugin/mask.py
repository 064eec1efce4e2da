"""A mask over a layer: the voxels above a threshold, computed where they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ct_pyramid.model.lazy_array import LazyArray

if TYPE_CHECKING:
    from napari_ct_pyramid.model.volume import Box

_COLOR = (0.9, 0.45, 0.25, 1.0)


class Mask:
    """The levels of a mask, which follow its threshold.

    Parameters
    ----------
    levels : sequence of array
        Of the layer that it lies over.
    threshold : float
    """

    def __init__(self, levels: Sequence[Any], threshold: float) -> None:
        self.threshold = threshold
        self.levels = [self._level(level) for level in levels]

    def _level(self, level: Any) -> LazyArray:
        def read(box: Box) -> np.ndarray:
            voxels = np.asarray(level[tuple(slice(s.start, s.stop) for s in box)])
            above: np.ndarray = voxels > np.float64(self.threshold)
            if voxels.dtype.kind == "f":
                above &= voxels < np.inf  # which statistics do not count, either
            return above[tuple(slice(None, None, s.step) for s in box)].astype(np.uint8)

        chunks = getattr(level, "chunks", level.shape)
        return LazyArray(read, tuple(level.shape), np.dtype(np.uint8), chunks)


def mask_layer(layer: Any, mask: Mask) -> Any:
    """A Labels layer for a mask, in the place of a layer. It reads only what is displayed."""
    from napari.layers import Labels
    from napari.utils.colormaps import DirectLabelColormap

    several = len(mask.levels) > 1
    return Labels(
        mask.levels if several else mask.levels[0],
        name=f"{layer.name} above",
        multiscale=several,
        scale=layer.scale,
        translate=layer.translate,
        rotate=layer.rotate,
        shear=layer.shear,
        units=layer.units,
        opacity=0.5,
        colormap=DirectLabelColormap(color_dict={None: (0, 0, 0, 0), 0: (0, 0, 0, 0), 1: _COLOR}),
    )
