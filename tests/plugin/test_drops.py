"""What a user may drop on napari's window: each opens as what it is, without a dialog or a traceback."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
import tifffile
import zarr
from napari._qt.dialogs import qt_reader_dialog
from napari._qt.dialogs.qt_notification import NapariQtNotification
from napari.settings import get_settings
from napari.utils.notifications import notification_manager
from PIL import Image
from qtpy.QtWidgets import QPushButton

import napari_ct_pyramid as ct
from napari_ct_pyramid.model.lazy_array import LazyArray
from napari_ct_pyramid.plugin.dock import open_widget
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget, WidgetState
from tests.helpers.dock import wait_for, wait_until
from tests.helpers.omezarr import flat_indices, write_image, write_json
from tests.helpers.screen import PLUGIN, drop, process_events, settle

VOXELS = np.arange(5 * 12 * 14, dtype="u2").reshape(5, 12, 14)


@pytest.fixture(autouse=True)
def _remembered_choice(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The user has chosen our reader once and for all. A dialog would be an error."""

    def dialog(*_: Any, **__: Any) -> None:
        raise AssertionError("napari asks which reader to use")

    monkeypatch.setattr(qt_reader_dialog, "QtReaderDialog", dialog)
    endings = ("*.tif", "*.h5", "*.zarr", "*/")
    before = get_settings().plugins.extension2reader
    get_settings().plugins.extension2reader = dict.fromkeys(endings, PLUGIN)
    yield
    get_settings().plugins.extension2reader = before


@pytest.fixture
def viewer(hidden_viewer: napari.Viewer) -> napari.Viewer:
    return hidden_viewer


def docked(viewer: napari.Viewer) -> list[ConvertWidget]:
    process_events()
    return [w for w in viewer.window.dock_widgets.values() if isinstance(w, ConvertWidget)]


def messages() -> list[str]:
    return [str(record.message) for record in notification_manager.records]


def write(path: Path, voxels: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, voxels, **{"photometric": "minisblack", **options})
    return path


