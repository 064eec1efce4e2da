"""Everything that uses private parts of napari, or that affects the whole process, each with its reason.

No other module of the plugin does. Importing this module is cheap: each function imports what it needs.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from napari_ct_pyramid.storage.paths import AnyPath

if TYPE_CHECKING:
    from types import FrameType

    from napari.viewer import Viewer


SMALLEST_TEXTURE = 2048
"""Every graphics card takes this many voxels along each axis in 3D."""


def open_viewers() -> set[Viewer]:
    """All viewers whose windows are open in this process, active or not."""
    # Why: napari has a public name only for the active viewer, and `_instances` keeps a viewer whose window the user
    # has closed, while something refers to it. Seen in napari 0.9.2.
    import napari
    from napari._qt.qt_main_window import _QtMainWindow

    viewers = {*getattr(napari.Viewer, "_instances", ()), napari.current_viewer()} - {None}
    return {viewer for viewer in viewers if getattr(viewer.window, "_qt_window", None) in _QtMainWindow._instances}


def is_opening_files() -> bool:
    """Whether napari is opening several files at the moment. Between two of them, it lets Qt handle events."""
    # Why: napari has no event after the last of several files, so we look for its function on the stack. Seen in
    # napari 0.9.2.
    return _caller("open", "napari.components.viewer_model") is not None


def is_opened_in_window() -> bool:
    """Whether a user opens files in a window at the moment: by a drop or a menu, and not in a script."""
    # Why: an error is then a notice in the window, and not an exception that nobody can catch. napari has no public
    # way to find out. Seen in napari 0.9.2.
    return _caller("_qt_open", "napari._qt.qt_viewer") is not None


def opening_viewer() -> Viewer | None:
    """The viewer in whose window a user opens files at the moment, unless with settings for the layers."""
    # Why: a drop does not make its window the current one. The command line may give layers a type or a name, which
    # napari applies to what a reader returns. Seen in napari 0.9.2.
    frame = _caller("_qt_open", "napari._qt.qt_viewer")
    if frame is None or frame.f_locals.get("kwargs") or frame.f_locals.get("layer_type"):
        return None
    viewer: Viewer = frame.f_locals["self"].viewer
    return viewer


def is_saved_in_window() -> bool:
    """Whether a user saves layers in a window at the moment, and not in a script."""
    # Why: only then can the user be asked, and see progress. napari has no public way to find out. Seen in napari
    # 0.9.2.
    return _caller("_save_layers_dialog", "napari._qt.qt_viewer") is not None


def files_being_opened() -> list[str]:
    """The files and folders that napari is opening together at the moment; none if it opens nothing."""
    # Why: napari asks a reader for one file after another, and slices that are opened together are one volume. So we
    # look at the argument of its function. Seen in napari 0.9.2.
    frame = _caller("open", "napari.components.viewer_model")
    path = frame.f_locals.get("path") if frame else None
    if path is None:
        return []
    return [str(path)] if isinstance(path, str | Path) else [str(one) for one in path]


def _caller(function: str, module: str) -> FrameType | None:
    """The call of a function under way in this thread; None if there is none."""
    frame: FrameType | None = sys._getframe()
    while frame := frame.f_back if frame else None:
        if frame.f_code.co_name == function and frame.f_globals.get("__name__") == module:
            return frame
    return None


def keep_notices() -> None:
    """Let the notices that are shown stay in their corner until the user closes them: they have a button."""
    # Why: napari removes a notice after 4 seconds, too soon for a choice, and has no option for one notice. It places
    # a notice once, so that a canvas that shrinks, as when the controls of the first layer appear, cuts it off. Seen
    # in napari 0.9.2.
    from napari._qt.dialogs.qt_notification import NapariQtNotification
    from qtpy.QtCore import QEvent, QObject

    class Corner(QObject):
        def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: ARG002, N802
            if event.type() == QEvent.Type.Resize:
                notice: Any = self.parent()
                notice.geom_anim.stop()
                notice.move_to_bottom_right()
            return False

    for notice in NapariQtNotification._instances:
        notice.timer.stop()
        if notice.parent() and not notice.property("kept"):
            notice.setProperty("kept", True)
            notice.parent().installEventFilter(Corner(notice))


def dialog_parent(viewer: Viewer) -> Any:
    """The widget of the window, as the parent of a dialog."""
    # Why: napari has no public name for it. Seen in napari 0.9.2.
    return viewer.window._qt_window


def canvas_size(viewer: Viewer) -> tuple[int, int]:
    """Rows and columns of the canvas, in pixels."""
    # Why: napari 0.9 has the canvas as a public part of the viewer; older versions know only its size, privately.
    height, width = viewer.canvas.size if hasattr(viewer, "canvas") else viewer._canvas_size
    return int(height), int(width)


def scale_bar(viewer: Viewer) -> Any:
    """The scale bar of a viewer."""
    # Why: napari 0.9 has moved it, and warns of its old name, by which older versions know it.
    return viewer.canvas.overlays.scale_bar if hasattr(viewer, "canvas") else viewer.scale_bar


def camera(viewer: Viewer) -> Any:
    """The camera of a viewer."""
    # Why: the same.
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def fit_to_view(viewer: Viewer, layer: Any) -> None:
    """Move the camera so that all of a layer is visible."""
    # Why: older versions of napari than 0.9 can only show all layers.
    if hasattr(viewer, "fit_to_view"):
        viewer.fit_to_view(layers=[layer])
    else:
        viewer.reset_view()


def layer_source(path: AnyPath) -> AbstractContextManager[None]:
    """In this context, new layers get the source that our reader gives for `path`."""
    # Why: a layer's source is read-only, and napari sets it in this way around a call of a reader. Seen in napari
    # 0.9.2.
    from napari.layers._source import layer_source as napari_layer_source

    return napari_layer_source(path=str(path), reader_plugin="napari-ct-pyramid")


def on_canvas_drawn(viewer: Viewer, callback: Callable[[], None]) -> Callable[[], None]:
    """Call a function whenever the viewer's canvas is drawn, until the returned function is called."""
    # Why: napari has no public event for it. Seen in napari 0.9.2.
    event = viewer.window._qt_viewer.canvas._scene_canvas.events.draw

    def on_draw(_event: Any) -> None:
        callback()

    event.connect(on_draw)
    return lambda: event.disconnect(on_draw)


