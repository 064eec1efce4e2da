"""Finished outputs that are shown in napari, each in the place of its source."""

from __future__ import annotations

from pathlib import Path

import napari
import numpy as np
import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.plugin import menus
from tests.helpers.dock import write_tiff
from tests.helpers.screen import PLUGIN, settle


@pytest.fixture
def viewer(small_viewer: napari.Viewer) -> napari.Viewer:
    return small_viewer


def converted(source: Path) -> Path:
    output = source.with_name(f"{source.stem}.ome.zarr")
    ct.convert(source, output, chunks=16, num_levels=2)
    return output


def test_an_output_takes_the_place_of_its_source(viewer: napari.Viewer, tmp_path: Path) -> None:
    source = write_tiff(tmp_path / "scan.tif")
    (below,) = viewer.open(source, plugin=PLUGIN)
    below.contrast_limits, below.colormap = (90, 140), "magma"
    viewer.add_points(np.zeros((1, 3)), name="points")
    output = converted(source)
    menus.show_in_napari(viewer, [output])
    settle(viewer)
    assert [layer.name for layer in viewer.layers] == ["scan.tif", "scan", "points"]
    layer = viewer.layers["scan"]
    assert (layer.visible, below.visible) == (True, False)
    assert layer.contrast_limits == [90, 140]
    assert layer.colormap.name == "magma"
    assert layer.source.path == str(output)
    assert viewer.canvas.overlays.scale_bar.visible
    layer.visible = False
    menus.show_in_napari(viewer, [str(output)])  # it is there already
    assert len(viewer.layers) == 3
    assert layer.visible
    assert viewer.layers.selection.active is layer


def test_of_several_outputs_the_last_one_is_visible(viewer: napari.Viewer, tmp_path: Path) -> None:
    sources = [write_tiff(tmp_path / f"{name}.tif", seed) for seed, name in enumerate("ab")]
    viewer.open(sources[0], plugin=PLUGIN)
    menus.show_in_napari(viewer, [converted(source) for source in sources])
    assert [layer.name for layer in viewer.layers] == ["a.tif", "a", "b"]
    assert [layer.name for layer in viewer.layers if layer.visible] == ["b"]


def test_an_output_that_is_gone_is_an_error(
    viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[str] = []
    monkeypatch.setattr(menus, "show_error", errors.append)
    menus.show_in_napari(viewer, [tmp_path / "gone.ome.zarr"])
    assert len(errors) == 1
    assert not viewer.layers
