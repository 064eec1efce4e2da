"""Boxes of voxels, and the chunks that they lie in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

Box = tuple[slice, ...]
"""One slice an axis, start and stop within the array, step at least 1."""


def touched(box: Box, chunks: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Indices of the chunks that a box lies in."""
    return itertools.product(*(range(s.start // c, (s.stop - 1) // c + 1) for s, c in zip(box, chunks, strict=True)))


def overlap(box: Box, index: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[Box, Box]:
    """The part of a box (steps 1) in a chunk, counted from the corner of the chunk and from that of the box."""
    inside, target = [], []
    for s, i, c in zip(box, index, chunks, strict=True):
        first, last = max(s.start, i * c), min(s.stop, (i + 1) * c)
        inside.append(slice(first - i * c, last - i * c))
        target.append(slice(first - s.start, last - s.start))
    return tuple(inside), tuple(target)
