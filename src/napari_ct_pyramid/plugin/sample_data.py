"""File > Open Sample > CT Pyramid: a CT-like volume, as a TIFF and as an OME-Zarr.

Each is made when it is first opened, and kept in the user's cache folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_ct_pyramid.storage.paths import OME_ZARR

if TYPE_CHECKING:
    from .layer_settings import LayerData


_NAME = "concrete"


def open_tiff() -> list[LayerData]:
    """Open the volume as a TIFF, ready to be converted."""
    from .after_opening import prepare_layers
    from .layers import source_layer

    layer = source_layer(_tiff())
    prepare_layers(convertible=_tiff())
    return [layer]


def open_ome_zarr() -> list[LayerData]:
    """Open the converted volume."""
    from napari_ct_pyramid.omezarr.reader import open_pyramid

    from .after_opening import prepare_layers
    from .layers import pyramid_layers

    layers = pyramid_layers(open_pyramid(_ome_zarr()))
    prepare_layers()
    return layers


def _folder() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("napari-ct-pyramid", appauthor=False, ensure_exists=True)


def _tiff() -> Path:
    from napari_ct_pyramid.sources.phantom import write_sample

    path = _folder() / f"{_NAME}.tif"
    if not path.exists():
        part = path.with_suffix(".part")  # an interruption must not leave an incomplete volume
        write_sample(part).replace(path)
    return path


def _ome_zarr() -> Path:
    import psutil

    from napari_ct_pyramid.conversion.api import convert
    from napari_ct_pyramid.errors import SourceError
    from napari_ct_pyramid.omezarr.reader import open_pyramid

    # In its own folder, because the user's own conversion goes beside the TIFF.
    path = _folder() / "converted" / f"{_NAME}{OME_ZARR}"
    try:
        open_pyramid(path)
    except SourceError:
        path.parent.mkdir(exist_ok=True)
        memory = psutil.Process().memory_info().rss + 1_000_000_000  # napari itself may take any amount
        convert(_tiff(), path, chunks=(64, 64, 64), num_levels=3, max_memory=memory, overwrite=True)
    return path
