"""The voxel size of a conversion on the layers of its source: one unit, the same view, and a scale bar that is true."""

from __future__ import annotations

from pathlib import Path

import napari
import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_ct_pyramid.plugin.origins import layer_input
from napari_ct_pyramid.plugin.voxel_sizes import show_voxel_size
from tests.helpers.dock import SHAPE, volume, write_tiff
from tests.helpers.screen import PLUGIN, gray_at, settle, write_stack


@pytest.fixture
def viewer(small_viewer: napari.Viewer) -> napari.Viewer:
    return small_viewer


@pytest.fixture
def unknown(tmp_path: Path) -> Path:
    """A TIFF that states no voxel size."""
    return write_stack(tmp_path / "unknown.tif", volume(), metadata=None)


def scale_bar_text(viewer: napari.Viewer) -> str:
    """The text that is drawn at the scale bar."""
    canvas = viewer.window._qt_viewer.canvas  # no public name in napari 0.9.2
    (bar,) = canvas._viewer_overlay_to_visual[viewer.canvas.overlays.scale_bar]
    return str(bar.node.text.text)


def test_a_typed_voxel_size_goes_to_the_source(viewer: napari.Viewer, unknown: Path) -> None:
    (layer,) = viewer.open(unknown, plugin=PLUGIN)
    settle(viewer)
    viewer.dims.set_current_step(0, 33)
    before = gray_at(viewer, (16, 24), (50, 80))
    show_voxel_size(viewer, str(unknown), (1.3, 0.65, 0.65), "micrometer")
    assert tuple(layer.scale) == (1.3, 0.65, 0.65)
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    assert viewer.dims.current_step[0] == 33
    assert np.allclose(gray_at(viewer, (16 * 0.65, 24 * 0.65), (50 * 0.65, 80 * 0.65)), before, atol=2)
    viewer.canvas.overlays.scale_bar.visible = True
    settle(viewer)
    assert scale_bar_text(viewer).endswith("µm")
    show_voxel_size(viewer, str(unknown), (2, 2, 2), "millimeter")  # typed again
    assert (tuple(layer.scale), str(layer.units[0])) == ((2, 2, 2), "millimeter")
    show_voxel_size(viewer, str(unknown), None, None)  # and removed
    assert (tuple(layer.scale), str(layer.units[0])) == ((1, 1, 1), "pixel")
    assert viewer.dims.current_step[0] == 33
    assert not notification_manager.records


def test_what_the_user_set_in_napari_stays(viewer: napari.Viewer, tmp_path: Path) -> None:
    source = write_tiff(tmp_path / "scan.tif")
    (layer,) = viewer.open(source, plugin=PLUGIN)
    layer.scale = (7, 7, 7)
    show_voxel_size(viewer, str(source), (0.5, 0.5, 0.5), "micrometer")
    assert tuple(layer.scale) == (7, 7, 7)


def test_other_layers_and_their_view_stay(viewer: napari.Viewer, unknown: Path) -> None:
    other = viewer.add_image(np.ones(SHAPE, "f4"), scale=(3, 3, 3), units=("um",) * 3)
    viewer.open(unknown, plugin=PLUGIN)
    viewer.scene.camera.zoom = 2.5
    show_voxel_size(viewer, str(unknown), (0.5, 0.5, 0.5), "micrometer")
    assert tuple(other.scale) == (3, 3, 3)
    assert viewer.scene.camera.zoom == 2.5


def test_a_layer_in_memory_gets_it_too_and_keeps_its_place_in_voxels(viewer: napari.Viewer) -> None:
    layer = viewer.add_image(volume(), translate=(10, 0, 4))
    source = layer_input(layer).source
    show_voxel_size(viewer, source, (0.5, 0.25, 0.25), "nanometer")
    assert tuple(layer.scale) == (0.5, 0.25, 0.25)
    assert tuple(layer.translate) == (5, 0, 1)
