"""OME-Zarr in a zip archive: opened in place, on this machine and on a web server."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.cli.info import read_info
from napari_ct_pyramid.errors import CtPyramidError, OutputExistsError, SourceError
from napari_ct_pyramid.neuroglancer.server import FolderServer
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.storage import zip_archive
from napari_ct_pyramid.storage.paths import any_path, image_name, outer_path
from napari_ct_pyramid.storage.zip_path import ZipPath
from tests.helpers.omezarr import flat_indices, pyramid_of, write_image

LEVELS = pyramid_of(flat_indices((24, 40, 48), "u2"), 2)
BOXES = [np.s_[:], np.s_[5], np.s_[:, 7], np.s_[3:9, 10:30, ::3]]
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


def pack(folder: Path, archive: Path, method: int = STORED, top: str = "") -> Path:
    with zipfile.ZipFile(archive, "w", method) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, top + path.relative_to(folder).as_posix())
    return archive


KINDS: dict[str, tuple[dict[str, Any], str, int, str]] = {
    "0.5 with shards, RFC 9": ({"version": "0.5", "chunks": (8,) * 3, "shards": (16,) * 3}, "a.ozx", STORED, ""),
    "0.4": ({}, "a.ome.zarr.zip", STORED, ""),
    "0.4, compressed": ({}, "a.zarr.zip", DEFLATED, ""),
    "0.6, compressed, in a folder": ({"version": "0.6", "shards": (16,) * 3}, "A.OZX", DEFLATED, "scan.ome.zarr/"),
}


@pytest.fixture(params=KINDS)
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    options, name, method, top = KINDS[request.param]
    folder = write_image(tmp_path / "folder.ome.zarr", LEVELS, **options)
    return pack(folder, tmp_path / name, method, top)


@pytest.fixture(params=["disk", "web"])
def place(request: pytest.FixtureRequest, archive: Path) -> Iterator[str]:
    if request.param == "disk":
        yield str(archive)
    else:
        with FolderServer({"files": archive.parent}) as server:
            yield f"{server.url}files/{archive.name}"


def test_an_archive_reads_as_its_folder(place: str) -> None:
    pyramid = ct.open_pyramid(place)
    for level, voxels in zip(pyramid.levels, LEVELS, strict=True):
        for box in BOXES:
            np.testing.assert_array_equal(np.asarray(level.array[box]), voxels[box])
    assert read_info(any_path(place))["shape"] == list(LEVELS[0].shape)


def test_it_converts_as_its_folder(place: str, tmp_path: Path) -> None:
    made = ct.open_pyramid(ct.convert(place, tmp_path / "b.ome.zarr", chunks=16).output)
    np.testing.assert_array_equal(np.asarray(made.levels[0].array), LEVELS[0])
    assert made.levels[0].scale == (1, 1, 1)


def test_an_array_in_it_can_be_named(archive: Path) -> None:
    with open_source(f"{archive}::1") as source:
        assert source.volume.shape == LEVELS[1].shape
    assert any_path(f"{archive}/1").is_dir()
    assert not any_path(f"{archive}/2").exists()


def test_its_members_are_listed_once_and_read_by_range(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zip_archive._archive.cache_clear()
    reads: list[tuple[int, int]] = []
    read = zip_archive._read

    def counted(path: Path, start: int, stop: int) -> bytes:
        reads.append((start, stop))
        return read(path, start, stop)

    monkeypatch.setattr(zip_archive, "_read", counted)
    path = any_path(archive)
    names = ["zarr.json", ".zattrs"]
    first = next(path / name for name in names if (path / name).is_file())
    content = first.read_bytes()
    assert len(reads) == 3  # the end of the archive, the header of the member, and its bytes
    reads.clear()
    assert isinstance(first, ZipPath)
    assert first.read_range(3, 9) == content[3:9]
    with zipfile.ZipFile(archive) as file:
        packed = file.getinfo(first.location).compress_type
    assert [stop - start for start, stop in reads] == ([6] if packed == STORED else [])


def test_what_is_damaged_in_it_is_an_error(tmp_path: Path) -> None:
    folder = write_image(tmp_path / "a.ome.zarr", LEVELS)
    archive = pack(folder, tmp_path / "a.ozx")
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        info = file.getinfo(".zattrs")
        data[info.header_offset + 60] ^= 1
    archive.write_bytes(data)
    with pytest.raises(SourceError):
        ct.open_pyramid(archive)
    for content in (b"", b"PK\3\4 cut short", data[:-30]):
        (tmp_path / "b.ozx").write_bytes(content)
        with pytest.raises(SourceError):
            ct.open_pyramid(tmp_path / "b.ozx")
        with pytest.raises(SourceError):
            open_source(tmp_path / "b.ozx")


@pytest.mark.parametrize("far", [False, True], ids=["disk", "web"])
def test_an_archive_that_was_replaced_is_read_again(tmp_path: Path, far: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = pack(write_image(tmp_path / "a.ome.zarr", LEVELS), tmp_path / "a.ozx")
    with FolderServer({"files": tmp_path}) as server:
        place = f"{server.url}files/a.ozx" if far else str(archive)
        assert np.asarray(ct.open_pyramid(place).levels[0].array[3]).any()
        shutil.rmtree(tmp_path / "a.ome.zarr")
        pack(write_image(tmp_path / "a.ome.zarr", [LEVELS[0] + 1]), archive)
        monkeypatch.setattr(zip_archive, "_TRUSTED_SECONDS", 0.0)  # as if some seconds had passed
        pyramid = ct.open_pyramid(place)
        assert len(pyramid.levels) == 1
        np.testing.assert_array_equal(np.asarray(pyramid.levels[0].array[3]), LEVELS[0][3] + 1)


def test_nothing_is_written_into_it(archive: Path) -> None:
    before = archive.read_bytes()
    with pytest.raises(OutputExistsError):
        ct.convert(LEVELS[0], archive, chunks=16, overwrite=True)
    for name in ("new.ome.zarr", ""):
        with pytest.raises(CtPyramidError):
            ct.convert(LEVELS[0], any_path(archive) / (name or "0"), chunks=16, overwrite=True)
    with pytest.raises((CtPyramidError, OSError)):
        ct.edit(archive, voxel_size="3 um")
    assert archive.read_bytes() == before


def test_its_name_is_that_of_the_image(tmp_path: Path) -> None:
    assert [image_name(n) for n in ("scan.ozx", "scan.ome.zarr.zip", "scan.zarr.zip")] == ["scan"] * 3
    (tmp_path / "folder.ozx").mkdir()
    assert any_path(tmp_path / "folder.ozx") == tmp_path / "folder.ozx"
    assert outer_path(any_path(pack(tmp_path, tmp_path / "b.ozx"))) == tmp_path / "b.ozx"
