"""The example runs, and makes what it says."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import tifffile

import napari_ct_pyramid as ct


def test_the_example(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).normal(0, 1, (12, 20, 30)).astype("f4")
    voxels[:, 5:15, 5:15] += 9
    tifffile.imwrite(tmp_path / "scan.tif", voxels, photometric="minisblack")
    script = Path(__file__).parents[2] / "examples" / "statistics_and_filters.py"
    runpy.run_path(str(script))["main"](str(tmp_path / "scan.tif"), tmp_path)
    lines = (tmp_path / "slices.csv").read_text().splitlines()
    assert len(lines) == 1 + 12
    assert float(lines[1].split(",")[-1]) == (100 / 600)
    smooth = np.asarray(ct.open_pyramid(tmp_path / "smooth.ome.zarr").levels[0])
    wide = np.pad(voxels[3:9], ((0, 0), (1, 1), (1, 1)), mode="edge").astype("f8")
    around = wide[:, :-2, 1:-1] + wide[:, 2:, 1:-1] + wide[:, 1:-1, :-2] + wide[:, 1:-1, 2:]
    np.testing.assert_allclose(smooth, (wide[:, 1:-1, 1:-1] + around) / 5, rtol=1e-4, atol=1e-5)
    turned = np.asarray(ct.open_pyramid(tmp_path / "turned.ome.zarr").levels[0])
    np.testing.assert_array_equal(turned, voxels[3:9].transpose(1, 0, 2))
