"""Integers of 64 bits and masks: stored in fewer bits if every value fits, or the value and its place are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr

import napari_ct_pyramid as ct
from napari_ct_pyramid.errors import Advice, ConversionError
from napari_ct_pyramid.options import SourceOptions
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.sources import blocks, read_box, read_whole
from tests.helpers.tiffs import coordinates

SHAPE = (6, 20, 12)
LABELS = (coordinates(SHAPE, "uint16") % 251).astype("i8")


def npy(path: Path, volume: np.ndarray) -> Path:
    np.save(path / "v.npy", volume)
    return path / "v.npy"


def hdf5(path: Path, volume: np.ndarray, **options: Any) -> Path:
    with h5py.File(path / "v.h5", "w") as file:
        file.create_dataset("v", data=volume, **options)
    return path / "v.h5"


def zarr_array(path: Path, volume: np.ndarray) -> Path:
    zarr.create_array(path / "v.zarr", shape=SHAPE, dtype=volume.dtype, chunks=(4, 8, 8))[...] = volume
    return path / "v.zarr"


def tiff(path: Path, volume: np.ndarray) -> Path:
    tifffile.imwrite(path / "v.tif", volume, photometric="minisblack")
    return path / "v.tif"


KINDS: dict[str, Callable[[Path, np.ndarray], Path]] = {
    "npy": npy,
    "npy, big-endian": lambda path, volume: npy(path, volume.astype(volume.dtype.newbyteorder(">"))),
    "npy, Fortran": lambda path, volume: npy(path, np.asfortranarray(volume)),
    "hdf5": hdf5,
    "hdf5, gzip": lambda path, volume: hdf5(path, volume, chunks=(4, 8, 8), compression="gzip", shuffle=True),
    "zarr": zarr_array,
    "tiff": tiff,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source_dtype", ["int64", "uint64"])
def test_values_that_fit_are_stored(tmp_path: Path, kind: str, source_dtype: str) -> None:
    path = KINDS[kind](tmp_path, LABELS.astype(source_dtype))
    with pytest.raises(ct.SourceError, match=f"{LABELS.min()} to {LABELS.max()}") as caught:
        open_source(path)
    assert Advice("dtype", "uint8") in caught.value.message.parts
    for dtype in ("uint8", "uint16", "uint32", "int16", "int32"):
        with open_source(path, SourceOptions(dtype=dtype)) as source:
            assert source.volume.dtype == np.dtype(dtype)
            np.testing.assert_array_equal(read_whole(source), LABELS)
            for box in blocks(1, SHAPE, 4):
                z0, z1, y0, y1 = box
                np.testing.assert_array_equal(read_box(source, *box), LABELS[z0:z1, y0:y1])
    receipt = ct.convert(path, tmp_path / "out.ome.zarr", chunks=4, num_levels=2, dtype="uint8", method="mode")
    assert receipt.rescaled is None
    level = ct.open_pyramid(receipt.output).levels[0].array
    assert level.dtype == np.uint8
    np.testing.assert_array_equal(level[:], LABELS)
    assert ct.verify(receipt.output, path).sound
    assert ct.verify(receipt.output).sound


@pytest.mark.parametrize(("value", "dtype"), [(256, "uint8"), (-1, "uint8"), (-129, "int8"), (2**40, "int32")])
@pytest.mark.parametrize("place", [(0, 0, 0), (3, 7, 5), (5, 19, 11)])
def test_a_value_that_does_not_fit_is_named_with_its_place(
    tmp_path: Path, value: int, dtype: str, place: tuple[int, int, int]
) -> None:
    volume = LABELS // 2
    volume[place] = value
    path = npy(tmp_path, volume)
    with pytest.raises(ct.CtPyramidError) as caught:
        ct.convert(path, chunks=4, num_levels=1, dtype=dtype)
    for fact in (f"{value:,}", " ".join(map(str, place)), dtype):
        assert fact in str(caught.value)


def test_a_value_that_is_found_late_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    """It was not there when the conversion was planned."""
    path = npy(tmp_path, LABELS)
    steps = ct.iter_convert(path, tmp_path / "out.ome.zarr", chunks=4, num_levels=1, dtype="uint16")
    next(steps)
    np.load(path, mmap_mode="r+")[5, 17, 7] = 70_000
    with pytest.raises(ConversionError, match="5 17 7"):
        list(steps)
    with pytest.raises(ct.UnfinishedError):
        ct.open_pyramid(tmp_path / "out.ome.zarr")


def test_no_type_is_offered_where_none_is_enough(tmp_path: Path) -> None:
    volume = np.zeros(SHAPE, "i8")
    volume[0, 0, :2] = -1, 2**32 - 1
    with pytest.raises(ct.SourceError, match="4,294,967,295") as caught:
        open_source(npy(tmp_path, volume))
    assert not any(isinstance(part, Advice) for part in caught.value.message.parts)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("tiff", "npy, big-endian")])
def test_masks_become_1_and_0(tmp_path: Path, kind: str) -> None:
    mask = LABELS % 3 == 0
    path = KINDS[kind](tmp_path, mask)
    receipt = ct.convert(path, tmp_path / "out.ome.zarr", chunks=4, num_levels=2, method="mode")
    first, second = (np.asarray(level.array) for level in ct.open_pyramid(receipt.output).levels)
    np.testing.assert_array_equal(first, mask.astype("u1"))
    assert {*np.unique(second)} <= {0, 1}
    with open_source(path) as source:
        assert ["mode" in note for note in source.volume.notes] == [True]


def test_a_type_that_the_source_has_already_changes_nothing(tmp_path: Path) -> None:
    path = npy(tmp_path, LABELS.astype("u1"))
    receipt = ct.convert(path, chunks=4, num_levels=1, dtype="uint8")
    np.testing.assert_array_equal(ct.open_pyramid(receipt.output).levels[0].array[:], LABELS)
    for dtype in ("uint16", "int16"):
        with pytest.raises(ct.RequestError):
            ct.plan(path, chunks=4, num_levels=1, dtype=dtype)
