"""Opening OME-Zarr images and TIFFs in a real napari window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
import tensorstore as ts
import tifffile
import zarr
from qtpy.QtWidgets import QApplication

from napari_ct_pyramid.errors import SourceError, UnfinishedError
from napari_ct_pyramid.model.lazy_array import LazyArray
from napari_ct_pyramid.omezarr import array as zarrarray
from napari_ct_pyramid.plugin import level_choice
from napari_ct_pyramid.plugin.reader import get_ome_zarr_reader, get_tiff_reader
from napari_ct_pyramid.sources import lazy_levels as _lazytiff
from napari_ct_pyramid.sources.base import Source
from tests.helpers.omezarr import coordinates, pyramid_of, write_image, write_unfinished
from tests.helpers.screen import PLUGIN, drop, gray_at, settle


@pytest.fixture
def unseen(hidden_viewer: napari.Viewer) -> napari.Viewer:
    """A window that is not shown: volumes take long to draw without a graphics card."""
    return hidden_viewer


@pytest.fixture
def viewer(shown_viewer: napari.Viewer) -> napari.Viewer:
    """A small window: it is drawn without a graphics card."""
    shown_viewer.window.resize(800, 560)
    settle(shown_viewer)
    return shown_viewer


def layer_data(path: Path) -> list[Any]:
    """What napari is given for an image."""
    reader = get_ome_zarr_reader(str(path))
    assert reader is not None
    return reader(str(path))


def quarters(shape: tuple[int, int, int]) -> np.ndarray:
    """Slice z is 4 z, and 40, 80 and 120 more to the right, below, and both."""
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return (4 * z + 80 * (y >= shape[1] // 2) + 40 * (x >= shape[2] // 2)).astype("u1")


FULL_RANGE = {"channels": [{"window": {"min": 0, "max": 255, "start": 0, "end": 255}}]}


# What is read, and what is left to others


def plain_folder(path: Path) -> None:
    path.mkdir()


def zarr_array(path: Path) -> None:
    zarr.create_array(path, shape=(4, 4), dtype="u1", zarr_format=2)


def zarr_array_v3(path: Path) -> None:
    zarr.create_array(path, shape=(4, 4), dtype="u1", zarr_format=3)


def zarr_group(path: Path) -> None:
    zarr.open_group(path, mode="w", zarr_format=2).attrs["multiscale"] = "no"


def zarr_group_v3(path: Path) -> None:
    zarr.open_group(path, mode="w", zarr_format=3).attrs["ome"] = {"plate": {}}


def broken_metadata(path: Path) -> None:
    path.mkdir()
    (path / ".zattrs").write_text("[1")


@pytest.mark.parametrize("make", [plain_folder, zarr_array, zarr_array_v3, zarr_group, zarr_group_v3, broken_metadata])
def test_a_folder_that_is_no_image_is_declined(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a.zarr")
    assert get_ome_zarr_reader(str(tmp_path / "a.zarr")) is None


def test_what_is_not_there_or_several_is_declined(tmp_path: Path) -> None:
    image = str(write_image(tmp_path / "a.zarr", [coordinates((4, 4, 4))]))
    assert get_ome_zarr_reader(image) is not None
    assert get_ome_zarr_reader([image]) is not None
    assert get_ome_zarr_reader([image, image]) is None
    assert get_ome_zarr_reader(image + "/0") is None
    assert get_ome_zarr_reader(str(tmp_path / "nothing")) is None
    assert get_tiff_reader(str(tmp_path / "nothing.tif")) is None


# OME-Zarr


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_image_is_a_lazy_layer_with_all_that_its_metadata_says(
    viewer: napari.Viewer, tmp_path: Path, version: str
) -> None:
    levels = pyramid_of(coordinates((16, 24, 32)), 2)
    path = write_image(
        tmp_path / "scan.ome.zarr",
        levels,
        version=version,
        voxel_size=0.65,
        shards=(16, 16, 16) if version == "0.5" else None,
        omero={
            "channels": [
                {"label": "attenuation", "color": "FFFFFF", "window": {"min": -5, "max": 5e4, "start": 10, "end": 900}}
            ]
        },
        multiscales={"name": "scan", "coordinateTransformations": [{"type": "translation", "translation": [1, 2, 3]}]},
    )
    (layer,) = viewer.open(path, plugin=PLUGIN)
    assert layer.name == "scan"
    assert tuple(layer.scale) == (0.65, 0.65, 0.65)
    assert tuple(layer.translate) == (1, 2, 3)
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    assert tuple(layer.axis_labels) == ("z", "y", "x")
    settle(viewer)
    assert layer.contrast_limits == [10, 900]
    assert layer.contrast_limits_range == [-5, 5e4]
    assert layer.colormap.name == "gray"
    assert layer.source.path == str(path)
    assert all(isinstance(level, LazyArray) for level in layer.data)
    assert all(np.array_equal(np.asarray(a), b) for a, b in zip(layer.data, levels, strict=True))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_canvas_shows_the_voxels(viewer: napari.Viewer, tmp_path: Path, version: str) -> None:
    shape = (16, 60, 80)
    path = write_image(
        tmp_path / "a.zarr", pyramid_of(quarters(shape), 3), version=version, voxel_size=2, omero=FULL_RANGE
    )
    viewer.open(path, plugin=PLUGIN)
    settle(viewer)
    viewer.reset_view()
    for z in (0, 7, 15):
        viewer.dims.set_current_step(0, z)
        # World coordinates of two voxels beside the border between the quarters, and of the corners.
        points = [(2 * y, 2 * x) for y in (1, 29, 30, 58) for x in (1, 39, 40, 78)]
        expected = [int(quarters(shape)[z, y // 2, x // 2]) for y, x in points]
        assert np.allclose(gray_at(viewer, *points), expected, atol=1)
    viewer.dims.order = (1, 0, 2)
    settle(viewer)
    viewer.reset_view()
    viewer.dims.set_current_step(1, 50)
    assert np.allclose(gray_at(viewer, (2 * 3, 2 * 10), (2 * 12, 2 * 70)), [80 + 12, 80 + 48 + 40], atol=1)


def test_padding_is_not_shown(viewer: napari.Viewer, tmp_path: Path) -> None:
    padded = np.pad(quarters((13, 32, 32)), ((0, 3), (0, 0), (0, 0)))
    path = write_image(
        tmp_path / "a.zarr", pyramid_of(padded, 3), multiscales={"metadata": {"original_shape": [13, 32, 32]}}
    )
    (layer,) = viewer.open(path, plugin=PLUGIN)
    assert [level.shape[0] for level in layer.data] == [13, 7, 4]
    assert viewer.dims.nsteps[0] == 13


def test_channels_are_layers_of_their_own_colour(viewer: napari.Viewer, tmp_path: Path) -> None:
    voxels = np.stack([np.full((4, 30, 30), value, "u2") for value in (100, 200, 300, 400)])
    omero = {
        "channels": [
            {"label": "one", "color": "FF0000", "window": {"min": 0, "max": 500, "start": 0, "end": 200}},
            {"label": "two", "color": "00ff80", "active": False},
            {"color": "FFFFFF"},
        ]
    }
    path = write_image(tmp_path / "a.zarr", pyramid_of(voxels, 2, (2, 3)), axes="czyx", omero=omero)
    layers = viewer.open(path, plugin=PLUGIN)
    assert [layer.name for layer in layers] == ["one", "two", "volume 2", "volume 3"]
    assert [layer.visible for layer in layers] == [True, False, True, True]
    assert {layer.blending for layer in layers} == {"additive"}
    assert [layer.colormap.name for layer in layers][::2] == ["red", "gray"]
    assert np.allclose(layers[1].colormap.colors[-1], [0, 1, 128 / 255, 1], atol=0.01)
    assert [layer.ndim for layer in layers] == [3, 3, 3, 3]
    assert [int(layer.data[0][2, 5, 5]) for layer in layers] == [100, 200, 300, 400]
    layers[2].visible = layers[3].visible = False
    assert np.allclose(gray_at(viewer, (15, 15)), [127], atol=2)


def test_time_is_an_axis(tmp_path: Path) -> None:
    voxels = coordinates((3, 4, 20, 20))
    path = write_image(tmp_path / "a.zarr", pyramid_of(voxels, 2, (2, 3)), axes="tzyx")
    ((levels, settings, _),) = layer_data(path)
    assert [level.shape for level in levels] == [(3, 4, 20, 20), (3, 4, 10, 10)]
    assert settings["units"] == ("pixel", *["micrometer"] * 3)
    assert settings["axis_labels"] == ("t", "z", "y", "x")


@pytest.mark.parametrize(
    ("unit", "shown"), [("parsec", "parsec"), ("bananas", "pixel"), (None, "pixel"), ("µm", "micrometer")]
)
def test_units_that_napari_does_not_know_are_pixels(tmp_path: Path, unit: str | None, shown: str) -> None:
    path = write_image(tmp_path / "a.zarr", [coordinates((4, 8, 8))], unit=unit)
    ((_, settings, _),) = layer_data(path)
    assert settings["units"] == (shown,) * 3


def test_volumes_with_a_unit_and_without_one_can_be_looked_at_together(viewer: napari.Viewer, tmp_path: Path) -> None:
    for name, unit in (("a.zarr", "micrometer"), ("b.zarr", None), ("c.zarr", "millimeter")):
        viewer.open(write_image(tmp_path / name, [coordinates((4, 8, 8))], unit=unit), plugin=PLUGIN)
        settle(viewer)
    assert len(viewer.layers) == 3


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Bytes of chunks that were decoded, as far as they were, since it was last asked."""
    thin: list[int] = []
    read_range = zarrarray.read_range

    def note(path: Path, first: int, last: int, *args: Any) -> memoryview | None:
        thin.append(last - first)
        return read_range(path, first, last, *args)

    monkeypatch.setattr(zarrarray, "read_range", note)
    last = 0

    def count() -> int:
        nonlocal last
        metrics = ts.experimental_collect_matching_metrics(
            "/tensorstore/kvstore/file/bytes_read"
        )  # none before the first
        total = sum(thin) + sum(value["value"] for metric in metrics for value in metric["values"])
        last, before = total, last
        return total - before

    count()
    return count


