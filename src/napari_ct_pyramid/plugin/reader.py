"""napari's reader contributions: OME-Zarr images, and all other volumes, as lazy layers.

napari imports this module for every dropped file, so the functions import slow modules themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ct_pyramid.omezarr.kind import looks_like_image
from napari_ct_pyramid.storage.paths import AnyPath, any_path

if TYPE_CHECKING:
    from .layer_settings import LayerData


Reader = Callable[[Any], list["LayerData"]]


def get_ome_zarr_reader(path: str | Sequence[str]) -> Reader | None:
    """A function that reads a folder, if that is an OME-Zarr image; otherwise None.

    napari calls this for every folder that a user opens.
    """
    folder = _single_path(path)
    return (lambda _: _read_ome_zarr(folder)) if folder and looks_like_image(folder) else None


def get_tiff_reader(path: str | Sequence[str]) -> Reader | None:
    """A function that reads a TIFF or an HDF5 file, if there is one; otherwise None."""
    file = _single_path(path)
    return (lambda _: _read_source(file)) if isinstance(file, Path) and file.is_file() else None


def _single_path(path: str | Sequence[str]) -> AnyPath | None:
    """The path; None if there are several, which napari would stack."""
    paths = [path] if isinstance(path, str) else path
    return any_path(paths[0]) if len(paths) == 1 else None


def _read_ome_zarr(folder: AnyPath) -> list[LayerData]:
    from napari_ct_pyramid.omezarr.reader import open_pyramid

    from .after_opening import prepare_layers
    from .label_layers import labels_of_image
    from .layers import pyramid_layers

    pyramid = open_pyramid(folder)
    labels, notes = labels_of_image(pyramid)
    layers = pyramid_layers(pyramid) + labels
    _tell(pyramid.name, [*pyramid.notes, *notes])
    prepare_layers()
    return layers


def _read_source(file: Path) -> list[LayerData]:
    from .after_opening import prepare_layers
    from .layers import source_layer

    layer = source_layer(file)
    prepare_layers(convertible=file)
    return [layer]


def _tell(name: str, notes: Sequence[str]) -> None:
    """Show what of a volume's metadata was not understood, in one notice."""
    if notes:
        from napari.utils.notifications import show_warning

        more = f" … and {len(notes) - _MOST_NOTES:,} more." if len(notes) > _MOST_NOTES else ""
        show_warning(f"{name}: {' '.join(notes[:_MOST_NOTES])}{more}")


_MOST_NOTES = 4  # in a notice, which must stay small
