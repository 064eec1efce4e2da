"""Voxels stored uncompressed in one or several files: every byte order and offset, and files that are too short."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ct_pyramid.errors import SourceError, SourceNotFoundError
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.sources.raw_rows import RawFile, open_raw_rows
from tests.helpers.sources import read_box
from tests.helpers.tiffs import coordinates


def volume_of(shape: tuple[int, int, int], dtype: str) -> Volume:
    return Volume(name="v", shape=shape, dtype=np.dtype(dtype).newbyteorder("="), format="raw")


@given(data=st.data())
def test_any_box_of_any_files(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("raw")
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 7)), "shape")
    dtype = np.dtype(data.draw(st.sampled_from(["<u2", ">u2", "u1", "<f4", ">f8"]), "dtype"))
    voxels = coordinates(shape, dtype.newbyteorder("=").name)
    files: list[RawFile] = []
    while sum(file.slices for file in files) < shape[0]:
        first = sum(file.slices for file in files)
        count = data.draw(st.integers(1, shape[0] - first), "slices")
        before, after = data.draw(st.integers(0, 5), "offset"), data.draw(st.integers(0, 3), "bytes after the voxels")
        path = folder / f"{len(files)}.raw"
        path.write_bytes(b"h" * before + voxels[first : first + count].astype(dtype).tobytes() + b"t" * after)
        files.append(RawFile(path, before, count))
    z0 = data.draw(st.integers(0, shape[0] - 1))
    z1 = data.draw(st.integers(z0, shape[0]))
    y0 = data.draw(st.integers(0, shape[1] - 1))
    y1 = data.draw(st.integers(y0, shape[1]))
    with Source(open_raw_rows(volume_of(shape, dtype.str), dtype, files)) as source:
        assert source.volume.granularity == (1, 1, shape[2])
        np.testing.assert_array_equal(read_box(source, z0, z1, y0, y1, wider=2), voxels[z0:z1, y0:y1])


def test_a_file_that_is_a_byte_too_short(tmp_path: Path) -> None:
    (tmp_path / "0.raw").write_bytes(bytes(3 + 4 * 5 * 2))
    (tmp_path / "1.raw").write_bytes(bytes(2 * 4 * 5 * 2 - 1))
    files = [RawFile(tmp_path / "0.raw", 3, 1), RawFile(tmp_path / "1.raw", 0, 2)]
    with pytest.raises(SourceError) as caught:
        open_raw_rows(volume_of((3, 4, 5), "u2"), np.dtype("u2"), files)
    assert str(tmp_path / "1.raw") in str(caught.value)
    assert "79 of the 80 bytes" in str(caught.value)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError) as caught:
        open_raw_rows(volume_of((3, 4, 5), "u2"), np.dtype("u2"), [RawFile(tmp_path / "0.raw", 0, 3)])
    assert str(tmp_path / "0.raw") in str(caught.value)


def test_headers_are_files_of_the_volume(tmp_path: Path) -> None:
    data, header = tmp_path / "0.raw", tmp_path / "0.mhd"
    data.write_bytes(bytes(60))
    with Source(open_raw_rows(volume_of((3, 4, 5), "u1"), np.dtype("u1"), [RawFile(data, 0, 3)], [header])) as source:
        assert source.files == (data, header)
