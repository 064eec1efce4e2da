"""Whether, and how, the voxels of a volume are stored as another type."""

from __future__ import annotations

import numpy as np

from napari_ct_pyramid.errors import Advice, RequestError
from napari_ct_pyramid.options import AUTO, SCALED_DTYPES, ConversionOptions, ExportOptions

from .intensity import Rescale, has_finite_slope
from .volume import Volume


def rescaling(
    volume: Volume, options: ConversionOptions | ExportOptions, automatic: tuple[float, float] | None = None
) -> Rescale | None:
    """How to rescale a volume's voxels; None where they keep their type.

    Parameters
    ----------
    volume, options
    automatic : tuple of float, optional
        The window that was found, where the options ask for an automatic one.

    Raises
    ------
    RequestError
        If the voxels' type cannot be rescaled like this.
    """
    if options.dtype is None:
        return None
    dtype = np.dtype(options.dtype)
    if volume.dtype == dtype and options.window == AUTO:
        return None
    if options.dtype not in SCALED_DTYPES:
        raise RequestError(
            f"The voxels are {volume.dtype}, and {dtype} is a type for integers of 64 bits only. Ask for another one (",
            Advice("dtype", "uint8"), " or ", Advice("dtype", "uint16"), "), or leave it out.",
        )  # fmt: skip
    if volume.dtype.kind != "f" and volume.dtype.itemsize <= dtype.itemsize:
        raise RequestError(
            f"The voxels are {volume.dtype}, which has no more values than {dtype}: another type (",
            Advice("dtype"),
            ") is for floats and wider integers. Leave it out, and the voxels stay as they are.",
        )
    window = options.window if isinstance(options.window, tuple) else automatic
    if window is None:
        raise ValueError("the automatic window must be found before planning")
    if not has_finite_slope(*window, dtype):
        raise RequestError(
            f"A window from {window[0]:g} to {window[1]:g} is too {'narrow' if window[1] - window[0] < 1 else 'wide'} "
            "for what can be computed. Try another (",
            Advice("window"),
            ").",
        )
    return Rescale(volume.dtype, dtype, *window)
