"""The live preview: what there is of a growing volume, and the finished layer in the end."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import napari
import numpy as np
import pytest

from napari_ct_pyramid.errors import ConversionError, SourceError
from napari_ct_pyramid.model.downsample import reduce
from napari_ct_pyramid.model.volume import Box
from napari_ct_pyramid.omezarr.growing import GrowingLevel, written
from napari_ct_pyramid.plugin.preview import LivePreview
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget, WidgetState
from tests.helpers.dock import SHAPE, Gate, add_widget, gated, volume, wait_for, wait_until, write_tiff
from tests.helpers.screen import PLUGIN, gray_at, settle


class Disk:
    """An array of chunks of 4, some of which are just being written."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.voxels = np.zeros(shape, "u1")
        self.half_written: set[tuple[int, ...]] = set()
        self.missing: set[tuple[int, ...]] = set()
        self.reads: list[Box] = []

    def read(self, box: Box) -> np.ndarray:
        self.reads.append(box)
        touched = np.zeros(self.voxels.shape, bool)
        touched[box] = True
        for index in self.half_written:
            if touched[tuple(slice(4 * i, 4 * i + 4) for i in index)].any():
                raise SourceError("is cut short")
        return self.voxels[box].copy()


def box(*parts: tuple[int, int]) -> Box:
    return tuple(slice(start, stop, 1) for start, stop in parts)


def growing(disk: Disk, finer: GrowingLevel | None = None) -> GrowingLevel:
    chunks = (4,) * disk.voxels.ndim
    return GrowingLevel(disk.read, lambda index: index not in disk.missing, chunks, disk.voxels.dtype, finer)


def test_what_was_read_is_read_again_only_when_renewed() -> None:
    disk = Disk((8, 8))
    level = growing(disk)
    assert not level.read(box((0, 8), (0, 8))).any()
    disk.voxels[:4] = 7
    assert not level.read(box((0, 8), (0, 8))).any()
    assert len(disk.reads) == 1
    level.renew()
    assert np.array_equal(level.read(box((0, 8), (0, 8))), disk.voxels)
    assert len(disk.reads) == 2
    assert (level.read_now(box((0, 4), (0, 8))) == 7).all()


def test_only_the_last_boxes_are_renewed() -> None:
    disk = Disk((8, 8))
    level = growing(disk)
    for row in range(8):
        level.read(box((row, row + 1), (0, 8)))
    disk.reads.clear()
    level.renew()
    assert [b[0].start for b in disk.reads] == [6, 7]


def test_what_is_being_written_is_not_there_yet() -> None:
    disk = Disk((8, 10))
    disk.voxels[...] = np.arange(80).reshape(8, 10)
    disk.half_written = {(0, 1)}
    expected = disk.voxels.copy()
    expected[:4, 4:8] = 0
    level = growing(disk)
    assert np.array_equal(level.read(box((0, 8), (0, 10))), expected)
    assert np.array_equal(level.read(box((1, 6), (3, 9))), expected[1:6, 3:9])
    assert np.array_equal(level.read((slice(1, 7, 3), slice(0, 10, 2))), expected[1:7:3, ::2])
    disk.half_written.clear()
    level.renew()
    assert np.array_equal(level.read((slice(1, 7, 3), slice(0, 10, 2))), disk.voxels[1:7:3, ::2])


def test_finer_levels_stand_in_for_what_is_missing() -> None:
    disks = [Disk((16, 16, 16)), Disk((8, 8, 8)), Disk((4, 4, 4))]
    disks[0].voxels[...] = np.random.default_rng(0).integers(0, 255, (16, 16, 16))
    for fine, coarse in itertools.pairwise(disks):
        reduce(fine.voxels, coarse.voxels)
    truth = [disk.voxels.copy() for disk in disks]
    finest = growing(disks[0])
    middle = growing(disks[1], finest)
    coarsest = growing(disks[2], middle)
    # Of the coarsest nothing is there, of the next one all but a chunk, and that is there in the finest.
    disks[2].missing = {(0, 0, 0)}
    disks[1].missing = {(0, 1, 0)}
    disks[2].voxels[...] = disks[1].voxels[:4, 4:, :4] = 0
    for level, disk, whole in ((coarsest, disks[2], truth[2]), (middle, disks[1], truth[1])):
        for wanted in (box((1, 2), (0, 4), (0, 4)), box((0, 4), (0, 4), (0, 4)), box((0, 3), (1, 4), (2, 3))):
            assert np.array_equal(level.read(wanted), disk.voxels[wanted])  # at once, what there is
            level.renew()
            assert np.array_equal(level.read(wanted), whole[wanted])


def test_a_whole_level_keeps_nothing_and_says_what_is_wrong() -> None:
    disk = Disk((8, 8))
    level = growing(disk)
    level.read(box((0, 8), (0, 8)))
    level.stop()
    disk.voxels[...] = 3
    assert (level.read(box((0, 8), (0, 8))) == 3).all()
    level.renew()
    disk.half_written = {(0, 0)}
    with pytest.raises(SourceError):
        level.read(box((0, 8), (0, 8)))


def test_only_written_chunks_tell_the_contrast() -> None:
    plane = np.zeros((8, 12), "f4")
    assert written(plane, (4, 4, 4)).size == 0
    plane[:4, 4:8] = 5
    plane[0, 4] = 0  # a zero in a chunk that is there is a voxel like any other
    assert sorted(set(written(plane, (4, 4, 4)).tolist())) == [0, 5]


