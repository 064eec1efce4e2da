"""The menu command that opens the widget, and files filled in in it. (A window stands in for napari's.)"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import napari
import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_ct_pyramid.plugin import dock, menus
from napari_ct_pyramid.plugin.dock import PLUGIN, TITLE, show_in_widget
from napari_ct_pyramid.plugin.menus import convert_layer


class Window:
    """Notes what is asked of the window and of the widget in its dock."""

    def __init__(self, *, busy: bool = False) -> None:
        self.calls: list[str] = []
        self.sources: list[list[str]] = []
        self.dock = SimpleNamespace(show=lambda: self.calls.append("show"), raise_=lambda: self.calls.append("raise"))
        self.options: dict[str, Any] = {}
        self.widget = SimpleNamespace(
            busy=busy,
            set_sources=lambda paths: self.sources.append([str(p) for p in paths]),
            form=SimpleNamespace(options=SimpleNamespace(set=self.options.__setitem__)),
        )

    def add_plugin_dock_widget(self, plugin: str, title: str) -> tuple[Any, Any]:
        self.calls.append(f"{plugin}: {title}")
        return self.dock, self.widget


def viewer_with(window: Window, layer: Any = None) -> Any:
    selection = SimpleNamespace(active=layer)
    return SimpleNamespace(window=window, layers=SimpleNamespace(selection=selection))


@pytest.fixture
def infos(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What napari shows the user."""
    found: list[str] = []
    for module in (dock, menus):
        monkeypatch.setattr(module, "show_info", found.append)
    return found


def test_files_are_filled_in_in_the_widget_which_comes_to_the_front(infos: list[str]) -> None:
    window = Window()
    show_in_widget(viewer_with(window), [Path("a.tif"), Path("b.tif")])
    assert window.calls == [f"{PLUGIN}: {TITLE}", "show", "raise"]
    assert window.sources == [["a.tif", "b.tif"]]
    assert not infos


@pytest.mark.parametrize(("files", "name"), [(["x/a.tif"], "a.tif"), (["a.tif", "b.tif"], "2 files")])
def test_while_a_job_runs_a_message_states_that_files_wait(infos: list[str], files: list[str], name: str) -> None:
    window = Window(busy=True)
    show_in_widget(viewer_with(window), files)
    assert window.sources == [files]
    (info,) = infos
    assert name in info


def test_the_command_fills_in_the_selected_layer_and_its_options(
    monkeypatch: pytest.MonkeyPatch, infos: list[str]
) -> None:
    window, layer = Window(), Labels(np.zeros((4, 4, 4), int), name="pores")
    monkeypatch.setattr(napari, "current_viewer", lambda: viewer_with(window, layer))
    convert_layer()
    assert window.sources == [["The layer pores"]]
    assert window.options == {"method": "mode"}
    assert not infos


def test_a_layer_that_cannot_be_converted_is_an_error(monkeypatch: pytest.MonkeyPatch, infos: list[str]) -> None:
    window, errors = Window(), []
    monkeypatch.setattr(menus, "show_error", errors.append)
    monkeypatch.setattr(napari, "current_viewer", lambda: viewer_with(window, Image(np.zeros((4, 4)))))
    convert_layer()
    assert len(errors) == 1
    assert not window.calls


def test_the_command_asks_for_a_layer(monkeypatch: pytest.MonkeyPatch, infos: list[str]) -> None:
    window = Window()
    monkeypatch.setattr(napari, "current_viewer", lambda: viewer_with(window))
    convert_layer()
    assert len(infos) == 1
    assert not window.calls


def test_without_a_viewer_the_command_does_nothing(monkeypatch: pytest.MonkeyPatch, infos: list[str]) -> None:
    monkeypatch.setattr(napari, "current_viewer", lambda: None)
    convert_layer()
    assert not infos