@pytest.mark.parametrize("omero", [FULL_RANGE, None])
def test_opening_reads_no_more_than_a_chunk_or_two(
    viewer: napari.Viewer, tmp_path: Path, bytes_read: Callable[[], int], omero: dict[str, Any] | None
) -> None:
    noise = np.random.default_rng(0).integers(0, 60_000, (128, 128, 128)).astype("u2")
    path = write_image(tmp_path / "a.zarr", pyramid_of(noise, 3), chunks=(32, 32, 32), omero=omero)
    chunk = 32**3 * 2
    settle(viewer)
    bytes_read()
    layer_data(path)
    assert bytes_read() < (0.1 if omero else 1.1) * chunk  # with nothing else to go by, contrast is estimated
    viewer.open(path, plugin=PLUGIN)
    settle(viewer)
    assert bytes_read() < 2.5 * chunk
    viewer.dims.set_current_step(0, 77)
    settle(viewer)
    # A slice of level 0 crosses 16 chunks, of each of which one plane of 32 is decoded.
    assert bytes_read() < 3 * 16 * chunk / 32 + chunk


def test_an_unfinished_conversion_is_named_and_what_to_do(viewer: napari.Viewer, tmp_path: Path) -> None:
    path = write_unfinished(tmp_path / "scan.ome.zarr")
    with pytest.raises(UnfinishedError, match=r"scan\.ome\.zarr is an unfinished conversion.*run the same"):
        viewer.open(path, plugin=PLUGIN)
    assert not viewer.layers


