"""The menu commands, in Layers > Data and Layers > Visualize.

Neuroglancer's volumes are served until napari closes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import napari
from napari.utils.notifications import show_error, show_info

from napari_ct_pyramid.errors import CtPyramidError, sentence
from napari_ct_pyramid.neuroglancer.browser import open_browser
from napari_ct_pyramid.neuroglancer.viewer import Neuroglancer
from napari_ct_pyramid.omezarr.reader import Pyramid, open_pyramid
from napari_ct_pyramid.storage.paths import AnyPath, any_path
from napari_ct_pyramid.storage.remote_path import RemotePath

from .background import Background
from .dock import open_widget
from .origins import layer_input
from .viewer_hooks import dialog_parent
from .wording import wording

if TYPE_CHECKING:
    from napari.viewer import Viewer


_NO_VOLUME = "Select the layer of a volume, then try again."
_NO_OME_ZARR = "Select a layer that was opened from an OME-Zarr, then try again."


def _selected(
    hint: str, fits: Callable[[Any], object] = lambda _layer: True, *, several: bool = False
) -> tuple[Viewer, list[Any]] | None:
    """The viewer, and the selected layer that a command fits, or all such layers; if there is none, say the hint."""
    viewer = napari.current_viewer()
    if viewer is None:
        return None
    chosen = viewer.layers.selection
    layers = [layer for layer in viewer.layers if layer in chosen] if several else [chosen.active]
    if fitting := [layer for layer in layers if layer is not None and fits(layer)]:
        return viewer, fitting
    show_info(hint)
    return None


def convert_layer() -> None:
    """Show the widget, with the selected layer filled in: a menu command of napari."""
    found = _selected(_NO_VOLUME)
    if found is None:
        return
    viewer, (layer,) = found
    try:
        asked = layer_input(layer)
    except CtPyramidError as error:
        show_error(sentence(error, wording))
        return
    widget = open_widget(viewer)
    if widget.busy:
        show_info(f"{layer.name} can be converted after the current job.")
    widget.set_sources([asked.source])
    if not widget.busy:
        for name, value in asked.options.items():
            widget.form.options.set(name, value)


def edit_layer() -> None:
    """Show the dialog for name, voxel size and contrast of the selected layer's OME-Zarr: a menu command of napari."""
    from .edit_dialog import EditDialog, is_editable

    if found := _selected(_NO_OME_ZARR, is_editable):
        viewer, (layer,) = found
        path = any_path(layer.metadata["path"])

        def show(pyramid: Pyramid) -> None:
            EditDialog(viewer, layer, pyramid, dialog_parent(viewer)).open()

        Background(viewer, f"Opening {path.name}", lambda: open_pyramid(path), show)


def export_layer() -> None:
    """Show the dialog that exports the volume of the selected layer: a menu command of napari."""
    if found := _selected(_NO_VOLUME):
        viewer, (layer,) = found
        _show_export_dialog(viewer, layer)


def export_output(viewer: Viewer, output: AnyPath) -> None:
    """Show a finished output, and the dialog that exports it."""
    from .placing import show_output

    try:
        layer = show_output(viewer, output)
    except CtPyramidError as error:
        show_error(sentence(error, wording))
    else:
        _show_export_dialog(viewer, layer)


def _show_export_dialog(viewer: Viewer, layer: Any) -> None:
    from .export_dialog import ExportDialog
    from .export_source import export_source

    try:
        source = export_source(layer)
    except CtPyramidError as error:
        show_error(sentence(error, wording))
    else:
        ExportDialog(viewer, layer, source, dialog_parent(viewer)).show()


def verify_layer() -> None:
    """Verify the OME-Zarr of the selected layer, of any program: a menu command of napari."""
    if found := _selected(_NO_OME_ZARR, _has_ome_zarr):
        viewer, layers = found
        audit_image(viewer, *ome_zarrs(layers))


def audit_image(viewer: Viewer, path: AnyPath) -> None:
    """Verify an OME-Zarr of any program, in a dialog."""
    from .verify_dialog import VerifyDialog

    VerifyDialog(path, dialog_parent(viewer)).show()


def save_contrast() -> None:
    """Write the contrast limits of the selected layers to their OME-Zarrs: a menu command of napari."""
    from .edit_dialog import has_contrast, is_editable
    from .edit_dialog import save_contrast as save

    if found := _selected(_NO_OME_ZARR, lambda layer: is_editable(layer) and has_contrast(layer), several=True):
        save(*found)


def show_in_napari(viewer: Viewer, outputs: Sequence[AnyPath | str]) -> None:
    """Show finished outputs, each in the place of its source's layer. Of several, the last one is visible."""
    from .placing import show_alone, show_output

    try:
        layers = [show_output(viewer, any_path(output)) for output in outputs]
    except CtPyramidError as error:
        show_error(sentence(error, wording))
        return
    if len(layers) > 1:
        show_alone(viewer, layers[-1])


_served: dict[tuple[AnyPath, ...], Neuroglancer] = {}


def open_layers() -> None:
    """Show the OME-Zarrs of the selected layers in Neuroglancer: a menu command of napari."""
    if found := _selected(_NO_OME_ZARR, _has_ome_zarr, several=True):
        show_in_neuroglancer(ome_zarrs(found[1]))


def show_in_neuroglancer(paths: Sequence[AnyPath]) -> None:
    """Show OME-Zarrs together in Neuroglancer, in the browser. An error is shown in napari."""
    key = tuple(path.absolute() for path in paths)
    try:
        if key in _served:
            _served[key].refresh()
        else:
            _served[key] = Neuroglancer(key)
    except CtPyramidError as error:
        show_error(sentence(error, wording))
        return
    url = _served[key].url
    if not open_browser(url):
        show_info(f"No browser could be opened. Open this address yourself: {url}")


def ome_zarrs(layers: Iterable[Any]) -> list[AnyPath]:
    """The OME-Zarrs that layers were opened from, each once."""
    paths = (getattr(layer, "metadata", {}).get("path") or layer.source.path for layer in layers)
    folders = map(any_path, dict.fromkeys(filter(None, paths)))
    return [folder for folder in folders if isinstance(folder, RemotePath) or folder.is_dir()]


def _has_ome_zarr(layer: Any) -> bool:
    return bool(ome_zarrs([layer]))
