"""Volumes in one gzip or zlib stream: any box in any order, several parts, how often a unit is decoded, and bombs."""

from __future__ import annotations

import gzip
import os
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.sources import deflated_rows
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.sources.deflated_rows import open_deflated_rows
from tests.helpers.sources import read_box
from tests.helpers.tiffs import coordinates


def volume_of(voxels: np.ndarray) -> Volume:
    return Volume(name="v", shape=voxels.shape, dtype=voxels.dtype.newbyteorder("="), format="gzip")


def in_parts(data: bytes) -> bytes:
    """Several gzip files, one after another, as parallel compressors write them."""
    third = len(data) // 3
    return b"".join(gzip.compress(part) for part in (data[:third], b"", data[third : 2 * third], data[2 * third :]))


CODECS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zlib": zlib.compress, "parts": in_parts}


@given(data=st.data())
def test_any_box(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("deflated") / "v.gz"
    shape = data.draw(st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7)), "shape")
    dtype = np.dtype(data.draw(st.sampled_from(["<u2", ">u2", "u1", ">f8"]), "dtype"))
    voxels = coordinates(shape, dtype.newbyteorder("=").name).astype(dtype)
    before, skip, after = (data.draw(st.integers(0, 9), name) for name in ("before", "skipped", "after"))
    codec = CODECS[data.draw(st.sampled_from([*CODECS]), "codec")]
    path.write_bytes(b"h" * before + codec(b"s" * skip + voxels.tobytes() + b"t" * after))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deflated_rows, "UNIT_BYTES", data.draw(st.integers(1, 300), "bytes of a unit"))
        patch.setattr(deflated_rows, "MOST_POINTS", data.draw(st.integers(1, 8), "points"))
        patch.setattr(deflated_rows, "_OUTPUT_BYTES", data.draw(st.sampled_from([1, 5, 64, 10**6]), "at a time"))
        patch.setattr(deflated_rows, "_INPUT_BYTES", data.draw(st.sampled_from([1, 7, 10**6]), "read at a time"))
        with Source(open_deflated_rows(volume_of(voxels), dtype, path, position=before, skip=skip)) as source:
            for _ in range(3):
                z0 = data.draw(st.integers(0, shape[0] - 1))
                z1 = data.draw(st.integers(z0, shape[0]))
                y0 = data.draw(st.integers(0, shape[1] - 1))
                y1 = data.draw(st.integers(y0, shape[1]))
                np.testing.assert_array_equal(read_box(source, z0, z1, y0, y1, wider=1), voxels[z0:z1, y0:y1])


def test_units_that_are_read_whole_are_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytes_read: list[int]
) -> None:
    monkeypatch.setattr(deflated_rows, "UNIT_BYTES", 1)
    voxels = np.random.default_rng(1).integers(0, 2**16, (12, 200, 100), "u2")
    (tmp_path / "v.gz").write_bytes(gzip.compress(voxels.tobytes()))
    size = (tmp_path / "v.gz").stat().st_size
    with Source(open_deflated_rows(volume_of(voxels), voxels.dtype, tmp_path / "v.gz")) as source:
        assert source.volume.granularity == (1, 200, 100)
        bytes_read.clear()
        for z in (7, 3, 11, 0, 1, 2, 4, 5, 6, 8, 9, 10):
            np.testing.assert_array_equal(read_box(source, z, z + 1, 0, 200), voxels[z : z + 1])
        assert sum(bytes_read) < 1.6 * size + 12 * deflated_rows._INPUT_BYTES


def test_many_threads_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deflated_rows, "UNIT_BYTES", 1)
    voxels = np.random.default_rng(1).integers(0, 2**16, (24, 60, 50), "u2")
    (tmp_path / "v.gz").write_bytes(gzip.compress(voxels.tobytes()))
    together = threading.Barrier(4)

    def read(seed: int) -> bool:
        together.wait(60)
        order = np.random.default_rng(seed).permutation(24)
        return all((read_box(source, z, z + 1, 5, 60) == voxels[z : z + 1, 5:60]).all() for z in map(int, order))

    reader = open_deflated_rows(volume_of(voxels), voxels.dtype, tmp_path / "v.gz")
    with Source(reader) as source, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(4))) == [True] * 4


def test_restart_points_are_few_and_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deflated_rows, "UNIT_BYTES", 1)
    voxels = np.random.default_rng(1).integers(0, 256, (5000, 40, 50), "u1")
    (tmp_path / "v.gz").write_bytes(gzip.compress(voxels.tobytes(), 1))
    before = psutil.Process().memory_info().rss
    with Source(open_deflated_rows(volume_of(voxels), voxels.dtype, tmp_path / "v.gz")) as source:
        assert source.volume.granularity[0] == 10
        assert psutil.Process().memory_info().rss - before < deflated_rows.MOST_POINTS * 100_000


def test_a_file_that_is_changed_is_decoded_again(tmp_path: Path) -> None:
    path = tmp_path / "v.gz"
    for number in range(3):
        voxels = np.full((3, 40, 50), number, "u1")
        path.write_bytes(gzip.compress(voxels.tobytes(), mtime=0))
        os.utime(path, ns=(number, number))
        with Source(open_deflated_rows(volume_of(voxels), voxels.dtype, path)) as source:
            np.testing.assert_array_equal(read_box(source, 0, 3, 0, 40), voxels)


def test_a_stream_that_is_much_longer_than_its_volume_is_not_decoded_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytes_read: list[int]
) -> None:
    monkeypatch.setattr(deflated_rows, "_END_BYTES", 300_000)
    data = np.random.default_rng(1).bytes(3_000_000)
    (tmp_path / "v.gz").write_bytes(gzip.compress(data))
    with Source(open_deflated_rows(volume_of(np.empty((3, 4, 5), "u1")), np.dtype("u1"), tmp_path / "v.gz")) as source:
        assert read_box(source, 0, 3, 0, 4).tobytes() == data[:60]
    assert sum(bytes_read) < 1_000_000


@pytest.mark.parametrize("keep", [0, 1, 10, 1000, -9, -8, -4, -1])
def test_a_stream_that_ends_early(tmp_path: Path, keep: int) -> None:
    voxels = np.random.default_rng(1).integers(0, 256, (3, 40, 50), "u1")
    (tmp_path / "v.gz").write_bytes(gzip.compress(voxels.tobytes())[:keep])
    with pytest.raises(SourceError, match=r"v\.gz .*ends early"):
        open_deflated_rows(volume_of(voxels), voxels.dtype, tmp_path / "v.gz")
