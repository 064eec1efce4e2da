"""Conversions of arrays: the same output as of a file, nothing resumed wrongly, and labels."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

import napari_ct_pyramid as ct
from napari_ct_pyramid.conversion.output import default_output
from napari_ct_pyramid.omezarr.kind import is_unfinished
from napari_ct_pyramid.sources.inputs import ArrayInput
from tests.helpers.scans import pyramid_files

VOXELS = np.random.default_rng(0).normal(size=(20, 32, 48)).astype("f4")
OPTIONS = {"chunks": 8, "num_levels": 3}


def test_an_array_gives_the_levels_that_a_file_gives(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "scan.tif", VOXELS, photometric="minisblack")
    ct.convert(tmp_path / "scan.tif", tmp_path / "a", **OPTIONS, voxel_size=0.5, unit="um")
    receipt = ct.convert(VOXELS, tmp_path / "b", **OPTIONS, voxel_size=0.5, unit="um")
    a, b = (pyramid_files(tmp_path / name) for name in "ab")
    assert {name: data for name, data in a.items() if name != ".zattrs"} == {
        name: data for name, data in b.items() if name != ".zattrs"
    }
    assert receipt.minimum == VOXELS.min()
    pyramid = ct.open_pyramid(tmp_path / "b")
    assert pyramid.levels[0].scale == (0.5, 0.5, 0.5)
    assert pyramid.units == ("micrometer",) * 3


def test_the_place_of_an_array_is_kept(tmp_path: Path) -> None:
    source = ArrayInput(data=VOXELS, voxel_size=(2, 1, 1), unit="nanometer", translation=(100, 0, -7))
    ct.convert(source, tmp_path / "a", **OPTIONS)
    pyramid = ct.open_pyramid(tmp_path / "a")
    assert pyramid.units == ("nanometer",) * 3
    assert [level.translation for level in pyramid.levels] == [(100, 0, -7), (101, 0.5, -6.5), (103, 1.5, -5.5)]


def test_options_apply_to_an_array(tmp_path: Path) -> None:
    ct.convert(VOXELS, tmp_path / "a", **OPTIONS, axes="xyz", crop="8:40,,4:")
    assert np.array_equal(
        np.asarray(ct.open_pyramid(tmp_path / "a").levels[0].array), VOXELS.transpose(2, 1, 0)[8:40, :, 4:]
    )


def test_an_output_is_verified_and_repaired_with_its_array(tmp_path: Path) -> None:
    ct.convert(VOXELS, tmp_path / "a", **OPTIONS)
    assert ct.verify(tmp_path / "a", VOXELS).sound
    (tmp_path / "a" / "0" / "1" / "1" / "1").write_bytes(b"")
    assert not ct.verify(tmp_path / "a", VOXELS).sound
    assert ct.verify(tmp_path / "a", VOXELS, repair=True).repaired
    assert ct.verify(tmp_path / "a", VOXELS).sound
    with pytest.raises(ct.RequestError):
        ct.verify(tmp_path / "a", VOXELS + 1)


def interrupt(array: np.ndarray, output: Path) -> None:
    with closing(ct.iter_convert(array, output, **OPTIONS)) as steps:
        next(steps)
    assert is_unfinished(output)


def test_the_conversion_of_an_array_is_not_resumed(tmp_path: Path) -> None:
    interrupt(VOXELS, tmp_path / "a")
    with pytest.raises(ct.OutputExistsError) as caught:
        ct.convert(VOXELS, tmp_path / "a", **OPTIONS)
    assert caught.value.replaceable
    assert not caught.value.options
    assert "memory" in str(caught.value)
    with pytest.raises(ct.UnfinishedError, match="array"):
        ct.open_pyramid(tmp_path / "a")
    ct.convert(VOXELS, tmp_path / "a", **OPTIONS, overwrite=True)
    assert np.array_equal(np.asarray(ct.open_pyramid(tmp_path / "a").levels[0].array), VOXELS)


def test_an_array_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    array = VOXELS.copy()
    with closing(ct.iter_convert(array, tmp_path / "a", **OPTIONS)) as steps:
        next(steps)
        array += 1
        with pytest.raises(ct.ConversionError, match="changed"):
            list(steps)
    assert is_unfinished(tmp_path / "a")


def test_an_error_states_that_the_conversion_begins_anew(tmp_path: Path) -> None:
    class Broken:
        shape, dtype, rows = VOXELS.shape, VOXELS.dtype, 0

        def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
            self.rows += 1
            if self.rows > 30:
                raise OSError("no answer")
            return VOXELS[key]

    with pytest.raises(ct.ConversionError, match="no answer") as caught:
        ct.convert(Broken(), tmp_path / "a", **OPTIONS)
    assert "overwrite=True" in str(caught.value)


def test_an_array_needs_a_path_for_its_output(tmp_path: Path) -> None:
    with pytest.raises(ct.RequestError):
        ct.convert(VOXELS, **OPTIONS)
    with pytest.raises(ct.RequestError):
        default_output(VOXELS)
    assert default_output(ArrayInput(data=VOXELS, name="a/b: c?", folder=tmp_path)) == tmp_path / "a_b_ c_.ome.zarr"


def test_arrays_in_a_batch(tmp_path: Path) -> None:
    inputs = [ArrayInput(data=VOXELS, name="one"), ArrayInput(data=VOXELS + 1, name="two")]
    batch = ct.convert_many(inputs, tmp_path, **OPTIONS)
    assert [item.state for item in batch.items] == ["done"] * 2
    assert ct.open_pyramid(tmp_path / "two.ome.zarr").name == "two"


def test_a_zarr_array_is_not_replaced_by_its_own_output(tmp_path: Path) -> None:
    ct.convert(VOXELS, tmp_path / "a.zarr", **OPTIONS)
    level = zarr.open_group(tmp_path / "a.zarr", mode="r")["0"]
    before = pyramid_files(tmp_path / "a.zarr")
    with pytest.raises(ct.RequestError):
        ct.convert(level, tmp_path / "a.zarr", **OPTIONS, overwrite=True)
    assert pyramid_files(tmp_path / "a.zarr") == before
    ct.convert(level, tmp_path / "b.zarr", **OPTIONS)
    assert np.array_equal(np.asarray(ct.open_pyramid(tmp_path / "b.zarr").levels[0].array), VOXELS)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_stay_labels(tmp_path: Path, version: str) -> None:
    labels = np.zeros((16, 16, 16), "i8")
    labels[4:9, 3:11, 5:] = 70_000
    source = ArrayInput(data=labels, is_labels=True)
    options = {**OPTIONS, "ome_zarr_version": version}
    for wrong in ({}, {"method": "median"}, {"method": "mode", "dtype": "uint8"}):
        with pytest.raises(ct.RequestError):
            ct.convert(source, tmp_path / "a", **options, **wrong)
    assert not (tmp_path / "a").exists()
    ct.convert(source, tmp_path / "a", **options, method="mode")
    pyramid = ct.open_pyramid(tmp_path / "a")
    assert pyramid.is_labels
    assert not pyramid.channels
    assert all(set(np.unique(np.asarray(level.array))) == {0, 70_000} for level in pyramid.levels)
    assert ct.verify(tmp_path / "a", source).sound
    name = ".zattrs" if version == "0.4" else "zarr.json"
    attributes = json.loads((tmp_path / "a" / name).read_text())
    attributes = attributes.get("attributes", {}).get("ome", attributes)
    assert attributes["image-label"] == ({"version": "0.4"} if version == "0.4" else {})
    with pytest.raises(ct.RequestError):  # it is one as a source, too
        ct.convert(tmp_path / "a", tmp_path / "b", **options)