# 3D


def level_shown(viewer: napari.Viewer, layer: Any) -> int:
    settle(viewer)
    return int(layer.data_level)


def process() -> None:
    """Let what waits for the window's attention have it."""
    for _ in range(3):
        QApplication.processEvents()


def level_of(layer: Any) -> int:
    """The level that was read for a window that is not shown."""
    process()
    level = int(layer.data_level)
    assert layer._slice.image.raw.shape == tuple(layer.level_shapes[level][-layer._slice_input.ndisplay :])
    return level


@pytest.fixture
def pyramid(tmp_path: Path) -> Path:
    """Levels of 32, 4 and 0.5 MB / 1000."""
    return write_image(tmp_path / "a.zarr", pyramid_of(quarters((32, 32, 32)), 4), omero=FULL_RANGE)


def test_3d_shows_the_finest_level_that_fits(
    viewer: napari.Viewer, pyramid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level_choice, "VOLUME_BYTES", 16**3)
    (layer,) = viewer.open(pyramid, plugin=PLUGIN)
    assert level_shown(viewer, layer) == 0
    viewer.dims.ndisplay = 3
    assert level_shown(viewer, layer) == 1
    assert layer._slice.image.raw.shape == (16, 16, 16)
    viewer.dims.ndisplay = 2
    assert level_shown(viewer, layer) == 0
    assert layer.locked_data_level is None
    assert np.allclose(gray_at(viewer, (3, 3), (28, 28)), [64 - 4, 120 + 64 - 4], atol=1)


