"""Numbers of bytes to words and back."""

from __future__ import annotations

import re
from fractions import Fraction

from .errors import RequestError

# Decimal for "G" and "GB", so that a budget is never exceeded whichever of the two a user meant.
_FACTORS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGT", start=1):
    _FACTORS[_letter] = _FACTORS[_letter + "B"] = 1000**_power
    _FACTORS[_letter + "IB"] = 1024**_power

# No size needs more than 30 digits, and Python refuses to read thousands of them.
_SIZE = re.compile(r"\s*(\d{1,30}(?:\.\d{1,30})?)\s*([A-Za-z]*)\s*")
_EXAMPLES = 'Try "4G", "500M", "2GB" or a number of bytes.'


def parse_size(text: str | int) -> int:
    """Bytes meant by ``"4G"``, ``"500M"``, ``"2GB"``, ``"1.5GiB"`` or ``"4096"``.

    G and GB are 10**9 bytes, GiB is 2**30; the case of letters does not matter.

    Raises
    ------
    RequestError
        If it is no size, or not above zero.
    """
    match = _SIZE.fullmatch(str(text))
    factor = _FACTORS.get(match[2].upper()) if match else None
    if match is None or factor is None:
        raise RequestError(f"{str(text)!r} is not a size. {_EXAMPLES}")
    size = int(Fraction(match[1]) * factor)
    if size == 0:
        raise RequestError(f"{str(text)!r} is a size of less than one byte. {_EXAMPLES}")
    return size


def format_size(size: float) -> str:
    """Bytes in the largest unit that leaves a number of at least 1, to three digits: ``"13.4 GB"``."""
    for factor, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= 0.9995 * factor:
            value = size / factor
            digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
            return f"{value:.{digits}f} {unit}"
    return "1 byte" if size == 1 else f"{size:.0f} bytes"
