"""Units of length, and voxel sizes as users write them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.units import UNIT_SYMBOLS, UNITS, find_unit, parse_unit, parse_voxel_size


def test_a_unit_and_its_symbol_are_the_same() -> None:
    for unit, symbol in UNIT_SYMBOLS.items():
        assert find_unit(unit) == find_unit(symbol) == unit
        assert unit in UNITS


@pytest.mark.parametrize("text", ["", None, "px", "pixel", "s", "second", "Mm", "parsnip", "µ m"])
def test_texts_that_are_not_a_unit_of_length(text: Any) -> None:
    assert find_unit(text) is None
    with pytest.raises(RequestError):
        parse_unit(text)


@pytest.mark.parametrize(
    ("text", "sizes", "unit"),
    [
        ("0,65", (0.65,) * 3, None),
        ("0.65 µm", (0.65,) * 3, "micrometer"),
        ("0.65\N{NO-BREAK SPACE}\N{GREEK SMALL LETTER MU}m", (0.65,) * 3, "micrometer"),
        ("650 nm", (650,) * 3, "nanometer"),
        ("650nm", (650,) * 3, "nanometer"),
        ("0.00065 mm", (0.00065,) * 3, "millimeter"),
        ("6.5E-4 mm", (0.00065,) * 3, "millimeter"),
        ("0.65 0.65 1.3 um", (0.65, 0.65, 1.3), "micrometer"),
        ("0.65 x 0.65 x 1.3 µm", (0.65, 0.65, 1.3), "micrometer"),
        ("0.65x0.65X1.3µm", (0.65, 0.65, 1.3), "micrometer"),
        ("0.65×0.65×1.3", (0.65, 0.65, 1.3), None),
        ("0.65 µm x 0.65 µm x 1.3 µm", (0.65, 0.65, 1.3), "micrometer"),
        ("650 nm 650 nm 1.3 µm", (650, 650, 1300), "nanometer"),
        ("(1.3, 0.65, 0.65) microns", (1.3, 0.65, 0.65), "micrometer"),
        ("0,65 0,65 1,3", (0.65, 0.65, 1.3), None),
        ("0,65, 0,65, 1,3 mm", (0.65, 0.65, 1.3), "millimeter"),
        ("0,65; 0,65; 1,3", (0.65, 0.65, 1.3), None),
        ("0,650 µm", (0.65,) * 3, "micrometer"),
        ("1,2,3", (1, 2, 3), None),
        ("0.5,0.5,1", (0.5, 0.5, 1), None),
        (",5 mm", (0.5,) * 3, "millimeter"),
        ("2. mm", (2,) * 3, "millimeter"),
        ('0.01"', (0.01,) * 3, "inch"),
        ("6.5 \N{ANGSTROM SIGN}", (6.5,) * 3, "angstrom"),
        (0.65, (0.65,) * 3, None),
        (np.float32(0.65), (0.65,) * 3, None),
        (np.array(0.65), (0.65,) * 3, None),
        (np.array([1, 2, 3]), (1, 2, 3), None),
        ([0.65, 0.65, "1.3 um"], (0.65, 0.65, 1.3), "micrometer"),
    ],
)
def test_voxel_sizes_as_people_write_them(text: Any, sizes: tuple[float, ...], unit: str | None) -> None:
    found = parse_voxel_size(text)
    assert found == (sizes, unit)
    assert all(type(size) is float for size in found[0])


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "µm", "um 0.65", "0.65 px", "0.65 voxels", "0.65 s", "0.65 Mm", "0.65 um um", "0.65 µ m", "1 2",
        "1 2 3 4", "1,2 3", "0", "0 um", "-0.65", "0.65 -0.65 1", "nan", "inf", "1e999", "1e-400 m", "1e9999999",
        "9" * 50, "0.65.1", "1.234,5", "1,234.5", "0x10", "1/2 mm", "0.65 µm 1 1", "0.65 0.65 µm 1.3", "0,65,0,65,1,3",
        "ten um", None, True, float("nan"), (1, None, 1), [1, 2], (), {},
    ],
)  # fmt: skip
def test_what_is_no_voxel_size_is_refused_in_one_sentence_that_shows_it(text: Any) -> None:
    with pytest.raises(RequestError) as raised:
        parse_voxel_size(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["1,625 µm", "1,000", "12,345 nm", "999,999 nm", "0,65 0,65 1,300"])
def test_a_comma_that_may_separate_thousands_is_refused(text: str) -> None:
    with pytest.raises(RequestError):
        parse_voxel_size(text)


_numbers = st.decimals("0.0001", 9999, places=4).map(lambda number: f"{number.normalize():f}")
_units = st.sampled_from([*UNIT_SYMBOLS, *UNIT_SYMBOLS.values(), "um", "microns", "micrometres"])
_spaces = st.sampled_from(["", " ", "\N{NO-BREAK SPACE}", "\N{THIN SPACE}"])
_between = st.sampled_from([" ", " x ", "x", "×", " × ", "; ", ", ", " * "])


@given(st.lists(_numbers, min_size=3, max_size=3), _between, _spaces, st.none() | _units)
def test_three_numbers_are_read_whatever_separates_them(
    written: list[str], between: str, space: str, unit: str | None
) -> None:
    text = between.join(written) + (space + unit if unit else "")
    expected = tuple(float(number) for number in written), find_unit(unit)
    assert parse_voxel_size(text) == expected
    assert parse_voxel_size(text.replace("\N{MICRO SIGN}", "\N{GREEK SMALL LETTER MU}")) == expected


@given(_numbers.filter(lambda text: "." in text), _spaces, st.none() | _units)
def test_a_decimal_comma_is_a_decimal_point_or_refused(number: str, space: str, unit: str | None) -> None:
    text = number.replace(".", ",") + (space + unit if unit else "")
    whole, part = number.split(".")
    if len(part) == 3 and len(whole) <= 3 and whole != "0":
        with pytest.raises(RequestError):
            parse_voxel_size(text)
    else:
        assert parse_voxel_size(text) == ((float(number),) * 3, find_unit(unit))


@given(st.lists(st.tuples(_numbers, _units), min_size=3, max_size=3), _between)
def test_numbers_with_their_own_units_are_given_in_the_first(parts: list[tuple[str, str]], between: str) -> None:
    sizes, unit = parse_voxel_size(between.join(f"{number} {own}" for number, own in parts))
    assert unit == find_unit(parts[0][1])
    for size, (number, own) in zip(sizes, parts, strict=True):
        meters = [Fraction(str(UNITS[find_unit(name) or ""])) for name in (own, parts[0][1])]
        assert size == pytest.approx(float(Fraction(number) * meters[0] / meters[1]), rel=1e-15)


@given(st.text(max_size=20) | st.text("0123456789.,eEx× µmn+-", max_size=20))
def test_any_text_is_a_voxel_size_or_an_error_of_the_request(text: str) -> None:
    try:
        sizes, unit = parse_voxel_size(text)
    except RequestError:
        return
    assert len(sizes) == 3
    assert all(0 < size < float("inf") for size in sizes)
    assert unit is None or unit in UNITS
