"""A histogram as a few lines of text."""

from __future__ import annotations

import math
import sys
from itertools import pairwise
from typing import Any

_COLUMNS = 64
_ROWS = 4
_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII = "    ....#"  # where the terminal knows no other characters


def plot_histogram(histogram: dict[str, Any], *, encoding: str | None = None) -> list[str]:
    """Lines that show a histogram of a receipt, with the values at its ends below it.

    The heights are logarithmic, so that rare values are seen, too: a column of half the height is the square root as
    frequent. The first and the last bin, which reach to the smallest and the largest value, are left out where they are
    wider than the others.

    Parameters
    ----------
    histogram : dict
        ``edges`` and ``counts``.
    encoding : str, optional
        Of the terminal. Default: that of standard output.
    """
    edges, counts = _inner(histogram["edges"], histogram["counts"])
    columns = _in_columns(counts)
    most = math.log1p(max(columns))
    heights = [round(math.log1p(count) / most * _ROWS * 8) if most else 0 for count in columns]
    heights = [max(1, height) if count else 0 for height, count in zip(heights, columns, strict=True)]
    blocks = _BLOCKS if _can_show(encoding) else _ASCII
    rows = [
        "".join(blocks[min(8, max(0, height - 8 * row))] for height in heights).rstrip()
        for row in reversed(range(_ROWS))
    ]
    low, high = f"{edges[0]:g}", f"{edges[-1]:g}"
    return [*rows, low + high.rjust(max(len(columns) - len(low), len(high) + 1))]


def _inner(edges: list[float], counts: list[int]) -> tuple[list[float], list[int]]:
    """The bins without the first and the last, if those are wider than the others."""
    if len(counts) < 4:
        return edges, counts
    width = edges[2] - edges[1]
    first = 1 if edges[1] - edges[0] > 2 * width else 0
    last = 1 if edges[-1] - edges[-2] > 2 * width else 0
    return edges[first : len(edges) - last], counts[first : len(counts) - last]


def _in_columns(counts: list[int]) -> list[int]:
    """The mean counts of neighbouring bins, in as many columns as there is room for."""
    if len(counts) <= _COLUMNS:
        repeat = _COLUMNS // len(counts)
        return [count for count in counts for _ in range(repeat)]
    cuts = [i * len(counts) // _COLUMNS for i in range(_COLUMNS + 1)]
    return [math.ceil(sum(counts[a:b]) / (b - a)) for a, b in pairwise(cuts)]


def _can_show(encoding: str | None) -> bool:
    try:
        _BLOCKS.encode(encoding or sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
