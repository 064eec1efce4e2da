"""Zarr arrays of every kind, against the numpy array they were written from; and how much is read for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import tensorstore as ts
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, BytesCodec, ZstdCodec

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.omezarr import array as zarrarray
from napari_ct_pyramid.omezarr import codec as blosc
from napari_ct_pyramid.omezarr.array import ZarrArray
from napari_ct_pyramid.omezarr.chunk_cache import ChunkCache
from tests.helpers.omezarr import flat_indices

SHAPE, CHUNKS = (20, 30, 41), (16, 16, 16)
BLOSC = numcodecs.Blosc("lz4", 1, numcodecs.Blosc.BITSHUFFLE)

# What writers of Zarr v2 and v3 choose between: name -> arguments of zarr.create_array.
V2 = {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}, "compressors": BLOSC}
KINDS: dict[str, dict[str, Any]] = {
    "blosc": V2,
    "dots": V2 | {"chunk_key_encoding": {"name": "v2", "separator": "."}},
    "big-endian": V2 | {"dtype": ">u2"},
    "column-major": V2 | {"order": "F"},
    "one byte": V2 | {"dtype": "u1"},
    "float64": V2 | {"dtype": "f8"},
    "blosc zstd": V2 | {"compressors": numcodecs.Blosc("zstd", 5, numcodecs.Blosc.SHUFFLE)},
    "blosc, small blocks": V2 | {"compressors": numcodecs.Blosc("zstd", 1, 1, blocksize=512)},
    "blosc, a block above a chunk": V2 | {"compressors": numcodecs.Blosc("lz4", 1, 1, blocksize=2**20)},
    "blosc that does not compress": V2 | {"compressors": numcodecs.Blosc("lz4", 0)},
    "uncompressed": V2 | {"compressors": None},
    "zlib": V2 | {"compressors": numcodecs.Zlib()},
    "what tensorstore does not know": V2 | {"compressors": numcodecs.LZMA()},
    "filtered": V2 | {"filters": [numcodecs.Delta("<f4")], "compressors": BLOSC},
    "v3": {"zarr_format": 3},
    "v3 blosc": {"zarr_format": 3, "compressors": BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle")},
    "v3 blosc big-endian": {"zarr_format": 3, "serializer": BytesCodec(endian="big"), "compressors": BloscCodec()},
    "v3 with v2's keys": {
        "zarr_format": 3,
        "compressors": BloscCodec(),
        "chunk_key_encoding": {"name": "v2", "separator": "."},
    },
    "v3 shards": {"zarr_format": 3, "shards": (32, 32, 48), "compressors": BloscCodec()},
    "v3 zstd": {"zarr_format": 3, "compressors": ZstdCodec(level=3)},
}


def make(path: Path, voxels: np.ndarray, **options: Any) -> zarr.Array:
    arguments = {"shape": voxels.shape, "chunks": CHUNKS, "dtype": voxels.dtype, "fill_value": 0} | V2 | options
    if arguments["zarr_format"] == 3 and "chunk_key_encoding" not in options:
        del arguments["chunk_key_encoding"]
    if arguments["zarr_format"] == 3 and "compressors" not in options:
        del arguments["compressors"]
    array = zarr.create_array(path, **arguments)
    array[...] = voxels
    return array


@pytest.fixture
def files_read(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many chunk files have been read since it was last asked."""
    thin: list[Path] = []
    monkeypatch.setattr(zarrarray, "decode_range", lambda path, *a: thin.append(path) or blosc.decode_range(path, *a))
    last = 0

    def count() -> int:
        nonlocal last
        metrics = ts.experimental_collect_matching_metrics("/tensorstore/kvstore/file/batch_read")
        total = len(thin) + sum(value["value"] for metric in metrics for value in metric["values"])
        last, before = total, last
        return total - before

    count()
    return count


@pytest.mark.filterwarnings("ignore:.*not part in the Zarr format 3 specification")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_array_reads_as_it_was_written(tmp_path: Path, kind: str) -> None:
    voxels = (flat_indices(SHAPE) % 251).astype(np.dtype(KINDS[kind].get("dtype", "f4")))
    make(tmp_path / "a", voxels, **KINDS[kind])
    array = ZarrArray(tmp_path / "a")
    assert (array.shape, array.chunks) == (SHAPE, CHUNKS)
    assert array.dtype == voxels.dtype.newbyteorder("=")
    assert array.dtype.isnative
    for box in ((3, 4), (15, 17), (19, 20), (0, 20)):
        for rest in (np.s_[:, :], np.s_[7:8, :], np.s_[14:30, 3:40]):
            where = (slice(*box, 1), *(slice(*s.indices(n)) for s, n in zip(rest, SHAPE[1:], strict=True)))
            assert np.array_equal(array.read(where), voxels[where]), where
    strided = (slice(1, 20, 3), slice(0, 30, 4), slice(5, 41, 7))
    assert np.array_equal(array.read(strided), voxels[strided])


