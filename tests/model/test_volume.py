"""Boxes of voxels and the chunks that they touch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from napari_ct_pyramid.model.volume import overlap, overlaps, touched
from tests.helpers.examples import FEW

RANGES = st.tuples(st.integers(0, 30), st.integers(1, 30)).map(lambda pair: slice(pair[0], sum(pair)))


@FEW
@given(st.tuples(RANGES, RANGES, RANGES), st.tuples(*[st.integers(1, 12)] * 3))
def test_overlaps_are_those_of_every_chunk_that_is_touched(
    box: tuple[slice, ...], chunks: tuple[int, int, int]
) -> None:
    assert list(overlaps(box, chunks)) == [(index, *overlap(box, index, chunks)) for index in touched(box, chunks)]