def test_3d_shows_no_level_that_the_graphics_card_cannot_hold(
    unseen: napari.Viewer, pyramid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level_choice, "largest_texture", lambda: 15)
    (layer,) = unseen.open(pyramid, plugin=PLUGIN)
    process()
    unseen.dims.ndisplay = 3
    assert level_of(layer) == 2


def test_every_volume_in_every_window_has_its_own_level(
    unseen: napari.Viewer, viewer: napari.Viewer, tmp_path: Path, pyramid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level_choice, "VOLUME_BYTES", 16**3)
    smaller = write_image(tmp_path / "b.zarr", pyramid_of(quarters((16, 16, 16)), 2))
    one, other = unseen, viewer
    one.open(pyramid, plugin=PLUGIN)  # in a window that is not the active one
    other.open(smaller, plugin=PLUGIN)
    process()
    one.dims.ndisplay = other.dims.ndisplay = 3
    other.open(pyramid, plugin=PLUGIN)  # that comes while 3D is shown
    assert [level_of(layer) for layer in one.layers] == [1]
    assert [level_of(layer) for layer in other.layers] == [0, 1]


def test_a_resolution_that_the_user_chose_stays(unseen: napari.Viewer, pyramid: Path) -> None:
    (layer,) = unseen.open(pyramid, plugin=PLUGIN)
    process()
    layer.locked_data_level = 3
    unseen.dims.ndisplay = 3
    assert level_of(layer) == 3
    unseen.dims.ndisplay = 2
    assert level_of(layer) == 3
    layer.locked_data_level = None
    unseen.dims.ndisplay = 3
    assert level_of(layer) == 0


def test_an_image_without_a_level_for_3d_is_thinned_out(
    unseen: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level_choice, "VOLUME_BYTES", 6**3)
    path = write_image(tmp_path / "a.zarr", [quarters((16, 16, 16))])
    (layer,) = unseen.open(path, plugin=PLUGIN)
    process()
    unseen.dims.ndisplay = 3
    assert level_of(layer) == 1
    assert np.array_equal(layer._slice.image.raw, quarters((16, 16, 16))[::3, ::3, ::3])


# TIFF


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """TIFFs are large when they are above 4 kB."""
    monkeypatch.setattr(_lazytiff, "SAMPLE_BYTES", 4_000)


def write_tiff(path: Path, voxels: np.ndarray, **options: Any) -> Path:
    """A stack of voxels of 3 x 2 x 2 micrometers, as ImageJ writes it unless there are options."""
    if not options:
        options = {"imagej": True, "resolution": (0.5, 0.5), "metadata": {"axes": "ZYX", "spacing": 3, "unit": "um"}}
    tifffile.imwrite(path, voxels, photometric="minisblack", **options)
    return path