def box_in(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[slice, ...]]:
    def part(size: int) -> st.SearchStrategy[slice]:
        bounds = st.lists(st.integers(0, size), min_size=2, max_size=2, unique=True)
        return bounds.map(sorted).map(lambda ends: slice(*ends, 1))

    return st.tuples(*map(part, shape))


@pytest.fixture(scope="module")
def five_axes(tmp_path_factory: pytest.TempPathFactory) -> tuple[ZarrArray, np.ndarray]:
    path = tmp_path_factory.mktemp("zarr") / "a"
    voxels = flat_indices((2, 3, 9, 20, 21))
    make(path, voxels, chunks=(1, 1, 8, 16, 16), compressors=numcodecs.Blosc("zstd", 1, 2, blocksize=2048))
    return ZarrArray(path), voxels


@given(box=box_in((2, 3, 9, 20, 21)))
def test_any_box_of_five_axes(five_axes: tuple[ZarrArray, np.ndarray], box: tuple[slice, ...]) -> None:
    array, voxels = five_axes
    assert np.array_equal(array.read(box), voxels[box])


def plane(axis: int, index: int) -> tuple[slice, ...]:
    return tuple(slice(index, index + 1, 1) if a == axis else slice(0, n, 1) for a, n in enumerate(SHAPE))


@pytest.mark.parametrize(("axis", "chunks"), [(0, 2 * 3), (1, 2 * 3), (2, 2 * 2)])
def test_a_plane_reads_each_chunk_it_crosses_once(
    tmp_path: Path, files_read: Callable[[], int], axis: int, chunks: int
) -> None:
    voxels = flat_indices(SHAPE)
    make(tmp_path / "a", voxels)
    array = ZarrArray(tmp_path / "a")
    files_read()
    assert np.array_equal(array.read(plane(axis, 5)), voxels[plane(axis, 5)])
    assert files_read() == chunks


@pytest.mark.parametrize("axis", [1, 2])
def test_planes_next_to_the_last_one_come_from_the_cache(
    tmp_path: Path, files_read: Callable[[], int], axis: int
) -> None:
    voxels = flat_indices(SHAPE)
    make(tmp_path / "a", voxels)
    array = ZarrArray(tmp_path / "a")
    array.read(plane(axis, 5))
    files_read()
    for index in (6, 0, 15):
        got = array.read(plane(axis, index))
        assert np.array_equal(got, voxels[plane(axis, index)])
        got[...] = 0  # is the caller's own
    assert np.array_equal(array.read(plane(axis, 6)), voxels[plane(axis, 6)])
    assert files_read() == 0
    array.read(plane(axis, 16))
    assert files_read() > 0


@pytest.mark.parametrize("kind", ["blosc", "v3 shards"])
def test_cached_planes_are_read_again_when_their_files_change(tmp_path: Path, kind: str) -> None:
    writer = make(tmp_path / "a", np.ones(SHAPE, "f4"), **KINDS[kind])
    array = ZarrArray(tmp_path / "a")
    assert (array.read(plane(1, 5)) == 1).all()
    writer[...] = 2
    assert (array.read(plane(1, 6)) == 2).all()
    writer[:, :16] = 0  # which takes their files away
    assert (array.read(plane(1, 7)) == 0).all()


