"""Voxels without a header in the widget: the fields appear, a guess is offered, and the viewer shows how it is read."""

from __future__ import annotations

from pathlib import Path

import napari
import numpy as np
import pytest

from napari_ct_pyramid import open_pyramid
from napari_ct_pyramid.plugin.origins import layer_input
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget, WidgetState
from tests.helpers.dock import add_widget, offers, press, said, wait_for, wait_until
from tests.helpers.tiffs import coordinates

VOXELS = coordinates((32, 48, 64), "uint16")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "s_64x48x32_16bit.raw"
    path.write_bytes(VOXELS.tobytes())
    return path


def shown(viewer: napari.Viewer) -> np.ndarray:
    (layer,) = viewer.layers
    return np.asarray(layer.data[0])


def fields_are_shown(widget: ConvertWidget) -> bool:
    return widget.form.folds["Raw file"].isVisibleTo(widget)


def test_a_guess_is_offered_shown_and_converted(viewer: napari.Viewer, raw: Path) -> None:
    widget = add_widget(viewer)
    widget.set_source(raw)
    wait_for(widget, WidgetState.WRONG)
    assert fields_are_shown(widget)
    assert not viewer.layers
    assert " --raw" not in said(widget)
    (words,) = offers(widget)
    assert "32 × 48 × 64" in words
    assert "uint16" in words
    press(widget, words)
    wait_for(widget, WidgetState.READY)
    np.testing.assert_array_equal(shown(viewer), VOXELS)
    asked = layer_input(viewer.layers[0])
    assert asked.source == str(raw)
    assert asked.options["raw_shape"] == VOXELS.shape
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    level = open_pyramid(raw.with_name("s_64x48x32_16bit.ome.zarr")).levels[0].array
    np.testing.assert_array_equal(np.asarray(level), VOXELS)


def test_the_layer_follows_the_fields(viewer: napari.Viewer, raw: Path) -> None:
    widget = add_widget(viewer)
    widget.set_source(raw)
    wait_for(widget, WidgetState.WRONG)
    widget.form.options.set("raw_shape", (32, 64, 48))
    widget.form.options.set("raw_dtype", "uint16")
    wait_for(widget, WidgetState.READY)
    np.testing.assert_array_equal(shown(viewer), VOXELS.reshape(32, 64, 48))
    widget.form.options.set("raw_shape", VOXELS.shape)
    wait_until(lambda: shown(viewer).shape == VOXELS.shape)
    widget.form.options.set("raw_dtype", ">u2")
    wait_until(lambda: shown(viewer)[0, 0, 1] == VOXELS[0, 0, 1].byteswap())
    widget.form.options.set("raw_offset", 2)
    wait_for(widget, WidgetState.WRONG)
    assert "196,608" in said(widget)


def test_another_source_has_no_such_fields(viewer: napari.Viewer, raw: Path, source: Path) -> None:
    widget = add_widget(viewer)
    widget.set_source(raw)
    wait_for(widget, WidgetState.WRONG)
    widget.set_source(source)
    wait_for(widget, WidgetState.READY)
    assert not fields_are_shown(widget)
    assert widget.form.options.options().raw_shape is None
