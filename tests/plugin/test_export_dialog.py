"""The dialog that exports the volume of a layer, in a window."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
import SimpleITK
import tifffile
from qtpy.QtCore import QCoreApplication, QEvent

import napari_ct_pyramid as ct
from napari_ct_pyramid.exports.kinds import NRRD, OME_ZARR_FOLDER, SLICES, TIFF, Kind
from napari_ct_pyramid.plugin import menus
from napari_ct_pyramid.plugin.export_dialog import ExportDialog
from napari_ct_pyramid.plugin.export_source import export_source, shown_part
from napari_ct_pyramid.plugin.viewer_hooks import camera, canvas_size
from napari_ct_pyramid.sources.base import Source
from tests.helpers.dock import volume, wait_until, write_tiff
from tests.helpers.screen import PLUGIN, settle


@pytest.fixture
def viewer(small_viewer: napari.Viewer) -> napari.Viewer:
    return small_viewer


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An OME-Zarr of this package, with voxels of 0.5 micrometers."""
    path = tmp_path / "scan.ome.zarr"
    ct.convert(write_tiff(tmp_path / "scan.tif"), path, chunks=16, num_levels=2)
    return path


def opened(viewer: napari.Viewer) -> ExportDialog:
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    menus.export_layer()
    (dialog,) = [d for d in viewer.window._qt_window.findChildren(ExportDialog) if d.isVisible()]
    wait_until(dialog.go.isEnabled)
    return dialog


def choose(dialog: ExportDialog, kind: Kind) -> None:
    dialog.kind.setCurrentIndex(next(n for n in range(dialog.kind.count()) if dialog.kind.itemData(n) is kind))


def run(dialog: ExportDialog) -> str:
    """Export, and return what the dialog says in the end."""
    wait_until(dialog.go.isEnabled)
    dialog.go.click()
    assert not dialog.go.isEnabled()
    assert dialog.cancel.text() == "Cancel"
    wait_until(lambda: dialog.cancel.text() == "Close")
    return dialog.message.text()


def test_it_offers_a_free_name_and_exports_a_level_and_a_part(viewer: napari.Viewer, image: Path) -> None:
    viewer.open(image, plugin=PLUGIN)
    dialog = opened(viewer)
    assert dialog.output.text() == str(image.with_name("scan-export.tif"))  # scan.tif exists
    assert dialog.level.count() == 2
    choose(dialog, NRRD)
    dialog.output.setText(str(image.with_name("part.nrrd")))
    dialog.level.setCurrentIndex(1)
    dialog.crop.write("4:20,,:30")
    said = run(dialog)
    assert "part.nrrd" in said
    assert dialog.show_it.isVisible()
    made = SimpleITK.ReadImage(image.with_name("part.nrrd"))
    expected = np.asarray(ct.open_pyramid(image).levels[1].array)[2:10, :, :15]
    assert np.array_equal(SimpleITK.GetArrayFromImage(made), expected)
    dialog.show_it.click()
    assert viewer.layers[-1].data[0].shape == expected.shape or viewer.layers[-1].data.shape == expected.shape
    dialog.reject()


def test_what_exists_is_replaced_only_with_the_box(viewer: napari.Viewer, image: Path) -> None:
    viewer.open(image, plugin=PLUGIN)
    dialog = opened(viewer)
    other = image.with_name("other.tif")
    other.write_bytes(b"precious")
    dialog.output.setText(str(other))
    wait_until(dialog.replace.isVisible)
    assert not dialog.go.isEnabled()
    assert other.read_bytes() == b"precious"
    dialog.replace.setChecked(True)
    run(dialog)
    assert np.array_equal(tifffile.imread(other), volume())
    assert not dialog.replace.isChecked()
    dialog.output.setText(str(image.with_name("scan.tif")) + "/no/such/folder.tif")
    wait_until(lambda: "folder" in dialog.message.text())
    assert not dialog.go.isEnabled()
    dialog.reject()


def test_a_layer_that_was_changed_is_exported_as_it_is(viewer: napari.Viewer, image: Path) -> None:
    (layer,) = viewer.open(image, plugin=PLUGIN)
    layer.scale = (3, 2, 1)
    source = export_source(layer)
    assert len(source.levels) == 1
    assert (source.levels[0].voxel_size, source.levels[0].unit) == ((3, 2, 1), "micrometer")
    viewer.layers.clear()
    viewer.add_image(volume()[:9], name="smoothed", scale=(2, 1, 1), contrast_limits=(90, 140))
    dialog = opened(viewer)
    assert Path(dialog.output.text()).name == "smoothed.tif"
    dialog.output.setText(str(image.with_name("smoothed")))
    choose(dialog, SLICES)
    dialog.type.setCurrentIndex(dialog.type.findData("uint8"))
    run(dialog)
    slices = sorted(image.with_name("smoothed").iterdir())
    expected = np.rint((np.clip(volume()[:9].astype("f8"), 90, 140) - 90) * (255 / 50))
    assert np.array_equal(tifffile.imread(slices), expected)
    dialog.reject()


def test_the_shown_part_is_what_the_canvas_shows(viewer: napari.Viewer, image: Path) -> None:
    (layer,) = viewer.open(image, plugin=PLUGIN)
    settle(viewer)
    assert shown_part(viewer, layer) == (None, None, None)
    camera(viewer).center = (0, 16, 12)  # in micrometers: row 32, column 24
    camera(viewer).zoom = canvas_size(viewer)[1] / 10  # 10 micrometers are 20 voxels
    part = shown_part(viewer, layer)
    assert part
    assert part[0] is None
    assert part[2] == (14, 35)
    camera(viewer).center = (0, 1000, 1000)
    assert shown_part(viewer, layer) is None
    viewer.dims.ndisplay = 3
    assert shown_part(viewer, layer) == (None, None, None)


@pytest.mark.parametrize("kind", [TIFF, OME_ZARR_FOLDER])
def test_cancel_ends_the_export(
    viewer: napari.Viewer, image: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer.open(image, plugin=PLUGIN)
    dialog = opened(viewer)
    choose(dialog, kind)
    output = image.with_name("out" + kind.endings[0])
    dialog.output.setText(str(output))
    wait_until(dialog.go.isEnabled)
    real, began, cancelled = Source.read_box, threading.Event(), threading.Event()

    def read(source: Source, *args: Any) -> None:
        if threading.current_thread().name.startswith("ct-pyramid_"):
            began.set()
            assert cancelled.wait(300)
        real(source, *args)

    monkeypatch.setattr(Source, "read_box", read)
    dialog.go.click()
    wait_until(began.is_set)
    dialog.cancel.click()
    cancelled.set()
    wait_until(lambda: dialog.cancel.text() == "Close")
    assert dialog.message.text().startswith("Cancelled")
    assert not dialog.bar.isVisible()
    if kind is TIFF:
        assert {path.name for path in image.parent.iterdir()} == {"scan.tif", "scan.ome.zarr"}
    dialog.reject()