@pytest.mark.parametrize("how", ["written in place", "another file"])
def test_cached_planes_are_read_again_though_size_and_time_of_their_file_are_the_same(tmp_path: Path, how: str) -> None:
    chunk, other = tmp_path / "a/0/0/0", tmp_path / "b/0/0/0"
    for path, value in ((chunk, 1), (other, 2)):
        make(path.parents[2], np.full((16, 16, 16), value, "f4"), compressors=None)
    array = ZarrArray(tmp_path / "a")
    before = chunk.stat()
    thin = np.s_[0:16:1, 5:6:1, 0:16:1]
    assert (array.read(thin) == 1).all()
    assert other.stat().st_size == before.st_size
    if how == "written in place":
        chunk.write_bytes(other.read_bytes())
        os.utime(chunk, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(chunk)
    assert (array.read(thin) == 2).all()


def test_the_first_look_keeps_a_few_planes_of_a_chunk_and_the_second_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_read: Callable[[], int]
) -> None:
    monkeypatch.setattr(zarrarray, "_PLANES", 4)
    cache = ChunkCache(10**6)
    monkeypatch.setattr(zarrarray, "chunk_cache", lambda: cache)
    voxels = flat_indices(SHAPE)
    make(tmp_path / "a", voxels)
    array = ZarrArray(tmp_path / "a")
    plane_bytes = voxels[:, 0].nbytes
    files_read()
    for index, files, planes in ((5, 6, 4), (6, 0, 4), (9, 6, 4 + 16), (0, 0, 4 + 16)):
        assert np.array_equal(array.read(plane(1, index)), voxels[plane(1, index)])
        assert files_read() == files
        assert cache.nbytes == planes * plane_bytes
    across = (slice(0, 20, 1), slice(0, 16, 1), slice(7, 8, 1))
    assert np.array_equal(array.read(across), voxels[across])
    assert files_read() == 0


def test_of_an_array_that_is_larger_than_the_cache_few_planes_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_read: Callable[[], int]
) -> None:
    voxels = flat_indices(SHAPE)
    cache = ChunkCache(4 * 16 * 16 * 6 * voxels.itemsize)  # what is kept for one plane
    monkeypatch.setattr(zarrarray, "chunk_cache", lambda: cache)
    monkeypatch.setattr(zarrarray, "_PLANES", 4)
    for kind in ("blosc", "zlib"):
        make(tmp_path / kind, voxels, **KINDS[kind])
        array = ZarrArray(tmp_path / kind)
        for index in range(SHAPE[1]):
            assert np.array_equal(array.read(plane(1, index)), voxels[plane(1, index)])
        files_read()
        array.read(plane(1, 29))
        assert files_read() == 0
        array.read(plane(1, 0))
        assert files_read() > 0
        assert 0 < cache.nbytes <= cache.limit


def test_the_cache_drops_what_was_not_used_for_longest_and_what_was_of_an_array_that_is_gone() -> None:
    class Array:
        pass

    cache, arrays = ChunkCache(250), [Array(), Array()]
    first, second = map(cache.owner, arrays)
    for key in ((first, 0), (second, 0)):
        cache.put(key, "state", np.zeros(100, "u1"))
    assert cache.get((first, 0), "state") is not None
    assert cache.get((first, 0), "another state") is None
    cache.put((first, 1), "state", np.zeros(100, "u1"))
    assert cache.get((second, 0), "state") is None  # the one that was not used for longest
    cache.put((second, 1), "state", np.zeros(251, "u1"))
    assert cache.nbytes == 200
    arrays.pop(0)
    assert cache.nbytes == 0


def test_an_array_is_freed_while_the_cache_is_used_in_the_same_thread() -> None:
    """The garbage collector runs at any moment."""

    class Array:
        pass

    cache, arrays = ChunkCache(250), [Array()]

    class Voxels:
        @property
        def nbytes(self) -> int:
            if cache._lock.locked():
                arrays.clear()
            return 100

    cache.put((cache.owner(arrays[0]), 0), "state", Voxels())  # type: ignore[arg-type]
    arrays.clear()
    assert cache.nbytes == 0


def test_planes_from_many_threads_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ChunkCache(60_000)
    monkeypatch.setattr(zarrarray, "chunk_cache", lambda: cache)
    voxels = flat_indices(SHAPE)
    make(tmp_path / "a", voxels)
    array = ZarrArray(tmp_path / "a")
    boxes = [plane(axis, index) for axis in (1, 2) for index in range(30)] * 2
    with ThreadPoolExecutor(4) as pool:
        for box, found in zip(boxes, pool.map(array.read, boxes), strict=True):
            assert np.array_equal(found, voxels[box])


def test_a_thin_slice_reads_a_small_part_of_each_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voxels = np.random.default_rng(0).normal(size=(64, 128, 128)).astype("f4")
    make(tmp_path / "a", voxels, chunks=voxels.shape, compressors=numcodecs.Blosc("lz4", 1, 2))
    size = (tmp_path / "a/0/0/0").stat().st_size
    decoded: list[int] = []
    decompress = numcodecs.blosc.decompress
    monkeypatch.setattr(numcodecs.blosc, "decompress", lambda frame: decoded.append(len(frame)) or decompress(frame))
    plane = ZarrArray(tmp_path / "a").read((slice(40, 41, 1), slice(0, 128, 1), slice(0, 128, 1)))
    assert np.array_equal(plane[0], voxels[40])
    assert len(decoded) == 1
    assert decoded[0] < size / 32


