"""Every format in every view: cropped, with its axes in another order, and both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.errors import Advice
from napari_ct_pyramid.options import SourceOptions
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.sources.row_reader import FileHandles
from tests.helpers.sources import KINDS, VIEWS, VOLUME, blocks, read_whole, viewed


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_in_every_view(tmp_path: Path, name: str) -> None:
    given, written, granularity = KINDS[name](tmp_path)
    for axes, crop in VIEWS.values():
        expected = viewed(written, axes, crop)
        with open_source(given, SourceOptions(axes=axes, crop=crop)) as source:
            volume = source.volume
            assert (volume.shape, volume.dtype) == (expected.shape, written.dtype.newbyteorder("="))
            np.testing.assert_array_equal(read_whole(source), expected)
            for z0, z1, y0, y1 in blocks(3, volume.shape, 6):
                buffer = np.full((z1 - z0, y1 - y0, volume.shape[2] + 3), 77, volume.dtype)
                source.read(z0, z1, y0, y1, buffer[..., :-3])
                np.testing.assert_array_equal(buffer[..., :-3], expected[z0:z1, y0:y1])
                assert (buffer[..., -3:] == 77).all()
            if axes == "zyx":
                assert volume.granularity == granularity


@pytest.mark.parametrize("name", ["tiff", "folder", "hdf5, gzip", "npy, Fortran", "zarr 3, shards", "ome-zarr 0.4"])
@pytest.mark.parametrize("view", ["yxz", "turned and cropped"])
def test_converted_and_verified(tmp_path: Path, name: str, view: str) -> None:
    """Chunks smaller and larger than read units, and block edges across them."""
    (tmp_path / "in").mkdir()
    given, written, _ = KINDS[name](tmp_path / "in")
    axes, crop = VIEWS[view]
    options = {"axes": axes, "crop": crop, "num_levels": 1, "threads": 2}
    for number, chunks in enumerate([(2, 4, 8), (5, 3, 4)]):
        output = tmp_path / f"{number}.ome.zarr"
        ct.convert(given, output, chunks=chunks, **options)
        np.testing.assert_array_equal(ct.open_pyramid(output).levels[0].array[:], viewed(written, axes, crop))
        assert ct.verify(output, given).sound
        assert ct.verify(output).sound


def test_a_crop_reads_no_more_than_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    original = FileHandles.readinto

    def spy(self: FileHandles, file: int, at: int, buffer: memoryview) -> int:
        sizes.append(len(buffer))
        return original(self, file, at, buffer)

    monkeypatch.setattr(FileHandles, "readinto", spy)
    for name in ("tiff", "npy", "hdf5"):
        given, _, _ = KINDS[name](tmp_path)
        with open_source(given, SourceOptions(crop="2:4,10:15,3:9")) as source:
            read_whole(source)
        assert sum(sizes) == 2 * 5 * 6 * 4
        sizes.clear()


@pytest.mark.parametrize(
    ("crop", "facts"),
    [
        ("0:10,,", ("0:10 along z", " 9 ")),
        (",:-23,", (":-23 along y", " 22 ")),
        (",,5:5", ("5:5 along x",)),
        ("5:2,,", ("5:2 along z",)),
    ],
)
def test_crops_that_are_not_within_the_volume(tmp_path: Path, crop: str, facts: tuple[str, ...]) -> None:
    given, _, _ = KINDS["npy"](tmp_path)
    with pytest.raises(ct.RequestError) as caught:
        ct.plan(given, chunks=(4, 4, 4), crop=crop)
    assert Advice("crop") in caught.value.message.parts
    assert [fact for fact in facts if fact not in str(caught.value)] == []


@pytest.mark.parametrize("crop", ["1:2", "1,2,3", "::2,,", "a:b,,", 7])
def test_crops_that_are_not_three_ranges(tmp_path: Path, crop: Any) -> None:
    given, _, _ = KINDS["npy"](tmp_path)
    with pytest.raises(ct.RequestError) as caught:
        ct.plan(given, chunks=(4, 4, 4), crop=crop)
    assert repr(crop) in str(caught.value)


@pytest.mark.parametrize("axes", ["zy", "zzx", "tyx", "", 3])
def test_axes_that_are_not_an_order_of_z_y_and_x(axes: Any) -> None:
    with pytest.raises(ct.RequestError) as caught:
        ct.ConversionOptions(chunks=(4, 4, 4), axes=axes)
    assert repr(axes) in str(caught.value)


def test_the_voxel_size_goes_with_its_axis(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v"] = VOLUME
        file["v"].attrs["element_size_um"] = (1.0, 2.0, 3.0)
    plan = ct.plan(tmp_path / "a.h5", chunks=(4, 4, 4), axes="xzy", num_levels=1)
    assert (plan.voxel_size, plan.unit) == ((2, 3, 1), "micrometer")
    assert plan.voxel_size_from == "HDF5 attribute element_size_um"


def test_another_part_is_another_conversion(tmp_path: Path) -> None:
    given, _, _ = KINDS["npy"](tmp_path)
    steps = ct.iter_convert(given, chunks=(4, 4, 4), num_levels=1, crop="1:,,")
    next(steps)
    steps.close()
    with pytest.raises(ct.OutputExistsError, match="part"):
        ct.plan(given, chunks=(4, 4, 4), num_levels=1, crop=",1:,")


@pytest.mark.parametrize("size", [None, (4.0, 1.0, 0.5)])
def test_a_view_lies_where_it_lay_in_the_source(tmp_path: Path, size: tuple[float, float, float] | None) -> None:
    """Every voxel of the output is where the source has it, or where another voxel size puts it."""
    given, _, _ = KINDS["ome-zarr 0.4"](tmp_path)
    asked = {"axes": "xzy", "crop": "3:12,2:6,4:8"}
    receipt = ct.convert(given, tmp_path / "out.ome.zarr", chunks=4, num_levels=2, voxel_size=size, **asked)
    sizes = np.array(size or (1, 1, 1))
    for k, level in enumerate(ct.open_pyramid(receipt.output).levels):
        np.testing.assert_allclose(level.scale, sizes * 2**k)
        np.testing.assert_allclose(level.translation, sizes * ((2**k - 1) / 2 + np.array((3, 2, 4))))
