"""A small volume for the dock."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.dock import write_tiff


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A TIFF that gives its voxel size."""
    return write_tiff(tmp_path / "scan.tif")
