"""Levels as arrays of Dask and xarray."""

from __future__ import annotations

from typing import Any

from napari_ct_pyramid.errors import RequestError


def to_dask(level: Any) -> Any:
    """See `PyramidLevel.to_dask`."""
    try:
        import dask.array
    except ImportError as error:
        raise RequestError("A Dask array needs Dask. Install it: pip install 'napari-ct-pyramid[dask]'") from error
    import numpy as np

    nothing = np.empty((0,) * level.ndim, level.dtype)
    return dask.array.from_array(level.array, level.chunks, asarray=True, fancy=False, name=False, meta=nothing)


def to_xarray(level: Any) -> Any:
    """See `PyramidLevel.to_xarray`."""
    try:
        import xarray
    except ImportError as error:
        raise RequestError(
            "An array with coordinates needs xarray. Install it: pip install 'napari-ct-pyramid[xarray]'"
        ) from error
    import numpy as np

    coordinates = {}
    axes = zip(level.axes, level.units, level.scale, level.translation, level.shape, strict=True)
    for name, unit, scale, start, size in axes:
        attributes = {"units": unit} if unit else {}
        coordinates[name] = xarray.DataArray(start + scale * np.arange(size), dims=(name,), attrs=attributes)
    # As the option `calibration` takes it.
    stated = {"calibration": str(level.calibration)} if level.calibration else {}
    return xarray.DataArray(to_dask(level), dims=level.axes, coords=coordinates, name=level.name or None, attrs=stated)
