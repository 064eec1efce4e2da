"""Boxes of voxels in a level, and the same places in the finer one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from napari_ct_pyramid.model.volume import Box

VOXELS = 2_000_000
"""Of the finer level, read at a time; more where one of its chunks has more."""


def parts(box: Box, finer_chunks: Sequence[int], factors: Sequence[int]) -> Iterator[Box]:
    """A box of the coarser level in parts that whole chunks of the finer level make, a few at a time."""
    yield from itertools.product(*cuts(box, finer_chunks, factors))


def cuts(box: Box, finer_chunks: Sequence[int], factors: Sequence[int]) -> list[list[slice]]:
    """Where the parts of a box begin and end along each axis."""
    steps = [max(1, c // f) for c, f in zip(finer_chunks, factors, strict=True)]
    voxels = math.prod(s * f for s, f in zip(steps, factors, strict=True))
    for axis in reversed(range(len(steps))):
        length = box[axis].stop - box[axis].start
        grown = min(max(1, VOXELS // voxels), math.ceil(length / steps[axis]))
        voxels *= grown
        steps[axis] *= grown
    return [
        [slice(a, min(a + step, s.stop)) for a in range(s.start, s.stop, step)]
        for s, step in zip(box, steps, strict=True)
    ]


def finer_box(box: Box, factors: Sequence[int], finer_shape: Sequence[int], shape: Sequence[int]) -> Box:
    """The same place in the finer level; at the end of the coarser level, up to the end of the finer one."""
    return tuple(
        slice(min(s.start * f, n), n if s.stop == m else min(s.stop * f, n))
        for s, f, n, m in zip(box, factors, finer_shape, shape, strict=True)
    )
