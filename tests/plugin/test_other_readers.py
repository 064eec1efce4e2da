"""Converted volumes, opened by napari's other reader of OME-Zarr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari.layers
import numpy as np
import pytest

import napari_ct_pyramid as ct
from tests.helpers.scans import VOXELS, write_scan

napari_get_reader = pytest.importorskip("napari_ome_zarr").napari_get_reader


@pytest.mark.parametrize("options", [{}, {"ome_zarr_version": "0.5", "shards": (16, 16, 32)}, {"dtype": "uint8"}])
def test_napari_ome_zarr_reads_the_same_voxels_and_settings(tmp_path: Path, options: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"chunks": (8, 8, 16), "num_levels": 3, "voxel_size": (2, 0.5, 0.5), "unit": "micrometer"}
    receipt = ct.convert(write_scan(tmp_path, VOXELS.astype("f4")), **asked, **options)
    reader = napari_get_reader(str(receipt.output))
    assert reader is not None
    layers = reader(str(receipt.output))
    assert len(layers) == 1
    levels, settings, *_ = layers[0]
    pyramid = ct.open_pyramid(receipt.output)
    for found, level in zip(levels, pyramid.levels, strict=True):
        whole = np.asarray(found)
        assert whole.shape == level.stored_shape
        z, y, x = level.array.shape  # without padding
        np.testing.assert_array_equal(whole[:z, :y, :x], np.asarray(level.array))
    layer = napari.layers.Image(levels, **settings)
    assert tuple(layer.scale) == (2, 0.5, 0.5)
    assert tuple(layer.translate) == (0, 0, 0)
    assert tuple(layer.contrast_limits) == receipt.window
    assert layer.name == "scan: scan"  # image and channel
