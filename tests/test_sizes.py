"""Sizes: every way to write one, every way to get it wrong, and there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4G", 4_000_000_000),
        ("4g", 4_000_000_000),
        ("500M", 500_000_000),
        ("2GB", 2_000_000_000),
        ("2 GB", 2_000_000_000),
        (" 2gb ", 2_000_000_000),
        ("1.5GiB", 3 * 2**29),
        ("1T", 10**12),
        ("1TiB", 2**40),
        ("7k", 7000),
        ("7kB", 7000),
        ("7KiB", 7168),
        ("4096", 4096),
        ("4096B", 4096),
        (4096, 4096),
        (4e9, 4_000_000_000),
        ("0.1G", 100_000_000),
        ("9007199254740993", 2**53 + 1),  # the first number that a float cannot hold
    ],
)
def test_sizes_as_people_write_them(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "4X", "", " ", "G", "4GG", "4iB", "4 G B", "-4G", "+4G", "4,5G", "1e9", "0x10", "nan", "inf", ".5G", "5.G",
        "four", "4G\n4G", None, True, "9" * 5000,
    ],
)  # fmt: skip
def test_nonsense_is_an_error_that_shows_how_sizes_look(text: object) -> None:
    with pytest.raises(RequestError, match=r'is not a size\. Try "4G", "500M", "2GB"'):
        parse_size(text)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("text", ["0", "0G", "0.0", "0.4", 0])
def test_nothing_is_no_size(text: str | int) -> None:
    with pytest.raises(RequestError, match="less than one byte"):
        parse_size(text)


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


@given(st.integers(1, 10**18))
def test_a_plain_number_of_bytes_is_taken_as_it_is(size: int) -> None:
    assert parse_size(size) == parse_size(str(size)) == parse_size(f"{size}B") == size


@given(st.integers(1, 10**14))
def test_what_is_shown_can_be_typed_and_is_right_to_three_digits(size: int) -> None:
    shown = format_size(size).removesuffix(" bytes").removesuffix(" byte")
    assert abs(parse_size(shown) - size) <= 0.006 * size
