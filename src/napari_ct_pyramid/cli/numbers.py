"""Numbers on the command line: those that stand one after another behind an option are one value of it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import fields

from napari_ct_pyramid.calibration import UNITS
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.units import find_unit

from .render import flags

_NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?", re.IGNORECASE)
_SEVERAL = {"Z Y X", "LO HI", "SLOPE INTERCEPT [UNIT]"}  # values of several numbers
_NUMBERS_IN_ONE = re.compile(r"\d[x×,;*]\d")


def join_numbers(argv: Sequence[str]) -> list[str]:
    """The arguments with the numbers after an option joined: `-c 128 128 128 scan.tif` has `128 128 128` as one word.

    argparse alone cannot find the end of three numbers or one name. If it allowed several values, it would take the
    file in `-c visualization scan.tif` for a second value.
    """
    takes_numbers = {name for option in fields(ConversionOptions)
                     if _SEVERAL.intersection((option.metadata["metavar"] or "").split(" | "))
                     for name in flags(option.name)}  # fmt: skip
    joined: list[str] = []
    words = deque(argv)
    while words and words[0] != "--":
        joined.append(words.popleft())
        if joined[-1] in takes_numbers:
            has_unit = joined[-1] in flags("voxel_size")
            numbers = list(_leading_lengths(words) if has_unit else _leading_numbers(words))
            if joined[-1] in flags("calibration") and numbers and words and words[0] in UNITS:
                numbers.append(words.popleft())
            if numbers:
                joined.append(" ".join(numbers))
    return [*joined, *words]


def _leading_numbers(words: deque[str]) -> Iterator[str]:
    """Take the numbers from the front, up to a word that holds several (`128x128x128`)."""
    while words and _NUMBER.fullmatch(words[0]):
        whole = _NUMBERS_IN_ONE.search(words[0])
        yield words.popleft()
        if whole:
            return


def _leading_lengths(words: deque[str]) -> Iterator[str]:
    """Take up to three numbers from the front, and their units: `0.65 um`, `0,65 0,65 1,3 um`, `650nm 650nm 1.3um`."""
    numbers = 0
    while words:
        number = _NUMBER.match(words[0])
        rest = words[0][number.end() :] if number else words[0]
        in_place = numbers < 3 if number else numbers > 0
        if not in_place or (rest not in ("", "x", "×") and not find_unit(rest)):
            return
        if number:
            numbers = 3 if number[0].count(",") > 1 else numbers + 1
        yield words.popleft()
