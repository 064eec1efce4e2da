"""The units of length: those that NGFF knows, their symbols, and what users and files call them."""

from __future__ import annotations

from typing import Any

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
