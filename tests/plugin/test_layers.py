"""Layers of OME-Zarr images and of TIFFs: their attributes, their voxels, and what is drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
import tensorstore as ts

from napari_ct_pyramid import open_pyramid
from napari_ct_pyramid.model.lazy_array import LazyArray
from napari_ct_pyramid.omezarr import array as zarrarray
from napari_ct_pyramid.plugin.layers import pyramid_layers
from tests.helpers.dock import wait_until
from tests.helpers.omezarr import flat_indices, pyramid_of, write_image
from tests.helpers.screen import FULL_RANGE, PLUGIN, gray_at, quarters, settle, sliced, write_stack


@pytest.fixture
def viewer(small_viewer: napari.Viewer) -> napari.Viewer:
    return small_viewer


# OME-Zarr


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_image_is_a_lazy_layer_with_the_settings_of_its_metadata(
    viewer: napari.Viewer, tmp_path: Path, version: str
) -> None:
    levels = pyramid_of(flat_indices((16, 24, 32)), 2)
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


def test_each_channel_is_a_layer_with_its_own_colour(viewer: napari.Viewer, tmp_path: Path) -> None:
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
    voxels = flat_indices((3, 4, 20, 20))
    path = write_image(tmp_path / "a.zarr", pyramid_of(voxels, 2, (2, 3)), axes="tzyx")
    ((levels, settings, _),) = pyramid_layers(open_pyramid(path))
    assert [level.shape for level in levels] == [(3, 4, 20, 20), (3, 4, 10, 10)]
    assert settings["units"] == ("pixel", *["micrometer"] * 3)
    assert settings["axis_labels"] == ("t", "z", "y", "x")


@pytest.mark.parametrize(
    ("unit", "shown"), [("parsec", "parsec"), ("bananas", "pixel"), (None, "pixel"), ("µm", "micrometer")]
)
def test_units_that_napari_does_not_know_are_pixels(tmp_path: Path, unit: str | None, shown: str) -> None:
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 8, 8))], unit=unit)
    ((_, settings, _),) = pyramid_layers(open_pyramid(path))
    assert settings["units"] == (shown,) * 3


def test_volumes_with_and_without_a_unit_can_be_viewed_together(viewer: napari.Viewer, tmp_path: Path) -> None:
    for name, unit in (("a.zarr", "micrometer"), ("b.zarr", None), ("c.zarr", "millimeter")):
        viewer.open(write_image(tmp_path / name, [flat_indices((4, 8, 8))], unit=unit), plugin=PLUGIN)
        settle(viewer)
    assert len(viewer.layers) == 3


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Bytes of chunks that were decoded since the last call."""
    thin: list[int] = []
    decode_range = zarrarray.decode_range

    def note(path: Path, first: int, last: int, *args: Any) -> memoryview | None:
        thin.append(last - first)
        return decode_range(path, first, last, *args)

    monkeypatch.setattr(zarrarray, "decode_range", note)
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
    pyramid_layers(open_pyramid(path))
    assert (
        bytes_read() < (0.1 if omero else 1.1) * chunk
    )  # without omero metadata, the contrast is estimated from a chunk
    viewer.open(path, plugin=PLUGIN)
    settle(viewer)
    assert bytes_read() < 2.5 * chunk
    viewer.dims.set_current_step(0, 77)
    settle(viewer)
    # A slice of level 0 crosses 16 chunks, of each of which one plane of 32 is decoded.
    assert bytes_read() < 3 * 16 * chunk / 32 + chunk


# TIFF


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "rowsperstrip": 8}])
def test_a_tiff_is_whole_in_2d_and_sampled_in_3d(
    viewer: napari.Viewer, tmp_path: Path, options: dict[str, Any]
) -> None:
    voxels = quarters((20, 60, 80))
    (layer,) = viewer.open(write_stack(tmp_path / "scan.tif", voxels, **options), plugin=PLUGIN)
    wait_until(lambda: viewer.window.dock_widgets)
    settle(viewer, rounds=160)
    layer.contrast_limits = (0, 255)
    viewer.dims.set_current_step(0, 9)
    sy, sx = layer.scale[1:]
    points = [(sy * y, sx * x) for y in (1, 29, 30, 58) for x in (1, 39, 40, 78)]
    viewer.reset_view()
    assert np.allclose(
        gray_at(viewer, *points), [int(voxels[9, round(y / sy), round(x / sx)]) for y, x in points], atol=1
    )
    assert layer.data_level == 0
    viewer.dims.ndisplay = 3
    settle(viewer)
    step = -(-voxels.shape[0] // layer.level_shapes[-1][0])
    assert np.array_equal(sliced(layer), voxels[::step, ::step, ::step])
    assert sliced(layer).nbytes <= 4_000


def test_a_tiff_layer_has_its_voxel_size(viewer: napari.Viewer, tmp_path: Path) -> None:
    (layer,) = viewer.open(write_stack(tmp_path / "scan.tif", quarters((8, 16, 16))), plugin=PLUGIN)
    assert layer.name == "scan"
    assert tuple(layer.scale) == (3, 2, 2)
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    assert tuple(layer.axis_labels) == ("z", "y", "x")
    low, high = layer.contrast_limits
    assert 0 <= low < high <= quarters((8, 16, 16)).max()


def test_an_affine_of_an_image_with_channels_places_each_of_them(viewer: napari.Viewer, tmp_path: Path) -> None:
    turn = [[1, 0, 0, 0, 0], [0, 1, 0, 0, 5], [0, 0, 0, -1, 6], [0, 0, 1, 0, 7]]
    ends = {"input": {"name": "physical"}, "output": {"name": "world"}}
    path = write_image(
        tmp_path / "scan.ome.zarr",
        [flat_indices((2, 8, 8, 8))],
        axes="czyx",
        version="0.6",
        voxel_size=2,
        multiscales={"coordinateTransformations": [{"type": "affine", "affine": turn, **ends}]},
    )
    for layer in viewer.open(path, plugin=PLUGIN):
        # voxel 1, 2, 3 is at 2, 4, 6 in the coordinate system of the image
        np.testing.assert_allclose(layer.data_to_world((1, 2, 3)), (2 + 5, -6 + 6, 4 + 7))
