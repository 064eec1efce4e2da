"""Voxels in fewer bits, from the widget to the preview and to the grey values in the status bar."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import pytest
from napari.layers import Image

import napari_ct_pyramid as ct
from napari_ct_pyramid import open_pyramid
from napari_ct_pyramid.plugin.widget.widget import WidgetState
from tests.helpers.dock import add_widget, volume, wait_for, wait_until, write_tiff


def status(layer: Image, voxel: tuple[int, int, int]) -> dict[str, str]:
    place = layer.data_to_world(voxel)
    said: dict[str, str] = layer.get_status(place, dims_displayed=[1, 2], world=True)
    return said


def shown(layer: Image, voxel: tuple[int, int, int]) -> tuple[int, float]:
    """What the status bar shows of a voxel: the stored value and the grey value."""
    said = status(layer, voxel)
    found = re.search(r", (\d+) \(grey value ([-+.\de]+)\)$", said["value"])
    assert found
    assert said["coordinates"].endswith(said["value"])
    return int(found[1]), float(found[2])


def test_from_the_dock_to_the_status_bar(make_napari_viewer: Callable[..., napari.Viewer], tmp_path: Path) -> None:
    viewer = make_napari_viewer()
    widget = add_widget(viewer)
    widget.set_source(write_tiff(tmp_path / "scan.tif"))
    widget.form.options.set("dtype", "uint8")
    widget.form.options.set("window", "-10, 245")
    wait_for(widget, WidgetState.READY)
    assert widget.plan_panel.values.isVisibleTo(widget)
    assert widget.plan_panel.values.text() == "Values: float32 as uint8, window -10 to 245; grey = stored × 1 - 10"
    widget.form.options.set("window", "245 -10")
    wait_for(widget, WidgetState.WRONG)
    assert "245 -10" in widget.status_panel.message.words.text()
    widget.form.options.set("window", "-10 245")
    wait_for(widget, WidgetState.READY)
    widget.status_panel.convert.click()
    wait_for(widget, WidgetState.DONE)
    output = tmp_path / "scan.ome.zarr"
    wait_until(lambda: viewer.layers and tuple(viewer.layers[0].contrast_limits) == open_pyramid(output).window[2:])
    viewer.open(output, plugin="napari-ct-pyramid")
    viewer.dims.set_current_step(0, 20)
    for layer in viewer.layers:  # the preview, and what is read anew
        assert layer.dtype == "uint8"
        assert layer.metadata["rescale"] == {
            "source_dtype": "float32", "window": [-10.0, 245.0], "slope": 1.0, "intercept": -10.0,
        }  # fmt: skip
        wait_until(lambda layer=layer: "grey" in status(layer, (20, 9, 9))["value"])
        for voxel in ((20, 31, 40), (20, 8, 70)):
            stored, grey = shown(layer, voxel)
            assert grey == pytest.approx(stored - 10)
            assert grey == pytest.approx(float(volume()[voxel]), abs=8)  # of a coarse level


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_a_calibration_is_shown_with_its_unit(
    make_napari_viewer: Callable[..., napari.Viewer], tmp_path: Path, dtype: str
) -> None:
    voxels = (np.arange(6 * 8 * 8).reshape(6, 8, 8) / 2).astype(dtype)
    np.save(tmp_path / "scan.npy", voxels)
    receipt = ct.convert(tmp_path / "scan.npy", chunks=8, num_levels=1, calibration="2 -1000 HU")
    viewer = make_napari_viewer()
    (layer,) = viewer.open(receipt.output, plugin="napari-ct-pyramid")
    viewer.dims.set_current_step(0, 3)
    grey = float(voxels[3, 4, 5]) * 2 - 1000
    wait_until(lambda: status(layer, (3, 4, 5))["value"].endswith(f"(grey value {grey:.5g} HU)"))
