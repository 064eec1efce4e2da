"""napari's windows. The tests of a module share two, one on the screen and one hidden.

Each test gets them empty. A test fails if it leaves a job running or a bar in the activity dock.

Only here do the tests manage windows by private parts of napari (seen in 0.9.2). A new window for each test, as by
napari's own fixture, takes about a second; and napari has no public way to empty a window, or to list what runs in it.
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
from qtpy.QtCore import QCoreApplication, QEvent, QSettings
from qtpy.QtWidgets import QApplication, QWidget

from napari_ct_pyramid.plugin.viewer_hooks import open_viewers
from napari_ct_pyramid.plugin.widget import preferences
from napari_ct_pyramid.sources import lazy_levels
from tests.helpers.dock import wait_until
from tests.helpers.screen import settle


@pytest.fixture(autouse=True, scope="session")
def _fast_windows() -> Iterator[None]:
    """Each manifest is parsed once, and garbage collections around each window skip the imported modules."""
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
    """Without napari-ome-zarr, which has tests of its own: napari would ask which of the two opens a folder."""
    npe2.PluginManager.instance().disable("napari-ome-zarr")


@pytest.fixture(autouse=True)
def _no_preferences(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form remembers nothing of another test, and leaves the user's own settings alone."""
    path = str(tmp_path_factory.mktemp("preferences") / "converter.ini")
    monkeypatch.setattr(preferences, "settings", lambda: QSettings(path, QSettings.Format.IniFormat))


@pytest.fixture
def hidden_viewer(_windows: _Windows, tmp_path: Path) -> Iterator[napari.Viewer]:
    """A hidden window, which is never drawn. (It needs `tmp_path` so that jobs end before the folder is removed.)"""
    with _windows.borrowed(show=False) as viewer:
        yield viewer


@pytest.fixture
def shown_viewer(_windows: _Windows, tmp_path: Path) -> Iterator[napari.Viewer]:
    """A window on the screen."""
    with _windows.borrowed(show=True) as viewer:
        yield viewer


@pytest.fixture
def viewer(hidden_viewer: napari.Viewer) -> napari.Viewer:
    """The hidden window, for tests that do not look at the canvas."""
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
    """The windows of a module. This does once what napari's fixture `make_napari_viewer` does for each test."""
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
    assert not windows.leaked(), "a closed window is still referenced"


class _Windows:
    """The windows of a module. One that a test closed is made again."""

    def __init__(self) -> None:
        self._made: dict[bool, napari.Viewer] = {}
        self._closed: list[weakref.ref[Any]] = []

    @contextmanager
    def borrowed(self, *, show: bool) -> Iterator[napari.Viewer]:
        """Give a test an empty window, and empty the window afterwards."""
        from napari._qt.qt_main_window import _QtMainWindow

        from napari_ct_pyramid.plugin.widget.widget import ConvertWidget

        viewer = self._made.get(show)
        if viewer is None or not _is_open(viewer):
            viewer = self._made[show] = napari.Viewer(show=show, show_welcome_screen=False)
            if show:
                handle = viewer.window._qt_window.windowHandle()
                wait_until(handle.isExposed)
            gc.collect()
            gc.freeze()  # a new window is not garbage
        window = viewer.window._qt_window
        _QtMainWindow._instances.sort(key=lambda one: one is window)  # the last one is active
        size = window.size()
        try:
            yield viewer
            _wait_for_jobs()
            if _is_open(viewer):
                _empty(viewer)
                window.resize(size)
            for widget in QApplication.topLevelWidgets():
                if isinstance(widget, ConvertWidget):  # not in a dock
                    widget.deleteLater()
            QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
            gc.collect()
            gc.freeze()  # what is left are modules and windows: the next collection need not go through them again
        except BaseException:  # the next test must not suffer from what this one left
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

    def leaked(self) -> list[Any]:
        """Closed windows that still exist."""
        QApplication.processEvents()
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        return [there for one in self._closed if (there := one()) is not None]


def _is_open(viewer: napari.Viewer) -> bool:
    return viewer in open_viewers()


def _wait_for_jobs() -> None:
    """Wait until all jobs in the background have ended. A test must not leave one that never ends."""
    from superqt.utils import WorkerBase

    from napari_ct_pyramid.plugin.background import Background
    from napari_ct_pyramid.plugin.preview import LivePreview
    from napari_ct_pyramid.plugin.widget.jobs import Job
    from napari_ct_pyramid.plugin.widget.queue import Queue

    def under_way() -> list[Any]:
        threads = [t.name for t in threading.enumerate() if t.name.startswith("ct-pyramid-preview")]
        return [
            *Background.under_way,
            *Job.under_way,
            *Queue.under_way,
            *LivePreview.under_way,
            *WorkerBase._worker_set,
            *threads,
        ]

    try:
        wait_until(lambda: not under_way())
    except AssertionError:
        raise AssertionError(f"left under way: {under_way()}") from None


def _empty(viewer: napari.Viewer) -> None:
    """Make a window like a new one."""
    from napari._qt.dialogs.qt_notification import NapariQtNotification
    from napari._qt.widgets.qt_progress_bar import QtLabeledProgressBar
    from napari.utils.notifications import notification_manager

    viewer.window.remove_dock_widget("all")
    viewer.layers.clear()
    viewer.dims.ndisplay = 2
    viewer.canvas.overlays.scale_bar.visible = False
    viewer.dims.order = tuple(range(viewer.dims.ndim))
    notification_manager.records.clear()
    for notification in list(NapariQtNotification._instances):
        notification.close()
    QApplication.processEvents()
    bars = viewer.window._qt_window._activity_dialog.findChildren(QtLabeledProgressBar)
    assert not [bar for bar in bars if bar.isVisibleTo(viewer.window._qt_window._activity_dialog)]
