"""Rows read from files: plain rows wherever they are, no more than is asked for, and the handles of threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.sources import read_box
from tests.helpers.tiff_kinds import KINDS, VOLUME
from tests.helpers.tiffs import coordinates, pages_of, write_pages


@given(data=st.data())
def test_plain_rows_at_any_position_in_the_file(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.tuples(st.integers(2, 5), st.integers(1, 9), st.integers(1, 9)), "shape"))
    volume = coordinates(shape, data.draw(st.sampled_from(["float32", "uint8", "int16", "float64"])))
    path = write_pages(
        tmp_path_factory.mktemp("plain") / "v.tif",
        pages_of(volume, data.draw(st.integers(1, 10), "rows in a strip"), data.draw(st.integers(0, 3), "gap")),
        big=data.draw(st.booleans(), "big"),
        order=data.draw(st.sampled_from("<>"), "order"),
        backwards=data.draw(st.booleans(), "backwards"),
        directory_first=data.draw(st.booleans(), "directory first"),
    )
    z0 = data.draw(st.integers(0, shape[0] - 1))
    z1 = data.draw(st.integers(z0, shape[0]))
    y0 = data.draw(st.integers(0, shape[1] - 1))
    y1 = data.draw(st.integers(y0, shape[1]))
    with open_source(path) as source:
        assert source.volume.shape == shape
        np.testing.assert_array_equal(read_box(source, z0, z1, y0, y1), volume[z0:z1, y0:y1])


@pytest.mark.parametrize("rows", [None, 1, 7])
def test_plain_rows_are_read_directly_into_the_array(tmp_path: Path, bytes_read: list[int], rows: int | None) -> None:
    with open_source(write_pages(tmp_path / "v.tif", pages_of(VOLUME, rows))) as source:
        out = np.empty((2, 10, 37), "float32")
        source.read(1, 3, 20, 30, out)
        assert bytes_read == [10 * 37 * 4] * 2  # strips that follow one another are read as one


def test_an_empty_block_reads_nothing(tmp_path: Path, bytes_read: list[int]) -> None:
    with open_source(write_pages(tmp_path / "v.tif", pages_of(VOLUME))) as source:
        source.read(3, 3, 0, 45, np.empty((0, 45, 37), "float32"))
        source.read(0, 6, 9, 9, np.empty((6, 0, 37), "float32"))
    assert bytes_read == []


def open_files(folder: Path) -> list[str]:
    return [file.path for file in psutil.Process().open_files() if file.path.startswith(str(folder))]


@pytest.mark.parametrize("name", ["plain", "lzw", "ome in files"])
def test_files_are_open_while_they_are_read_and_no_longer(tmp_path: Path, name: str) -> None:
    path = tmp_path.resolve() / "v.tif"
    KINDS[name][0](path)
    source = open_source(path)
    assert open_files(tmp_path) == []
    together = threading.Barrier(3)

    def read(_: int) -> None:
        read_box(source, 0, 6, 0, 45)
        together.wait()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(read, range(3)))
    assert len(open_files(tmp_path)) == 3  # one a thread, however many files there are
    source.close()
    assert open_files(tmp_path) == []
    with pytest.raises(ValueError, match="closed"):
        read_box(source, 0, 1, 0, 1)


def test_the_working_directory_may_change_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pages(tmp_path / "v.tif", pages_of(VOLUME))
    monkeypatch.chdir(tmp_path)
    with open_source("v.tif") as source:
        monkeypatch.chdir(tmp_path.parent)
        np.testing.assert_array_equal(read_box(source, 0, 6, 0, 45), VOLUME)


def test_a_file_that_shrinks_while_it_is_open(tmp_path: Path) -> None:
    path = write_pages(tmp_path / "v.tif", pages_of(VOLUME), directory_first=True)
    with open_source(path) as source:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - 1000)
        with pytest.raises(SourceError, match=r"Slice 6 of 6 of .*v\.tif .*5,660 of the 6,660 bytes"):
            read_box(source, 0, 6, 0, 45)
