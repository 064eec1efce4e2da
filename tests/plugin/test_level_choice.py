"""Which level of a volume napari draws, in 2D and in 3D."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest

from napari_ct_pyramid.plugin import level_choice
from napari_ct_pyramid.sources.base import Source
from tests.helpers.omezarr import pyramid_of, write_image
from tests.helpers.screen import FULL_RANGE, PLUGIN, gray_at, process_events, quarters, settle, sliced, write_stack


@pytest.fixture
def viewer(small_viewer: napari.Viewer) -> napari.Viewer:
    return small_viewer


def level_shown(viewer: napari.Viewer, layer: Any) -> int:
    settle(viewer)
    return int(layer.data_level)


def level_of(layer: Any) -> int:
    """The level that napari has read for a hidden window."""
    process_events()
    level = int(layer.data_level)
    assert sliced(layer).shape == tuple(layer.level_shapes[level][-layer._slice_input.ndisplay :])
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
    assert sliced(layer).shape == (16, 16, 16)
    viewer.dims.ndisplay = 2
    assert level_shown(viewer, layer) == 0
    assert layer.locked_data_level is None
    assert np.allclose(gray_at(viewer, (3, 3), (28, 28)), [64 - 4, 120 + 64 - 4], atol=1)


def test_3d_shows_no_level_too_large_for_the_graphics_card(
    hidden_viewer: napari.Viewer, pyramid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level_choice, "largest_texture", lambda: 15)
    (layer,) = hidden_viewer.open(pyramid, plugin=PLUGIN)
    process_events()
    hidden_viewer.dims.ndisplay = 3
    assert level_of(layer) == 2


def test_every_volume_in_every_window_has_its_own_level(
    hidden_viewer: napari.Viewer, viewer: napari.Viewer, tmp_path: Path, pyramid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level_choice, "VOLUME_BYTES", 16**3)
    smaller = write_image(tmp_path / "b.zarr", pyramid_of(quarters((16, 16, 16)), 2))
    one, other = hidden_viewer, viewer
    one.open(pyramid, plugin=PLUGIN)  # in a window that is not the active one
    other.open(smaller, plugin=PLUGIN)
    process_events()
    one.dims.ndisplay = other.dims.ndisplay = 3
    other.open(pyramid, plugin=PLUGIN)  # added while 3D is shown
    assert [level_of(layer) for layer in one.layers] == [1]
    assert [level_of(layer) for layer in other.layers] == [0, 1]


def test_a_level_that_the_user_chose_stays(hidden_viewer: napari.Viewer, pyramid: Path) -> None:
    (layer,) = hidden_viewer.open(pyramid, plugin=PLUGIN)
    process_events()
    layer.locked_data_level = 3
    hidden_viewer.dims.ndisplay = 3
    assert level_of(layer) == 3
    hidden_viewer.dims.ndisplay = 2
    assert level_of(layer) == 3
    layer.locked_data_level = None
    hidden_viewer.dims.ndisplay = 3
    assert level_of(layer) == 0


def test_an_image_too_large_for_3d_gets_one_more_level(
    hidden_viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level_choice, "VOLUME_BYTES", 6**3)
    path = write_image(tmp_path / "a.zarr", [quarters((16, 16, 16))])
    (layer,) = hidden_viewer.open(path, plugin=PLUGIN)
    process_events()
    hidden_viewer.dims.ndisplay = 3
    assert level_of(layer) == 1
    assert np.array_equal(sliced(layer), quarters((16, 16, 16))[::3, ::3, ::3])


@pytest.mark.usefixtures("small_samples")
def test_a_cut_that_would_read_a_whole_tiff_shows_the_sample(
    viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level_choice, "CUT_BYTES", 20_000)
    (layer,) = viewer.open(write_stack(tmp_path / "scan.tif", quarters((20, 60, 80))), plugin=PLUGIN)
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
    assert sliced(layer).shape == tuple(layer.level_shapes[1][:2])
    assert sum(rows) * 80 < 20_000
    viewer.dims.order = (0, 1, 2)
    assert level_shown(viewer, layer) == 0
