"""Histograms: counted exactly or in a fixed sample, against NumPy on whole arrays."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_ct_pyramid.model import histogram as module
from napari_ct_pyramid.model.counter import CELL, Counter, sampled_rows
from napari_ct_pyramid.model.histogram import Bins, Histogram, choose_bins, histogram_json, quantiles

SMALL = ["b1", "u1", "i1", "u2", "i2", "f2"]
WIDE = ["f4", "f8", "u4", "i4", "i8"]


def counted(voxels: np.ndarray, bins: Bins, parts: int = 1) -> Histogram:
    counter = Counter(bins)
    for z, part in enumerate(voxels):
        for rows in np.array_split(np.arange(voxels.shape[1]), min(parts, voxels.shape[1])):
            one = part[None, rows[0] : rows[-1] + 1]
            finite = np.isfinite(one)
            counter.count(one, z, int(rows[0]), finite=None if finite.all() else finite)
    return counter.histogram()


def take_sample(voxels: np.ndarray, z: int, y: int) -> np.ndarray:
    return np.concatenate([voxels[:0].ravel(), *(voxels[at] for at in sampled_rows(z, y, *voxels.shape[:2]))])


@given(
    arrays.arrays(st.sampled_from(SMALL), st.tuples(*[st.integers(1, 7)] * 3)),
    st.integers(1, 3),
)
def test_every_value_of_at_most_16_bits_is_counted(voxels: np.ndarray, parts: int) -> None:
    bins = choose_bins(voxels.dtype, voxels.size, voxels)
    found = counted(voxels, bins, parts)
    values, counts = np.unique(voxels[np.isfinite(voxels)].astype("f8"), return_counts=True)
    left, _ = bins.edges(found.bins)
    order = np.argsort(left, kind="stable")
    merged = {float(value): 0 for value in values}  # -0.0 and 0.0 of float16 are two bins of one value
    for value, count in zip(left[order], found.counts[order], strict=True):
        merged[float(value)] += int(count)
    assert list(merged.values()) == counts.tolist()


@given(
    arrays.arrays(st.sampled_from(WIDE), st.tuples(*[st.integers(1, 6)] * 3)),
    st.integers(1, 3),
)
def test_wider_values_are_each_in_a_bin_that_holds_them(voxels: np.ndarray, parts: int) -> None:
    bins = choose_bins(voxels.dtype, voxels.size, voxels.ravel()[:3])
    found = counted(voxels, bins, parts)
    finite = voxels[np.isfinite(voxels)].astype("f8")
    largest = float(np.finfo(np.float32).max)  # what is beyond it, and beyond the narrow bins, is counted as this
    assert found.counts.sum() == finite.size
    left, right = bins.edges(found.bins)
    size = np.maximum(np.abs(left), np.abs(right))
    tolerance = 1e-6 * np.maximum(size, max(abs(bins.low), abs(bins.high))) + 1e-38
    for value in finite:
        nearest = value if bins.low <= value <= bins.high else np.clip(value, -largest, largest)
        assert np.any((left - tolerance <= nearest) & (nearest <= right + tolerance))


@given(
    arrays.arrays("u2", st.tuples(*[st.integers(1, 9)] * 3), elements=st.integers(0, 40)),
    st.integers(0, 3),
)
def test_the_sum_of_histograms_is_that_of_all_voxels(voxels: np.ndarray, cut: int) -> None:
    bins = choose_bins(voxels.dtype, voxels.size, voxels)
    first, second = voxels[:cut], voxels[cut:]
    parts = [counted(part, bins) for part in (first, second) if part.size]
    assert sum(parts, Histogram()) == counted(voxels, bins) == sum(parts[::-1], Histogram())


@pytest.mark.parametrize("width", [1, 7, 14, 15, 16, 45, 100, 129])
def test_the_sample_depends_on_the_place_only(width: int) -> None:
    voxels = np.arange(8 * 9 * width, dtype="f4").reshape(8, 9, width)
    whole = np.sort(take_sample(voxels, 0, 0))
    for z, y in itertools.product((1, 3, 8), (1, 2, 5, 9)):
        parts = [take_sample(voxels[i : i + z, j : j + y], i, j) for i in range(0, 8, z) for j in range(0, 9, y)]
        np.testing.assert_array_equal(np.sort(np.concatenate(parts)), whole)
    assert len(set(whole.tolist())) == whole.size


@pytest.mark.parametrize("height", [225, 255, 1024])
def test_the_sample_is_at_least_a_sixteenth(height: int) -> None:
    assert take_sample(np.zeros((3, height, 50), "f4"), 5, 7).size >= 3 * height * 50 / 16


def test_every_row_is_as_likely_in_the_sample_as_any_other() -> None:
    height, slices = 64, 60_000
    taken = np.bincount(take_sample(np.tile(np.arange(height, dtype="i4")[:, None], (slices, 1, 1)), 3, 0))
    expected = slices / CELL
    assert taken.size == height
    assert np.abs(taken - expected).max() < 6 * np.sqrt(expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("period", [2, 4, 8, 15, 16, 32, 64])
def test_structures_of_any_period_have_their_share(axis: int, period: int) -> None:
    """One voxel of a period along an axis is bright, at every offset."""
    shape = (128, 128, 64)
    places = np.arange(shape[axis]) % period
    for offset in range(period):
        bright = np.moveaxis(np.broadcast_to(places == offset, (*np.delete(shape, axis), shape[axis])), -1, axis)
        share = take_sample(np.ascontiguousarray(bright, dtype="f4"), 0, 0).mean()
        error = np.sqrt(bright.mean() * CELL / (128 * 128))
        assert share == pytest.approx(bright.mean(), abs=5 * error)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4"])
@pytest.mark.parametrize("offset", range(0, 64, 5))
def test_a_cube_of_a_chunk_fraction_is_in_the_percentiles_wherever_it_lies(dtype: str, offset: int) -> None:
    voxels = np.random.default_rng(1).normal(0, 100, (80, 80, 160)).astype(dtype)
    voxels[offset : offset + 16, offset : offset + 16, 2 * offset : 2 * offset + 16] += 10_000
    sample = voxels[:, :4]  # as if it were missed before
    bins = Bins(
        np.dtype(dtype).str, *(getattr(choose_bins(voxels.dtype, 1, sample), k) for k in ("low", "high")), False
    )
    found = quantiles(bins, counted(voxels, bins), (0.001, 0.999))
    assert found
    low, high = np.percentile(voxels, (0.1, 99.9))
    assert found == pytest.approx((low, high), rel=0.05)


@given(
    arrays.arrays(
        st.sampled_from(["u1", "u2", "i2", "f4"]),
        st.tuples(*[st.integers(1, 8)] * 3),
        elements=st.integers(0, 100),
    )
)
def test_quantiles_are_those_of_numpy(voxels: np.ndarray) -> None:
    bins = choose_bins(voxels.dtype, voxels.size, voxels)
    shares = (0.0, 0.001, 0.3, 0.5, 0.999, 1.0)
    found = quantiles(bins, counted(voxels, bins), shares)
    expected = np.quantile(voxels.astype("f8"), shares, method="lower")
    # Bins have a width, and outside of the narrow ones it is a 128th of the value.
    tolerance = 0 if voxels.dtype.kind != "f" else 3 * (bins.high - bins.low) / module.LINEAR + 1e-4 + expected / 128
    assert found is not None
    assert np.all(np.abs(np.array(found) - expected) <= tolerance)


@given(arrays.arrays(st.sampled_from(["u1", "i1", "u2", "i2"]), st.tuples(*[st.integers(1, 9)] * 3)))
def test_a_written_histogram_of_integers_is_that_of_numpy(voxels: np.ndarray) -> None:
    bins = choose_bins(voxels.dtype, voxels.size, voxels)
    shown = histogram_json(bins, counted(voxels, bins), float(voxels.min()), float(voxels.max()))
    assert shown
    assert shown["exact"]
    assert len(shown["counts"]) <= module.SHOWN_BINS
    assert (shown["edges"][0], shown["edges"][-1]) == (voxels.min(), int(voxels.max()) + 1)
    np.testing.assert_array_equal(shown["counts"], np.histogram(voxels, shown["edges"])[0])


@pytest.mark.parametrize("hot", [1e6, 3e38, -1e9])
def test_a_few_hot_voxels_leave_the_bins_narrow(hot: float) -> None:
    voxels = np.random.default_rng(2).normal(1000, 1, (8, 64, 64)).astype("f4")
    voxels[0, 0, 0] = hot
    bins = choose_bins(voxels.dtype, voxels.size, voxels)
    shown = histogram_json(bins, counted(voxels, bins), float(voxels.min()), float(voxels.max()))
    assert shown
    counts = np.array(shown["counts"])
    assert counts.sum() == voxels.size
    assert counts.max() < voxels.size / 50
    assert np.all(np.diff(shown["edges"]) > 0)


@pytest.mark.parametrize("value", [0, 7, 1e30, -1e-30])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f2", "f4", "f8"])
def test_a_constant_volume(dtype: str, value: Any) -> None:
    with np.errstate(all="ignore"):
        voxels = np.full((3, 4, 5), min(value, 100) if dtype == "f2" else value if dtype[0] == "f" else 7).astype(dtype)
    bins = choose_bins(voxels.dtype, voxels.size, voxels)
    shown = histogram_json(bins, counted(voxels, bins), float(voxels.min()), float(voxels.max()))
    assert shown
    assert sum(shown["counts"]) == voxels.size
    assert shown["edges"][0] == voxels.min()


def test_without_finite_voxels_there_is_no_histogram() -> None:
    voxels = np.full((2, 3, 4), np.nan, "f4")
    bins = choose_bins(voxels.dtype, voxels.size, voxels)
    empty = counted(voxels, bins)
    assert empty == Histogram()
    assert quantiles(bins, empty, (0.5,)) is None
    assert histogram_json(bins, empty, np.inf, -np.inf) is None


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_largest_numbers_of_a_type(dtype: str) -> None:
    top = np.finfo(dtype).max
    for values in ([top, -top, 0, 1], [top, top / 2, top / 3], [-top, -top / 2], [top] * 3):
        voxels = np.array(values, dtype).reshape(1, 1, -1)
        bins = choose_bins(voxels.dtype, voxels.size, voxels)
        assert counted(voxels, bins).counts.sum() == voxels.size


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "f4"])
@pytest.mark.parametrize("whole", [True, False])
def test_what_was_counted_stays_counted_when_the_buffer_is_used_again(dtype: str, whole: bool) -> None:
    rng = np.random.default_rng(0)
    slices = [rng.integers(0, 100, (1, 45, 20)).astype(dtype) for _ in range(4)]
    bins = Bins(np.dtype(dtype).str, 0.0, 100.0, whole)
    counter, buffer = Counter(bins), np.empty_like(slices[0])
    for z, voxels in enumerate(slices):
        buffer[...] = voxels
        counter.count(buffer, z, 0)
    buffer[...] = 99
    assert counter.histogram() == counted(np.concatenate(slices), bins)
