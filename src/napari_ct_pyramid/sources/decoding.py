"""The memory that codecs take beside what they read and what they make."""

from __future__ import annotations

import math
from collections.abc import Sequence

JPEG_2000 = "JPEG 2000"
"""The name of the compression."""

_JPEG_2000_BYTES = 4  # for each voxel: OpenJPEG decodes to 32-bit integers. Measured: 4.1 with uint8


def jpeg_2000_bytes(unit: Sequence[int]) -> int:
    """Memory to decode a read unit of this shape from JPEG 2000."""
    return _JPEG_2000_BYTES * math.prod(unit)


def float_predictor_bytes(unit: Sequence[int], itemsize: int) -> int:
    """Memory to undo the predictor for floats (number 3 of TIFF), which makes a copy. Measured: 1.0 of the unit."""
    return math.prod(unit) * itemsize