def largest_texture() -> int:
    """The largest number of voxels along an axis that the graphics card takes in 3D."""
    try:
        # Why: napari asks the graphics card, but has no public function for the answer. Seen in napari 0.9.2.
        from napari._vispy.utils.gl import get_max_texture_sizes

        return int(get_max_texture_sizes()[1] or SMALLEST_TEXTURE)
    except (ImportError, RuntimeError):
        return SMALLEST_TEXTURE


def connect_before_napari(event: Any, callback: Callable[[], None]) -> None:
    """Connect a function to a viewer's event, to be called before napari's own functions."""
    # Why: napari reads the voxels of the new view in a callback of its own. It calls the callbacks of its own modules
    # first, even those that were connected later. A level chosen after that is too late: for a cut along x, napari
    # would have read a whole TIFF. So the callback claims to come from napari. Seen in napari 0.9.2.
    callback.__module__ = "napari.plugins"
    event.connect(callback, position="first")


def change_status(layer: Any, change: Callable[[Any, dict[str, str], Any], None]) -> None:
    """From now on, let a function change the status of a layer, which napari shows in the status bar.

    Parameters
    ----------
    layer : napari.layers.Layer
    change : callable
        Called with the layer, its status, which it changes in place, and the voxel under the cursor: the status has
        only three digits of it.
    """
    # Why: napari gets the text of the status bar from a method of the layer, and has no hook to change it. So the
    # layer gets its own method. Seen in napari 0.9.2.
    get_status = type(layer).get_status
    reference = weakref.ref(layer)  # otherwise the layer would hold a reference to itself

    def changed_status(*args: Any, **kwargs: Any) -> dict[str, str]:
        there = reference()
        status: dict[str, str] = get_status(there, *args, **kwargs)
        change(there, status, _voxel_at(there, *args, **kwargs))
        return status

    layer.get_status = changed_status


def renew_status(viewer: Viewer, layer: Any) -> None:
    """From now on, renew the status bar also when a layer shows other voxels, and not only when the cursor moves."""
    # Why: napari asks for the status when the cursor moves, so that below a cursor that rests it went on showing the
    # NaN of a volume that was not written yet. The event is what a moving cursor sends. Seen in napari 0.9.2.
    reference = weakref.ref(viewer)  # the layer may live longer

    def renew(event: Any = None) -> None:  # noqa: ARG001
        if (there := reference()) is not None:
            there.cursor.events.position(value=there.cursor.position)

    layer.events.set_data.connect(renew)


def _voxel_at(layer: Any, position: Any = None, *, value: Any = None, **kwargs: Any) -> Any:
    """The voxel for which napari asks the status; None where there is none."""
    if value is None and position is not None:
        value = layer.get_value(position, **kwargs)
    return value[-1] if isinstance(value, tuple) else value  # of a multiscale layer, the level is first


# For the whole process

_SWITCH_INTERVAL = 0.0005  # seconds

_intervals_lock = Lock()
_intervals: list[float] = []  # the interval before each context that is still open


@contextmanager
def short_switch_interval() -> Iterator[None]:
    """Let Python's threads take turns more often, so that the window's thread waits less for the others."""
    # Why: the window's thread gives up the interpreter lock at each of its many calls into Qt. To get it back, it waits
    # for one switch interval of each thread that runs Python code. Measured, a call waits 5 ms beside one busy thread
    # and 25 ms beside four; with the short interval, 0.8 ms and 5 ms. Seen in CPython 3.11.
    with _intervals_lock:
        _intervals.append(sys.getswitchinterval())
        sys.setswitchinterval(min(_SWITCH_INTERVAL, _intervals[0]))
    try:
        yield
    finally:
        with _intervals_lock:
            before = _intervals[0]
            _intervals.pop()
            if not _intervals:
                sys.setswitchinterval(before)
