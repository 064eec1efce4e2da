"""What the receipt states of the voxels of level 0: extremes, what is not finite or clipped, window, and histogram.

They come from the statistics of the blocks, which the journal holds. A verification counts them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_ct_pyramid.model.blocks import BlockId
from napari_ct_pyramid.model.histogram import Bins, Histogram, histogram_json
from napari_ct_pyramid.model.intensity import display_window
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.statistics import Statistics

from .receipt import Rescaled, rescaled


@dataclass(frozen=True)
class VoxelFacts:
    """What the receipt states of the voxels of level 0; see `Receipt`.

    Attributes
    ----------
    display : dict
        The omero window: min, max, start, end.
    nans, infinities : int
    histogram : dict or None
    rescaled : Rescaled or None
    """

    display: dict[str, float]
    nans: int
    infinities: int
    histogram: dict[str, Any] | None
    rescaled: Rescaled | None

    @property
    def window(self) -> tuple[float, float]:
        """The display window."""
        return self.display["start"], self.display["end"]

    def to_json(self) -> dict[str, Any]:
        """As the receipt holds them."""
        return {
            "minimum": self.display["min"],
            "maximum": self.display["max"],
            "nans": self.nans,
            "infinities": self.infinities,
            "window": list(self.window),
            "histogram": self.histogram,
            "rescaled": self.rescaled.to_json() if self.rescaled else None,
        }


def voxel_facts(plan: Plan, statistics: Statistics, before: tuple[float, float] | None = None) -> VoxelFacts:
    """What the receipt states of a volume.

    Parameters
    ----------
    plan : Plan
    statistics : Statistics
        Of all its voxels.
    before : tuple of float, optional
        The display window of a volume whose histogram is unknown.
    """
    bins = plan.bins or Bins(plan.levels[0].dtype.str)
    display = display_window(statistics, bins, plan.rescale, before)
    histogram = None
    if statistics.histogram is not None:
        histogram = histogram_json(bins, statistics.histogram, display["min"], display["max"])
    return VoxelFacts(display, statistics.nans, statistics.infinities, histogram, rescaled(plan, statistics))


def wrong_facts(receipt: dict[str, Any], plan: Plan, statistics: Statistics, *, complete: bool = True) -> list[str]:
    """The names of what a receipt states otherwise than the blocks do, or, if it is to be `complete`, does not state.

    Without `Plan.bins`, neither window nor histogram is looked at.
    """
    if plan.bins is None:
        statistics = replace(statistics, histogram=None)
    stated = voxel_facts(plan, statistics).to_json()
    if statistics.histogram is None:
        del stated["window"], stated["histogram"]
    written: dict[str, Any] = json.loads(json.dumps(stated))
    return [
        name
        for name, value in written.items()
        if (name in receipt or complete) and (name not in receipt or receipt[name] != value)
    ]


def wrong_blocks(
    counted: Mapping[BlockId, Statistics], written: Mapping[BlockId, Statistics], *, histograms: bool
) -> Iterator[BlockId]:
    """The blocks whose statistics in the journal are not those that were counted again.

    Parameters
    ----------
    counted, written : mapping of BlockId to Statistics
    histograms : bool
        Whether to compare the histograms, too: another version of this program may have other bins.
    """
    for block, found in counted.items():
        before = written.get(block)
        if before is None:
            continue
        same = replace(found, histogram=None) == replace(before, histogram=None)
        if not same or (histograms and not _equal(found.histogram, before.histogram)):
            yield block


def _equal(one: Histogram | None, other: Histogram | None) -> bool:
    """Whether two histograms are the same, whatever compressed them. What is unknown is equal to everything."""
    if one is None or other is None:
        return True
    return np.array_equal(one.bins, other.bins) and np.array_equal(one.counts, other.counts)
