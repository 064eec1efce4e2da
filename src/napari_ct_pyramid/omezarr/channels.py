"""How the channels of an image should be shown: its ``omero`` metadata, as any program may have written them.

Specification: https://ngff.openmicroscopy.org/0.4/#omero-md. Nothing in them makes an image unreadable: what cannot be
shown is ignored, and named in a note.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Window = tuple[float, float, float, float]

Note = Callable[[str], None]
"""Takes a sentence about metadata that were ignored or corrected."""

LARGEST = 1e37
"""The largest size of a grey value that can be shown: graphics cards compute with 32-bit floats."""

_COLORS = {
    "white": "FFFFFF", "gray": "808080", "grey": "808080", "silver": "C0C0C0", "red": "FF0000", "lime": "00FF00",
    "green": "00FF00", "blue": "0000FF", "cyan": "00FFFF", "aqua": "00FFFF", "magenta": "FF00FF", "fuchsia": "FF00FF",
    "yellow": "FFFF00", "orange": "FFA500", "purple": "800080", "violet": "EE82EE", "pink": "FFC0CB",
    "brown": "A52A2A", "gold": "FFD700", "teal": "008080", "navy": "000080", "olive": "808000", "maroon": "800000",
}  # fmt: skip
_HEX = re.compile(r"(?:#|0x)?([0-9a-f]{3}|[0-9a-f]{6}|[0-9a-f]{8})", re.IGNORECASE)
_BLACK = "000000"


@dataclass(frozen=True)
class Channel:
    """How a channel should be shown.

    Attributes
    ----------
    label : str or None
        Name of the channel.
    color : str or None
        Six hexadecimal digits.
    window : tuple of float or None
        (min, max, start, end): the smallest and largest value, and the range to show. All are finite, min is not above
        max, and start not above end.
    active : bool
        Whether the channel is visible at first.
    lut : str or None
        Name of the lookup table, if it is more than a colour, without ``.lut``.
    """

    label: str | None = None
    color: str | None = None
    window: Window | None = None
    active: bool = True
    lut: str | None = None


def read_channels(omero: Any, note: Note) -> tuple[Channel, ...]:
    """The channels that the ``omero`` metadata of an image describe."""
    if omero is None:
        return ()
    channels = omero.get("channels") if isinstance(omero, dict) else omero
    if channels is None:
        return ()
    if not isinstance(channels, list):
        note("Its display settings are not a list of channels, and were ignored.")
        return ()
    found = []
    for number, channel in enumerate(channels):
        if isinstance(channel, dict):
            problems: list[str] = []
            found.append(_read_channel(channel, problems.append))
            for problem in problems:
                note(f"Channel {number}: {problem}")
        else:
            note(f"Channel {number}: its display settings were ignored.")
            found.append(Channel())
    return tuple(found)


def _read_channel(channel: dict[str, Any], note: Note) -> Channel:
    label, active, lut = channel.get("label"), channel.get("active"), channel.get("lut")
    return Channel(
        label=read_name(label),
        color=_read_color(channel.get("color"), note),
        window=_read_window(channel.get("window"), note),
        active=active if isinstance(active, bool) else True,
        lut=lut.removesuffix(".lut") or None if isinstance(lut, str) else None,
    )


def read_name(value: Any) -> str | None:
    """A name, in one line; None if the value is none, such as the ``/`` that zarr-python gives to a root group."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    name = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    return name if name.strip("/") else None


def _read_color(value: Any, note: Note) -> str | None:
    """The colour as six hexadecimal digits. Black, in which nothing can be seen, is none."""
    if value is None or value == "":
        return None
    color = _color(value)
    if color is None:
        note(f"its color {shortened(value)} is not understood, and was ignored.")
    elif color == _BLACK:
        note("its color is black, in which nothing can be seen. It was ignored.")
        color = None
    return color


def _color(value: Any) -> str | None:
    if isinstance(value, str):
        text = value.strip()
        if match := _HEX.fullmatch(text):
            digits = match[1].upper()
            return "".join(2 * digit for digit in digits) if len(digits) == 3 else digits[:6]
        return _COLORS.get(text.lower())
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        if 0 <= value <= 0xFFFFFF:
            return f"{value:06X}"
        # OME-XML and OMERO: red, green, blue and alpha in a signed number of 32 bits
        return f"{value & 0xFFFFFFFF:08X}"[:6] if -(2**31) <= value < 2**32 else None
    if isinstance(value, list) and len(value) in (3, 4):
        parts = [finite_number(part) for part in value[:3]]
        if None in parts:
            return None
        scale = 255 if all(isinstance(part, float) for part in value) and max(value) <= 1 else 1
        levels = [round(scale * part) for part in parts if part is not None]
        return "".join(f"{level:02X}" for level in levels) if all(0 <= level <= 255 for level in levels) else None
    return None


def _read_window(value: Any, note: Note) -> Window | None:
    if value is None or value == {}:
        return None
    if not isinstance(value, dict):
        note("its display window was ignored: it has no start and end.")
        return None
    start, end = (finite_number(value.get(name)) for name in ("start", "end"))
    if start is None or end is None:
        if value.get("start") is not None or value.get("end") is not None:
            stated = f"{shortened(value.get('start'))} to {shortened(value.get('end'))}"
            note(f"its display window, {stated}, was ignored: both must be finite numbers.")
        return None
    if start > end:
        note(f"its display window was reversed. It is shown from {end:g} to {start:g}.")
        start, end = end, start
    low, high = (finite_number(value.get(name)) for name in ("min", "max"))
    low, high = start if low is None else low, end if high is None else high
    return min(low, high), max(low, high), start, end


def finite_number(value: Any) -> float | None:
    """A number, or a text of one; None if it is none, or cannot be shown."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) <= LARGEST else None


def shortened(value: Any) -> str:
    """A value of the metadata, for a sentence."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
