"""OME-Zarr images and Zarr arrays as sources: which array is the volume, and the names of units."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

import napari_ct_pyramid as ct
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.omezarr import pyramid_of, write_image, write_unfinished
from tests.helpers.sources import SHAPE, VOLUME


def test_a_pyramid_with_other_chunks_and_levels(tmp_path: Path) -> None:
    """With other chunks and levels: written beside the source, with its voxel size."""
    path = write_image(tmp_path / "v.ome.zarr", pyramid_of(VOLUME[:8, :20, :16], 2), voxel_size=0.65)
    receipt = ct.convert(path, chunks=(4, 4, 16), num_levels=3)
    assert receipt.output == tmp_path / "v-2.ome.zarr"
    pyramid = ct.open_pyramid(receipt.output)
    np.testing.assert_array_equal(pyramid.levels[0].array[:], VOLUME[:8, :20, :16])
    assert (pyramid.levels[0].chunks, len(pyramid.levels)) == ((4, 4, 16), 3)
    assert (pyramid.levels[0].scale, pyramid.units[0]) == ((0.65,) * 3, "micrometer")
    assert ct.plan(path, tmp_path / "o.zarr", chunks=(4, 4, 4), num_levels=1).voxel_size_from == "its OME-Zarr metadata"


def test_zarrs_that_are_not_a_volume(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "g.zarr", mode="w")
    for name, shape, dtype in (("a", SHAPE, "u2"), ("b/c", SHAPE, "u8"), ("flat", (3, 4), "u2")):
        group.create_array(name, shape=shape, dtype=dtype)
    for inside, facts in {
        "": ("/a (9 × 22 × 17 uint16), /b/c", "g.zarr::/a"),
        "::/lost": ("/lost", "/a (9 × 22 × 17 uint16), /b/c"),
        "::/flat": ("3 × 4",),
        "::/b/c": ("uint64",),
    }.items():
        with pytest.raises(ct.SourceError) as caught:
            open_source(f"{tmp_path / 'g.zarr'}{inside}")
        assert [fact for fact in facts if fact not in str(caught.value)] == []
    write_unfinished(tmp_path / "u.ome.zarr")
    with pytest.raises(ct.UnfinishedError):
        open_source(tmp_path / "u.ome.zarr")


@pytest.mark.parametrize("size", [10**6, 10**18, 10**73])
def test_an_absurd_size_is_refused_at_once(tmp_path: Path, size: int) -> None:
    zarr.create_array(tmp_path / "a.zarr", shape=(4, 4, 4), chunks=(4, 4, 4), dtype="u1", zarr_format=2)
    file = tmp_path / "a.zarr" / ".zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"shape": [size] * 3}), encoding="utf-8")
    with pytest.raises(ct.SourceError):
        open_source(tmp_path / "a.zarr")


@pytest.mark.parametrize("name", ["um", "µm", "micron", "microns", "Micrometre", "micrometer"])
def test_names_of_units_that_other_programs_write(tmp_path: Path, name: str) -> None:
    path = write_image(tmp_path / "v.ome.zarr", pyramid_of(VOLUME, 1), voxel_size=0.65)
    set_units(path, [name] * 3)
    with open_source(path) as source:
        assert (source.volume.voxel_size, source.volume.unit) == ((0.65,) * 3, "micrometer")


def test_sizes_in_several_units_are_given_in_the_unit_of_z(tmp_path: Path) -> None:
    path = write_image(tmp_path / "v.ome.zarr", pyramid_of(VOLUME, 1), voxel_size=0.5)
    set_units(path, ["um", "mm", "micrometer"])
    with open_source(path) as source:
        assert (source.volume.voxel_size, source.volume.unit) == ((0.5, 500, 0.5), "micrometer")


def test_a_unit_that_is_not_known_is_left_out_and_stated(tmp_path: Path) -> None:
    path = write_image(tmp_path / "v.ome.zarr", pyramid_of(VOLUME, 1), voxel_size=0.65)
    set_units(path, ["furlong"] * 3)
    with open_source(path) as source:
        assert (source.volume.voxel_size, source.volume.unit) == ((0.65,) * 3, None)
        assert ["'furlong'" in note for note in source.volume.notes] == [True]


def test_a_scale_of_ones_without_a_unit_is_not_a_voxel_size(tmp_path: Path) -> None:
    path = write_image(tmp_path / "v.ome.zarr", pyramid_of(VOLUME, 1), voxel_size=1)
    set_units(path, [None] * 3)
    with open_source(path) as source:
        assert (source.volume.voxel_size, source.volume.unit, source.volume.voxel_size_from) == (None, None, None)


def set_units(path: Path, names: list[str | None]) -> None:
    """Replace the units in the metadata of an image of OME-Zarr 0.4."""
    file = path / ".zattrs"
    metadata = json.loads(file.read_text(encoding="utf-8"))
    for axis, name in zip(metadata["multiscales"][0]["axes"], names, strict=True):
        axis.pop("unit", None)
        if name:
            axis["unit"] = name
    file.write_text(json.dumps(metadata), encoding="utf-8")


def test_an_array_of_an_unfinished_output_is_refused(tmp_path: Path) -> None:
    path = write_unfinished(tmp_path / "half.ome.zarr")
    for asked in (path, f"{path}::/0"):
        with pytest.raises(ct.UnfinishedError):
            open_source(asked)
