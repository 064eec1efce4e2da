"""Values as users write them: sizes in bytes, numbers, triples along z, y, x, ranges, names of a list."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

from .errors import RequestError

# Decimal for "G" and "GB", so that a budget is never exceeded whichever of the two a user meant.
_SIZES = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGT", start=1):
    _SIZES[_letter] = _SIZES[_letter + "B"] = 1000**_power
    _SIZES[_letter + "IB"] = 1024**_power

# No size needs more than 30 digits, and Python refuses to read thousands of them.
_SIZE = re.compile(r"\s*(\d{1,30}(?:\.\d{1,30})?)\s*([A-Za-z]*)\s*")


def parse_size(text: str | int) -> int:
    """Bytes meant by ``"4G"``, ``"500M"``, ``"2GB"``, ``"1.5GiB"`` or ``"4096"``.

    G and GB are 10**9 bytes, GiB is 2**30; the case of letters does not matter.

    Raises
    ------
    RequestError
        If it is not a size, or not above zero.
    """
    # pydantic's ByteSize does this, too, but importing it takes 0.2 s, longer than all of `ct-pyramid --help`.
    match = _SIZE.fullmatch(str(text))
    factor = _SIZES.get(match[2].upper()) if match else None
    size = int(Fraction(match[1]) * factor) if match and factor else 0
    if size == 0:
        what = "not a size" if factor is None else "a size of less than one byte"
        raise RequestError(f'{str(text)!r} is {what}. Try "4G", "500M", "2GB" or a number of bytes.')
    return size


def parse_json(text: str | bytes) -> Any:
    """The value that a JSON text holds.

    Raises
    ------
    ValueError
        If it holds none, or lists in lists that are deeper than Python can follow.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("its lists are nested too deeply") from error


def parse_triple(parts: Sequence[Any], what: str, *, shown: Any, allowed: Iterable[int] = ()) -> tuple[int, int, int]:
    """Three whole numbers above zero; `what` ends the message if they are not, and `shown` is what the user wrote."""
    numbers = [number for part in parts if (number := parse_whole(part)) is not None]
    if not len(numbers) == len(parts) == 3 or min(numbers) < 1 or (allowed and not {*numbers} <= {*allowed}):
        raise RequestError(f"{as_written(shown)!r} is not {what}")
    return numbers[0], numbers[1], numbers[2]


def parse_range(part: Any) -> tuple[int | None, int | None] | None:
    """The first voxel, and the one after the last; None if it is not a range."""
    ends = (part.split(":") if part.strip() else ["", ""]) if isinstance(part, str) else part
    if not isinstance(ends, Sequence) or len(ends) != 2:
        return None
    texts = ["" if end is None else str(end).strip() for end in ends]
    numbers = [parse_whole(text) for text in texts]
    return None if any(text and n is None for text, n in zip(texts, numbers, strict=True)) else (numbers[0], numbers[1])


def count_of(what: str, *, or_none: str | None = None) -> Callable[[Any], int | None]:
    """A parser of a whole number above zero; `or_none` is the word that stands for none."""

    def parse(given: Any) -> int | None:
        if given is None or (or_none and given == or_none):
            return None
        number = parse_whole(given)
        if number is None or number < 1:
            or_auto = f", or {or_none}" if or_none else ""
            raise RequestError(f"{given!r} is not a number of {what}: it takes a whole number from 1 up{or_auto}.")
        return number

    return parse


def index_of(what: str) -> Callable[[Any], int | None]:
    """A parser of a number counted from 0, or None."""

    def parse(given: Any) -> int | None:
        number = None if given is None else parse_whole(given)
        if given is None or (number is not None and number >= 0):
            return number
        raise RequestError(f"{given!r} is not the number of a {what}: it takes a whole number from 0 up.")

    return parse


def one_float(what: str) -> Callable[[Any], float | None]:
    """A parser of a finite number, or None; `what` says what it is, for messages."""

    def parse(given: Any) -> float | None:
        numbers = [] if given is None else parse_floats(given)
        if given is not None and (len(numbers) != 1 or not math.isfinite(numbers[0])):
            raise RequestError(f"{as_written(given)!r} is not {what}: it takes a number, such as -0.5.")
        return numbers[0] if numbers else None

    return parse


def parse_offset(given: Any) -> int:
    """A number of bytes before something."""
    number = 0 if given is None else parse_whole(given)
    if number is None or number < 0:
        raise RequestError(f"{given!r} is not a number of bytes: it takes a whole number from 0 up.")
    return number


_VOXEL_TYPE = re.compile(r"([<>=|]?)(uint|int|float|u|i|f)(\d{1,2})")
_KINDS = {"i": "int", "u": "uint", "f": "float"}


def parse_voxel_type(given: Any) -> str:
    """A type of voxels as NumPy names it: ``"uint16"`` or, if it is big-endian, ``">u2"``.

    It takes names (``"uint16"``), short names (``"<u2"``) and NumPy's types.

    Raises
    ------
    RequestError
        If it is not one of integers or floats.
    """
    text = str(getattr(given, "str", None) or getattr(given, "__name__", given)).strip().lower()
    if match := _VOXEL_TYPE.fullmatch(text):
        order, kind, size = match[1], match[2][0], int(match[3]) / (8 if len(match[2]) > 1 else 1)
        if size in ((2, 4, 8) if kind == "f" else (1, 2, 4, 8)):
            return f">{kind}{size:g}" if order == ">" and size > 1 else f"{_KINDS[kind]}{8 * size:g}"
    raise RequestError(
        f"{as_written(given)!r} is not a type of voxels. Try one of uint8, uint16, int16, float32, or '>u2' for "
        "big-endian uint16."
    )


def one_of(names: Sequence[str], what: str) -> Callable[[Any], str]:
    """A parser that takes one of some names; `what` says what they are, for messages."""

    def parse(name: Any) -> str:
        if name in names:
            return str(name)
        raise RequestError(f"{name!r} is not {what}. Try one of {', '.join(names)}.")

    return parse


def split_parts(value: Any) -> list[Any]:
    """The words of a text, the items of a sequence, or the one value there is. ``128×128×128`` has three."""
    if isinstance(value, str):
        return re.sub(r"(?<=\d)\s*[x×,;*]\s*(?=\d)", " ", value).split()
    return list(value) if isinstance(value, Iterable) and getattr(value, "ndim", True) else [value]


def as_written(value: Any) -> str:
    """As a user wrote it, more or less."""
    return value if isinstance(value, str) else " ".join(map(str, split_parts(value)))


def parse_floats(value: Any) -> list[float]:
    """The numbers that a value holds; empty if any part is not a number."""
    try:
        return [float(part) for part in (value.split() if isinstance(value, str) else split_parts(value))]
    except (TypeError, ValueError):
        return []


def parse_whole(value: Any) -> int | None:
    """The whole number that a value is; None if it is not one."""
    try:
        number = int(value)
        return number if number == float(value) else None
    except (TypeError, ValueError, OverflowError):
        return None
