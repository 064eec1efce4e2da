"""The dialog that sets an OME-Zarr right, from its layer in a window; and what the layer shows then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QDialogButtonBox

import napari_ct_pyramid as ct
from napari_ct_pyramid.plugin import menus
from napari_ct_pyramid.plugin.background import Background
from napari_ct_pyramid.plugin.edit_dialog import EditDialog
from tests.helpers.dock import volume, wait_until, write_tiff
from tests.helpers.screen import PLUGIN, gray_at, settle


@pytest.fixture
def viewer(small_viewer: napari.Viewer) -> napari.Viewer:
    return small_viewer


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An OME-Zarr of this package, with voxels of 0.5 micrometers."""
    path = tmp_path / "scan.ome.zarr"
    ct.convert(write_tiff(tmp_path / "scan.tif"), path, chunks=16, num_levels=2)
    return path


def opened(viewer: napari.Viewer) -> EditDialog:
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    menus.edit_layer()
    wait_until(lambda: not Background.under_way)
    (dialog,) = [d for d in viewer.window._qt_window.findChildren(EditDialog) if d.isVisible()]
    return dialog


def save(dialog: EditDialog) -> None:
    dialog.buttons.button(QDialogButtonBox.StandardButton.Save).click()
    wait_until(lambda: not Background.under_way)


def test_it_is_filled_in_with_what_is_there(viewer: napari.Viewer, image: Path) -> None:
    (layer,) = viewer.open(image, plugin=PLUGIN)
    dialog = opened(viewer)
    low, high = ct.open_pyramid(image).window[2:]  # type: ignore[index]
    assert (dialog.name.text(), dialog.voxel_size.text(), dialog.unit.currentText()) == ("scan", "0.5", "µm")
    assert np.allclose([float(dialog.low.text()), float(dialog.high.text())], [low, high], rtol=1e-5)
    before = (image / ".zattrs").read_bytes()
    save(dialog)
    assert not dialog.isVisible()
    assert (image / ".zattrs").read_bytes() == before
    assert layer.contrast_limits == [low, high]


def test_file_and_layer_change_at_once_and_the_view_stays(viewer: napari.Viewer, image: Path) -> None:
    (layer,) = viewer.open(image, plugin=PLUGIN)
    settle(viewer)
    viewer.dims.set_current_step(0, 30)
    before = gray_at(viewer, (16, 24), (4, 4))
    dialog = opened(viewer)
    dialog.name.setText("femur")
    dialog.voxel_size.setText("1.3 0.65 0.65")
    dialog.unit.setCurrentText("nm")
    save(dialog)
    assert not dialog.isVisible()
    pyramid = ct.open_pyramid(image)
    assert (pyramid.name, pyramid.levels[0].scale, pyramid.units) == ("femur", (1.3, 0.65, 0.65), ("nanometer",) * 3)
    assert layer.name == "femur"
    assert tuple(layer.scale) == (1.3, 0.65, 0.65)
    assert [str(unit) for unit in layer.units] == ["nanometer"] * 3
    assert viewer.dims.current_step[0] == 30
    assert ct.verify(image).sound
    assert np.allclose(gray_at(viewer, (16 * 1.3, 24 * 1.3), (4 * 1.3, 4 * 1.3)), before, atol=2)
    assert viewer.layers.selection.active is layer
    assert menus.layer_input(layer).options == {}  # the layer is as its file states


def test_what_makes_no_sense_is_said_and_the_dialog_stays(viewer: napari.Viewer, image: Path) -> None:
    (layer,) = viewer.open(image, plugin=PLUGIN)
    before = (image / ".zattrs").read_bytes()
    dialog = opened(viewer)
    for field, text in ((dialog.voxel_size, "large"), (dialog.low, "1e9"), (dialog.name, " ")):
        good = field.text()
        field.setText(text)
        save(dialog)
        assert dialog.isVisible()
        assert dialog.problem.isVisible()
        assert dialog.problem.text()
        field.setText(good)
    assert (image / ".zattrs").read_bytes() == before
    dialog.buttons.button(QDialogButtonBox.StandardButton.Cancel).click()
    assert not dialog.isVisible()
    assert tuple(layer.scale) == (0.5, 0.5, 0.5)


def test_the_contrast_of_the_layer_is_taken_over(viewer: napari.Viewer, image: Path) -> None:
    (layer,) = viewer.open(image, plugin=PLUGIN)
    settle(viewer)
    layer.contrast_limits = (80, 131.5)
    dialog = opened(viewer)
    dialog.use_contrast.click()
    save(dialog)
    assert ct.open_pyramid(image).window[2:] == (80, 131.5)  # type: ignore[index]
    assert layer.contrast_limits == [80, 131.5]


def test_the_contrast_is_saved_by_one_command(viewer: napari.Viewer, image: Path) -> None:
    (layer,) = viewer.open(image, plugin=PLUGIN)
    settle(viewer)
    layer.contrast_limits = (70, 120)
    menus.save_contrast()
    wait_until(lambda: not Background.under_way)
    assert layer.contrast_limits == [70, 120]
    (again,) = viewer.open(image, plugin=PLUGIN)
    settle(viewer)
    assert again.contrast_limits == [70, 120]
    assert ct.verify(image).sound


@pytest.mark.parametrize("command", [menus.edit_layer, menus.save_contrast])
def test_other_layers_have_nothing_to_edit(
    viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Any
) -> None:
    infos: list[str] = []
    monkeypatch.setattr(menus, "show_info", infos.append)
    command()
    viewer.add_image(volume())
    command()
    viewer.open(write_tiff(tmp_path / "scan.tif"), plugin=PLUGIN)
    command()
    assert len(infos) == 3
    assert not viewer.window._qt_window.findChildren(EditDialog)
