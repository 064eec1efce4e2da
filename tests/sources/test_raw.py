"""Files of voxels without a header: what the options state, what names suggest, and sizes that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import napari_ct_pyramid as ct
from napari_ct_pyramid.errors import Advice, RequestError, SourceError, UnknownShapeError
from napari_ct_pyramid.options import SourceOptions
from napari_ct_pyramid.sources.raw import guess
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.sources import read_whole
from tests.helpers.tiffs import coordinates

SHAPE = (9, 22, 17)
VOXELS = coordinates(SHAPE, "uint16")


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<i4", "<f4", ">f4", ">f8", "<f2"])
@pytest.mark.parametrize("offset", [0, 1, 512])
def test_voxel_for_voxel(tmp_path: Path, dtype: str, offset: int) -> None:
    voxels = VOXELS.astype(dtype)
    (tmp_path / "scan.raw").write_bytes(b"h" * offset + voxels.tobytes())
    options = SourceOptions(raw_shape="9 22 17", raw_dtype=dtype, raw_offset=offset)
    with open_source(tmp_path / "scan.raw", options) as source:
        assert source.volume.dtype == np.dtype(dtype).newbyteorder("=")
        assert source.volume.name == "scan"
        np.testing.assert_array_equal(read_whole(source), voxels)


def test_any_file_is_raw_if_the_options_say_so(tmp_path: Path) -> None:
    data = b"II*\0" + bytes(56)  # begins as a TIFF does
    (tmp_path / "volume").write_bytes(data)
    with open_source(tmp_path / "volume", SourceOptions(raw_shape=(3, 4, 5), raw_dtype="uint8")) as source:
        np.testing.assert_array_equal(read_whole(source).ravel(), np.frombuffer(data, "u1"))


def test_a_tiff_that_is_called_raw_is_a_tiff(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "scan.raw", VOXELS, photometric="minisblack")
    with open_source(tmp_path / "scan.raw") as source:
        assert source.volume.format.startswith("TIFF")


@pytest.mark.parametrize(
    ("name", "size", "shape", "dtype"),
    [
        ("s_56x40x24_16bit.raw", 56 * 40 * 24 * 2, (24, 40, 56), "uint16"),
        ("s_56x40x24_16bit.raw", 56 * 40 * 24 * 2 + 512, (24, 40, 56), "uint16"),
        ("s_56x40x24.raw", 56 * 40 * 24 * 2, (24, 40, 56), "uint16"),
        ("s_56x40x24.raw", 56 * 40 * 24, (24, 40, 56), "uint8"),
        ("s_56x40x24.raw", 56 * 40 * 24 * 4, (24, 40, 56), "float32"),
        ("s-int16-56_40_24.raw", 56 * 40 * 24 * 2, (24, 40, 56), "int16"),
        ("Scan 1000×1100×1200 float32.raw", 1000 * 1100 * 1200 * 4, (1200, 1100, 1000), "float32"),
        ("s_56x40x24_uint8.raw", 56 * 40 * 24 * 2, (24, 40, 56), "uint16"),  # the size contradicts the name
        ("s_56x40x24_16bit.raw", 56 * 40 * 24 * 2 - 1, (24, 40, 56), "uint8"),
        ("s_56x40x24_16bit.raw", 56 * 40 * 24 - 1, None, None),
        ("s_0x40x24_16bit.raw", 100, None, None),
        ("scan_0001.raw", 100, None, None),
        ("2024_11_26.raw", 100, None, None),
        ("s.raw", 0, None, None),
    ],
)
def test_what_a_name_suggests(name: str, size: int, shape: tuple[int, ...] | None, dtype: str | None) -> None:
    assert guess(name, size) == (shape, dtype)


def test_a_guess_is_offered_and_never_used(tmp_path: Path) -> None:
    path = tmp_path / "s_17x22x9_16bit.raw"
    path.write_bytes(VOXELS.tobytes())
    with pytest.raises(UnknownShapeError) as caught:
        open_source(path)
    assert (caught.value.shape, caught.value.dtype) == (SHAPE, "uint16")
    advice = {part.name: part.value for part in caught.value.message.parts if isinstance(part, Advice)}
    with open_source(path, SourceOptions(**advice)) as source:
        np.testing.assert_array_equal(read_whole(source), VOXELS)


def test_without_a_guess_the_example_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "scan.raw").write_bytes(VOXELS.tobytes())
    for options in (SourceOptions(), SourceOptions(raw_shape=SHAPE), SourceOptions(raw_dtype="u2")):
        with pytest.raises(UnknownShapeError) as caught:
            open_source(tmp_path / "scan.raw", options)
        assert (caught.value.shape, caught.value.dtype) == (None, None)
        assert "example" in str(caught.value)


@given(
    real=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)),
    asked=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)),
    dtypes=st.tuples(*[st.sampled_from(["uint8", "uint16", "float32", "float64"])] * 2),
    offsets=st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
def test_whatever_is_advised_works(
    tmp_path_factory: pytest.TempPathFactory,
    real: tuple[int, int, int],
    asked: tuple[int, int, int],
    dtypes: tuple[str, str],
    offsets: tuple[int, int],
) -> None:
    path = tmp_path_factory.mktemp("raw") / "scan.raw"
    path.write_bytes(bytes(offsets[0] + int(np.prod(real)) * np.dtype(dtypes[0]).itemsize))
    options = {"raw_shape": asked, "raw_dtype": dtypes[1], "raw_offset": offsets[1]}
    fits = path.stat().st_size == offsets[1] + np.prod(asked) * np.dtype(dtypes[1]).itemsize
    try:
        with open_source(path, SourceOptions(**options)) as source:
            assert fits
            read_whole(source)
    except UnknownShapeError as error:
        assert not fits
        for part in error.message.parts:
            if isinstance(part, Advice) and part.value is not None:
                with open_source(path, SourceOptions(**{**options, part.name: part.value})) as source:
                    read_whole(source)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("raw_shape", "9 22"),
        ("raw_shape", "9 22 0"),
        ("raw_shape", (9, 22, -1)),
        ("raw_shape", "a b c"),
        ("raw_dtype", "uint12"),
        ("raw_dtype", "c8"),
        ("raw_dtype", "float8"),
        ("raw_dtype", ""),
        ("raw_dtype", "16"),
        ("raw_offset", -1),
        ("raw_offset", "x"),
        ("raw_offset", 0.5),
    ],
)
def test_options_that_are_wrong_whatever_the_file_is(option: str, value: object) -> None:
    with pytest.raises(RequestError):
        SourceOptions(**{option: value})


@pytest.mark.parametrize(
    ("given_type", "meant"),
    [
        ("uint16", "uint16"), ("UINT16", "uint16"), ("u2", "uint16"), ("<u2", "uint16"), (">u2", ">u2"),
        (">uint16", ">u2"), (np.uint16, "uint16"), (np.dtype(">f4"), ">f4"), (">u1", "uint8"), ("f4", "float32"),
    ],
)  # fmt: skip
def test_a_type_may_be_written_in_many_ways(given_type: object, meant: str) -> None:
    assert SourceOptions(raw_dtype=given_type).raw_dtype == meant  # type: ignore[arg-type]


def test_a_folder_is_not_raw(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        open_source(tmp_path, SourceOptions(raw_shape=SHAPE, raw_dtype="u2"))


def test_a_conversion_with_other_options_is_another_one(tmp_path: Path) -> None:
    (tmp_path / "scan.raw").write_bytes(VOXELS.tobytes())
    asked = {"chunks": (4, 8, 8), "num_levels": 2, "edges": "pad", "raw_shape": SHAPE}
    step = ct.iter_convert(tmp_path / "scan.raw", raw_dtype="uint16", **asked)
    next(step)
    step.close()
    with pytest.raises(ct.OutputExistsError) as caught:
        ct.convert(tmp_path / "scan.raw", raw_dtype=">u2", **asked)
    assert caught.value.options.get("raw_dtype", "uint16") == "uint16"
    ct.convert(tmp_path / "scan.raw", raw_dtype="uint16", **asked)
    assert ct.verify(tmp_path / "scan.ome.zarr", tmp_path / "scan.raw").sound
