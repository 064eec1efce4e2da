"""Label images that other programs wrote, as layers in a window."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
import zarr
from napari.utils.notifications import notification_manager
from ome_zarr.format import FormatV04, FormatV05
from ome_zarr.writer import write_image, write_labels

from napari_ct_pyramid.model.lazy_array import LazyArray
from napari_ct_pyramid.omezarr.reader import open_pyramid
from napari_ct_pyramid.plugin.label_layers import label_layers
from tests.helpers.omezarr import write_image as write_plain_image
from tests.helpers.screen import PLUGIN, settle

SHAPE = (8, 16, 16)
HALF = [{"z": 2, "y": 2, "x": 2}]


def voxels() -> np.ndarray:
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return (z // 4 * 4 + y // 8 * 2 + x // 8).astype("u2")


def write(path: Path, version: str = "0.4", labels: np.ndarray | None = None, **label_metadata: Any) -> Path:
    """An image with labels `cells`, by ome-zarr."""
    ngff = FormatV04() if version == "0.4" else FormatV05()
    group = zarr.open_group(path, mode="w", zarr_format=ngff.zarr_format)
    place: dict[str, Any] = {
        "axes": "zyx", "scale": {"z": 3.0, "y": 2.0, "x": 2.0}, "axes_units": dict.fromkeys("zyx", "micrometer"),
        "scale_factors": HALF, "fmt": ngff,
    }  # fmt: skip
    write_image(voxels() * 20, group, **place)
    found = voxels() if labels is None else labels
    write_labels(found, group, "cells", scaler=None, label_metadata=label_metadata, **place)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_image_brings_its_labels(viewer: napari.Viewer, tmp_path: Path, version: str) -> None:
    path = write(
        tmp_path / "scan.ome.zarr",
        version,
        colors=[{"label-value": 1, "rgba": [255, 0, 0, 255]}, {"label-value": 6, "rgba": [0, 0, 255, 128]}],
        properties=[{"label-value": 6, "name": "bone", "points": [1, 2]}, {"label-value": 1, "name": "pore"}],
    )
    viewer.open(path, plugin=PLUGIN)
    image, labels = viewer.layers
    assert isinstance(labels, napari.layers.Labels)
    assert labels.name == "cells"
    assert [tuple(level.shape) for level in labels.data] == [SHAPE, (4, 8, 8)]
    assert isinstance(labels.data[0], LazyArray)
    assert np.array_equal(np.asarray(labels.data[0]), voxels())
    assert tuple(labels.scale) == tuple(image.scale) == (3, 2, 2)
    assert labels.units == image.units
    assert np.array_equal(labels.extent.world, image.extent.world)
    assert np.allclose(labels.get_color(1), (1, 0, 0, 1))
    assert np.allclose(labels.get_color(6), (0, 0, 1, 128 / 255))
    assert labels.get_color(3)[3] == 1  # labels without a color of their own are visible
    assert labels.get_color(0) is None or labels.get_color(0)[3] == 0
    assert list(labels.features["index"]) == [6, 1]
    assert list(labels.features["name"]) == ["bone", "pore"]
    assert labels.features["points"][0] == "[1, 2]"
    assert not notification_manager.records


def test_the_canvas_shows_the_colors_in_2d_and_3d(small_viewer: napari.Viewer, tmp_path: Path) -> None:
    viewer = small_viewer
    path = write(tmp_path / "scan.ome.zarr", colors=[{"label-value": k, "rgba": [0, 255, 0, 255]} for k in range(1, 8)])
    drop_and_choose(viewer, path)
    viewer.layers[0].visible = False
    viewer.layers[1].opacity = 1
    for ndisplay in (2, 3):
        viewer.dims.ndisplay = ndisplay
        settle(viewer)
        canvas = viewer.screenshot(canvas_only=True, flash=False)
        assert np.any((canvas[..., 1] > 150) & (canvas[..., 0] < 50))


def drop_and_choose(viewer: napari.Viewer, path: Path) -> None:
    viewer.open(path, plugin=PLUGIN)
    settle(viewer)


def test_a_label_image_itself_is_labels(viewer: napari.Viewer, tmp_path: Path) -> None:
    path = write(tmp_path / "scan.ome.zarr")
    viewer.open(path / "labels" / "cells", plugin=PLUGIN)
    (labels,) = viewer.layers
    assert isinstance(labels, napari.layers.Labels)
    assert labels.name == "cells"


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint32", "int64", "uint64"])
def test_labels_of_every_type(viewer: napari.Viewer, tmp_path: Path, dtype: str) -> None:
    found = (voxels() % 2).astype(dtype)
    path = write_plain_image(tmp_path / "a.zarr", [found])
    attributes = json.loads((path / ".zattrs").read_text())
    (path / ".zattrs").write_text(json.dumps(attributes | {"image-label": {}}))
    viewer.open(path, plugin=PLUGIN)
    (labels,) = viewer.layers
    assert isinstance(labels, napari.layers.Labels)
    assert np.array_equal(np.asarray(labels.data), found)
    labels.paint((1, 2, 3), 5)  # a small image with one level can be edited
    assert labels.data[1, 2, 3] == 5


def test_labels_that_cannot_be_shown_are_named_and_the_image_is_shown(viewer: napari.Viewer, tmp_path: Path) -> None:
    path = write(tmp_path / "scan.ome.zarr")
    for file in (path / "labels" / "cells" / "s0").glob(".z*"):
        file.write_text("{")
    viewer.open(path, plugin=PLUGIN)
    (image,) = viewer.layers
    assert isinstance(image, napari.layers.Image)
    (notice,) = notification_manager.records
    assert "cells" in notice.message


def test_labels_with_channels_are_a_layer_each(tmp_path: Path) -> None:
    both = np.stack([voxels(), voxels() + 1])
    path = write_plain_image(tmp_path / "a.zarr", [both], axes="czyx")
    found = label_layers(open_pyramid(path), "cells")
    assert [settings["name"] for _, settings, _ in found] == ["cells 0", "cells 1"]
    assert all(np.array_equal(np.asarray(data), one) for (data, _, _), one in zip(found, both, strict=True))
