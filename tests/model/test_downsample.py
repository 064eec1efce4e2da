"""Every method against scikit-image, numpy or exact arithmetic, for every choice of axes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.transform import downscale_local_mean

from napari_ct_pyramid.model import downsample
from napari_ct_pyramid.options import METHODS
from tests.helpers.examples import FEW

SHAPES = st.tuples(*[st.integers(1, 5).map(lambda n: 2 * n)] * 3)


def halved(array: np.ndarray) -> np.ndarray:
    z, y, x = array.shape
    out = np.empty((z // 2, y // 2, x // 2), array.dtype)
    downsample.reduce(array, out)
    return out


FACTORS = [factors for factors in product((1, 2), repeat=3) if factors != (1, 1, 1)]


def median(values: list[Any]) -> Any:
    """Of whole numbers, exactly."""
    low, high = sorted(values)[len(values) // 2 - 1 : len(values) // 2 + 1]
    return round(Fraction(low + high, 2))


def mode(values: list[Any]) -> Any:
    counts = Counter(values)
    return min(value for value, count in counts.items() if count == max(counts.values()))


ORACLES: dict[str, Callable[[list[Any]], Any]] = {
    "mean": lambda values: round(Fraction(sum(values), len(values))),
    "median": median,
    "mode": mode,
    "min": min,
    "max": max,
    "stride": lambda values: values[0],
}


@pytest.mark.parametrize("method", METHODS)
@FEW
@given(data=st.data())
def test_every_method_along_any_axes(method: str, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"]))
    fz, fy, fx = data.draw(st.sampled_from(FACTORS))
    z, y, x = (data.draw(st.integers(1, 4)) for _ in range(3))
    shape = (fz * z, fy * y, fx * x)
    few = st.integers(0, 3) | st.integers(-100 * (dtype[0] != "u"), 100)  # so that some are there often
    array = data.draw(arrays(dtype, shape, elements=few))
    out = np.empty((z, y, x), dtype)
    downsample.reduce(array, out, method)
    for at in np.ndindex(out.shape):
        box = tuple(slice(i * f, (i + 1) * f) for i, f in zip(at, (fz, fy, fx), strict=True))
        values = [int(v) for v in array[box].flat]
        if dtype[0] == "f" and method in ("mean", "median"):
            expected = np.dtype(dtype).type(getattr(np, method)(np.array(values, "f8")))
        else:
            expected = ORACLES[method](values)
        assert out[at] == expected


@pytest.mark.parametrize("method", ["mean", "median", "min", "max", "mode"])
def test_a_group_with_a_nan_becomes_nan_and_no_other(method: str) -> None:
    for place in np.ndindex(2, 2, 2):
        array = np.arange(32, dtype="f4").reshape(2, 2, 8)
        array[place] = np.nan
        out = np.empty((1, 1, 4), "f4")
        downsample.reduce(array, out, method)
        assert np.isnan(out).tolist() == [[[True, False, False, False]]]


@pytest.mark.filterwarnings("error")
def test_infinities_may_cancel_out() -> None:
    array = np.array([np.inf, -np.inf] * 4, "f4").reshape(2, 2, 2)
    for method, expected in [("mean", np.nan), ("median", np.nan), ("min", -np.inf), ("max", np.inf)]:
        out = np.empty((1, 1, 1), "f4")
        downsample.reduce(array, out, method)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("method", ["median", "min", "max", "mode"])
def test_zeros_are_positive_in_any_order(method: str) -> None:
    array = np.random.default_rng(2).choice(np.array([0.0, -0.0], "f4"), (2, 6, 90))
    out = np.empty((1, 3, 45), "f4")
    downsample.reduce(array, out, method)
    assert not np.signbit(out).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_no_thread_takes_more_memory_than_scratch_bytes(method: str, dtype: str) -> None:
    import tracemalloc

    columns = 1000
    array, out = np.zeros((2, 600, 2 * columns), dtype), np.empty((1, 300, columns), dtype)
    tracemalloc.start()
    thread = threading.Thread(target=downsample.reduce, args=(array, out, method))  # with a buffer of its own
    thread.start()
    thread.join()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= downsample.scratch_bytes(2 * columns, np.dtype(dtype), method) + 50_000


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@FEW
@given(data=st.data())
def test_floats_agree_with_scikit_image(dtype: str, data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    array = data.draw(arrays(dtype, shape, elements={"min_value": -1000, "max_value": 1000}))
    oracle = downscale_local_mean(array.astype("f8"), (2, 2, 2))
    scale = 1000 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(halved(array), oracle, rtol=0, atol=4 * scale)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4"])
@FEW
@given(data=st.data())
def test_integers_are_rounded_to_the_nearest_ties_to_even(dtype: str, data: st.DataObject) -> None:
    array = data.draw(arrays(dtype, data.draw(SHAPES)))
    found = halved(array)
    for z, y, x in np.ndindex(*found.shape):
        eight = array[2 * z : 2 * z + 2, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        # Python's round of a fraction is exact, and ties go to even.
        assert int(found[z, y, x]) == round(Fraction(sum(int(v) for v in eight.flat), 8))


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8"])
def test_the_extremes_of_a_dtype_survive(dtype: str) -> None:
    info = np.finfo(dtype) if dtype[0] == "f" else np.iinfo(dtype)
    value = float(info.max) / 16 if dtype[0] == "f" else info.max
    assert (halved(np.full((2, 2, 2), value, dtype)) == np.asarray(value, dtype)).all()
    assert (halved(np.full((2, 2, 2), info.min if dtype[0] != "f" else -value, dtype)) < value).all()


def test_strided_views_give_the_same_as_copies() -> None:
    rng = np.random.default_rng(5)
    large = rng.random((8, 12, 16), dtype="f4")
    view = large[2:6, 2:10, 4:14]
    out = np.zeros((4, 6, 7), "f4")
    downsample.reduce(view, out[1:3, 1:5, 1:6])
    np.testing.assert_array_equal(out[1:3, 1:5, 1:6], halved(view.copy()))
    assert out[0].sum() == out[3].sum() == out[:, 0].sum() == out[:, :, 6].sum() == 0


@pytest.mark.parametrize("method", METHODS)
def test_groups_of_rows_give_the_same_result(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    array = np.random.default_rng(6).random((4, 50, 20), dtype="f4")
    whole, grouped = np.empty((2, 2, 25, 10), "f4")
    downsample.reduce(array, whole, method)
    monkeypatch.setattr(downsample, "GROUP_BYTES", 1000)
    monkeypatch.setattr(downsample, "NEIGHBOURS_BYTES", 1000)
    downsample.reduce(array, grouped, method)
    np.testing.assert_array_equal(grouped, whole)


def test_an_output_of_another_size_or_type_is_refused() -> None:
    with pytest.raises(ValueError, match="not once or twice"):
        downsample.reduce(np.zeros((4, 4, 5), "f4"), np.zeros((2, 2, 2), "f4"))
    with pytest.raises(ValueError, match="not once or twice"):
        downsample.reduce(np.zeros((4, 4, 4), "f4"), np.zeros((2, 2, 2), "f8"))
