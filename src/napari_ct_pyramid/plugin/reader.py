"""napari's reader contributions: OME-Zarr images, and all other volumes, as lazy layers.

napari imports this module for every file that a user opens, so the functions import slow modules themselves. A
function that returns None declines: napari's own reader then opens the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ct_pyramid.errors import CtPyramidError, SourceError, UnfinishedError, UnknownShapeError, sentence
from napari_ct_pyramid.storage.paths import OME_ZARR, AnyPath, image_path
from napari_ct_pyramid.storage.remote_path import RemotePath
from napari_ct_pyramid.storage.zip_path import ZipPath

if TYPE_CHECKING:
    from .layer_settings import LayerData


Reader = Callable[[Any], list[Any]]

_NO_LAYERS: list[Any] = [(None,)]  # by this, npe2 knows that a reader has done its work without a layer


def get_ome_zarr_reader(path: str | Sequence[str]) -> Reader | None:
    """A function that reads a folder, if that is an OME-Zarr image or an unfinished conversion; otherwise None.

    Also for a group that stands for images: labels alone, or a collection of one image. A plate, and a collection of
    several images, are declined. napari calls this for every folder that a user opens.
    """
    from napari_ct_pyramid.omezarr.kind import looks_like_image

    paths = _paths(path)
    if len(paths) != 1:
        return None
    folder = image_path(paths[0])
    if looks_like_image(folder) or (isinstance(folder, Path) and _images_in(folder)):
        return _in_window(lambda: _read_ome_zarr(folder))
    return None


def get_volume_reader(path: str | Sequence[str]) -> Reader | None:
    """A function that reads a volume of any other format; None for a color picture, a time series, or a single slice.

    Slices that are opened together are one volume, and so is a folder of slices.
    """
    paths = _paths(path)
    if not all(map(os.path.exists, paths)):  # nor is it in an object store
        return None
    from .slices import source_of

    source = source_of(paths)
    if source is None:
        return None
    if source.is_open:
        return lambda _: _NO_LAYERS
    return _in_window(lambda: _read_source(source.input, source.notice))


def get_other_reader(path: str | Sequence[str]) -> Reader | None:
    """Napari's own reader, for what the other two decline.

    If a user has chosen this plugin for all files of a kind, napari asks no other plugin, and would report an error.
    """
    paths = _paths(path)
    if get_ome_zarr_reader(paths) or get_volume_reader(paths):
        return None
    return _in_window(lambda: _read_with_napari(paths))


def _paths(path: str | Sequence[str]) -> list[str]:
    return [path] if isinstance(path, str) else list(path)


def _images_in(folder: AnyPath) -> tuple[AnyPath, ...]:
    from napari_ct_pyramid.omezarr.collection import images_in

    try:
        return images_in(folder)
    except OSError:
        return ()


def _images_of(folder: AnyPath) -> tuple[AnyPath, ...]:
    """The images to show. In an object store, a path is taken for an image: each look is a request."""
    if isinstance(folder, RemotePath) and folder.name.endswith(OME_ZARR):
        return (folder,)
    return _images_in(folder) or (folder,)


def _in_window(read: Callable[[], list[Any]]) -> Reader:
    """A reader that reports an error as a notice in the window, where napari would show a traceback.

    In a script, it raises the error.
    """

    def reader(_path: Any) -> list[Any]:
        from napari.utils.notifications import show_error

        from .viewer_hooks import is_opened_in_window
        from .wording import wording

        try:
            return read()
        except CtPyramidError as error:
            if not is_opened_in_window():
                raise
            show_error(sentence(error, wording))
            return _NO_LAYERS

    return reader


def _read_ome_zarr(folder: AnyPath) -> list[LayerData]:
    from .after_opening import prepare_layers, resume_later
    from .notices import tell_notes
    from .viewer_hooks import is_opened_in_window, opening_viewer

    is_remote = isinstance(folder, RemotePath) and not (isinstance(folder, ZipPath) and folder.is_local)
    if is_remote and (viewer := opening_viewer()):
        from .opening import open_in_background

        open_in_background(viewer, folder, lambda: _layers_of(folder))
        return _NO_LAYERS
    try:
        layers, notes = _layers_of(folder)
    except UnfinishedError:
        if not is_opened_in_window():
            raise
        resume_later(folder)
        return _NO_LAYERS
    for name, texts in notes:
        tell_notes(name, texts)
    prepare_layers()
    return layers


def _layers_of(folder: AnyPath) -> tuple[list[LayerData], list[tuple[str, list[str]]]]:
    """The layers of the images in a folder, and of each image its name with what of it was not understood."""
    from napari_ct_pyramid.omezarr.reader import open_pyramid

    from .label_layers import labels_of_image
    from .layers import pyramid_layers

    layers: list[LayerData] = []
    said: list[tuple[str, list[str]]] = []
    for image in _images_of(folder):
        pyramid = open_pyramid(image)
        labels, notes = labels_of_image(pyramid)
        layers += pyramid_layers(pyramid) + labels
        said.append((pyramid.name, [*pyramid.notes, *notes]))
    return layers, said


def _read_source(source: str, notice: str) -> list[LayerData]:
    from napari.utils.notifications import show_info

    from .after_opening import prepare_layers
    from .layers import source_layer
    from .viewer_hooks import is_opened_in_window
    from .wording import wording

    try:
        layer = source_layer(Path(source))
    except UnknownShapeError as error:
        if not is_opened_in_window():
            raise
        prepare_layers(convertible=source)  # the widget has fields for what the file does not state
        show_info(sentence(error, wording))
        return _NO_LAYERS
    if notice and is_opened_in_window():
        show_info(notice)
    prepare_layers(convertible=source)
    return [layer]


def _read_with_napari(paths: list[str]) -> list[Any]:
    import npe2

    from .slices import offer_all_slices
    from .viewer_hooks import is_opened_in_window

    _check_no_group(image_path(paths[0]))
    try:
        layers = npe2.read(paths, stack=len(paths) > 1, plugin_name="napari")
    except Exception as error:  # readers of napari raise errors of every kind
        what = str(error).strip().split("\n")[0] or type(error).__name__
        raise SourceError(f"{paths[0]} is no volume, and napari's own reader cannot open it: {what}") from error
    if is_opened_in_window() and len(paths) == 1:
        offer_all_slices(Path(paths[0]))
    return layers


def _check_no_group(path: AnyPath) -> None:
    """Raise the error of opening a Zarr group that is no image: napari would show some array in it."""
    from napari_ct_pyramid.omezarr.kind import kind_of

    if isinstance(path, Path) and path.is_dir() and kind_of(path) == "group":
        from napari_ct_pyramid.omezarr.reader import open_pyramid

        open_pyramid(path)
