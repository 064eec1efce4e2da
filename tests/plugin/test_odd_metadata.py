"""OME-Zarr images whose metadata make little sense, in a window: each is shown, with a notice of what was ignored."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from tests.helpers.omezarr import flat_indices, write_image
from tests.helpers.screen import PLUGIN, settle

NAN, INF = math.nan, math.inf
VOXELS = flat_indices((4, 8, 8)) + 5


@pytest.fixture
def viewer(small_viewer: napari.Viewer) -> napari.Viewer:
    return small_viewer


@pytest.mark.parametrize(
    ("channel", "notices"),
    [
        ({"window": {"start": NAN, "end": 5, "min": 0, "max": 9}}, 1),
        ({"window": {"start": -INF, "end": INF, "min": -INF, "max": INF}}, 1),
        ({"window": {"start": 0, "end": 1e300, "min": 0, "max": 1e300}}, 1),
        ({"window": {"start": 200, "end": 20}}, 1),
        ({"window": {"start": 1e30, "end": 1e30}}, 0),
        ({"window": {"start": "20", "end": "200"}}, 0),
        ({"window": "auto", "color": "bluish", "label": {"en": "a"}}, 1),
        ({"color": 65280}, 0),
        ({"color": "green", "active": "yes"}, 0),
        ({"color": [0, 255, 0]}, 0),
        ("channel", 1),
    ],
)
def test_display_settings_of_any_kind(viewer: napari.Viewer, tmp_path: Path, channel: Any, notices: int) -> None:
    path = write_image(tmp_path / "a.zarr", [VOXELS], omero={"channels": [channel, {"label": "one too many"}]})
    viewer.open(path, plugin=PLUGIN)
    settle(viewer)
    (layer,) = viewer.layers
    low, high = layer.contrast_limits
    assert math.isfinite(low)
    assert math.isfinite(high)
    assert np.float32(low) < np.float32(high)
    assert layer.visible
    assert len(notification_manager.records) == notices
    if isinstance(channel, dict) and "color" in channel and not notices:
        assert np.allclose(layer.colormap.colors[-1], (0, 1, 0, 1))
    assert viewer.screenshot(canvas_only=True, flash=False).any()


def test_more_channels_in_the_data_than_are_described(viewer: napari.Viewer, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", [np.stack([VOXELS] * 3)], axes="czyx", omero={"channels": [{"label": "a"}]})
    viewer.open(path, plugin=PLUGIN)
    assert [layer.name for layer in viewer.layers] == ["a", "volume 1", "volume 2"]


@pytest.mark.parametrize("scale", [[0, 1, 1], [-2, 1, 1], [NAN, 1, 1], [1, 1], ["a", 1, 1]])
def test_a_scale_of_any_kind(viewer: napari.Viewer, tmp_path: Path, scale: Any) -> None:
    path = write_image(tmp_path / "a.zarr", [VOXELS])
    attributes = json.loads((path / ".zattrs").read_text())
    attributes["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] = scale
    (path / ".zattrs").write_text(json.dumps(attributes))
    viewer.open(path, plugin=PLUGIN)
    settle(viewer)
    assert tuple(viewer.layers[0].scale) == ((2, 1, 1) if scale[0] == -2 else (1, 1, 1))
    (notice,) = notification_manager.records
    assert notice.severity == "warning"


@pytest.mark.parametrize(("name", "shown"), [("/", "a"), ("", "a"), ("x" * 300, "x" * 300), ("a\nb", "a b")])
def test_a_name_of_any_kind(viewer: napari.Viewer, tmp_path: Path, name: str, shown: str) -> None:
    width = viewer.window._qt_window.width()
    path = write_image(tmp_path / "a.ome.zarr", [VOXELS], multiscales={"name": name})
    viewer.open(path, plugin=PLUGIN)
    settle(viewer)
    assert viewer.layers[0].name == shown
    assert viewer.window._qt_window.width() == width
