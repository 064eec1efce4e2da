"""What an export yields: its progress, and in the end what it made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from napari_ct_pyramid.conversion.progress import Pace
from napari_ct_pyramid.options import Triple, VoxelSize
from napari_ct_pyramid.storage.paths import AnyPath

from .plan import ExportPlan


@dataclass(frozen=True, kw_only=True)
class ExportProgress(Pace):
    """How far an export is. Its blocks are the cells that it copies.

    Attributes
    ----------
    plan : ExportPlan
        What is being done; the same in every progress of an export.
    """

    plan: ExportPlan


@dataclass(frozen=True)
class Export:
    """What an export made.

    Attributes
    ----------
    output : Path or RemotePath
    kind : str
        Of the output, to show.
    shape : tuple of int
        Voxels along z, y, x.
    dtype : numpy.dtype
    voxel_size : tuple of float or None
        Along z, y, x, in `unit`.
    unit : str or None
    files : int
        How many were written.
    bytes_written : int
    seconds : float
    peak_memory_bytes : int
        Resident memory of the process at the peak.
    over_budget_bytes : int
        By how much that is over the budget.
    clipped : int or None
        Voxels outside of the window; None where they were not rescaled.
    """

    output: AnyPath
    kind: str
    shape: Triple
    dtype: np.dtype
    voxel_size: VoxelSize | None
    unit: str | None
    files: int
    bytes_written: int
    seconds: float
    peak_memory_bytes: int
    over_budget_bytes: int = 0
    clipped: int | None = None

    @classmethod
    def of(
        cls,
        plan: ExportPlan,
        *,
        bytes_written: int,
        seconds: float,
        peak_memory_bytes: int,
        over_budget_bytes: int,
        clipped: int | None,
    ) -> Self:
        """What was made as planned, with what only the export itself knows."""
        volume = plan.volume
        return cls(
            output=plan.output,
            kind=plan.kind,
            shape=volume.shape,
            dtype=plan.dtype,
            voxel_size=volume.voxel_size,
            unit=volume.unit,
            files=plan.files,
            bytes_written=bytes_written,
            seconds=seconds,
            peak_memory_bytes=peak_memory_bytes,
            over_budget_bytes=over_budget_bytes,
            clipped=clipped,
        )

    @property
    def bytes_per_second(self) -> float:
        """Bytes written, per second."""
        return self.bytes_written / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {
            "output": str(self.output),
            "kind": self.kind,
            "shape": list(self.shape),
            "dtype": str(self.dtype),
            "voxel_size": list(self.voxel_size) if self.voxel_size else None,
            "unit": self.unit,
            "files": self.files,
            "bytes_written": self.bytes_written,
            "seconds": round(self.seconds, 3),
            "peak_memory_bytes": self.peak_memory_bytes,
            "over_budget_bytes": self.over_budget_bytes,
            "clipped": self.clipped,
        }
