"""The memory that codecs take is known to the plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_ct_pyramid.sources.registry import open_source


@pytest.mark.parametrize(
    ("dtype", "how", "expected"),
    [
        ("u1", {"compression": "jpeg2000", "rowsperstrip": 64}, 4 * 64 * 96),
        ("u2", {"compression": "jpeg2000", "tile": (32, 48)}, 4 * 32 * 48),
        ("f4", {"compression": "zlib", "predictor": 3, "rowsperstrip": 16}, 4 * 16 * 96),
        ("u2", {"compression": "zlib", "predictor": 2, "rowsperstrip": 16}, 0),
        ("u2", {}, 0),
    ],
)
def test_memory_beside_the_voxels_and_the_compressed_bytes(
    dtype: str, how: dict[str, object], expected: int, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 64, 96), dtype), photometric="minisblack", **how)
    with open_source(tmp_path / "a.tif") as source:
        assert source.volume.decoding_bytes == expected
