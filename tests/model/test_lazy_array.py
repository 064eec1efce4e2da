"""A lazy array against numpy: the same shapes and values for every index, and one read at most for each look."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices

from napari_ct_pyramid.model.lazy_array import LazyArray, sample_chunks
from napari_ct_pyramid.model.volume import Box

VOXELS = np.arange(5 * 6 * 7, dtype="i4").reshape(5, 6, 7)


class Spy:
    """Reads from `VOXELS`, and writes down what was asked for."""

    def __init__(self) -> None:
        self.boxes: list[Box] = []

    def __call__(self, box: Box) -> np.ndarray:
        for part, size in zip(box, VOXELS.shape, strict=True):
            assert 0 <= part.start < part.stop <= size
            assert part.step >= 1
        self.boxes.append(box)
        return VOXELS[box]


def lazy(spy: Spy) -> LazyArray:
    return LazyArray(spy, VOXELS.shape, VOXELS.dtype, (2, 3, 4))


@given(basic_indices(VOXELS.shape), st.data())
def test_any_index_gives_what_numpy_gives(key: Any, data: st.DataObject) -> None:
    spy = Spy()
    once, expected = lazy(spy)[key], VOXELS[key]
    assert once.shape == expected.shape
    assert np.array_equal(np.asarray(once), expected)
    assert len(spy.boxes) <= 1
    if expected.ndim and isinstance(once, LazyArray):  # a lazy slice of a lazy slice
        again = data.draw(basic_indices(expected.shape))
        assert np.array_equal(np.asarray(once[again]), expected[again])


def test_slices_do_not_read_and_an_index_reads_only_the_slice() -> None:
    spy = Spy()
    tile = lazy(spy)[:, 1:5, 2:][..., 1:3][1:]
    assert isinstance(tile, LazyArray)
    assert tile.shape == (4, 4, 2)
    assert not spy.boxes
    assert np.array_equal(tile[-1], VOXELS[4, 1:5, 3:5])
    assert spy.boxes == [(slice(4, 5, 1), slice(1, 5, 1), slice(3, 5, 1))]


def test_it_has_the_attributes_of_an_array() -> None:
    array = lazy(Spy())
    assert (array.ndim, array.size, array.nbytes, len(array)) == (3, 210, 840, 5)
    assert array.dtype == np.dtype("i4")
    assert array.chunks == (2, 3, 4)
    assert "5 x 6 x 7" in repr(array)
    assert np.asarray(array, "f8").dtype == np.dtype("f8")


@pytest.mark.parametrize("key", [5, -6, (0, 6), (0, 0, 0, 0), (..., 0, ...)])
def test_an_index_outside_is_an_error(key: Any) -> None:
    with pytest.raises(IndexError):
        lazy(Spy())[key]


@pytest.mark.parametrize("key", [None, [0, 1], 1.0, np.array([True] * 5)])
def test_other_kinds_of_indices_are_refused(key: Any) -> None:
    with pytest.raises(IndexError):
        lazy(Spy())[key]


def test_no_copy_is_refused() -> None:
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(lazy(Spy()), copy=False)


@pytest.mark.parametrize("shape", [(4, 4, 4), (8, 8, 8), (9, 5, 17), (40, 40, 40), (1, 2, 40, 40, 40), (100, 4)])
def test_sampled_chunks_are_distinct_and_from_all_over(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    level = LazyArray(lambda box: array[box], shape, array.dtype, (4,) * len(shape))
    chunks = sample_chunks(level)
    grid = [-(-n // 4) for n in shape]
    assert len(chunks) == min(8, int(np.prod(grid)))
    first = [np.unravel_index(int(chunk.flat[0]), shape) for chunk in chunks]
    assert len({tuple(map(int, place)) for place in first}) == len(chunks)
    for axis, n in enumerate(grid):
        assert len({int(place[axis]) // 4 for place in first}) >= min(n, 3)
