"""What voxels stand for: kept beside them, shown, and kept through further conversions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import napari_ct_pyramid as ct
from napari_ct_pyramid.calibration import Calibration, calibration_of, parse_calibration
from napari_ct_pyramid.errors import RequestError
from tests.helpers.command import command
from tests.helpers.tiffs import coordinates, pages_of, write_pages

VOLUME = coordinates((6, 16, 16), "uint16")


def kept(path: Path) -> Calibration:
    found = ct.open_pyramid(path).calibration
    assert found is not None
    return found


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_pages(tmp_path / "scan.tif", pages_of(VOLUME))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_calibration_is_kept_beside_the_voxels(scan: Path, tmp_path: Path, version: Any) -> None:
    receipt = ct.convert(scan, chunks=8, num_levels=2, calibration="0.5 -20 mgHA/cm3", ome_zarr_version=version)
    np.testing.assert_array_equal(ct.open_pyramid(receipt.output).levels[0].array[:], VOLUME)
    assert kept(receipt.output) == Calibration(0.5, -20, "mgHA/cm3")
    assert ct.verify(receipt.output, scan).sound
    again = ct.convert(receipt.output, tmp_path / "again.ome.zarr", chunks=4, num_levels=1)
    assert kept(again.output) == Calibration(0.5, -20, "mgHA/cm3")
    other = ct.convert(receipt.output, tmp_path / "other.ome.zarr", chunks=4, num_levels=1, calibration=(2, 1))
    assert kept(other.output) == Calibration(2, 1)


def test_voxels_in_fewer_bits_stand_for_the_same(scan: Path, tmp_path: Path) -> None:
    first = ct.convert(scan, chunks=8, num_levels=1, calibration="2 -1000 HU").output
    less = ct.convert(first, tmp_path / "less.ome.zarr", chunks=8, num_levels=1, dtype="uint8", window=(0, 255)).output
    pyramid = ct.open_pyramid(less)
    greys = np.asarray(pyramid.levels[0].array) * kept(less).slope + kept(less).intercept
    np.testing.assert_allclose(greys, np.clip(VOLUME, 0, 255) * 2.0 - 1000)
    assert kept(less).unit == "HU"
    directly = ct.convert(
        scan,
        tmp_path / "directly.ome.zarr",
        chunks=8,
        num_levels=1,
        dtype="uint8",
        window=(0, 255),
        calibration="2 -1000",
    )
    assert (kept(directly.output).slope, kept(directly.output).intercept) == (kept(less).slope, kept(less).intercept)


def test_air_and_water_give_hounsfield_units(scan: Path) -> None:
    receipt = ct.convert(scan, chunks=8, num_levels=1, air=100, water=300.0)
    assert kept(receipt.output).unit == "HU"
    assert [kept(receipt.output).grey(v) for v in (100, 300, 200)] == [-1000, 0, -500]


@given(*[st.floats(-1e6, 1e6)] * 2)
def test_hounsfield_units_of_any_two_values(air: float, water: float) -> None:
    if abs(water - air) < 1e-3:
        return
    found = calibration_of(air, water)
    assert found is not None
    assert found.grey(air) == pytest.approx(-1000, rel=1e-6, abs=1e-3)
    assert found.grey(water) == pytest.approx(0, abs=1e-3)
    assert parse_calibration(str(found)) == found


@pytest.mark.parametrize(
    "asked",
    [
        {"calibration": "0 1"}, {"calibration": "1"}, {"calibration": "a b"}, {"calibration": "1 nan"},
        {"calibration": (1, 2, 3)}, {"calibration": "1 2 3"}, {"calibration": "inf 0 HU"}, {"air": 1}, {"water": 1},
        {"air": 1, "water": 1}, {"air": 0, "water": 1, "calibration": "1 2"}, {"air": "x", "water": 1},
    ],
)  # fmt: skip
def test_nonsense_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        ct.ConversionOptions(chunks=8, **asked)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--calibration", "0.5", "-20", "HU"), {"slope": 0.5, "intercept": -20, "unit": "HU"}),
        (("--calibration", "-1 2 my unit"), {"slope": -1, "intercept": 2, "unit": "my unit"}),
        (("--air", "-10", "--water", "0"), {"slope": 100, "intercept": 0, "unit": "HU"}),
    ],
)
def test_on_the_command_line(scan: Path, words: tuple[str, ...], expected: dict[str, Any]) -> None:
    done = command("convert", *words, scan, "-c", "8", "--dry-run", "--json")
    assert json.loads(done.stdout)["calibration"] == expected


def test_info_shows_what_voxels_stand_for(scan: Path) -> None:
    receipt = ct.convert(scan, chunks=8, num_levels=1, calibration="0.5 -20 HU")
    assert "grey = stored × 0.5 - 20 HU" in command("info", receipt.output).stdout
