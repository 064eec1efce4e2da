"""Arrays as a source: voxels of every kind of array, and arrays that are not a volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array
import h5py
import numpy as np
import pytest
import zarr

import napari_ct_pyramid as ct
from napari_ct_pyramid.sources.inputs import ArrayInput
from napari_ct_pyramid.sources.registry import open_source

VOXELS = np.arange(7 * 10 * 13, dtype=np.int16).reshape(7, 10, 13)


class Sliced:
    """An array that only has what is needed, and notes what was read of it."""

    def __init__(self, voxels: np.ndarray, **attributes: Any) -> None:
        self._voxels = voxels
        self.shape, self.dtype = voxels.shape, voxels.dtype
        self.read: list[Any] = []
        for name, value in attributes.items():
            setattr(self, name, value)

    def __getitem__(self, key: Any) -> np.ndarray:
        self.read.append(key)
        return self._voxels[key]


def in_zarr(path: Path) -> Any:
    array = zarr.create_array(path / "a.zarr", shape=VOXELS.shape, chunks=(3, 4, 5), dtype="i2")
    array[:] = VOXELS
    return array


def in_hdf5(path: Path) -> Any:
    return h5py.File(path / "a.h5", "w").create_dataset("a", data=VOXELS, chunks=(3, 4, 5))


KINDS = {
    "numpy": lambda path: VOXELS,
    "numpy, other strides": lambda path: np.asfortranarray(VOXELS)[::1],
    "numpy, a view": lambda path: np.repeat(VOXELS, 2, axis=1)[:, ::2],
    "numpy, big-endian": lambda path: VOXELS.astype(">i2"),
    "numpy, surplus axes": lambda path: VOXELS[None, :, None],
    "dask": lambda path: dask.array.from_array(VOXELS, chunks=(3, 4, 5)),
    "dask, chunks of many sizes": lambda path: dask.array.from_array(VOXELS, chunks=((2, 5), (1, 7, 2), (13,))),
    "zarr": in_zarr,
    "hdf5": in_hdf5,
    "anything": lambda path: Sliced(VOXELS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_box_has_its_voxels(tmp_path: Path, kind: str) -> None:
    with open_source(KINDS[kind](tmp_path)) as source:
        assert source.volume.shape == VOXELS.shape
        assert source.volume.dtype == np.dtype("i2")
        for z in range(7):
            for y in range(z % 2, 10, 3):
                out = np.empty((7 - z, 2 if y < 9 else 1, 13), "i2")
                source.read(z, 7, y, y + out.shape[1], out)
                assert np.array_equal(out, VOXELS[z:, y : y + 2])


def test_an_array_of_numpy_is_read_in_place() -> None:
    array = VOXELS.copy()
    with open_source(array) as source:
        array[3, 4, 5] = -1
        out = np.empty((1, 1, 13), "i2")
        source.read(3, 4, 4, 5, out)
    assert out[0, 0, 5] == -1


def test_whole_chunks_are_read_each_once() -> None:
    array = Sliced(np.zeros((8, 8, 4096), "f8"), chunks=(4, 4, 1024))
    with open_source(array) as source:
        assert source.volume.granularity == (4, 4, 1024)
        source.read(0, 8, 0, 8, np.empty((8, 8, 4096)))
    voxels = [np.prod([s.stop - s.start for s in key]) for key in array.read]
    assert sum(voxels) == 8 * 8 * 4096
    assert all(s.start % 4 == 0 for key in array.read for s in key[:2])


def test_axes_that_xarray_names_are_put_in_order() -> None:
    array = Sliced(VOXELS, dims=("x", "z", "y"), data=VOXELS)
    with open_source(ArrayInput(data=array, voxel_size=(1, 2, 3), translation=(4, 5, 6))) as source:
        assert source.volume.shape == (10, 13, 7)
        assert (source.volume.voxel_size, source.volume.translation) == ((2, 3, 1), (5, 6, 4))
        out = np.empty((10, 13, 7), "i2")
        source.read(0, 10, 0, 13, out)
    assert np.array_equal(out, VOXELS.transpose(1, 2, 0))


def coordinates(**values: Any) -> dict[str, Any]:
    """As xarray has them: places with attributes, by the names of the axes."""
    found = {}
    for name, (places, unit) in values.items():
        found[name] = np.asarray(places).view(type("Coordinate", (np.ndarray,), {"attrs": {"units": unit}}))
    return found


def test_coordinates_give_the_voxel_size_and_the_place() -> None:
    z, y, x = (np.arange(n) for n in VOXELS.shape)
    named = {"dims": ("z", "y", "x"), "data": VOXELS}
    good = coordinates(z=(1 + z * 0.65, "um"), y=(y * 650.0, "nm"), x=(x * 0.00065 - 0.1, "mm"))
    with open_source(Sliced(VOXELS, **named, coords=good)) as source:
        volume = source.volume
    assert volume.voxel_size == pytest.approx((0.65, 0.65, 0.65))
    assert volume.translation == pytest.approx((1, 0, -100))
    assert volume.unit == "micrometer"
    assert not volume.notes
    for odd in ((x**2, "um"), (x[::-1], "um"), (x, None), (x * np.nan, "um"), (x.astype("M8[s]"), "um")):
        with open_source(Sliced(VOXELS, **named, coords={**good, **coordinates(x=odd)})) as source:
            assert source.volume.voxel_size is None
            assert len(source.volume.notes) == 1


@pytest.mark.parametrize(
    ("dtype", "values", "stored"),
    [
        ("bool", (False, True), "uint8"),
        ("int64", (0, 2**32 - 1), "uint32"),
        ("int64", (-5, 2**31 - 1), "int32"),
        ("uint64", (0, 7), "uint32"),
    ],
)
def test_types_that_cannot_be_stored_become_ones_that_hold_the_values(
    dtype: str, values: tuple[int, int], stored: str
) -> None:
    array = np.full((2, 2, 2), values[0], dtype)
    array[1, 1, 1] = values[1]
    with open_source(array) as source:
        assert source.volume.dtype == np.dtype(stored)
        assert stored in source.volume.format
        out = np.empty((2, 2, 2), stored)
        source.read(0, 2, 0, 2, out)
    assert np.array_equal(out, array)


@pytest.mark.parametrize("values", [(-1, 2**32), (0, 2**33), (-(2**40), 0)])
def test_values_that_do_not_fit_are_refused(values: tuple[int, int]) -> None:
    array = np.array(values * 4, "i8").reshape(2, 2, 2)
    with pytest.raises(ct.SourceError):
        open_source(array)
    with open_source(Sliced(array)) as source, pytest.raises(ct.SourceError):  # whose values are not known before
        source.read(0, 2, 0, 2, np.empty((2, 2, 2), source.volume.dtype))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 5)),
        np.zeros((2, 2, 4, 5)),
        np.zeros((0, 4, 5)),
        np.zeros((2, 4, 5), "c8"),
        np.zeros((2, 4, 5), object),
        np.zeros((2, 4, 5), [("a", "f4")]),
        np.ma.zeros((2, 4, 5)),
        Sliced(np.zeros((2, 4, 5)), dtype="a type of its own"),
    ],
)
def test_arrays_that_are_not_a_volume(array: Any) -> None:
    with pytest.raises(ct.SourceError) as caught:
        open_source(ArrayInput(data=array, title="The layer bone"))
    assert "The layer bone" in str(caught.value)


@pytest.mark.parametrize("source", [5, None, [1, 2], object()])
def test_what_is_neither_a_path_nor_an_array(source: Any) -> None:
    with pytest.raises(ct.RequestError) as caught:
        open_source(source)
    assert type(source).__name__ in str(caught.value)


def test_an_error_of_a_lazy_array_is_an_error_of_the_source() -> None:
    class Broken(Sliced):
        def __getitem__(self, key: Any) -> np.ndarray:
            raise ZeroDivisionError("the reason")

    with open_source(Broken(VOXELS)) as source, pytest.raises(ct.SourceError, match="the reason"):
        source.read(0, 1, 0, 1, np.empty((1, 1, 13), "i2"))
