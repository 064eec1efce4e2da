"""Few requests to a web server show the first picture of a volume, no chunk is fetched twice, and a slow server does
not stop the window.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from napari.settings import get_settings

import napari_ct_pyramid as ct
from napari_ct_pyramid.neuroglancer.server import FolderServer, RequestHandler
from napari_ct_pyramid.plugin import menus
from napari_ct_pyramid.plugin.background import Background
from napari_ct_pyramid.plugin.edit_dialog import EditDialog
from tests.helpers.dock import wait_until
from tests.helpers.screen import PLUGIN, drop, settle

VOXELS = np.random.default_rng(0).integers(0, 999, (64, 256, 256)).astype("u2")


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests to servers of this process."""
    found: list[str] = []
    send = RequestHandler._send_file

    def counted(self: RequestHandler, path: str) -> None:
        found.append(f"{self.command} {path} {self.headers.get('Range')}")
        send(self, path)

    monkeypatch.setattr(RequestHandler, "_send_file", counted)
    return found


@pytest.fixture(params=[{}, {"ome_zarr_version": "0.5"}, {"ome_zarr_version": "0.6"}], ids=str)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    options: dict[str, Any] = request.param
    ct.convert(VOXELS, tmp_path / "scan.ome.zarr", chunks=64, num_levels=3, **options)
    with FolderServer({"files": tmp_path}) as server:
        yield f"{server.url}files/scan.ome.zarr"


def test_the_first_picture(viewer: napari.Viewer, address: str, requests: list[str]) -> None:
    (layer,) = viewer.open(address, plugin=PLUGIN)
    settle(viewer)
    coarse = next(n for n, request in enumerate(requests) if re.search(r"zarr/0/(c/)?\d", request))
    assert coarse < 10  # for the first picture, which is of the coarsest level
    assert len(requests) < 20 if "zarr.json" in requests[1] else len(requests) <= coarse + 16  # a chunk each
    requests.clear()
    np.testing.assert_array_equal(np.asarray(layer.data[0][5]), VOXELS[5])
    assert len(requests) == len(set(requests)) <= 16
    requests.clear()
    np.testing.assert_array_equal(np.asarray(layer.data[0][6:9, 3:200:5]), VOXELS[6:9, 3:200:5])
    requests.clear()
    np.testing.assert_array_equal(np.asarray(layer.data[0][40]), VOXELS[40])
    assert not requests  # it is of chunks that were fetched


class Slow:
    """Holds the answers of the servers of this process back, for some seconds at most."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._may_answer = threading.Event()
        self._may_answer.set()
        send = RequestHandler._send_file

        def late(handler: RequestHandler, path: str) -> None:
            self._may_answer.wait(5)
            send(handler, path)

        monkeypatch.setattr(RequestHandler, "_send_file", late)

    def stop(self) -> None:
        self._may_answer.clear()

    def go_on(self) -> None:
        self._may_answer.set()


@pytest.fixture
def _remembered_choice() -> Iterator[None]:
    """The user has chosen our reader once and for all."""
    before = get_settings().plugins.extension2reader
    get_settings().plugins.extension2reader = {"*.zarr": PLUGIN}
    yield
    get_settings().plugins.extension2reader = before


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    return Slow(monkeypatch)


@pytest.mark.usefixtures("_remembered_choice")
def test_an_address_that_is_dropped_is_opened_in_the_background(
    viewer: napari.Viewer, slow: Slow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[str] = []
    monkeypatch.setattr("napari_ct_pyramid.plugin.opening.show_error", errors.append)
    ct.convert(VOXELS, tmp_path / "scan.ome.zarr", chunks=64, num_levels=3, voxel_size=2, unit="um")
    with FolderServer({"files": tmp_path}) as server:
        address = f"{server.url}files/scan.ome.zarr"
        slow.stop()
        drop(viewer, address)
        assert not viewer.layers  # the window did not wait
        slow.go_on()
        wait_until(lambda: viewer.layers)
        (layer,) = viewer.layers
        settle(viewer)
        (read,) = viewer.open(address, plugin=PLUGIN)
        assert (layer.name, tuple(layer.scale), layer.units) == ("scan", (2, 2, 2), read.units)
        assert layer.source == read.source
        assert np.array_equal(np.asarray(layer.data[0][40]), VOXELS[40])
        drop(viewer, f"{server.url}files/gone.zarr")
        wait_until(lambda: errors)
        assert "gone.zarr" in errors[0]
        assert len(viewer.layers) == 2


def test_the_dialog_that_edits_waits_for_the_server_in_the_background(
    viewer: napari.Viewer, slow: Slow, tmp_path: Path
) -> None:
    ct.convert(VOXELS, tmp_path / "scan.ome.zarr", chunks=64, num_levels=3)
    with FolderServer({"files": tmp_path}) as server:
        viewer.open(f"{server.url}files/scan.ome.zarr", plugin=PLUGIN)
        slow.stop()
        menus.edit_layer()
        window = viewer.window._qt_window
        assert not window.findChildren(EditDialog)
        slow.go_on()
        wait_until(lambda: window.findChildren(EditDialog))
        (dialog,) = window.findChildren(EditDialog)
        dialog.name.setText("other")
        dialog.save()
        assert not dialog.buttons.isEnabled()
        wait_until(lambda: not Background.under_way)
        assert dialog.problem.text()  # a web server takes nothing
        assert dialog.buttons.isEnabled()
        dialog.reject()


@pytest.mark.usefixtures("_remembered_choice")
def test_an_address_opens_in_the_window_that_it_was_dropped_on(viewer: napari.Viewer, tmp_path: Path) -> None:
    ct.convert(VOXELS, tmp_path / "scan.ome.zarr", chunks=64, num_levels=3)
    other = napari.Viewer(show=False)  # the current one
    try:
        with FolderServer({"files": tmp_path}) as server:
            drop(viewer, f"{server.url}files/scan.ome.zarr")
            wait_until(lambda: not Background.under_way)
        assert not other.layers
        assert [layer.name for layer in viewer.layers] == ["scan"]
    finally:
        other.close()


@pytest.mark.usefixtures("_remembered_choice")
@pytest.mark.parametrize("by_user", [False, True])
def test_a_window_that_is_closed_while_a_server_is_slow_gets_no_layer(
    viewer: napari.Viewer, slow: Slow, tmp_path: Path, by_user: bool
) -> None:
    ct.convert(VOXELS, tmp_path / "scan.ome.zarr", chunks=64, num_levels=3)
    with FolderServer({"files": tmp_path}) as server:
        slow.stop()
        drop(viewer, f"{server.url}files/scan.ome.zarr")
        (viewer.window._qt_window if by_user else viewer).close()
        slow.go_on()
        wait_until(lambda: not Background.under_way)
    assert not viewer.layers
