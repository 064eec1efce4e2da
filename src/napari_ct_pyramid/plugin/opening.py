"""Opens what lies on another machine in the background: napari itself would wait for the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from napari.utils.notifications import show_error

from napari_ct_pyramid.errors import CtPyramidError, UnfinishedError, sentence
from napari_ct_pyramid.storage.paths import AnyPath

from .after_opening import prepare_layers, resume_later
from .background import Background
from .notices import tell_notes
from .viewer_hooks import layer_source
from .wording import wording

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from .layer_settings import LayerData

    Read = Callable[[], tuple[list[LayerData], list[tuple[str, list[str]]]]]


def open_in_background(viewer: Viewer, folder: AnyPath, read: Read) -> None:
    """Add the layers of an OME-Zarr to a window when they are read. An error is a notice.

    Parameters
    ----------
    viewer : napari.Viewer
    folder : path
    read : callable
        Gives the layers, and of each image its name with sentences about it. A thread calls it.
    """

    def work() -> tuple[list[Any], list[tuple[str, list[str]]]]:
        layers, notes = read()
        with layer_source(folder):
            return [Layer.create(*layer) for layer in layers], notes

    def show(found: tuple[list[Any], list[tuple[str, list[str]]]]) -> None:
        layers, notes = found
        for layer in layers:
            viewer.add_layer(layer)
        for name, texts in notes:
            tell_notes(name, texts)
        prepare_layers()

    def fail(error: CtPyramidError) -> None:
        if isinstance(error, UnfinishedError):
            resume_later(folder)
        else:
            show_error(sentence(error, wording))

    Background(viewer, f"Opening {folder.name}", work, show, fail)
