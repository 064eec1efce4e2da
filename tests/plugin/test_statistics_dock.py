"""The dock "Statistics": numbers, threshold, lazy mask, labels and table of an OME-Zarr's layer."""

from __future__ import annotations

import threading
from pathlib import Path

import napari
import numpy as np
import pytest
import tifffile
import zarr
from qtpy.QtWidgets import QFileDialog

import napari_ct_pyramid as ct
from napari_ct_pyramid.model.lazy_array import LazyArray
from napari_ct_pyramid.omezarr.labels import label_images
from napari_ct_pyramid.plugin import label_writer
from napari_ct_pyramid.plugin.image_writer import write_image
from napari_ct_pyramid.plugin.mask import Mask
from napari_ct_pyramid.plugin.origins import finest
from napari_ct_pyramid.plugin.statistics_dock import StatisticsDock
from tests.helpers.dock import wait_until
from tests.helpers.screen import process_events, sliced


def test_numbers_threshold_mask_labels_and_table(
    viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voxels = np.random.default_rng(0).normal(100, 10, (20, 40, 48)).astype("f4")
    voxels[5:12, 10:30, 10:30] += 100
    tifffile.imwrite(tmp_path / "scan.tif", voxels, photometric="minisblack")
    image = ct.convert(tmp_path / "scan.tif", chunks=16, num_levels=2, edges="pad", voxel_size=0.5, unit="um").output
    (layer,) = viewer.open(image, plugin="napari-ct-pyramid")
    _, dock = viewer.window.add_plugin_dock_widget("napari-ct-pyramid", "Statistics")
    assert isinstance(dock, StatisticsDock)
    viewer.layers.selection.active = layer
    wait_until(lambda: dock.found is not None)
    expected = ct.stats(image)
    assert dock.found is not None
    assert dock.found.mean == expected.mean
    assert dock.numbers["Voxels"].text() == f"{voxels.size:,}"
    assert float(dock.value.text()) == pytest.approx(expected.threshold, rel=1e-5)

    dock.show_mask.setChecked(True)
    (mask,) = [one for one in viewer.layers if one is not layer]
    viewer.dims.set_point(0, layer.data_to_world((8, 0, 0))[0])
    np.testing.assert_array_equal(np.asarray(mask.data[0]), voxels > float(dock.value.text()))
    assert tuple(mask.scale) == tuple(layer.scale)
    before = sliced(mask).sum()
    dock.slider.setValue(0)
    wait_until(lambda: sliced(mask).sum() > before)
    dock.otsu.click()
    writers: list[threading.Thread] = []
    monkeypatch.setattr(
        label_writer, "write_image", lambda *a, **k: writers.append(threading.current_thread()) or write_image(*a, **k)
    )
    dock.save_mask.click()
    assert len(writers) == 1
    assert threading.main_thread() not in writers  # the window does not wait
    (folder,) = label_images(Path(image))
    saved = ct.open_pyramid(folder)
    np.testing.assert_array_equal(np.asarray(saved.levels[0]), voxels > float(dock.value.text()))
    assert saved.is_labels

    table = tmp_path / "table.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(table), ""))
    dock.export_table.click()
    assert len(table.read_text().splitlines()) == 1 + len(voxels)
    viewer.layers.remove(mask)
    assert not dock.show_mask.isChecked()
    viewer.layers.remove(layer)
    assert dock.found is None
    assert not dock.slider.isEnabled()


@pytest.mark.parametrize("levels", [1, 2])
def test_the_mask_is_of_the_share_that_is_shown(viewer: napari.Viewer, tmp_path: Path, levels: int) -> None:
    voxels = (1e6 + np.random.default_rng(0).integers(0, 33, (4, 20, 20)) / 16).astype("f4")
    tifffile.imwrite(tmp_path / "scan.tif", voxels, photometric="minisblack")
    image = ct.convert(tmp_path / "scan.tif", chunks=16, num_levels=levels, edges="pad").output
    (layer,) = viewer.open(image, plugin="napari-ct-pyramid")
    viewer.layers.selection.active = layer
    dock = StatisticsDock(viewer)
    wait_until(lambda: dock.found is not None)
    assert dock.found is not None
    text = dock.value.text()
    assert float(text) == dock.found.threshold
    dock.show_mask.setChecked(True)
    (mask,) = [one for one in viewer.layers if one is not layer]
    assert isinstance(finest(mask), LazyArray)  # only what is displayed is read
    assert np.asarray(finest(mask)).mean() == pytest.approx(dock.found.above)
    viewer.dims.set_point(0, 1)
    assert sliced(mask).mean() < 1
    dock.value.setText("0")
    dock.value.editingFinished.emit()
    wait_until(lambda: sliced(mask).all())
    dock.otsu.click()
    dock.value.editingFinished.emit()
    assert dock.value.text() == text
    dock.close()


def test_a_large_tiff_is_counted_only_when_asked(
    viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_ct_pyramid.plugin.statistics_dock._AT_ONCE_BYTES", 1000)
    voxels = np.random.default_rng(0).integers(0, 99, (5, 20, 24)).astype("u2")
    tifffile.imwrite(tmp_path / "scan.tif", voxels, photometric="minisblack")
    monkeypatch.setattr("napari_ct_pyramid.sources.lazy_levels.SAMPLE_BYTES", 1000)
    (layer,) = viewer.open(tmp_path / "scan.tif", plugin="napari-ct-pyramid")
    assert len(layer.data) > 1
    viewer.layers.selection.active = layer
    dock = StatisticsDock(viewer)
    assert "Count all voxels" in dock.title.text()
    dock.count_all.click()
    wait_until(lambda: dock.found is not None)
    assert dock.numbers["Voxels"].text() == f"{voxels.size:,}"
    assert not dock.count_all.isEnabled()  # all are counted
    dock.show_mask.setChecked(True)
    assert not dock.save_mask.isEnabled()  # a TIFF has no labels
    dock.close()


def test_a_mask_counts_no_infinity() -> None:
    level = np.array([[[1, 3, np.inf, -np.inf, np.nan]]], "f4")
    assert np.asarray(Mask([level], 2).levels[0]).tolist() == [[[0, 1, 0, 0, 0]]]


@pytest.mark.parametrize("axes", ["tzyx", "tyx"])
def test_several_time_points_are_said_to_be_unsupported(viewer: napari.Viewer, tmp_path: Path, axes: str) -> None:
    image = tmp_path / "series.ome.zarr"
    group = zarr.open_group(image, mode="w", zarr_format=3)
    shape = (2, 4, 20, 24)[-len(axes) :]
    group.create_array("0", shape=shape, dtype="u2", chunks=shape)[...] = 7
    named = [{"name": name, "type": "time" if name == "t" else "space"} for name in axes]
    scale = [{"type": "scale", "scale": [1.0] * len(axes)}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": named, "datasets": datasets}]}
    (layer,) = viewer.open(image, plugin="napari-ct-pyramid")
    viewer.layers.selection.active = layer
    dock = StatisticsDock(viewer)
    assert "not supported yet" in dock.title.text()
    dock.count_all.click()
    assert dock.found is None
    dock.close()


@pytest.mark.parametrize("titles", [("Convert to OME-Zarr", "Statistics"), ("Statistics", "Convert to OME-Zarr")])
def test_the_docks_of_the_plugin_share_one_place(small_viewer: napari.Viewer, titles: tuple[str, str]) -> None:
    first, second = (small_viewer.window.add_plugin_dock_widget("napari-ct-pyramid", title)[0] for title in titles)
    window = small_viewer.window._qt_window
    wait_until(lambda: window.tabifiedDockWidgets(first) == [second])
    process_events()
    assert not second.visibleRegion().isEmpty()  # the one that was opened last is in front
    assert first.visibleRegion().isEmpty()
