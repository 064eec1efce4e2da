"""What statistics yield: their progress, and in the end the numbers."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_ct_pyramid.calibration import Calibration
from napari_ct_pyramid.conversion.progress import Pace
from napari_ct_pyramid.model.tiles import Tiles
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import Triple, VoxelSize
from napari_ct_pyramid.storage.paths import AnyPath

from .options import StatsOptions

PERCENTILES = (0.1, 1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True)
class StatsPlan:
    """What is read for statistics.

    Attributes
    ----------
    volume : Volume
    tiles : Tiles
    options : StatsOptions
    """

    volume: Volume
    tiles: Tiles
    options: StatsOptions


@dataclass(frozen=True, kw_only=True)
class StatsProgress(Pace):
    """How far the statistics are. Blocks are tiles; the volume is read up to three times, and each time counts.

    Attributes
    ----------
    plan : StatsPlan
    """

    plan: StatsPlan


@dataclass(frozen=True)
class SliceStatistics:
    """Of each slice: arrays with one number for each, which are nan where a slice has no finite voxel.

    Attributes
    ----------
    z : numpy.ndarray
        Number of the slice in the volume that was read, from 0, without the crop.
    count, nans, infinities : numpy.ndarray
        Finite voxels, and those that are not.
    minimum, maximum, mean, std : numpy.ndarray
    above : numpy.ndarray
        Share of the finite voxels above the threshold.
    """

    z: np.ndarray
    count: np.ndarray
    nans: np.ndarray
    infinities: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    above: np.ndarray

    COLUMNS = ("z", "count", "nans", "infinities", "minimum", "maximum", "mean", "std", "above")

    def rows(self) -> list[list[Any]]:
        """A row for each slice, in the order of `COLUMNS`; None where there is no number."""
        columns = [getattr(self, name).tolist() for name in self.COLUMNS]
        return [[_or_none(value) for value in row] for row in zip(*columns, strict=True)]


@dataclass(frozen=True)
class VolumeStatistics:
    """Statistics of a volume. All numbers but `nans` and `infinities` are of its finite voxels.

    Attributes
    ----------
    path : str
        What was read, to show.
    name : str
        Of the volume.
    shape : tuple of int
        Voxels along z, y, x, without padding.
    dtype : numpy.dtype
    voxel_size : tuple of float or None
        Along z, y, x, in `unit`.
    unit : str or None
    calibration : Calibration or None
        What the values stand for; None where they are grey values, or nothing is stated.
    count, nans, infinities : int
        Finite voxels, and those that are not.
    minimum, maximum, mean, std : float or None
        None where no voxel is finite.
    percentiles : dict of float to float
        By percent. Exact, but those of float64, which are exact to a millionth.
    edges, counts : numpy.ndarray
        The histogram, as `numpy.histogram` counts it: one edge more than bins, the last edge belongs to the last bin.
    threshold : float or None
        None where Otsu's method finds none: all voxels are equal.
    is_otsu : bool
        Whether the threshold is Otsu's.
    above : float or None
        Share of the voxels above the threshold.
    slices : SliceStatistics or None
        If they were asked for.
    seconds : float
    peak_memory_bytes : int
        Resident memory of the process at the peak; with a cluster, that of the worker with the most.
    notes : tuple of str
        Sentences about the source that are to be shown.
    """

    path: str
    name: str
    shape: Triple
    dtype: np.dtype
    voxel_size: VoxelSize | None
    unit: str | None
    calibration: Calibration | None
    count: int
    nans: int
    infinities: int
    minimum: float | None
    maximum: float | None
    mean: float | None
    std: float | None
    percentiles: dict[float, float]
    edges: np.ndarray
    counts: np.ndarray
    threshold: float | None
    is_otsu: bool
    above: float | None
    slices: SliceStatistics | None
    seconds: float
    peak_memory_bytes: int
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {
            "path": self.path,
            "shape": list(self.shape),
            "dtype": str(self.dtype),
            "voxel_size": list(self.voxel_size) if self.voxel_size else None,
            "unit": self.unit,
            "calibration": self.calibration.to_json() if self.calibration else None,
            "count": self.count,
            "nans": self.nans,
            "infinities": self.infinities,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "mean": self.mean,
            "std": self.std,
            "percentiles": {f"{percent:g}": value for percent, value in self.percentiles.items()},
            "histogram": {"edges": self.edges.tolist(), "counts": self.counts.tolist(), "exact": True},
            "threshold": self.threshold,
            "threshold_is_otsu": self.is_otsu,
            "above": self.above,
            "slices": (
                None
                if self.slices is None
                else [dict(zip(self.slices.COLUMNS, row, strict=True)) for row in self.slices.rows()]
            ),
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
            "peak_memory_bytes": self.peak_memory_bytes,
        }

    def to_csv(self) -> str:
        """A table as text: one line for each slice if there are slices, otherwise one for each number."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if self.slices is not None:
            writer.writerow(self.slices.COLUMNS)
            writer.writerows(self.slices.rows())
            return text.getvalue()
        writer.writerow(("name", "value"))
        writer.writerows((name, getattr(self, name)) for name in _NUMBERS)
        writer.writerows((f"percentile {percent:g}", value) for percent, value in self.percentiles.items())
        return text.getvalue()

    def __repr__(self) -> str:
        above = f", {100 * self.above:.3g} % above {self.threshold:g}" if self.above is not None else ""
        if self.mean is None:
            return f"<VolumeStatistics of {self.name}: no finite voxel>"
        return (
            f"<VolumeStatistics of {self.name}: {self.minimum:g} to {self.maximum:g}, mean {self.mean:g}, "
            f"std {self.std:g}{above}>"
        )


_NUMBERS = ("count", "nans", "infinities", "minimum", "maximum", "mean", "std", "threshold", "above")


def empty_progress(output: AnyPath, plan: StatsPlan) -> StatsProgress:
    """Before anything is read."""
    return StatsProgress(
        output=output, plan=plan, blocks_done=0, blocks=len(plan.tiles), bytes_done=0, bytes_total=plan.volume.nbytes,
        seconds=0.0, fraction=0.0,
    )  # fmt: skip


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value
