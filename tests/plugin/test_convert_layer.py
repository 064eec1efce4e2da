"""Layers > Data > Convert to OME-Zarr… in a window: what is in the layer becomes an OME-Zarr, and takes its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.plugin import menus
from napari_ct_pyramid.plugin.preview import LivePreview
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget, WidgetState
from tests.helpers.dock import add_widget, volume, wait_for, wait_until, write_tiff
from tests.helpers.screen import PLUGIN, gray_at, settle


@pytest.fixture
def viewer(small_viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> napari.Viewer:
    monkeypatch.setattr("napari.utils.history.get_save_history", lambda: [str(tmp_path)])
    return small_viewer


def convert(viewer: napari.Viewer, monkeypatch: pytest.MonkeyPatch) -> ConvertWidget:
    """Use the menu command on the selected layer, and press Convert."""
    widget = add_widget(viewer)
    monkeypatch.setattr(menus, "open_widget", lambda _: widget)
    menus.convert_layer()
    wait_for(widget, WidgetState.READY, WidgetState.WRONG)
    widget.status_panel.convert.click()
    wait_for(widget, WidgetState.DONE)
    wait_until(lambda: not LivePreview.under_way)
    viewer.reset_view()  # the dock has made the canvas smaller
    settle(viewer)
    return widget


def test_an_array(viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = volume(3)
    below = viewer.add_image(array, name="filtered", scale=(2, 1, 1), translate=(6, 0, 3), units=("um",) * 3)
    below.contrast_limits = (90, 190)
    settle(viewer)
    before = gray_at(viewer, (16, 27), (50, 83))
    convert(viewer, monkeypatch)
    made = ct.open_pyramid(tmp_path / "filtered.ome.zarr")
    assert np.array_equal(np.asarray(made.levels[0].array), array)
    assert (made.levels[0].scale, made.levels[0].translation, made.units) == (
        (2, 1, 1), (6, 0, 3), ("micrometer",) * 3,
    )  # fmt: skip
    assert [layer.name for layer in viewer.layers] == ["filtered (source)", "filtered"]
    assert [layer.visible for layer in viewer.layers] == [False, True]
    assert np.allclose(gray_at(viewer, (16, 27), (50, 83)), before, atol=2)


def test_labels(viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.zeros((20, 32, 48), "i8")
    labels[4:12, 8:24, 8:40] = 5
    viewer.add_labels(labels, name="pores")
    convert(viewer, monkeypatch)
    made = ct.open_pyramid(tmp_path / "pores.ome.zarr")
    assert made.is_labels
    assert np.array_equal(np.asarray(made.levels[0].array), labels)
    assert [set(np.unique(np.asarray(level.array))) for level in made.levels] == [{0, 5}] * len(made.levels)
    below, layer = viewer.layers
    assert type(layer) is type(below)
    assert (below.visible, layer.visible, layer.name) == (False, True, "pores")


def test_a_file_whose_scale_was_set(viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (layer,) = viewer.open(write_tiff(tmp_path / "scan.tif"), plugin=PLUGIN)
    layer.scale, layer.units = (3, 2, 2), ("nm",) * 3
    convert(viewer, monkeypatch)
    made = ct.open_pyramid(tmp_path / "scan.ome.zarr")
    assert made.levels[0].scale == (3, 2, 2)
    assert made.units == ("nanometer",) * 3
    places: list[Any] = [(tuple(one.scale), str(one.units[0])) for one in viewer.layers]
    assert places == [((3, 2, 2), "nanometer")] * 2