@pytest.mark.parametrize("blocks_in_any_order", [False, True])
def test_blocks_may_lie_in_any_order(tmp_path: Path, blocks_in_any_order: bool) -> None:
    """As a compressor with several threads leaves them."""
    voxels = np.random.default_rng(0).integers(0, 99, (16, 32, 32)).astype("f4")
    make(tmp_path / "a", voxels, chunks=(16, 32, 32), compressors=numcodecs.Blosc("zstd", 1, 2, blocksize=4096))
    path = tmp_path / "a/0/0/0"
    frame = path.read_bytes()
    starts = np.frombuffer(frame, "<u4", 16, 16).astype(int)
    blocks = [frame[start : min([e for e in starts if e > start], default=len(frame))] for start in starts]
    order = np.random.default_rng(1).permutation(16) if blocks_in_any_order else range(16)
    table, body = np.zeros(16, "<u4"), b""
    for k in order:
        table[k] = 80 + len(body)
        body += blocks[k]
    path.write_bytes(frame[:16] + table.tobytes() + body)
    for z in range(16):
        plane = ZarrArray(tmp_path / "a").read((slice(z, z + 1, 1), slice(0, 32, 1), slice(0, 32, 1)))
        assert np.array_equal(plane[0], voxels[z])


@pytest.mark.parametrize("fill", [0, 7])
def test_a_missing_chunk_has_the_fill_value_until_it_is_written(tmp_path: Path, fill: int) -> None:
    make(tmp_path / "a", np.ones((20, 20, 20), "f4"), fill_value=fill)
    chunk = tmp_path / "a/0/0/0"
    chunk.rename(tmp_path / "later")
    array = ZarrArray(tmp_path / "a")
    thin, thick = np.s_[2:3:1, 0:20:1, 0:20:1], np.s_[0:20:1, 0:20:1, 0:20:1]
    for box in (thin, thick):
        got = array.read(box)
        assert (got[:, :16, :16][:16] == fill).all()
        assert (got[:, 16:] == 1).all()
    (tmp_path / "later").rename(chunk)
    for box in (thin, thick):
        assert (array.read(box) == 1).all()


def test_a_chunk_that_is_written_again_is_read_again(tmp_path: Path) -> None:
    writer = make(tmp_path / "a", np.ones((16, 16, 16), "f4"))
    array = ZarrArray(tmp_path / "a")
    whole = (slice(0, 16, 1),) * 3
    assert (array.read(whole) == 1).all()
    writer[...] = 2
    assert (array.read(whole) == 2).all()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:10])


def spoil(path: Path) -> None:
    frame = path.read_bytes()
    path.write_bytes(frame[:100] + bytes([255]) * (len(frame) - 100))


def shrink(path: Path) -> None:
    path.write_bytes(BLOSC.encode(np.ones(10, "f4")))


@pytest.mark.parametrize("harm", [cut, cut_short, spoil, shrink])
@pytest.mark.parametrize("thickness", [1, 16])
def test_a_damaged_chunk_is_one_clear_error(tmp_path: Path, harm: Callable[[Path], None], thickness: int) -> None:
    make(tmp_path / "a", np.random.default_rng(0).normal(size=(16, 16, 16)).astype("f4"))
    harm(tmp_path / "a/0/0/0")
    with pytest.raises(SourceError) as caught:
        ZarrArray(tmp_path / "a").read((slice(16 - thickness, 16, 1), slice(0, 16, 1), slice(0, 16, 1)))
    assert str(tmp_path / "a") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_anything_but_an_array_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=tmp_path.name):
        ZarrArray(tmp_path)
    zarr.open_group(tmp_path / "group", mode="w", zarr_format=3)
    with pytest.raises(SourceError, match="group"):
        ZarrArray(tmp_path / "group")
    (tmp_path / ".zarray").write_text("{")
    with pytest.raises(SourceError, match=r"\.zarray"):
        ZarrArray(tmp_path)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("blosc", "blosc lz4, level 1, bitshuffle"),
        ("v3 blosc", "blosc lz4, level 1, bitshuffle"),
        ("uncompressed", "none"),
        ("zlib", "zlib, level 1"),
        ("v3 zstd", "zstd, level 3"),
    ],
)
def test_compression_for_people(tmp_path: Path, kind: str, said: str) -> None:
    make(tmp_path / "a", np.zeros(SHAPE, "f4"), **KINDS[kind])
    assert ZarrArray(tmp_path / "a").compression == said
