"""Voxel sizes of HDF5 files: found wherever a file states them plainly, and where they were found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.sources import SHAPE, VOLUME


def with_attributes(**attributes: Any) -> Callable[[h5py.File], None]:
    return lambda file: file["g/v"].attrs.update(attributes)


def with_dataset(name: str, value: Any, units: Any) -> Callable[[h5py.File], None]:
    def add(file: h5py.File) -> None:
        file[name] = value
        file[name].attrs["units"] = units

    return add


def with_axes(file: h5py.File, uneven: float = 0) -> None:
    file["g"].attrs["axes"] = ["z", "y", "x"]
    for axis, n, step in zip("zyx", SHAPE, (2.0, 0.5, 0.5), strict=True):
        file[f"g/{axis}"] = 10 + np.arange(n) * step + uneven * (np.arange(n) == 1)
        file[f"g/{axis}"].attrs["units"] = "um"


def with_scales(file: h5py.File) -> None:
    for number, (n, step) in enumerate(zip(SHAPE, (2.0, 0.5, 0.5), strict=True)):
        scale = file.create_dataset(f"g/axis{number}", data=np.arange(n) * step)
        scale.attrs["units"] = "um"
        scale.make_scale()
        file["g/v"].dims[number].attach_scale(scale)


def with_a_lost_scale(file: h5py.File) -> None:
    with_scales(file)
    del file["g/axis1"]


@pytest.mark.parametrize(
    ("add", "found"),
    [
        (with_scales, ((2, 0.5, 0.5), "micrometer", "HDF5 dimension scales")),
        (with_a_lost_scale, (None, None, None)),
        (with_attributes(element_size_um=(2.0, 0.5, 0.5)), ((2, 0.5, 0.5), "micrometer", "attribute element_size_um")),
        (with_attributes(voxel_size=0.65, voxel_size_units="um"), ((0.65,) * 3, "micrometer", "attribute voxel_size")),
        (with_attributes(pixel_size_nm=np.array([5.0])), ((5, 5, 5), "nanometer", "attribute pixel_size_nm")),
        (with_dataset("g/pixel size", 0.5, b"micron"), ((0.5,) * 3, "micrometer", "dataset /g/pixel size")),
        (with_axes, ((2, 0.5, 0.5), "micrometer", "NeXus axes")),
        (lambda file: with_axes(file, 0.2), (None, None, None)),
        (with_attributes(units="um", resolution=300), (None, None, None)),
        (with_attributes(voxel_size=(0, 0, 0)), (None, None, None)),
        (with_attributes(voxel_size="unknown"), (None, None, None)),
    ],
)
def test_the_voxel_size_of_hdf5_and_where_it_was_found(tmp_path: Path, add: Any, found: Any) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/v"] = VOLUME
        add(file)
    with open_source(tmp_path / "a.h5") as source:
        volume = source.volume
        assert (volume.voxel_size, volume.unit) == found[:2]
        assert found[2] is None or str(volume.voxel_size_from).endswith(found[2])


@pytest.mark.parametrize("by", ["attributes", "scales"])
def test_the_voxel_size_of_labelled_axes(tmp_path: Path, by: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v"] = VOLUME
        for number, (axis, size) in enumerate({"x": 1, "z": 3, "y": 2}.items()):
            file["v"].dims[number].label = axis
            if by == "attributes":
                file["v"].attrs[f"pixel_size_{axis}_um"] = size
            else:
                file[axis] = np.arange(SHAPE[number]) * size
                file[axis].attrs["units"] = "um"
                file["v"].dims[number].attach_scale(file[axis])
    with open_source(tmp_path / "a.h5") as source:
        assert (source.volume.voxel_size, source.volume.unit) == ((3, 2, 1), "micrometer")
