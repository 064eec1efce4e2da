"""HDF5 files: which dataset is the volume, its voxel size, and damage."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.sources import KINDS, SHAPE, VOLUME, read_whole


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


@pytest.mark.parametrize(
    ("add", "found"),
    [
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


@pytest.mark.parametrize(
    ("inside", "facts"),
    [
        ("", ("2 datasets", "/a/v (9 × 22 × 17 float32), /w", "s.h5::/a/v")),
        ("::/lost", ("/lost", "/a/v (9 × 22 × 17 float32), /w")),
        ("::/a", ("group", "/a.")),
        ("::/flat", ("::/flat", "4 × 5 float64", "/a/v (9 × 22 × 17 float32), /w")),
        ("::/flags", ("::/flags", "bool")),
        ("::/one", ("::/one", "int64")),
        ("::/w", ("::/w", "int64")),
    ],
)
def test_datasets_that_are_not_a_volume(tmp_path: Path, inside: str, facts: tuple[str, ...]) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["a/v"], file["flat"], file["one"] = VOLUME, np.zeros((4, 5)), 1
        file["w"], file["flags"] = np.zeros((3, 4, 5), "i8"), np.zeros((3, 4, 5), bool)
    with pytest.raises(ct.SourceError) as caught:
        open_source(f"{tmp_path / 's.h5'}{inside}")
    assert [fact for fact in facts if fact not in str(caught.value)] == []


def test_hdf5_that_is_damaged(tmp_path: Path) -> None:
    given, _, _ = KINDS["hdf5, gzip"](tmp_path)
    path = tmp_path / "scan.h5"
    with h5py.File(path) as file:
        at = file["entry/data/data"].id.get_chunk_info(4)
    data = bytearray(path.read_bytes())
    data[at.byte_offset : at.byte_offset + at.size] = b"\x55" * at.size
    path.write_bytes(data)
    with open_source(given) as source, pytest.raises(ct.SourceError, match=r"scan\.h5 at 0 16 0 "):
        read_whole(source)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ct.SourceError, match="an HDF5 file"):
        open_source(given)


def test_hdf5_without_h5py(tmp_path: Path) -> None:
    given, _, _ = KINDS["hdf5"](tmp_path)
    code = (
        "import sys; sys.modules['h5py'] = None\nfrom napari_ct_pyramid.cli.main import main\nraise SystemExit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code, "info", given], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "h5py" in done.stderr
    assert "pip install 'napari-ct-pyramid[hdf5]'" in done.stderr
    assert done.stderr.count("\n") == 1
