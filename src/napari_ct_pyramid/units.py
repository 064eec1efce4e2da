"""The units of length that NGFF knows, what users and files call them, and voxel sizes as users write them."""

from __future__ import annotations

import math
import re
import unicodedata
from decimal import Decimal
from typing import Any

from .errors import RequestError
from .parsing import as_written

PREFIXES = {
    "yotta": 24, "zetta": 21, "exa": 18, "peta": 15, "tera": 12, "giga": 9, "mega": 6, "kilo": 3, "hecto": 2,
    "": 0, "deci": -1, "centi": -2, "milli": -3, "micro": -6, "nano": -9, "pico": -12, "femto": -15, "atto": -18,
    "zepto": -21, "yocto": -24,
}  # fmt: skip
"""The prefixes of units, as powers of ten."""

UNITS: dict[str, float] = {
    **{f"{prefix}meter": 10.0**power for prefix, power in PREFIXES.items()},
    "angstrom": 1e-10, "inch": 0.0254, "foot": 0.3048, "yard": 0.9144, "mile": 1609.344,
    "parsec": 3.0856775814913673e16,
}  # fmt: skip
"""The units of length that NGFF knows (https://ngff.openmicroscopy.org/0.4/#axes-md), in meters."""

UNIT_SYMBOLS = {
    "angstrom": "Å", "picometer": "pm", "nanometer": "nm", "micrometer": "µm", "millimeter": "mm", "centimeter": "cm",
    "decimeter": "dm", "meter": "m", "kilometer": "km", "inch": "in", "foot": "ft", "yard": "yd", "mile": "mi",
}  # fmt: skip
_OTHER_NAMES = {"um": "micrometer", "µ": "micrometer", "micron": "micrometer", '"': "inch"}
_SYMBOLS = {symbol: unit for unit, symbol in UNIT_SYMBOLS.items()} | _OTHER_NAMES


def find_unit(text: Any) -> str | None:
    """The NGFF unit of length that a name or symbol means, such as ``µm`` or ``microns``; None if there is none."""
    name = str(text or "").strip().replace("\N{GREEK SMALL LETTER MU}", "µ").replace("\N{ANGSTROM SIGN}", "Å")
    if name in _SYMBOLS:
        return _SYMBOLS[name]
    name = name.lower().replace("metre", "meter").removesuffix("s")
    return name if name in UNITS else _SYMBOLS.get(name) if len(name) > 2 else None


def parse_unit(text: Any) -> str:
    """The NGFF unit of length that a name or symbol means.

    Raises
    ------
    RequestError
        If it means none.
    """
    if found := find_unit(text):
        return found
    raise _no_unit(text, "")


def _no_unit(unit: Any, where: str) -> RequestError:
    common = "nanometer (nm), micrometer (µm), millimeter (mm), centimeter (cm), meter (m)"
    return RequestError(f"{unit!r}{where} is not a unit of length that OME-Zarr knows. Try one of {common}.")


_NUMBER = r"[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:e[+-]?\d{1,3})?"
_LENGTH = re.compile(rf"({_NUMBER})\s*([^\d\s.+-][^\d\s]*)?(?:\s+|$)", re.IGNORECASE)
_SEPARATOR = re.compile(r"[×*;,]|(?<![^\W\d_])x(?![^\W\d_])|x(?=[\d.])", re.IGNORECASE)
_WITH_COMMAS = re.compile(r"[\d,]*,[\d,]*")


def parse_voxel_size(value: Any) -> tuple[tuple[float, float, float], str | None]:
    """A voxel size as a user writes it, with or without a unit.

    Understands ``0.65``, ``0,65``, ``0.65 µm``, ``650nm``, ``0.65 0.65 1.3 um``, ``0.65 x 0.65 x 1.3 µm`` and
    ``650 nm 650 nm 1.3 µm``. The unit stands after the last number, and applies to all; or after each.

    Parameters
    ----------
    value : str, float, or sequence of either
        One size for all axes, or three along z, y, x.

    Returns
    -------
    voxel_size : tuple of float
        Along z, y, x, in the unit. Where each number has its own unit: in the first of them.
    unit : str or None
        An NGFF unit of length; None if the text states none.

    Raises
    ------
    RequestError
        If it is not a voxel size, or can be read in two ways.
    """
    text = as_written(value)
    sizes, units = _read_lengths(text)
    if len(sizes) == 1:
        sizes, units = sizes * 3, units * 3
    if len(sizes) != 3 or not all(math.isfinite(size) and size > 0 for size in map(float, sizes)):
        raise _no_voxel_size(text)
    if not any(units[:-1]):
        units = units[-1:] * 3
    if not all(units) and any(units):
        raise RequestError(
            f"{text!r} has a unit for some of its numbers only. Write the unit once, after the last number, or after "
            "each of them, such as 0.65 0.65 1.3 µm."
        )
    z, y, x = (_convert(size, own, units[0]) for size, own in zip(sizes, units, strict=True))
    return (z, y, x), units[0]


def _convert(size: Decimal, unit: str | None, to: str | None) -> float:
    """A size in another unit. Decimals are converted as they are written: 1.3 µm is 1300 nm."""
    if unit is None or to is None or unit == to:
        return float(size)
    return float(size * Decimal(str(UNITS[unit])) / Decimal(str(UNITS[to])))


def _read_lengths(text: str) -> tuple[list[Decimal], list[str | None]]:
    """The numbers of a text, and the unit after each; None where there is none."""
    plain = _with_decimal_points(unicodedata.normalize("NFKC", text).translate(dict.fromkeys(map(ord, "()[]"))), text)
    plain = _SEPARATOR.sub(" ", plain).strip()
    sizes, units, at = [], [], 0
    while at < len(plain):
        match = _LENGTH.match(plain, at)
        if not match:
            raise _no_voxel_size(text)
        sizes.append(Decimal(match[1]))
        units.append(find_unit(match[2]))
        if match[2] and not units[-1]:
            raise _no_unit(match[2], f" in {text!r}")
        at = match.end()
    return sizes, units


def _with_decimal_points(plain: str, text: str) -> str:
    """The text with points for decimal commas.

    A comma is one where the text has no point, and no word has more commas than one: ``0,65 0,65 1,3``, but not
    ``0.65,0.65,1.3`` or ``1,2,3``.
    """
    words = [word.rstrip(",") for word in _WITH_COMMAS.findall(plain)]
    if "." in plain or any(word.count(",") > 1 for word in words):
        return plain
    for word in words:
        if re.fullmatch(r"[1-9]\d{0,2},\d{3}", word):
            raise RequestError(
                f"{text!r} can be read in two ways: {word} may be {word.replace(',', '.')} or {word.replace(',', '')}. "
                "Write it without a comma."
            )
    return re.sub(r"(?<=\d),(?=\d)|(?<!\d),(?=\d)", ".", plain)


def _no_voxel_size(text: str) -> RequestError:
    return RequestError(
        f"{text!r} is not a voxel size: it takes one number above zero, or three for z, y and x, and a unit, such as "
        "0.65 µm, 650 nm, or 1.3 0.65 0.65 µm."
    )
