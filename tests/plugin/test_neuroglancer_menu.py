"""Neuroglancer from napari: the menu command and the widget's button. No browser is opened."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import napari
import numpy as np
import pytest
from qtpy.QtWidgets import QPushButton

from napari_ct_pyramid.neuroglancer import viewer as neuroglancer
from napari_ct_pyramid.plugin import menus
from napari_ct_pyramid.plugin.menus import open_layers, show_in_neuroglancer
from napari_ct_pyramid.plugin.widget.widget import WidgetState
from tests.helpers.dock import add_widget, wait_for, write_tiff
from tests.helpers.omezarr import flat_indices, write_image, write_unfinished

PLUGIN = "napari-ct-pyramid"


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The addresses that were to be opened in a browser."""
    opened: list[str] = []
    monkeypatch.setattr(menus, "open_browser", lambda url: bool(opened.append(url)) or True)
    monkeypatch.setattr(menus, "_served", {})
    yield opened
    for served in menus._served.values():
        served.stop()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What napari tells the user."""
    said: list[str] = []
    for name in ("show_error", "show_info"):
        monkeypatch.setattr(menus, name, said.append)
    return said


def layers_in(url: str) -> list[str]:
    """The names of the layers of the view that an address leads to."""
    with urllib.request.urlopen(url, timeout=300) as answer:
        state = json.loads(unquote(answer.url.partition("#!")[2]))
    return [layer["name"] for layer in state["layers"]]


def image(path: Path, **more: Any) -> Path:
    return write_image(path, [flat_indices((8, 8, 8))], multiscales={"name": path.stem}, **more)


def test_the_command_is_in_the_menu_for_images(viewer: napari.Viewer, tmp_path: Path, opened: list[str]) -> None:
    from app_model.types import MenuItem
    from napari._app_model import get_app_model

    items = get_app_model().menus.get_menu("napari/layers/visualize")
    (item,) = [i for i in items if isinstance(i, MenuItem) and i.command.id == f"{PLUGIN}.neuroglancer"]
    assert item.command.title.startswith("Open in Neuroglancer")  # napari adds whose it is
    assert item.command.enablement is not None
    viewer.add_points(np.zeros((1, 3)))
    assert not item.command.enablement.eval(dict(viewer.layers._ctx))
    viewer.open(image(tmp_path / "a.ome.zarr"), plugin=PLUGIN)
    assert item.command.enablement.eval(dict(viewer.layers._ctx))
    get_app_model().commands.execute_command(item.command.id).result()
    (url,) = opened
    assert layers_in(url) == ["a.ome"]


def test_the_selected_layers_are_shown_together_and_each_volume_once(
    viewer: napari.Viewer, tmp_path: Path, opened: list[str]
) -> None:
    both = write_image(tmp_path / "c.zarr", [flat_indices((2, 8, 8, 8))], axes="czyx")
    for path in (image(tmp_path / "a.zarr"), both, image(tmp_path / "b.zarr")):
        viewer.open(path, plugin=PLUGIN)
    viewer.layers.selection = set(viewer.layers[:3])
    open_layers()
    assert layers_in(opened[0]) == ["a", "volume 0", "volume 1"]


def test_a_volume_opened_again_shows_its_present_state(
    viewer: napari.Viewer, tmp_path: Path, opened: list[str]
) -> None:
    path = image(tmp_path / "a.zarr")
    show_in_neuroglancer([path])
    image(path, unit=None).joinpath("0", ".zarray").touch()
    show_in_neuroglancer([path])
    assert opened[0] == opened[1]
    with urllib.request.urlopen(opened[1], timeout=300) as answer:
        assert json.loads(unquote(answer.url.partition("#!")[2]))["dimensions"]["x"] == [1, ""]


def test_layers_without_an_ome_zarr_are_not_shown(
    viewer: napari.Viewer, tmp_path: Path, opened: list[str], said: list[str]
) -> None:
    open_layers()
    viewer.add_image(np.zeros((4, 4, 4)))
    open_layers()
    viewer.open(write_tiff(tmp_path / "scan.tif"), plugin="napari")
    open_layers()
    assert len(said) == 3
    assert all("OME-Zarr" in words for words in said)
    assert not opened


def test_errors_are_shown_in_napari(
    viewer: napari.Viewer, tmp_path: Path, opened: list[str], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer.open(write_image(tmp_path / "a.zarr", [np.zeros((8, 8, 8))]), plugin=PLUGIN)
    open_layers()
    assert "float64" in said.pop()
    show_in_neuroglancer([write_unfinished(tmp_path / "part.zarr")])
    assert "unfinished" in said.pop()
    monkeypatch.setattr(neuroglancer, "find_spec", lambda name: None)
    show_in_neuroglancer([image(tmp_path / "b.zarr")])
    assert "pip install" in said.pop()
    assert not opened
    assert not said


def test_without_a_browser_napari_shows_the_address(
    viewer: napari.Viewer, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(menus, "open_browser", lambda url: False)
    show_in_neuroglancer([image(tmp_path / "a.zarr")])
    assert layers_in(said[0].rpartition(" ")[2]) == ["a"]


def test_the_widgets_button_shows_a_finished_conversion(
    viewer: napari.Viewer, tmp_path: Path, opened: list[str], said: list[str]
) -> None:
    widget = add_widget(viewer, write_tiff(tmp_path / "scan.tif"))
    widget.form.live.value = False
    widget.status_panel.convert.click()
    wait_for(widget, WidgetState.DONE)
    (button,) = [b for b in widget.status_panel.message.findChildren(QPushButton) if b.text() == "Neuroglancer"]
    assert not opened
    button.click()
    (url,) = opened
    assert layers_in(url) == ["scan"]
    assert not said
