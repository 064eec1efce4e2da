"""Windows of grey values: found in a sample, and applied to voxels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_ct_pyramid.model.intensity import (
    Rescale,
    automatic_window,
    estimated_limits,
    percentile_limits,
    some_of,
)
from tests.helpers.greys import check_nearest


@given(
    arrays.arrays(
        st.sampled_from(["f2", "f4", "f8", "i4"]),
        (2, 3, 5),
        elements={"allow_subnormal": False} | {},
    ),
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
    st.sampled_from(["u1", "u2"]),
)
def test_every_voxel_becomes_the_nearest(voxels: np.ndarray, low: float, width: float, dtype: str) -> None:
    rescale = Rescale(voxels.dtype, np.dtype(dtype), low, low + width)
    stored = np.empty(voxels.shape, dtype)
    clipped = rescale.apply(voxels, stored)
    check_nearest(stored, voxels, low, low + width)
    assert clipped == sum(not (low <= float(v) <= low + width) for v in voxels.flat if not math.isnan(v))
    assert [rescale.stored(float(v)) for v in voxels.flat] == list(stored.flat)


@given(arrays.arrays("f4", st.integers(1, 300), elements=st.floats(-1e6, 1e6, width=32)))
def test_the_limits_are_the_percentiles_of_the_finite_voxels(voxels: np.ndarray) -> None:
    low, high = np.percentile(voxels.astype("f8"), (0.1, 99.9))
    mixed = np.concatenate([voxels, [np.nan, np.inf, -np.inf]])
    assert percentile_limits(mixed) == ((low, high) if low < high else None)


def test_a_window_is_never_empty() -> None:
    for sample in (np.array([2.5]), np.full(9, 7, "u2"), np.full(3, np.nan), np.zeros(0, "f4"), np.array([-1e30])):
        low, high = automatic_window(sample)
        assert low < high
        if sample.size:
            low, high = estimated_limits([sample])
            assert low < high


def test_an_automatic_window_of_integers_has_whole_ends() -> None:
    sample = np.arange(1000, dtype="i2")
    low, high = automatic_window(sample)
    assert (low, high) == (math.floor(np.percentile(sample, 0.1)), math.ceil(np.percentile(sample, 99.9)))


def test_rescaling_twice_is_one_rescaling() -> None:
    first = Rescale(np.dtype("f4"), np.dtype("u2"), -1, 3)
    both = first.then(Rescale(np.dtype("u2"), np.dtype("u1"), 0, 32767.5))
    assert (both.source_dtype, both.dtype) == (np.dtype("f4"), np.dtype("u1"))
    assert (both.low, both.high) == pytest.approx((-1, 1))


@pytest.mark.parametrize("period", [2, 4, 16, 20, 32, 128])
def test_some_voxels_have_no_period(period: int) -> None:
    """One column of a period is bright, at every offset: equal steps would see all of them, or none."""
    for offset in range(0, period, max(1, period // 8)):
        voxels = (np.arange(2_000_000) % period == offset).astype("f4")
        sample = some_of(voxels, 100_000)
        assert sample.size == 100_000
        assert sample.mean() == pytest.approx(1 / period, rel=0.2)


@given(st.integers(1, 3000), st.integers(1, 1000))
def test_some_voxels_are_from_everywhere(size: int, most: int) -> None:
    chosen = some_of(np.arange(size), most)
    assert chosen.size == min(size, most)
    assert np.diff(chosen, prepend=0, append=size).max() <= 2 * size / most + 2


@pytest.mark.parametrize("offset", range(0, 97, 8))
def test_limits_show_a_bright_block_wherever_it_lies(offset: int) -> None:
    voxels = np.zeros((128, 128, 128), "f4")
    voxels[offset : offset + 32, offset : offset + 32, offset : offset + 32] = 5
    assert estimated_limits([voxels]) == (0, 5)
