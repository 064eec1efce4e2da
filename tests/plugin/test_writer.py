"""Layers saved as an OME-Zarr: read again in a window as what they were, and by other programs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import napari
import numpy as np
import pytest
import tifffile
import zarr
from napari.utils.colormaps import DirectLabelColormap
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models.v04.image import Image as ImageModel
from ome_zarr_models.v04.image_label import ImageLabel
from qtpy.QtWidgets import QFileDialog, QMessageBox, QProgressDialog

import napari_ct_pyramid as ct
from napari_ct_pyramid.errors import (
    ConversionError,
    CtPyramidError,
    MissingFolderError,
    OutputExistsError,
    RequestError,
    SaveError,
)
from napari_ct_pyramid.model.lazy_array import LazyArray
from napari_ct_pyramid.plugin import image_writer, label_writer, writer
from tests.helpers.omezarr import flat_indices, pyramid_of, write_image
from tests.helpers.screen import PLUGIN, write_stack

VOXELS = np.random.default_rng(3).integers(0, 60000, (11, 20, 30), dtype="u2")
LABELS = (VOXELS % 5).astype("u1")
PLACE: dict[str, Any] = {"scale": (3, 2, 2), "translate": (5, -7, 0.5), "units": ("micrometer",) * 3}


@pytest.fixture
def viewer(hidden_viewer: napari.Viewer) -> napari.Viewer:
    return hidden_viewer


def save(viewer: napari.Viewer, path: Path) -> Path:
    """Save all layers, look at the result as other programs do, and leave only what is opened again."""
    written = viewer.layers.save(str(path), plugin=PLUGIN)
    assert written == [str(path)]
    assert [entry.name for entry in path.parent.iterdir() if entry.name.endswith(".part")] == []
    for group in (path, *(path / "labels" / name for name in label_names(path))):
        if (group / "0").exists() or (group / "s0").exists():
            check(group)
    return path


@contextmanager
def refused(cause: type[Exception], words: str = "") -> Iterator[None]:
    with pytest.raises(SaveError, match=words or None) as caught:
        yield
    assert isinstance(caught.value.__cause__, cause)
    assert "\n" not in str(caught.value)


def label_names(path: Path) -> list[str]:
    listed = path / "labels" / ".zattrs"
    return json.loads(listed.read_text())["labels"] if listed.exists() else []


def check(path: Path) -> None:
    """Validate the metadata, and read the image with ome-zarr."""
    group = zarr.open_group(path, mode="r")
    attributes = dict(group.attrs)
    (ImageLabel if "image-label" in attributes else ImageModel).from_zarr(group)
    location = parse_url(path)
    assert location is not None
    nodes = list(Reader(location)())
    finest = ct.open_pyramid(path).levels[0]
    found = [
        np.asarray(node.data[0]) for node in nodes if node.data
    ]  # labels bring their image, and repeat for channels
    stored = np.asarray(ct.open_pyramid(path).levels[0].array)
    box = (..., *(slice(n) for n in stored.shape))
    assert any(
        whole.shape[whole.ndim - stored.ndim :] == finest.shape and (whole[box] == stored).all() for whole in found
    )


def reopened(viewer: napari.Viewer, path: Path) -> list[Any]:
    viewer.layers.clear()
    viewer.open(path, plugin=PLUGIN)
    return list(viewer.layers)


def same_place(layer: Any, scale: Any = PLACE["scale"], translate: Any = PLACE["translate"]) -> bool:
    return np.allclose(layer.scale, scale) and np.allclose(layer.translate, translate)


def finest(layer: Any) -> np.ndarray:
    return np.asarray(layer.data[0] if layer.multiscale else layer.data)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "bool"])
def test_an_image_in_memory_is_read_again_as_it_was(viewer: napari.Viewer, tmp_path: Path, dtype: str) -> None:
    voxels = (VOXELS % 2 if dtype == "bool" else VOXELS % 200).astype(dtype)
    viewer.add_image(voxels, name="my / scan", contrast_limits=(0, 1), colormap="magenta", **PLACE)
    (layer,) = reopened(viewer, save(viewer, tmp_path / "a.ome.zarr"))
    np.testing.assert_array_equal(finest(layer), voxels)
    assert same_place(layer)
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    assert (layer.name, layer.colormap.name, layer.contrast_limits) == ("my / scan", "magenta", [0, 1])


def test_a_colormap_and_a_hidden_layer_are_kept(viewer: napari.Viewer, tmp_path: Path) -> None:
    viewer.add_image(VOXELS, colormap="viridis", contrast_limits=(100, 3000), visible=False)
    (layer,) = reopened(viewer, save(viewer, tmp_path / "a.ome.zarr"))
    assert layer.colormap.name == "viridis"
    assert layer.contrast_limits == [100, 3000]
    assert not layer.visible
    assert [str(unit) for unit in layer.units] == ["pixel"] * 3


@pytest.mark.parametrize(
    ("shape", "axes"), [((20, 30), "yx"), ((3, 20, 30), "zyx"), ((2, 3, 20, 30), "tzyx"), ((2, 3, 4, 20, 30), "tczyx")]
)
def test_two_to_five_axes(viewer: napari.Viewer, tmp_path: Path, shape: tuple[int, ...], axes: str) -> None:
    voxels = flat_indices(shape)
    viewer.add_image(voxels)
    path = save(viewer, tmp_path / "a.ome.zarr")
    pyramid = ct.open_pyramid(path)
    assert "".join(pyramid.axes) == axes
    np.testing.assert_array_equal(np.asarray(pyramid.levels[0].array), voxels)


def test_an_image_with_levels_keeps_them(viewer: napari.Viewer, tmp_path: Path) -> None:
    levels = pyramid_of(flat_indices((16, 16, 24)), 3)
    viewer.add_image(levels, multiscale=True, **PLACE)
    (layer,) = reopened(viewer, save(viewer, tmp_path / "a.ome.zarr"))
    assert all(np.array_equal(np.asarray(a), b) for a, b in zip(layer.data, levels, strict=True))
    assert same_place(layer)


def test_a_large_image_gets_levels_that_are_means_at_the_right_place(
    viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_writer, "_LARGEST_COARSEST", 8)
    voxels = np.random.default_rng(1).random((1, 16, 32)).astype("f4")
    viewer.add_image(voxels, **PLACE)
    levels = ct.open_pyramid(save(viewer, tmp_path / "a.ome.zarr")).levels
    assert [level.shape for level in levels] == [(1, 16, 32), (1, 8, 16), (1, 4, 8)]
    mean = voxels.reshape(1, 8, 2, 16, 2).mean((2, 4))
    np.testing.assert_allclose(np.asarray(levels[1].array), mean, rtol=1e-6)
    assert levels[1].scale == (3, 4, 4)
    np.testing.assert_allclose(levels[1].translation, (5, -7 + 1, 0.5 + 1))


def test_a_color_picture_is_its_channels(viewer: napari.Viewer, tmp_path: Path) -> None:
    picture = np.random.default_rng(2).integers(0, 255, (40, 50, 3), dtype="u1")
    viewer.add_image(picture, name="photo", rgb=True)
    layers = reopened(viewer, save(viewer, tmp_path / "a.ome.zarr"))
    assert [layer.colormap.name for layer in layers] == ["red", "green", "blue"]
    np.testing.assert_array_equal(np.stack([finest(layer) for layer in layers], -1), picture)


def test_several_images_are_channels_with_their_labels(viewer: napari.Viewer, tmp_path: Path) -> None:
    viewer.add_image(VOXELS, name="first", colormap="red", contrast_limits=(1, 2), **PLACE)
    viewer.add_image(VOXELS // 2, name="second", colormap="green", contrast_limits=(3, 4), **PLACE)
    viewer.add_labels(LABELS, name="cells: a/b", **PLACE)
    viewer.add_labels(LABELS + 1, name="cells: a/b", **PLACE)
    first, second, labels, more = reopened(viewer, save(viewer, tmp_path / "a.ome.zarr"))
    assert (first.name, first.colormap.name, first.contrast_limits) == ("first", "red", [1, 2])
    assert (second.name, second.colormap.name, second.contrast_limits) == ("second", "green", [3, 4])
    np.testing.assert_array_equal(finest(first), VOXELS)
    np.testing.assert_array_equal(finest(second), VOXELS // 2)
    assert isinstance(labels, napari.layers.Labels)
    np.testing.assert_array_equal(finest(labels), LABELS)
    np.testing.assert_array_equal(finest(more), LABELS + 1)
    assert all(map(same_place, (first, second, labels, more)))


def test_labels_alone_with_colors_and_features(viewer: napari.Viewer, tmp_path: Path) -> None:
    colors = DirectLabelColormap(color_dict={None: (0, 0, 0, 0), 1: (1, 0, 0, 1), 2: (0, 0, 1, 0.2)})
    features = {"index": [2, 1], "kind": ["bone", "pore"], "volume": [1.5, np.nan]}
    viewer.add_labels(LABELS, name="cells", colormap=colors, features=features, **PLACE)
    (layer,) = reopened(viewer, save(viewer, tmp_path / "cells.ome.zarr"))
    assert isinstance(layer, napari.layers.Labels)
    np.testing.assert_array_equal(finest(layer), LABELS)
    assert same_place(layer)
    np.testing.assert_allclose(layer.get_color(1), (1, 0, 0, 1))
    np.testing.assert_allclose(layer.get_color(2), (0, 0, 1, 0.2), atol=0.01)
    assert list(layer.features["index"]) == [2, 1]
    assert list(layer.features["kind"]) == ["bone", "pore"]
    assert layer.features["volume"][0] == 1.5


def test_several_labels_without_an_image(viewer: napari.Viewer, tmp_path: Path) -> None:
    viewer.add_labels(LABELS, name="a")
    viewer.add_labels(LABELS + 1, name="b")
    layers = reopened(viewer, save(viewer, tmp_path / "a.ome.zarr"))
    assert [(layer.name, type(layer).__name__) for layer in layers] == [("a", "Labels"), ("b", "Labels")]


def test_a_lazy_volume_is_streamed_and_not_loaded(
    viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stack(tmp_path / "scan.tif", VOXELS)
    viewer.open(tmp_path / "scan.tif", plugin=PLUGIN)
    (layer,) = viewer.layers
    layer.translate, layer.contrast_limits, layer.colormap = (1, 2, 3), (10, 20), "viridis"
    read = LazyArray.__array__

    def read_part(self: LazyArray, *args: Any, **kwargs: Any) -> np.ndarray:
        assert self.size < VOXELS.size
        return read(self, *args, **kwargs)

    monkeypatch.setattr(LazyArray, "__array__", read_part)
    monkeypatch.setattr("napari_ct_pyramid.sources.array._PIECE_BYTES", 2 * 20 * 30)
    path = tmp_path / "out.ome.zarr"
    viewer.layers.save(str(path), plugin=PLUGIN)
    monkeypatch.undo()
    (made,) = reopened(viewer, path)
    np.testing.assert_array_equal(finest(made), VOXELS)
    assert same_place(made, (3, 2, 2), (1, 2, 3))
    assert (made.name, made.contrast_limits, made.colormap.name) == ("scan", [10, 20], "viridis")
    assert ct.verify(path).problems == ()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_channels_of_a_lazy_image(viewer: napari.Viewer, tmp_path: Path, version: str) -> None:
    voxels = np.stack([VOXELS, VOXELS // 3])
    viewer.open(write_image(tmp_path / "in.zarr", [voxels], axes="czyx", version=version), plugin=PLUGIN)
    made = ct.open_pyramid(save(viewer, tmp_path / "out.ome.zarr"))
    np.testing.assert_array_equal(np.asarray(made.levels[0].array), voxels)


def image_with_labels(folder: Path, version: str = "0.4") -> Path:
    source = folder / "scan.tif"
    tifffile.imwrite(source, VOXELS, photometric="minisblack")
    return ct.convert(source, folder / "scan.ome.zarr", chunks=16, edges="pad", ome_zarr_version=version).output


@pytest.mark.parametrize(("version", "inside"), [("0.4", False), ("0.4", True), ("0.5", False), ("0.6", True)])
def test_labels_go_into_the_image_that_they_belong_to(
    viewer: napari.Viewer, tmp_path: Path, version: str, inside: bool
) -> None:
    path = image_with_labels(tmp_path, version)
    viewer.open(path, plugin=PLUGIN)
    viewer.add_labels(LABELS, name="cells")
    if inside:  # as the file dialog does for a user who opens the folder
        viewer.layers.selection = {viewer.layers[1]}
        viewer.layers.save(str(path / "cells"), plugin=PLUGIN, selected=True)
    else:
        viewer.layers.save(str(path), plugin=PLUGIN)
    image, labels = reopened(viewer, path)
    np.testing.assert_array_equal(finest(image), VOXELS)
    np.testing.assert_array_equal(finest(labels), LABELS)
    assert labels.name == "cells"
    assert ct.verify(path).problems == ()
    assert ct.open_pyramid(path / "labels" / "cells").ome_zarr_version == version


def save_labels(path: Path, **labels: np.ndarray) -> list[str]:
    """Save layers of labels that are in no window."""
    layers = [napari.layers.Labels(data, name=name) for name, data in labels.items()]
    return writer.write_layers(str(path), [layer.as_layer_data_tuple() for layer in layers])


def stored(path: Path) -> np.ndarray:
    return np.asarray(ct.open_pyramid(path).levels[0].array)


def test_labels_that_are_saved_at_their_own_path_stay_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_image(tmp_path / "a.ome.zarr", [VOXELS])
    own = path / "labels" / "cells"
    save_labels(own, name=LABELS)
    monkeypatch.setattr(label_writer, "ask", lambda *_: True)
    assert save_labels(own, name=LABELS + 1) == [str(path)]
    assert [folder.name for folder in (path / "labels").iterdir() if folder.is_dir()] == ["cells"]
    np.testing.assert_array_equal(stored(own), LABELS + 1)


def test_labels_alone_are_not_an_image_for_other_labels(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"
    save_labels(path, cells=LABELS)
    before = everything_in(path)
    with refused(OutputExistsError):
        save_labels(path, cells=LABELS)
    assert everything_in(path) == before


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_what_else_the_group_of_labels_states_is_kept(tmp_path: Path, version: str) -> None:
    path = write_image(tmp_path / "a.ome.zarr", [VOXELS], version=version)
    save_labels(path, first=LABELS)
    zarr.open_group(path / "labels").attrs["mine"] = {"a": 1}
    save_labels(path, second=LABELS)
    attributes = dict(zarr.open_group(path / "labels", mode="r").attrs)
    assert attributes["mine"] == {"a": 1}
    assert (attributes.get("ome") or attributes)["labels"] == ["first", "second"]


def test_a_damaged_list_of_labels_is_left_alone(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.ome.zarr", [VOXELS])
    (path / "labels").mkdir()
    (path / "labels" / ".zattrs").write_text('{"labels": ["mi')
    before = everything_in(path)
    with refused(RequestError):
        save_labels(path, cells=LABELS)
    assert everything_in(path) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, TypeError, RequestError("It is damaged.")])
def test_replaced_labels_are_put_back_whatever_goes_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    path = write_image(tmp_path / "a.ome.zarr", [VOXELS])
    save_labels(path, cells=LABELS)
    before = everything_in(path)
    monkeypatch.setattr(label_writer, "ask", lambda *_: True)
    monkeypatch.setattr(label_writer, "list_labels", Mock(side_effect=error))
    with pytest.raises((KeyboardInterrupt, TypeError, CtPyramidError)):
        save_labels(path, cells=LABELS + 1)
    assert everything_in(path) == before


@pytest.mark.parametrize("fault", ["writing", "moving", "listing"])
def test_of_several_labels_all_are_replaced_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    path = write_image(tmp_path / "a.ome.zarr", [VOXELS])
    save_labels(path, a=LABELS, b=LABELS)
    before = everything_in(path)
    monkeypatch.setattr(label_writer, "ask", lambda *_: True)
    calls = 0

    def fails_at(last: int, function: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            return fail() if calls == last else function(*arguments, **options)

        return call

    if fault == "writing":
        monkeypatch.setattr(label_writer, "write_image", fails_at(2, label_writer.write_image))
    elif fault == "moving":  # the old a, the new a, the old b, the new b
        monkeypatch.setattr(Path, "rename", fails_at(4, Path.rename))
    else:
        monkeypatch.setattr(label_writer, "list_labels", fails_at(1, label_writer.list_labels))
    with refused(OSError, "No space"):
        save_labels(path, a=LABELS + 1, b=LABELS + 1)
    assert everything_in(path) == before
    save_labels(path, a=LABELS + 1, b=LABELS + 1)
    np.testing.assert_array_equal(stored(path / "labels" / "b"), LABELS + 1)


def test_labels_that_cannot_be_put_back_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_image(tmp_path / "a.ome.zarr", [VOXELS])
    save_labels(path, cells=LABELS)
    monkeypatch.setattr(label_writer, "ask", lambda *_: True)
    rename, calls = Path.rename, 0

    def only_once(old: Path, new: Path) -> Path:
        nonlocal calls
        calls += 1
        return rename(old, new) if calls == 1 else fail()

    monkeypatch.setattr(Path, "rename", only_once)
    with refused(ConversionError, "before 0"):
        save_labels(path, cells=LABELS + 1)
    (kept,) = (path / "labels").glob("*.part/before 0")
    np.testing.assert_array_equal(stored(kept), LABELS)


def test_labels_that_exist_are_not_replaced_without_being_asked(viewer: napari.Viewer, tmp_path: Path) -> None:
    path = image_with_labels(tmp_path)
    viewer.add_labels(LABELS, name="cells")
    viewer.layers.save(str(path), plugin=PLUGIN)
    viewer.layers[0].data = LABELS * 0
    with refused(OutputExistsError):
        viewer.layers.save(str(path), plugin=PLUGIN)
    np.testing.assert_array_equal(finest(reopened(viewer, path / "labels" / "cells")[0]), LABELS)


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["image", "labels", "file", "folder", "array"])
def test_nothing_that_exists_is_overwritten(viewer: napari.Viewer, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "a.ome.zarr"
    if kind in ("image", "labels"):
        write_image(target, [flat_indices((4, 8, 8))])
    elif kind == "file":
        target.write_text("mine")
    elif kind == "folder":
        target.mkdir()
        (target / "thesis.txt").write_text("mine")
    else:
        zarr.create_array(target, shape=(4, 4), dtype="u1", zarr_format=2)
    before = everything_in(tmp_path)
    viewer.add_image(VOXELS)
    if kind == "labels":
        target = target / "labels" / "x"
    with refused(OutputExistsError):
        viewer.layers.save(str(target), plugin=PLUGIN)
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"rotate": 30}, RequestError), ({"shear": [0.5, 0, 0]}, RequestError),
     ({"affine": np.diag([2, 1, 1, 1])}, RequestError)],
)  # fmt: skip
def test_what_ome_zarr_cannot_store_is_refused(
    viewer: napari.Viewer, tmp_path: Path, settings: dict[str, Any], error: type[Exception]
) -> None:
    viewer.add_image(VOXELS, **settings)
    with refused(error):
        viewer.layers.save(str(tmp_path / "a.ome.zarr"), plugin=PLUGIN)
    assert not list(tmp_path.iterdir())


def test_images_that_differ_are_refused(viewer: napari.Viewer, tmp_path: Path) -> None:
    viewer.add_image(VOXELS)
    viewer.add_image(VOXELS[1:])
    with refused(RequestError, "shape"):
        viewer.layers.save(str(tmp_path / "a.ome.zarr"), plugin=PLUGIN)


def test_complex_voxels_and_a_missing_folder_are_refused(viewer: napari.Viewer, tmp_path: Path) -> None:
    settings = viewer.add_image(VOXELS).as_layer_data_tuple()[1]
    with refused(RequestError):
        writer.write_layers(str(tmp_path / "a.ome.zarr"), [(VOXELS.astype("c8"), settings, "image")])
    with refused(MissingFolderError):
        viewer.layers.save(str(tmp_path / "no" / "a.ome.zarr"), plugin=PLUGIN)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("into_image", [False, True])
def test_a_failure_half_way_leaves_nothing(
    viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lazy: bool, into_image: bool
) -> None:
    path = tmp_path / "a.ome.zarr"
    if into_image:
        write_image(path, [flat_indices(LABELS.shape)])
    full = False

    def read(box: Any) -> np.ndarray:
        if full and box[0].start > 4:
            fail()
        return LABELS[box]

    data: Any = LABELS
    if lazy:
        whole = LazyArray(read, LABELS.shape, LABELS.dtype, (2, 4, 30))
        data = [whole, whole.every((2, 2, 2))]
    else:
        monkeypatch.setattr("ome_zarr.writer.write_image", lambda *_, **__: fail())
    layer = viewer.add_labels(data, multiscale=lazy)
    before = everything_in(tmp_path)
    full = True
    with refused(Exception, "No space"):
        viewer.layers.save(str(path), plugin=PLUGIN)
    full = False
    assert layer in viewer.layers
    assert everything_in(tmp_path) == before
    assert path.exists() is into_image


def fail() -> Any:
    raise OSError(28, "No space left on device")


class TestInTheWindow:
    """File > Save Selected Layers, with the dialogs answered."""

    @pytest.fixture(autouse=True)
    def _answers(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.path = tmp_path / "a.ome.zarr"

        def choose(*_: Any, filter: str, **__: Any) -> tuple[str, str]:
            (ours,) = [one for one in filter.split(";;") if "OME-Zarr" in one]
            return str(self.path), ours

        monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)

    def test_the_layers_are_saved_with_the_ending(self, viewer: napari.Viewer) -> None:
        viewer.add_image(VOXELS, name="a")
        viewer.add_labels(LABELS)
        self.path = self.path.with_name("a")  # the user typed no ending
        viewer.window._qt_viewer._save_layers_dialog(selected=False)
        assert len(reopened(viewer, self.path.with_name("a.ome.zarr"))) == 2

    def test_the_user_is_asked_before_labels_are_replaced(
        self, viewer: napari.Viewer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_image(self.path, [VOXELS])
        viewer.add_labels(LABELS, name="cells")
        viewer.window._qt_viewer._save_layers_dialog(selected=True)
        asked: list[str] = []
        answer = "Cancel"

        def answered(box: QMessageBox) -> int:
            asked.append(box.text())
            next(button for button in box.buttons() if answer in button.text()).click()
            return 0

        monkeypatch.setattr(QMessageBox, "exec", answered)
        viewer.layers[0].data = LABELS + 1
        with refused(OutputExistsError):
            viewer.window._qt_viewer._save_layers_dialog(selected=True)
        np.testing.assert_array_equal(finest(reopened(viewer, self.path)[1]), LABELS)
        answer = "Replace"
        viewer.layers.clear()
        viewer.add_labels(LABELS + 1, name="cells")
        viewer.window._qt_viewer._save_layers_dialog(selected=True)
        np.testing.assert_array_equal(finest(reopened(viewer, self.path)[1]), LABELS + 1)
        assert len(asked) == 2
        assert "cells" in asked[0]

    def test_cancel_leaves_nothing(self, viewer: napari.Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
        looks, cancelled = 0, threading.Event()

        def look(_dialog: QProgressDialog) -> bool:
            nonlocal looks
            looks += 1
            if looks > 1:  # the first one has told the thread
                cancelled.set()
            return True

        def read(box: Any) -> np.ndarray:
            if threading.current_thread() is not threading.main_thread():
                assert cancelled.wait(300)
            return VOXELS[box]

        monkeypatch.setattr(QProgressDialog, "wasCanceled", look)
        lazy = LazyArray(read, VOXELS.shape, VOXELS.dtype, (1, 20, 30))
        viewer.add_image([lazy, lazy.every((2, 2, 2))], multiscale=True, contrast_limits=(0, 1))
        with refused(RequestError, "cancelled"):
            viewer.window._qt_viewer._save_layers_dialog(selected=True)
        assert not list(self.path.parent.iterdir())
