"""How sizes, durations and tables read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ct_pyramid.model.formatting import (
    duration,
    format_size,
    numbers,
    rough_duration,
    shorten,
    table,
    time_left,
    times,
)
from napari_ct_pyramid.parsing import parse_size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (13_421_772_800, "13.4 GB"),
        (56_623_104_000, "56.6 GB"),
        (2.5e12, "2.50 TB"),
        (1.5e15, "1500 TB"),
    ],
)
def test_sizes_have_a_unit_and_three_digits(size: float, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(1, 10**14))
def test_a_size_that_is_shown_can_be_parsed_and_is_right_to_three_digits(size: int) -> None:
    shown = format_size(size).removesuffix(" bytes").removesuffix(" byte")
    assert abs(parse_size(shown) - size) <= 0.006 * size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "less than 0.1 s"),
        (0.4, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (36_000, "10 h 00 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (1.6, "2 s"), (150, "2 min 30 s"), (7300, "2 h 01 min")])
def test_time_left_has_no_fractions_of_a_second(seconds: float, text: str) -> None:
    assert time_left(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (4.4, "4 s"), (33, "30 s"), (57, "1 min"), (130, "2 min"), (3700, "62 min"), (10_000, "3 h")],
)
def test_an_estimate_is_rounded(seconds: float, text: str) -> None:
    assert rough_duration(seconds) == text


def test_names_are_shortened_in_the_middle() -> None:
    assert shorten("scan.ome.zarr", 13) == "scan.ome.zarr"
    assert shorten("scan.ome.zarr", 12) == "scan.o….zarr"
    assert shorten("scan.ome.zarr", 3) == shorten("scan.ome.zarr", 0) == "s…r"


def test_shapes_sizes_and_tables() -> None:
    assert times((512, 2560, 2560)) == "512 × 2560 × 2560"
    assert numbers((0.65, 0.65, 1.0)) == "0.65 0.65 1"
    assert table(("Level", "Size"), [("0", "13 GB"), ("10", "1 B")]) == ["Level   Size", "0      13 GB", "10       1 B"]