def slices(folder: Path, count: int = 5) -> list[Path]:
    return [write(folder / f"slice_{z:04}.tif", VOXELS[z]) for z in range(count)]


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((12, 14), {}),
        ((32, 34, 3), {"photometric": "rgb"}),
        ((3, 12, 14), {"imagej": True, "metadata": {"axes": "TYX"}}),
        ((2, 3, 12, 14), {"imagej": True, "metadata": {"axes": "TZYX"}}),
        ((2, 3, 12, 14), {"ome": True, "metadata": {"axes": "CZYX"}}),
    ],
)
def test_what_is_no_volume_is_opened_by_naparis_own_reader(
    viewer: napari.Viewer, tmp_path: Path, shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    voxels = np.arange(np.prod(shape), dtype="u1").reshape(shape)
    drop(viewer, write(tmp_path / "a.tif", voxels, **options))
    (layer,) = viewer.layers
    assert np.array_equal(np.asarray(layer.data), voxels)
    assert layer.rgb is (shape[-1] == 3)
    assert not messages()
    assert not docked(viewer)


def test_the_dialog_gives_the_same(viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    get_settings().plugins.extension2reader = {}

    class Dialog:
        _extension = ".tif"

        def __init__(self, **_: Any) -> None: ...

        def get_user_choices(self) -> tuple[str, bool]:
            return "CT Pyramid", True

    monkeypatch.setattr(qt_reader_dialog, "QtReaderDialog", Dialog)
    for _ in range(2):  # the second time by the remembered choice
        drop(viewer, write(tmp_path / "photo.tif", np.zeros((32, 34, 3), "u1"), photometric="rgb"))
    assert [layer.rgb for layer in viewer.layers] == [True, True]
    assert get_settings().plugins.extension2reader == {"*.tif": PLUGIN}


def test_one_broken_file_of_several_is_named_and_the_others_open(viewer: napari.Viewer, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.tif", VOXELS) for name in "abc"]
    paths[1].write_bytes(paths[1].read_bytes()[:200])
    drop(viewer, *paths)
    assert [layer.name for layer in viewer.layers] == ["a", "c"]
    wait_until(lambda: docked(viewer) and docked(viewer)[0].several)
    (message,) = messages()
    assert "b.tif" in message
    assert "\n" not in message
    assert notification_manager.records[0].severity == "error"


def test_a_folder_of_slices_is_one_lazy_volume_and_fills_in_the_converter(
    viewer: napari.Viewer, tmp_path: Path
) -> None:
    slices(tmp_path / "scan")
    drop(viewer, tmp_path / "scan")
    (layer,) = viewer.layers
    assert isinstance(layer.data[0], LazyArray)
    assert np.array_equal(np.asarray(layer.data[0]), VOXELS)
    assert layer.name == "scan"
    wait_until(lambda: docked(viewer) and docked(viewer)[0].form.source_path == str(tmp_path / "scan"))


@pytest.mark.parametrize("count", [5, 3])
def test_slices_dropped_together_are_one_volume(viewer: napari.Viewer, tmp_path: Path, count: int) -> None:
    paths = slices(tmp_path / "scan")[:count]
    other = write(tmp_path / "other.tif", VOXELS + 1)
    drop(viewer, *paths[:2], other, *paths[2:])
    assert [layer.name for layer in viewer.layers] == ["scan", "other"]
    assert np.array_equal(np.asarray(viewer.layers[0].data[0]), VOXELS)
    wait_until(lambda: docked(viewer))
    (widget,) = docked(viewer)
    assert [str(item.source) for item in widget.queue.batch.items] == [str(tmp_path / "scan"), str(other)]
    (message,) = messages()
    assert str(count) in message


def test_slices_dropped_as_a_stack_are_one_volume(viewer: napari.Viewer, tmp_path: Path) -> None:
    viewer.window._qt_viewer._qt_open([str(path) for path in slices(tmp_path / "scan")], stack=True)
    (layer,) = viewer.layers
    assert isinstance(layer.data[0], LazyArray)
    assert np.array_equal(np.asarray(layer.data[0]), VOXELS)
    wait_until(lambda: docked(viewer))


def test_slices_with_a_gap_are_one_error(viewer: napari.Viewer, tmp_path: Path) -> None:
    paths = slices(tmp_path / "scan")
    paths.pop(2).unlink()
    drop(viewer, *paths)
    assert not viewer.layers
    assert "slice_0002.tif" in messages()[-1]


def test_a_lone_slice_is_shown_and_its_volume_is_offered(shown_viewer: napari.Viewer, tmp_path: Path) -> None:
    viewer = shown_viewer
    drop(viewer, slices(tmp_path / "scan")[1])
    (layer,) = viewer.layers
    assert np.array_equal(np.asarray(layer.data), VOXELS[1])
    process_events()
    (notice,) = [one for one in NapariQtNotification._instances if one.isVisible()]
    assert not notice.timer.isActive()  # it stays
    size = viewer.window._qt_window.size()
    viewer.window.resize(800, 600)
    process_events()
    assert notice.parent().rect().contains(notice.geometry())  # where it can be seen
    viewer.window.resize(size.width(), size.height())
    (button,) = [b for b in notice.findChildren(QPushButton) if b.text() == "Open all slices"]
    button.click()
    assert [layer.name for layer in viewer.layers] == ["slice_0001", "scan"]
    assert np.array_equal(np.asarray(viewer.layers[1].data[0]), VOXELS)
    wait_until(lambda: docked(viewer) and docked(viewer)[0].form.source_path == str(tmp_path / "scan"))


def press(words: str) -> None:
    """Press a button of a notice."""
    buttons = [b for one in NapariQtNotification._instances for b in one.findChildren(QPushButton) if b.text() == words]
    (button,) = buttons
    button.click()


@pytest.mark.parametrize("count", [5, 1])
def test_pictures_that_are_slices_are_offered_as_one_volume_where_the_converter_is_open(
    shown_viewer: napari.Viewer, tmp_path: Path, count: int
) -> None:
    viewer = shown_viewer
    open_widget(viewer)
    (tmp_path / "scan").mkdir()
    for z, voxels in enumerate(VOXELS):
        Image.fromarray(voxels).save(tmp_path / "scan" / f"{z:03}.png")
    Image.fromarray(np.zeros((9, 8, 3), "u1")).save(tmp_path / "photo.png")
    drop(viewer, *sorted((tmp_path / "scan").iterdir())[:count], tmp_path / "photo.png")
    assert len(viewer.layers) == count + 1  # by napari's own reader, and no dialog
    if count == 1:  # two pictures
        settle(viewer)
        assert not messages()
        return
    wait_until(lambda: [one for one in NapariQtNotification._instances if one.isVisible()])
    press("Open as one volume")
    assert [layer.name for layer in viewer.layers] == ["photo", "scan"]
    assert np.array_equal(np.asarray(viewer.layers["scan"].data[0]), VOXELS)
    wait_until(lambda: docked(viewer)[0].form.source_path == str(tmp_path / "scan"))
    drop(viewer, tmp_path / "scan" / "000.png")
    wait_until(lambda: any("one slice" in message for message in messages()))


def test_other_folders_are_left_to_napari(viewer: napari.Viewer, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        Image.new("RGB", (14, 12), (number, 0, 0)).save(photos / f"{number}.png")
    drop(viewer, photos)
    (layer,) = viewer.layers
    assert layer.data.shape == (3, 12, 14, 3)
    assert not messages()


def test_an_empty_folder_is_one_sentence(viewer: napari.Viewer, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    drop(viewer, tmp_path / "empty")
    assert not viewer.layers
    (message,) = messages()
    assert "empty" in message
    assert "\n" not in message


def unfinished(folder: Path, monkeypatch: pytest.MonkeyPatch, source: Path) -> Path:
    output = folder / "elsewhere" / "pyramid.ome.zarr"
    output.parent.mkdir()
    conversion = ct.iter_convert(source, output, chunks=(4, 4, 4), num_levels=2, edges="pad", method="max")
    next(conversion)
    conversion.close()
    assert not (output / ".zattrs").exists()
    return output


@pytest.mark.parametrize("kind", ["file", "folder", "gone"])
def test_an_unfinished_conversion_opens_the_converter_with_resume(
    viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind == "folder":
        source = slices(tmp_path / "scan")[0].parent
    else:
        source = write(tmp_path / "scan.tif", VOXELS)
    output = unfinished(tmp_path, monkeypatch, source)
    if kind == "gone":
        source.unlink()
    drop(viewer, output)
    wait_until(lambda: docked(viewer))
    (widget,) = docked(viewer)
    assert not viewer.layers
    assert widget.form.output_path == str(output)
    assert widget.form.options.options().method == "max"
    if kind == "gone":
        assert any("scan" in message for message in messages())
        return
    assert widget.form.source_path == str(source)
    assert not messages()
    wait_for(widget, WidgetState.READY)
    assert widget.status_panel.convert.text() == "Resume"
    widget.status_panel.convert.click()
    wait_for(widget, WidgetState.DONE)
    assert ct.open_pyramid(output).levels[0].stored_shape == (6, 12, 14)


def test_an_unfinished_conversion_with_a_broken_journal_is_one_sentence(viewer: napari.Viewer, tmp_path: Path) -> None:
    (tmp_path / "a.zarr" / ".ct-pyramid").mkdir(parents=True)
    (tmp_path / "a.zarr" / ".ct-pyramid" / "journal.jsonl").write_text("{")
    drop(viewer, tmp_path / "a.zarr")
    wait_until(messages)
    assert len(messages()) == 1
    assert "\n" not in messages()[0]


def plate(path: Path) -> None:
    write_json(zarr_group(path) / ".zattrs", {"plate": {"wells": []}})


def zarr_group(path: Path) -> Path:
    zarr.open_group(path, mode="w", zarr_format=2)
    return path


def collection(path: Path, count: int) -> None:
    write_json(zarr_group(path) / ".zattrs", {"bioformats2raw.layout": 3})
    for number in range(count):
        write_image(path / str(number), [flat_indices((4, 8, 8)) + number])


@pytest.mark.parametrize("count", [1, 2])
def test_a_collection_is_shown_if_it_has_one_image(viewer: napari.Viewer, tmp_path: Path, count: int) -> None:
    collection(tmp_path / "a.zarr", count)
    drop(viewer, tmp_path / "a.zarr")
    if count == 1:
        (layer,) = viewer.layers
        assert np.array_equal(np.asarray(layer.data[0]), flat_indices((4, 8, 8)))
        assert not messages()
    else:
        assert not viewer.layers
        assert len(messages()) == 1


def test_a_plate_is_one_sentence(viewer: napari.Viewer, tmp_path: Path) -> None:
    plate(tmp_path / "a.zarr")
    drop(viewer, tmp_path / "a.zarr")
    assert not viewer.layers
    (message,) = messages()
    assert "plate" in message


def test_labels_alone_are_shown_as_labels(viewer: napari.Viewer, tmp_path: Path) -> None:
    path = zarr_group(tmp_path / "a.zarr")
    write_json(zarr_group(path / "labels") / ".zattrs", {"labels": ["cells"]})
    cells = write_image(path / "labels" / "cells", [flat_indices((4, 8, 8), "u2")])
    attributes = ct.open_pyramid(cells).metadata
    write_json(cells / ".zattrs", attributes | {"image-label": {}})
    for place in (path, path / "labels"):
        drop(viewer, place)
        assert isinstance(viewer.layers[-1], napari.layers.Labels)
    assert len(viewer.layers) == 2
    assert not messages()


@pytest.mark.parametrize(
    "damage", ["{", '{"multiscales": []}', '{"multiscales": [{}]}', '{"multiscales": 7}', "[" * 9999]
)
def test_a_broken_image_is_one_sentence(viewer: napari.Viewer, tmp_path: Path, damage: str) -> None:
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 8, 8))])
    (path / ".zattrs").write_text(damage)
    drop(viewer, path)
    assert not viewer.layers
    (message,) = messages()
    assert "\n" not in message


def test_a_missing_level_is_one_sentence(viewer: napari.Viewer, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 8, 8))])
    shutil.rmtree(path / "0")
    drop(viewer, path)
    assert not viewer.layers
    assert len(messages()) == 1
