"""Shows voxels without a header as the options read them: whether shape and type are right is seen at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ct_pyramid.options import SourceOptions

from .after_opening import prepare_layers
from .layers import RAW, raw_options, source_layer

if TYPE_CHECKING:
    from napari.viewer import Viewer


def show_raw(viewer: Viewer, source: str, options: SourceOptions) -> None:
    """Show a file as its shape, type and offset in the options read it; nothing if they state no shape.

    The layer takes the place of one that shows the same file in another way.

    Raises
    ------
    SourceError
        If the file does not fit the options.
    """
    if options.raw_shape is None:
        return
    wanted = raw_options(options)
    shown = [layer for layer in viewer.layers if _shows(layer, source)]
    if any(layer.metadata[RAW] == wanted for layer in shown):
        return
    levels, settings, _ = source_layer(Path(source), SourceOptions(**wanted))
    for layer in shown:
        viewer.layers.remove(layer)
    viewer.add_image(levels, **settings)
    if shown:
        viewer.reset_view()  # the shape is another one
    prepare_layers()


def _shows(layer: Any, source: str) -> bool:
    return RAW in layer.metadata and layer.metadata.get("path") == source