def docks(viewer: napari.Viewer) -> list[Any]:
    return list(viewer.window.dock_widgets.values())


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "rowsperstrip": 8}])
def test_a_tiff_is_whole_in_2d_and_sampled_in_3d(
    viewer: napari.Viewer, tmp_path: Path, options: dict[str, Any]
) -> None:
    voxels = quarters((20, 60, 80))
    (layer,) = viewer.open(write_tiff(tmp_path / "scan.tif", voxels, **options), plugin=PLUGIN)
    while not docks(viewer):
        process()
    settle(viewer, quiet=0.4)
    layer.contrast_limits = (0, 255)
    viewer.dims.set_current_step(0, 9)
    sy, sx = layer.scale[1:]
    points = [(sy * y, sx * x) for y in (1, 29, 30, 58) for x in (1, 39, 40, 78)]
    viewer.reset_view()
    assert np.allclose(
        gray_at(viewer, *points), [int(voxels[9, round(y / sy), round(x / sx)]) for y, x in points], atol=1
    )
    assert level_shown(viewer, layer) == 0
    viewer.dims.ndisplay = 3
    settle(viewer)
    step = -(-voxels.shape[0] // layer.level_shapes[-1][0])
    assert np.array_equal(layer._slice.image.raw, voxels[::step, ::step, ::step])
    assert layer._slice.image.raw.nbytes <= 4_000


def test_a_tiff_says_its_voxel_size(viewer: napari.Viewer, tmp_path: Path) -> None:
    (layer,) = viewer.open(write_tiff(tmp_path / "scan.tif", quarters((8, 16, 16))), plugin=PLUGIN)
    assert layer.name == "scan"
    assert tuple(layer.scale) == (3, 2, 2)
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    assert tuple(layer.axis_labels) == ("z", "y", "x")
    low, high = layer.contrast_limits
    assert 0 <= low < high <= quarters((8, 16, 16)).max()


@pytest.mark.usefixtures("sampled")
def test_a_cut_that_would_read_all_of_a_tiff_shows_the_sample(
    viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level_choice, "CUT_BYTES", 20_000)
    (layer,) = viewer.open(write_tiff(tmp_path / "scan.tif", quarters((20, 60, 80))), plugin=PLUGIN)
    assert level_shown(viewer, layer) == 0
    viewer.dims.order = (1, 0, 2)  # along rows: 20 * 80 bytes
    assert level_shown(viewer, layer) == 0
    rows: list[int] = []
    read = Source.read

    def note(self: Source, z0: int, z1: int, y0: int, y1: int, out: np.ndarray) -> None:
        rows.append((z1 - z0) * (y1 - y0))
        read(self, z0, z1, y0, y1, out)

    monkeypatch.setattr(Source, "read", note)
    viewer.dims.order = (2, 0, 1)  # along columns: all 96 kB
    assert level_shown(viewer, layer) == 1
    assert layer._slice.image.raw.shape == tuple(layer.level_shapes[1][:2])
    assert sum(rows) * 80 < 20_000
    viewer.dims.order = (0, 1, 2)
    assert level_shown(viewer, layer) == 0


def test_a_dropped_tiff_brings_one_widget_however_many_are_dropped(
    viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari._qt.dialogs import qt_reader_dialog

    monkeypatch.setattr(qt_reader_dialog.QtReaderDialog, "get_user_choices", lambda self: ("CT Pyramid", False))
    for number in range(3):
        path = write_tiff(tmp_path / f"scan{number}.tif", quarters((8, 16, 16)))
        drop(viewer, path)
        settle(viewer)
        (dock,) = docks(viewer)
        assert path.name in shown_text(dock)
    assert [layer.name for layer in viewer.layers] == ["scan0", "scan1", "scan2"]


def test_several_dropped_tiffs_are_all_in_the_list_of_the_one_widget(
    viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari._qt.dialogs import qt_reader_dialog

    monkeypatch.setattr(qt_reader_dialog.QtReaderDialog, "get_user_choices", lambda self: ("CT Pyramid", False))
    paths = [write_tiff(tmp_path / f"scan{number}.tif", quarters((8, 16, 16))) for number in range(3)]
    drop(viewer, *paths)
    while not docks(viewer):
        process()
    (dock,) = docks(viewer)
    assert [entry.source for entry in dock.queue.entries] == [str(path) for path in paths]
    assert [layer.name for layer in viewer.layers] == ["scan0", "scan1", "scan2"]


def shown_text(widget: Any) -> str:
    from qtpy.QtWidgets import QLineEdit

    return " ".join(edit.text() for edit in widget.findChildren(QLineEdit))


def test_without_a_viewer_a_tiff_is_layers_only(tmp_path: Path, qapp: Any) -> None:
    path = write_tiff(tmp_path / "scan.tif", quarters((8, 16, 16)))
    reader = get_tiff_reader(str(path))
    assert reader is not None
    ((levels, _, kind),) = reader(str(path))
    assert kind == "image"
    assert np.array_equal(np.asarray(levels[0]), quarters((8, 16, 16)))
    qapp.processEvents()


def test_a_tiff_that_is_no_volume_is_one_clear_error(viewer: napari.Viewer, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("not a TIFF")
    with pytest.raises(SourceError, match="is no volume that can be read"):
        viewer.open(tmp_path / "a.tif", plugin=PLUGIN)
