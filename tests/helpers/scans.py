"""Small volumes that are converted in many blocks, and outputs compared byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

OPTIONS: dict[str, Any] = {"chunks": (8, 8, 16), "num_levels": 3, "threads": 2}
VOXELS = np.random.default_rng(5).integers(0, 65535, (46, 32, 32), dtype="u2")

SMALL_BLOCKS = {"BLOCK_BYTES": 10_000, "CELL_BYTES": 1}


def small_blocks(patch: pytest.MonkeyPatch) -> None:
    """Have small blocks of a few cells each, so that a small volume has many of them, in two stages."""
    for name, size in SMALL_BLOCKS.items():
        patch.setattr(f"napari_ct_pyramid.model.blocks.{name}", size)


def write_scan(folder: Path, voxels: np.ndarray = VOXELS) -> Path:
    path = folder / "scan.tif"
    tifffile.imwrite(path, voxels, photometric="minisblack", metadata=None)
    return path


def write_tiff(path: Path, voxels: np.ndarray) -> Path:
    """A BigTIFF with one page a slice."""
    tifffile.imwrite(path, voxels, bigtiff=True, photometric="minisblack", metadata=None)
    return path


def pyramid_files(output: Path) -> dict[str, bytes]:
    """All files, except those that state how long it took, and a lock that nobody holds."""
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in output.rglob("*")
        if path.is_file() and path.name not in ("receipt.json", "journal.jsonl", "lock")
    }
