"""Scanco ISQ and AIM: voxels, voxel size, position, and what grey values stand for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.scanco import AIM_TYPES, vax_double, vax_float, write_aim, write_isq
from tests.helpers.sources import read_whole
from tests.helpers.tiffs import coordinates

VOLUME = (coordinates((6, 11, 8), "uint16").astype("i4") - 300).astype("i2")


@pytest.mark.parametrize("density", [None, (365.25, -200.5, "mg HA/ccm")])
@pytest.mark.parametrize(
    ("size", "found"), [((60.7,) * 3, (60.7,) * 3), ((82, 82, 82), (82,) * 3), ((5, 12, 20), (5, 12, 20))]
)
def test_isq(tmp_path: Path, size: tuple[float, ...], found: tuple[float, ...], density: tuple | None) -> None:
    path = write_isq(tmp_path / "C0001234.ISQ", VOLUME, size, density=density)
    with open_source(path) as source:
        np.testing.assert_array_equal(read_whole(source), VOLUME)
        assert source.volume.unit == "micrometer"
        np.testing.assert_allclose(source.volume.voxel_size, found, rtol=2e-3)  # the header has whole micrometers
        assert source.volume.granularity == (1, 1, 8)


def test_the_digits_of_a_voxel_size_are_those_that_the_length_allows(tmp_path: Path) -> None:
    volume = np.zeros((168, 3, 1024), "i2")
    with open_source(write_isq(tmp_path / "a.isq", volume, (60.7, 18, 18))) as source:
        assert source.volume.voxel_size == (60.7, 18, 18)


def test_the_version_number_that_openvms_appends_to_a_name(tmp_path: Path) -> None:
    with open_source(write_isq(tmp_path / "C0001234.ISQ;1", VOLUME)) as source:
        np.testing.assert_array_equal(read_whole(source), VOLUME)


@pytest.mark.parametrize("dtype", AIM_TYPES)
@pytest.mark.parametrize("version", ["020", "030"])
def test_aim(tmp_path: Path, version: str, dtype: str) -> None:
    expected = VOLUME.astype(dtype)
    path = write_aim(tmp_path / "a.AIM", expected, version, (0.0607, 0.082, 0.01), position=(4, 20, -10))
    with open_source(path) as source:
        volume = source.volume
        np.testing.assert_array_equal(read_whole(source), expected)
        assert (volume.voxel_size, volume.unit) == ((0.0607, 0.082, 0.01), "millimeter")
        np.testing.assert_allclose(volume.translation, (0.2428, 1.64, -0.1))
        assert volume.format == f"Scanco AIM, version {version}"


def test_the_floats_of_the_headers_are_those_of_a_vax() -> None:
    """1.0 is 0x4080 in F, and 0x4010 in G, in the first word: VAX Architecture Reference Manual."""
    assert (vax_float(1.0), vax_double(1.0)) == (b"\x80\x40\0\0", b"\x10\x40" + bytes(6))


LOG = {"Mu_Scaling": 8192, "Density: unit": "mg HA/ccm", "Density: slope": 3.65e2, "Density: intercept": -200.5}


def test_the_density_that_voxels_stand_for(tmp_path: Path) -> None:
    for path in (
        write_isq(tmp_path / "a.isq", VOLUME, density=(365, -200.5, "mg HA/ccm")),
        write_aim(tmp_path / "a.aim", VOLUME, log=LOG),
        write_aim(tmp_path / "b.aim", VOLUME, "030", log=LOG),
    ):
        with open_source(path) as source:
            assert source.volume.calibration.formula == "grey = stored × 0.0445557 - 200.5 mg HA/ccm"


def test_the_attenuation_if_there_is_no_density(tmp_path: Path) -> None:
    with open_source(write_isq(tmp_path / "a.isq", VOLUME, mu_scaling=4096)) as source:
        assert source.volume.calibration.formula == "grey = stored × 0.000244141 + 0 1/cm"
    with open_source(write_aim(tmp_path / "a.aim", VOLUME)) as source:
        assert source.volume.calibration is None


BAD = {
    "projections": (lambda path: write_isq(path, VOLUME, kind=9), "projections"),
    "bits": (lambda path: write_aim(path, VOLUME, code=0x00150001), "compressed bits"),
    "floats": (lambda path: write_aim(path, VOLUME, "030", code=0x001A0004), "floats"),
    "another type": (lambda path: write_aim(path, VOLUME, code=0x00990002), "0x00990002"),
    "no voxels": (lambda path: write_aim(path, VOLUME[:0]), "0 × 11 × 8"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_no_volume(tmp_path: Path, name: str) -> None:
    make, fact = BAD[name]
    make(tmp_path / "a.aim")
    with pytest.raises(SourceError) as caught:
        open_source(tmp_path / "a.aim")
    assert str(tmp_path / "a.aim") in str(caught.value)
    assert fact in str(caught.value)


@pytest.mark.parametrize("make", [write_isq, write_aim, lambda path, volume: write_aim(path, volume, "030")])
def test_a_file_that_is_cut_short_at_any_place(tmp_path: Path, make: object) -> None:
    path = tmp_path / "a"
    make(path, VOLUME)  # type: ignore[operator]
    data = path.read_bytes()
    for keep in [*range(20, len(data), 37), len(data) - 1]:
        path.write_bytes(data[:keep])
        with pytest.raises(SourceError) as caught:
            open_source(path)
        assert str(path) in str(caught.value)
