"""Pyramids by scikit-image on whole arrays, and outputs compared with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import ome_zarr_models
import yaozarrs
import zarr
from skimage.measure import block_reduce

import napari_ct_pyramid as ct


def most_frequent(blocks: np.ndarray, axis: tuple[int, ...]) -> np.ndarray:
    """As block_reduce wants it: the axes of the blocks are the last ones."""
    flat = blocks.reshape(*blocks.shape[: -len(axis)], -1)
    return np.apply_along_axis(lambda values: np.bincount(values.astype(int)).argmax(), -1, flat)


FUNCTIONS: dict[str, Any] = {
    "mean": np.mean, "median": np.median, "min": np.min, "max": np.max, "mode": most_frequent,
    "stride": lambda blocks, axis: blocks[..., 0, 0, 0],
}  # fmt: skip


def pyramid_of(level: np.ndarray, factors: list[tuple[int, int, int]], method: str = "mean") -> list[np.ndarray]:
    """All levels, each from the whole of the one before; the volume padded with zeros as far as it takes."""
    total = np.prod(factors, axis=0, dtype=int)
    levels = [np.pad(level, [(0, -n % f) for n, f in zip(level.shape, total, strict=True)])]
    for step in factors:
        wide = levels[-1].astype("f8")
        found = block_reduce(wide, step, FUNCTIONS[method])
        levels.append((found if level.dtype.kind == "f" else np.rint(found)).astype(level.dtype))
    return levels


def check(output: Path, expected: list[np.ndarray]) -> None:
    """Compare all levels of an output with those expected."""
    group = zarr.open_group(output, mode="r")
    assert len(ct.open_pyramid(output).levels) == len(expected)
    for k, level in enumerate(expected):
        found = group[str(k)][:]
        assert (found.shape, found.dtype) == (level.shape, level.dtype)
        if k and level.dtype.kind == "f":
            np.testing.assert_allclose(found, level, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(found, level)


def scales_of(output: Path) -> dict[str, Any]:
    """The multiscales metadata, once strict validators agree with all of it."""
    assert type(ome_zarr_models.open_ome_zarr(zarr.open_group(output, mode="r"))).__name__ == "Image"
    yaozarrs.validate_zarr_store(str(output))
    scales: dict[str, Any] = json.loads((output / ".zattrs").read_text())["multiscales"][0]
    return scales


def is_intact(output: Path, source: Path) -> bool:
    """Whether verifying finds nothing wrong, with and without the source."""
    return not ct.verify(output).problems and not ct.verify(output, source).problems
