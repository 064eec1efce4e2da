"""Writes sizes, numbers, durations and tables for people."""

from __future__ import annotations

from collections.abc import Sequence

UNIT_BYTES = {"TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3}
"""The units of sizes."""


def format_size(size: float) -> str:
    """Bytes in the largest unit in which they are at least 1, with three digits: ``"13.4 GB"``."""
    for unit, factor in UNIT_BYTES.items():
        if size >= 0.9995 * factor:
            value = size / factor
            digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
            return f"{value:.{digits}f} {unit}"
    return "1 byte" if size == 1 else f"{size:.0f} bytes"


def times(shape: Sequence[int]) -> str:
    """A shape: ``"512 × 2560 × 2560"``."""
    return " × ".join(str(n) for n in shape)


def numbers(values: Sequence[float]) -> str:
    """Sizes along some axes: ``"0.65 0.65 1.3"``."""
    return " ".join(f"{value:g}" for value in values)


def count(number: int, what: str) -> str:
    """A number of things: ``"1 block"``, ``"7,858 files"``."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def duration(seconds: float) -> str:
    """A time, as precise as is useful: ``"1.8 s"``, ``"35 s"``, ``"4 min 10 s"``, ``"1 h 05 min"``."""
    if seconds < 0.05:
        return "less than 0.1 s"
    return f"{seconds:.1f} s" if seconds < 9.95 else time_left(seconds)


def time_left(seconds: float) -> str:
    """A time without fractions of a second: ``"2 s"``, ``"4 min 10 s"``, ``"1 h 05 min"``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def rough_duration(seconds: float) -> str:
    """A time that is an estimate: ``"20 s"``, ``"2 min"``, ``"3 h"``."""
    if seconds < 55:
        return f"{max(1, round(seconds)) if seconds < 10 else round(seconds, -1):.0f} s"
    if seconds < 5400:
        return f"{max(1, round(seconds / 60))} min"
    return f"{round(seconds / 3600)} h"


def percent(share: float) -> str:
    """A share from 0 to 1 in percent: ``"0.2 %"``; a small share is never written as 0."""
    return "less than 0.01 %" if 0 < share < 1e-4 else f"{100 * share:.3g} %"


def shorten(name: str, length: int) -> str:
    """A name, with its middle left out if it is longer than `length`."""
    if len(name) <= length:
        return name
    length = max(3, length)
    tail = (length - 1) // 2
    return f"{name[: length - 1 - tail]}…{name[len(name) - tail :]}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table; the last column is aligned to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    *lefts, right = widths
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, lefts, strict=False)), row[-1].rjust(right)])
        for row in [head, *rows]
    ]


def html_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with a title, as notebooks show it."""
    from html import escape

    lines = [
        "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row) + "</tr>"
        for tag, row in [("th", head), *(("td", row) for row in rows)]
    ]
    return f"<div><b>{escape(title)}</b><table>{''.join(lines)}</table></div>"


def first_names(names: Sequence[str], most: int = 5) -> str:
    """The first of some names, and how many more there are: ``a, b and 3 more``."""
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
