"""How sizes, durations and tables read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ct_pyramid.model.formatting import format_size
from napari_ct_pyramid.options import parse_size


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
def test_sizes_read_as_people_say_them(size: float, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(1, 10**14))
def test_what_is_shown_can_be_typed_and_is_right_to_three_digits(size: int) -> None:
    shown = format_size(size).removesuffix(" bytes").removesuffix(" byte")
    assert abs(parse_size(shown) - size) <= 0.006 * size
