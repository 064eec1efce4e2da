"""An open source: every format in any box and by many threads, and what `Source.read` refuses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.sources.base import check_dtype, check_shape, volume_axes
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.sources import KINDS, read_whole
from tests.helpers.tiff_kinds import VOLUME
from tests.helpers.tiffs import Array, pages_of, write_pages


@pytest.mark.parametrize("name", KINDS)
def test_many_threads_at_once(tmp_path: Path, name: str) -> None:
    given, written, _ = KINDS[name](tmp_path)
    with open_source(given) as source, ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: read_whole(source), range(12)):
            np.testing.assert_array_equal(found, written)
    with pytest.raises(ValueError, match="closed"):
        read_whole(source)


@pytest.mark.parametrize(
    ("wanted", "out"),
    [
        ((0, 7, 0, 45), np.empty((7, 45, 37), "float32")),
        ((-1, 1, 0, 45), np.empty((2, 45, 37), "float32")),
        ((0, 1, 40, 46), np.empty((1, 6, 37), "float32")),
        ((0, 1, 0, 45), np.empty((1, 45, 36), "float32")),
        ((0, 1, 0, 45), np.empty((1, 45, 37), ">f4")),
        ((0, 1, 0, 45), np.empty((1, 45, 37), "float64")),
        ((0, 1, 0, 45), np.empty((1, 45, 74), "float32")[:, :, ::2]),
    ],
    ids=["z", "below", "y", "shape", "byte order", "type", "strides"],
)
def test_a_block_or_an_array_that_does_not_fit(tmp_path: Path, wanted: tuple[int, int, int, int], out: Array) -> None:
    with (
        open_source(write_pages(tmp_path / "v.tif", pages_of(VOLUME))) as source,
        pytest.raises(ValueError, match=r"not within|cannot read into"),
    ):
        source.read(*wanted, out)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((4, 5, 6), (0, 1, 2)),
        ((1, 4, 5, 6), (1, 2, 3)),
        ((4, 1, 5, 6), (0, 2, 3)),
        ((1, 1, 4, 5, 6), (2, 3, 4)),
        ((1, 4, 5, 1), (1, 2, 3)),
        ((1, 5, 6), (0, 1, 2)),
        ((5, 6), None),
        ((), None),
        ((2, 3, 4, 5), None),
        ((0, 4, 5), None),
    ],
)
def test_axes_of_length_1_are_left_out(shape: tuple[int, ...], axes: tuple[int, int, int] | None) -> None:
    assert volume_axes(shape) == axes
    if axes:
        assert check_shape("a", shape) == tuple(shape[axis] for axis in axes)
    else:
        with pytest.raises(SourceError):
            check_shape("a", shape)


@pytest.mark.parametrize("name", ["complex64", "S4", "datetime64[s]"])
def test_types_that_cannot_be_converted(name: str) -> None:
    with pytest.raises(SourceError) as caught:
        check_dtype("a.npy", np.dtype(name))
    assert "a.npy" in str(caught.value)


def test_a_type_is_given_in_the_byte_order_of_the_machine() -> None:
    assert check_dtype("a", np.dtype(">f4")).isnative