# In a window


@pytest.fixture
def viewer(shown_viewer: napari.Viewer) -> napari.Viewer:
    return shown_viewer


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tiff(tmp_path / "scan.tif")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Conversions stop after 32 of the 42 slices."""
    with gated(monkeypatch, slices=32) as gate:
        yield gate


@pytest.fixture
def half_way(viewer: napari.Viewer, source: Path, gate: Gate) -> ConvertWidget:
    """A conversion that has got no further than that, and its preview."""
    assert gate.slices == 32
    widget = add_widget(viewer, source)
    widget.status_panel.convert.click()
    wait_until(lambda: len(viewer.layers) == 1)
    layer = viewer.layers[0]
    wait_until(lambda: layer.contrast_limits[1] > 1 and layer._slice.image.raw.any())
    return widget


def finish(widget: ConvertWidget, gate: Gate, viewer: napari.Viewer) -> None:
    gate.open()
    wait_for(widget, WidgetState.DONE)
    wait_until(lambda: not LivePreview.under_way())
    settle(viewer)


def test_a_volume_grows_and_becomes_what_the_reader_reads(
    viewer: napari.Viewer, half_way: ConvertWidget, gate: Gate, source: Path
) -> None:
    (layer,) = viewer.layers
    voxels = volume()
    assert viewer.dims.current_step[0] == SHAPE[0] // 2 - 1 or viewer.dims.current_step[0] == SHAPE[0] // 2
    assert [level.shape for level in layer.data] == [SHAPE, (21, 32, 48), (11, 16, 24)]
    assert np.array_equal(layer.data[0][10], voxels[10])
    assert not np.asarray(layer.data[0][40]).any()
    assert not np.asarray(layer.data[2][9]).any()
    low, high = layer.contrast_limits
    assert voxels.min() <= low < high <= voxels.max()
    before = gray_at(viewer, (16, 24), (8, 8))

    finish(half_way, gate, viewer)
    (layer,) = viewer.layers
    assert np.array_equal(np.asarray(layer.data[0]), voxels)
    assert np.asarray(layer.data[2][9]).any()
    # No visible jump: the slice that was in sight looks all but the same.
    assert np.allclose(gray_at(viewer, (16, 24), (8, 8)), before, atol=40)

    (read,) = viewer.open(source.with_name("scan.ome.zarr"), plugin=PLUGIN)
    settle(viewer)
    for name in ("scale", "translate", "units", "axis_labels", "contrast_limits", "contrast_limits_range", "metadata"):
        assert np.array_equal(getattr(layer, name), getattr(read, name)), name
    assert (layer.name, read.name) == ("scan", "scan [1]")
    assert layer.source == read.source
    assert layer.colormap.name == read.colormap.name
    assert [level.shape for level in layer.data] == [level.shape for level in read.data]


def test_what_the_user_set_stays(viewer: napari.Viewer, half_way: ConvertWidget, gate: Gate) -> None:
    layer = viewer.layers[0]
    layer.contrast_limits = (10, 500)
    layer.name = "mine"
    layer.colormap = "viridis"
    finish(half_way, gate, viewer)
    assert layer.contrast_limits == [10, 500]
    assert layer.name == "mine"
    assert layer.colormap.name == "viridis"
    assert viewer.layers[0] is layer


def test_a_layer_that_was_taken_away_stays_away(viewer: napari.Viewer, half_way: ConvertWidget, gate: Gate) -> None:
    viewer.layers.clear()
    finish(half_way, gate, viewer)
    assert not viewer.layers


def test_in_3d_it_grows_too(viewer: napari.Viewer, half_way: ConvertWidget, gate: Gate) -> None:
    viewer.dims.ndisplay = 3
    settle(viewer)
    layer = viewer.layers[0]
    assert not layer._slice.image.raw[-4:].any()
    finish(half_way, gate, viewer)
    assert layer._slice.image.raw.shape == SHAPE
    assert layer._slice.image.raw[-4:].all()


def test_nothing_is_left_of_a_conversion_that_failed(
    viewer: napari.Viewer, half_way: ConvertWidget, gate: Gate
) -> None:
    gate.fail(ConversionError("no"))
    wait_for(half_way, WidgetState.READY)
    assert not viewer.layers


def test_an_output_that_vanishes_is_the_conversions_to_tell(
    viewer: napari.Viewer, half_way: ConvertWidget, gate: Gate, source: Path
) -> None:
    shutil.rmtree(source.with_name("scan.ome.zarr"))
    gate.open()
    wait_for(half_way, WidgetState.READY)
    assert "scan.ome.zarr" in half_way.status_panel.result.words.text()
    assert not viewer.layers


def test_the_camera_stays_where_there_are_other_layers(viewer: napari.Viewer, source: Path, gate: Gate) -> None:
    viewer.add_image(np.ones((42, 64, 96), "f4"))
    camera = viewer.scene.camera
    camera.zoom = 3.5
    widget = add_widget(viewer, source)
    widget.status_panel.convert.click()
    wait_until(lambda: len(viewer.layers) == 2)
    finish(widget, gate, viewer)
    assert camera.zoom == 3.5
