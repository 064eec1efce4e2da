"""Decodes whole strips to where their voxels belong, without a copy on the way, by the codecs that can do that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from tifffile import TiffPage

from napari_ct_pyramid.rows import Voxels

_CODECS = {5: "lzw", 8: "deflate", 32773: "packbits", 32946: "deflate", 34925: "lzma", 34926: "zstd", 50000: "zstd"}
_HORIZONTAL = 2  # the predictor: each voxel is the difference from the one before


@dataclass(frozen=True)
class WholeStrips:
    """How the strips of a file are decoded in place.

    Attributes
    ----------
    codec : callable
        Of imagecodecs.
    predicted : bool
        Voxels are differences from the one before in the row.
    swap : bool
        The file has the other byte order than this machine.
    length : int
        Rows of a page.
    """

    codec: Callable[..., Any]
    predicted: bool
    swap: bool
    length: int

    def decode(self, data: bytearray, out: Voxels) -> bool:
        """Fill `out` (y, x) with a strip; False if it was not to be: then `out` holds nothing of use."""
        if not out.flags.c_contiguous:
            return False
        try:
            found = self.codec(data, out=out.reshape(-1).view(np.uint8))
        except Exception:  # noqa: BLE001  whatever a codec makes of damaged data: somebody else says what is wrong
            return False
        if len(found) != out.nbytes:
            return False
        if self.swap:
            out.byteswap(inplace=True)
        if self.predicted:
            imagecodecs.delta_decode(out, axis=-1, out=out)
        return True


def whole_strips(key: TiffPage, swap: bool) -> WholeStrips | None:
    """How strips of pages such as `key` are decoded in place; None where that is not for here."""
    name = _CODECS.get(int(key.compression))
    simple = not key.is_tiled and key.imagedepth == 1 and key.fillorder == 1 and key.predictor in (1, _HORIZONTAL)
    if name is None or not simple or key.dtype is None or (key.predictor != 1 and key.dtype.kind == "f"):
        return None
    return WholeStrips(getattr(imagecodecs, f"{name}_decode"), key.predictor != 1, swap, key.imagelength)
