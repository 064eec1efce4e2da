"""Voxel sizes in one unit, and the names of units."""

from __future__ import annotations

import pytest

from napari_ct_pyramid.sources.voxel_size import FoundVoxelSize, found_voxel_size, positive, shortest
from napari_ct_pyramid.units import find_unit


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("um", "micrometer"), ("µm", "micrometer"), ("\N{GREEK SMALL LETTER MU}m", "micrometer"),
        ("micron", "micrometer"), ("microns", "micrometer"), ("Microns", "micrometer"),
        ("micrometre", "micrometer"), ("micrometers", "micrometer"), (" mm ", "millimeter"), ("nm", "nanometer"),
        ("Å", "angstrom"), ("cm", "centimeter"), ("m", "meter"), ("inch", "inch"), ("in", "inch"),
        ("Mm", None), ("pixel", None), ("pixels", None), ("", None), (None, None), ("s", None), ("sec", None),
    ],
)  # fmt: skip
def test_names_of_units(text: str | None, unit: str | None) -> None:
    assert find_unit(text) == unit


def test_sizes_are_given_in_the_unit_of_z() -> None:
    units = ["nanometer", "micrometer", "millimeter"]
    assert found_voxel_size([200, 0.5, 0.0005], units, "a") == FoundVoxelSize((200, 500, 500), "nanometer", "a")


@pytest.mark.parametrize(
    ("sizes", "units"),
    [
        ([1.5, None, 1.5], ["micrometer"] * 3),
        ([1.5, 1.5, 1.5], ["micrometer", None, "micrometer"]),
        ([1.0, 1 / 72, 1 / 72], ["inch"] * 3),
    ],
)
def test_nothing_is_found_where_sizes_or_units_are_missing(sizes: list[float | None], units: list[str | None]) -> None:
    assert found_voxel_size(sizes, units, "a") == FoundVoxelSize()


def test_the_origin_states_that_there_is_no_unit() -> None:
    found = found_voxel_size([1, 2, 3], [None] * 3, "HDF5 attribute voxel_size")
    assert (found.voxel_size, found.unit) == ((1, 2, 3), None)
    assert "no unit" in str(found.origin)


@pytest.mark.parametrize(
    ("value", "size"),
    [(1.5, 1.5), ("1.5", 1.5), (-2, 2.0), (0, None), ("far", None), (None, None), (float("nan"), None), ("inf", None)],
)
def test_a_size_is_a_positive_number(value: object, size: float | None) -> None:
    assert positive(value) == size


def test_the_shortest_number_within_a_tolerance() -> None:
    assert shortest(0.6499999, 1e-6) == 0.65
    assert shortest(1 / 3, 0) == 1 / 3
