"""Halving against scikit-image, and against exact arithmetic for integers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.transform import downscale_local_mean

from napari_ct_pyramid import downsample

SHAPES = st.tuples(*[st.integers(1, 5).map(lambda n: 2 * n)] * 3)


def halved(array: np.ndarray) -> np.ndarray:
    z, y, x = array.shape
    out = np.empty((z // 2, y // 2, x // 2), array.dtype)
    downsample.halve(array, out)
    return out


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@given(data=st.data())
def test_floats_agree_with_scikit_image(dtype: str, data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    array = data.draw(arrays(dtype, shape, elements={"min_value": -1000, "max_value": 1000}))
    oracle = downscale_local_mean(array.astype("f8"), (2, 2, 2))
    scale = 1000 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(halved(array), oracle, rtol=0, atol=4 * scale)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4"])
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


def test_a_nan_spoils_its_own_mean_only() -> None:
    array = np.ones((2, 2, 8), "f4")
    array[1, 0, 3] = np.nan
    np.testing.assert_array_equal(halved(array), np.array([[[1, np.nan, 1, 1]]], "f4"))


def test_strided_views_give_the_same_as_copies() -> None:
    rng = np.random.default_rng(5)
    large = rng.random((8, 12, 16), dtype="f4")
    view = large[2:6, 2:10, 4:14]
    out = np.zeros((4, 6, 7), "f4")
    downsample.halve(view, out[1:3, 1:5, 1:6])
    np.testing.assert_array_equal(out[1:3, 1:5, 1:6], halved(view.copy()))
    assert out[0].sum() == out[3].sum() == out[:, 0].sum() == out[:, :, 6].sum() == 0


def test_rows_are_taken_in_groups_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(6).random((4, 50, 20), dtype="f4")
    whole = halved(array)
    monkeypatch.setattr(downsample, "_GROUP_BYTES", 1000)
    np.testing.assert_array_equal(halved(array), whole)


def test_what_is_not_half_is_refused() -> None:
    with pytest.raises(ValueError, match="not twice"):
        downsample.halve(np.zeros((4, 4, 5), "f4"), np.zeros((2, 2, 2), "f4"))
    with pytest.raises(ValueError, match="not twice"):
        downsample.halve(np.zeros((4, 4, 4), "f4"), np.zeros((2, 2, 2), "f8"))
