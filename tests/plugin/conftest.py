"""Windows by the hundred: the tests of a module share two, one that is shown and one that is not.

Each test finds them empty; one that leaves something running or lying about fails.
"""

from __future__ import annotations

import copy
import functools
import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import napari
import npe2
import npe2.manifest._bases as manifests
import pytest
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_ct_pyramid.sources import lazy_levels
from tests.helpers.dock import wait_until
from tests.helpers.screen import settle


@pytest.fixture(autouse=True, scope="session")
def _fast_windows() -> Iterator[None]:
    """Manifests are parsed once, and the collections of garbage around each window leave what was imported alone."""
    import napari._qt.qt_main_window  # noqa: F401

    parse = functools.cache(manifests._load_yaml_no_duplicates)

    def parse_once(stream: Any) -> Any:
        return copy.deepcopy(parse(stream if isinstance(stream, str) else stream.read()))

    gc.collect()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifests, "_load_yaml_no_duplicates", parse_once)
        yield
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def _no_other_readers() -> None:
    """napari-ome-zarr is here to be tried on its own; else napari would ask which of the two is to open a folder."""
    npe2.PluginManager.instance().disable("napari-ome-zarr")


@pytest.fixture
def hidden_viewer(_windows: _Windows, tmp_path: Path) -> Iterator[napari.Viewer]:
    """A window that is not shown, which saves drawing it. (The folder of the test outlives what goes on in it.)"""
    with _windows.lent(show=False) as viewer:
        yield viewer


@pytest.fixture
def shown_viewer(_windows: _Windows, tmp_path: Path) -> Iterator[napari.Viewer]:
    """A window on the screen."""
    with _windows.lent(show=True) as viewer:
        yield viewer


@pytest.fixture
def viewer(hidden_viewer: napari.Viewer) -> napari.Viewer:
    """Where nothing is said of what is on the screen."""
    return hidden_viewer


@pytest.fixture
def small_viewer(shown_viewer: napari.Viewer) -> napari.Viewer:
    """A small window on the screen: without a graphics card, drawing takes long."""
    shown_viewer.window.resize(800, 560)
    settle(shown_viewer)
    return shown_viewer


@pytest.fixture
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """TIFFs of more than 4 kB have a sample for 3D."""
    monkeypatch.setattr(lazy_levels, "SAMPLE_BYTES", 4_000)


@pytest.fixture(scope="module")
def _windows(qapp: QApplication) -> Iterator[_Windows]:
    """What `make_napari_viewer` does for each test, for all those of a module."""
    from app_model import Application
    from napari._app_model._app import NapariApplication, _napari_names
    from napari._qt._qapp_model.qactions import init_qactions
    from napari._qt.qt_viewer import QtViewer
    from napari.plugins import _initialize_plugins
    from napari.settings import get_settings

    def console(*_: Any) -> QWidget:
        widget = QWidget()
        widget._update_theme = lambda *_: None
        return widget

    app = NapariApplication("windows")
    app.injection_store.namespace = _napari_names
    windows = _Windows()
    get_settings().reset()
    _initialize_plugins.cache_clear()
    init_qactions.cache_clear()
    with (
        patch.object(NapariApplication, "get_app_model", return_value=app),
        patch("napari._qt.threads.status_checker.StatusChecker.start"),
        patch.object(QtViewer, "_get_console", console),
    ):
        yield windows
        windows.close()
    Application.destroy("windows")
    _initialize_plugins.cache_clear()
    init_qactions.cache_clear()
    get_settings().reset()
    assert not windows.held(), "somebody holds on to a window that was closed"


class _Windows:
    """The windows of a module; those that a test closed are made anew."""

    def __init__(self) -> None:
        self._made: dict[bool, napari.Viewer] = {}
        self._closed: list[weakref.ref[Any]] = []

    @contextmanager
    def lent(self, *, show: bool) -> Iterator[napari.Viewer]:
        """An empty window, to be emptied afterwards."""
        from napari._qt.qt_main_window import _QtMainWindow

        from napari_ct_pyramid.plugin.widget.widget import ConvertWidget

        viewer = self._made.get(show)
        if viewer is None or viewer not in napari.Viewer._instances:
            viewer = self._made[show] = napari.Viewer(show=show, show_welcome_screen=False)
            if show:
                handle = viewer.window._qt_window.windowHandle()
                wait_until(handle.isExposed)
            gc.collect()
            gc.freeze()  # it is not garbage yet
        window = viewer.window._qt_window
        _QtMainWindow._instances.sort(key=lambda one: one is window)  # the last is the one that is active
        size = window.size()
        try:
            yield viewer
            _come_to_rest()
            if viewer in napari.Viewer._instances:
                _empty(viewer)
                window.resize(size)
            for widget in QApplication.topLevelWidgets():
                if isinstance(widget, ConvertWidget):  # docked no more, or never
                    widget.deleteLater()
            QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
            gc.collect()
        except BaseException:  # whatever it left, the next test is not to suffer from it
            self.close()
            raise

    def close(self) -> None:
        """Close all that are open."""
        while self._made:
            _, viewer = self._made.popitem()
            if _is_open(viewer):
                self._closed.append(weakref.ref(viewer.window._qt_viewer))
                with patch.object(viewer.window._qt_window, "_save_current_window_settings"):
                    viewer.close()

    def held(self) -> list[Any]:
        """Those that were closed, and are still there."""
        QApplication.processEvents()
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        return [there for one in self._closed if (there := one()) is not None]


def _is_open(viewer: napari.Viewer) -> bool:
    return viewer in napari.Viewer._instances


def _come_to_rest() -> None:
    """Let what goes on in the background end, which no test may leave for long."""
    from superqt.utils import WorkerBase

    from napari_ct_pyramid.plugin.preview import LivePreview
    from napari_ct_pyramid.plugin.widget.jobs import Job
    from napari_ct_pyramid.plugin.widget.queue import Queue

    def under_way() -> list[Any]:
        threads = [t.name for t in threading.enumerate() if t.name.startswith("ct-pyramid-preview")]
        return [*Job.under_way, *Queue.under_way, *LivePreview.under_way(), *WorkerBase._worker_set, *threads]

    try:
        wait_until(lambda: not under_way(), seconds=60)
    except AssertionError:
        raise AssertionError(f"left under way: {under_way()}") from None


def _empty(viewer: napari.Viewer) -> None:
    """Make a window as if it were new."""
    from napari._qt.dialogs.qt_notification import NapariQtNotification
    from napari._qt.widgets.qt_progress_bar import QtLabeledProgressBar
    from napari.utils.notifications import notification_manager

    viewer.window.remove_dock_widget("all")
    viewer.layers.clear()
    viewer.dims.ndisplay = 2
    viewer.dims.order = tuple(range(viewer.dims.ndim))
    notification_manager.records.clear()
    for notification in list(NapariQtNotification._instances):
        notification.close()
    QApplication.processEvents()
    bars = viewer.window._qt_window._activity_dialog.findChildren(QtLabeledProgressBar)
    assert not [bar for bar in bars if bar.isVisibleTo(viewer.window._qt_window._activity_dialog)]
