"""What the plugin needs of napari's private parts, each against the napari that is installed."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from napari.layers import Image

from napari_ct_pyramid.plugin import viewer_hooks
from napari_ct_pyramid.plugin.viewer_hooks import (
    SMALLEST_TEXTURE,
    change_status,
    connect_before_napari,
    is_opening_files,
    largest_texture,
    layer_source,
    on_canvas_drawn,
    open_viewers,
    short_switch_interval,
)
from tests.helpers.dock import wait_until
from tests.helpers.omezarr import flat_indices, write_image
from tests.helpers.screen import PLUGIN


def test_all_open_viewers_are_found(hidden_viewer: napari.Viewer, shown_viewer: napari.Viewer) -> None:
    assert open_viewers() == {hidden_viewer, shown_viewer}


def test_it_is_known_when_napari_opens_files(
    viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[bool] = []
    viewer.layers.events.inserted.connect(lambda _: found.append(is_opening_files()))
    viewer.open(write_image(tmp_path / "a.zarr", [flat_indices((4, 8, 8))]), plugin=PLUGIN)
    viewer.add_image(np.zeros((4, 4)))
    assert found == [True, False]


def test_a_layer_has_the_source_of_one_that_our_reader_opened(viewer: napari.Viewer, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 8, 8))])
    with layer_source(path):
        layer = Image(np.zeros((4, 4)))
    (opened,) = viewer.open(path, plugin=PLUGIN)
    assert layer.source == opened.source
    assert Image(np.zeros((4, 4))).source != opened.source


def test_drawing_calls_a_function_until_it_is_disconnected(shown_viewer: napari.Viewer) -> None:
    drawn: list[bool] = []
    stop = on_canvas_drawn(shown_viewer, lambda: drawn.append(True))
    shown_viewer.add_image(np.ones((8, 8)))
    wait_until(lambda: drawn)
    stop()
    drawn.clear()
    shown_viewer.screenshot(canvas_only=True, flash=False)
    assert not drawn


@pytest.mark.usefixtures("viewer")
def test_the_graphics_card_is_asked_for_its_largest_texture() -> None:
    assert largest_texture() >= SMALLEST_TEXTURE


def test_a_callback_comes_before_those_of_napari(viewer: napari.Viewer) -> None:
    calls: list[Any] = []
    layer = viewer.add_image(np.zeros((4, 4, 4)))
    layer.events.set_data.connect(lambda _: calls.append("napari has read"))
    connect_before_napari(viewer.dims.events.ndisplay, lambda: calls.append("ours"))
    viewer.dims.ndisplay = 3
    assert calls[0] == "ours"
    assert "napari has read" in calls


def test_a_status_is_changed() -> None:
    layer = Image(np.arange(16.0).reshape(4, 4))
    before = layer.get_status((1, 2), world=True)

    def add_unit(changed: Any, status: dict[str, str], voxel: Any) -> None:
        assert (changed, voxel) == (layer, 6.0)
        status["value"] += " m"

    change_status(layer, add_unit)
    assert layer.get_status((1, 2), world=True) == {**before, "value": before["value"] + " m"}


def test_threads_take_turns_more_often_while_any_context_is_open() -> None:
    before = sys.getswitchinterval()
    contexts = short_switch_interval(), short_switch_interval()
    for context in contexts:
        context.__enter__()
        assert sys.getswitchinterval() < before
    contexts[0].__exit__(None, None, None)
    assert sys.getswitchinterval() < before
    contexts[1].__exit__(None, None, None)
    assert sys.getswitchinterval() == before


def test_no_other_module_imports_private_parts_of_napari() -> None:
    hooks = Path(viewer_hooks.__file__)
    private = re.compile(r"^\s*(?:from|import) (?:napari|magicgui|superqt)\S*\._", re.MULTILINE)
    assert [path.name for path in hooks.parent.rglob("*.py") if private.search(path.read_text("utf-8"))] == [hooks.name]
