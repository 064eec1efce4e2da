"""Zeiss files: every image from its sectors, wherever these lie; the voxel size; files that are not complete."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import olefile
import pytest

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.sources.compound_file import CompoundFile, FlawError
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.compound import write_compound, write_txm
from tests.helpers.sources import blocks, read_box, read_whole
from tests.helpers.tiffs import coordinates

SHAPE = (7, 60, 45)
VOLUME = coordinates(SHAPE, "uint16")
WAYS: dict[str, dict[str, Any]] = {
    "small sectors": {},
    "small sectors, scattered": {"seed": 1},
    "large sectors": {"version": 4},
    "large sectors, scattered": {"version": 4, "seed": 2},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_each_voxel(tmp_path: Path, way: str, dtype: str) -> None:
    expected = VOLUME.astype(dtype)
    path = write_txm(tmp_path / "scan.txm", expected, **WAYS[way])
    with open_source(path) as source:
        volume = source.volume
        np.testing.assert_array_equal(read_whole(source), expected)
        assert (volume.shape, volume.dtype, volume.granularity) == (SHAPE, dtype, (1, 1, 45))
        assert (volume.voxel_size, volume.unit) == ((0.65,) * 3, "micrometer")
        assert "PixelSize" in str(volume.voxel_size_from)
        for z0, z1, y0, y1 in blocks(3, SHAPE, 30):
            np.testing.assert_array_equal(read_box(source, z0, z1, y0, y1), expected[z0:z1, y0:y1])


@pytest.mark.parametrize("way", WAYS)
def test_small_images_share_sectors(tmp_path: Path, way: str) -> None:
    """Streams of less than 4096 bytes are stored in parts of 64 bytes."""
    path = write_txm(tmp_path / "scan.txm", VOLUME[:, :9, :7], **WAYS[way])
    with open_source(path) as source:
        np.testing.assert_array_equal(read_whole(source), VOLUME[:, :9, :7])


@pytest.mark.parametrize("way", WAYS)
def test_olefile_reads_the_same_streams(tmp_path: Path, way: str) -> None:
    sizes = [1, 63, 64, 65, 4095, 4096, 4097, 9000, 100_000]
    streams = {f"a{n % 3}/b/s{n}": bytes(np.arange(n) % 251) for n in sizes} | {"top": b"top", "none": b""}
    path = write_compound(tmp_path / "a.txm", {k: v.astype("u1").tobytes() if hasattr(v, "astype") else v
                                               for k, v in streams.items()}, **WAYS[way])  # fmt: skip
    ours = CompoundFile(path)
    with olefile.OleFileIO(path) as theirs:
        assert ours.sizes == {"/".join(name).lower(): theirs.get_size(name) for name in theirs.listdir()}
        for name, data in streams.items():
            assert ours.read(name) == theirs.openstream(name).read() == data


def test_a_table_of_sectors_that_is_longer_than_the_header_lists(tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes(9_000_000)
    path = write_compound(tmp_path / "a", {"large": data, "small": b"12"}, seed=5)
    assert CompoundFile(path).read("large") == data
    with olefile.OleFileIO(path) as theirs:
        assert theirs.openstream("large").read() == data


def test_projections_have_no_voxel_size(tmp_path: Path) -> None:
    path = write_txm(tmp_path / "scan.txrm", VOLUME)
    with open_source(path) as source:
        np.testing.assert_array_equal(read_whole(source), VOLUME)
        assert source.volume.voxel_size is None
        assert "projections" in source.volume.notes[0]


@pytest.mark.parametrize("size", [None, 0.0, float("nan"), float("inf")])
def test_a_voxel_size_that_is_not_stated(tmp_path: Path, size: float | None) -> None:
    with open_source(write_txm(tmp_path / "scan.txm", VOLUME, pixel_size=size)) as source:
        assert (source.volume.voxel_size, source.volume.unit) == (None, None)


def streams_of(count: int, **values: int) -> dict[str, bytes]:
    given = {"ImageWidth": 45, "ImageHeight": 60, "NoOfImages": 7, "DataType": 5, **values}
    streams = {f"ImageInfo/{name}": struct.pack("<I", value) for name, value in given.items()}
    return streams | {f"ImageData1/Image{z + 1}": VOLUME[z].tobytes() for z in range(count)}


BAD: dict[str, tuple[dict[str, bytes], tuple[str, ...]]] = {
    "missing image": (streams_of(6), ("6 of 7", "image 7")),
    "type": (streams_of(7, DataType=3), ("type 3",)),
    "no width": (streams_of(7, ImageWidth=0), ("ImageInfo/ImageWidth",)),
    "width": (streams_of(7, ImageWidth=44), ("image 1 of 7", "5,400", "5,280")),
    "one image": (streams_of(1, NoOfImages=1), ("single image",)),
    "another program": ({"Workbook": bytes(5000)}, ("without the images",)),
    "no streams": ({}, ("without the images",)),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_no_volume(tmp_path: Path, name: str) -> None:
    streams, facts = BAD[name]
    path = write_compound(tmp_path / "scan.txm", streams)
    with pytest.raises(SourceError) as caught:
        open_source(path)
    assert str(path) in str(caught.value)
    assert [fact for fact in facts if fact not in str(caught.value)] == []


@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_is_cut_short_at_any_place(tmp_path: Path, way: str) -> None:
    path = write_txm(tmp_path / "scan.txm", VOLUME, **WAYS[way])
    data = path.read_bytes()
    for keep in [100, 511, *range(512, len(data), 4999), len(data) - 4097]:
        path.write_bytes(data[:keep])
        with pytest.raises(SourceError) as caught:
            open_source(path)
        assert str(path) in str(caught.value)


def test_chains_that_lead_nowhere(tmp_path: Path) -> None:
    data = write_txm(tmp_path / "scan.txm", VOLUME).read_bytes()
    for at in (44, 48, 60, 76):  # the size of the table, the directory, the small table, the table
        for value in (0xFFFFFFFF, 0x00FFFFFF, 0x7FFFFFFF):
            (tmp_path / "b").write_bytes(data[:at] + struct.pack("<I", value) + data[at + 4 :])
            with pytest.raises((FlawError, SourceError)):
                open_source(tmp_path / "b")
