"""The registry: which format a source has, what is made from the table, and sources that cannot be read."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import numpy as np
import pytest

from napari_ct_pyramid.errors import RequestError, SourceError, SourceNotFoundError
from napari_ct_pyramid.options import SourceOptions
from napari_ct_pyramid.sources.formats import FORMATS, TIFF
from napari_ct_pyramid.sources.inputs import parse_input
from napari_ct_pyramid.sources.registry import (
    ENDINGS,
    FILE_FILTER,
    INPUTS,
    NAPARI_ENDINGS,
    RAW,
    find_format,
    open_source,
    readme_table,
)
from tests.helpers.damage import VOLUME, Make, content, error_of
from tests.helpers.tiffs import pages_of, write_pages

UNREADABLE: dict[str, tuple[Make, tuple[str, ...]]] = {
    # name: how the file is written, and what the message must have in it
    "empty": (content(b""), ("is empty",)),
    "text": (content(b"z,y,x\n1,2,3\n"), ("b'z,y,x",)),
    "zeros": (content(bytes(5000)), (r"b'\x00\x00",)),
    "hdf5": (content(b"\x89HDF\r\n\x1a\n" + bytes(100)), ("an HDF5 file",)),
    "npy": (content(b"\x93NUMPY\x01\0" + bytes(100)), ("a NumPy array",)),
    "png": (content(b"\x89PNG\r\n\x1a\n" + bytes(100)), ("a PNG image", "slices")),
    "jpeg": (content(b"\xff\xd8\xff\xe0" + bytes(100)), ("a JPEG image", "slices")),
    "zip": (content(b"PK\x03\x04" + bytes(100)), ("a ZIP archive", "unpack")),
    "nrrd": (content(b"NRRD0004\n" + bytes(100)), ("header", "does not end")),
    "dicom": (content(bytes(128) + b"DICM" + bytes(100)), ("a DICOM file", "slices")),
    "folder": (Path.mkdir, ("TIFF",)),
    "folder of empty slices": (
        lambda path: (path.mkdir(), [(path / f"s{z}.tif").touch() for z in range(3)]),
        ("s0.tif", "empty"),
    ),
    "ome-zarr": (lambda path: (path.mkdir(), (path / ".zgroup").touch()), ("OME-Zarr", "no array")),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_the_error_names_what_it_is(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    make, facts = UNREADABLE[name]
    path = tmp_path / "volume.tif"
    make(path)
    message = error_of(path, capfd, caplog)
    assert [fact for fact in facts if fact not in message] == []


@pytest.mark.parametrize("number", range(len(FORMATS)), ids=[entry.name for entry in FORMATS])
def test_every_format_is_found_by_its_magic_bytes(tmp_path: Path, number: int) -> None:
    entry = FORMATS[number]
    for magic in entry.magic:
        assert [other.name for other in FORMATS if other.matches(bytes(entry.magic_at) + magic)] == [entry.name]
        (tmp_path / "a").write_bytes(bytes(entry.magic_at) + magic + bytes(200))
        if entry.opener:
            assert find_format(parse_input(tmp_path / "a")) is entry
        else:
            with pytest.raises(SourceError) as caught:
                find_format(parse_input(tmp_path / "a"))
            assert entry.name in str(caught.value)
            assert entry.hint in str(caught.value)


def test_every_format_that_can_be_read_is_found_in_one_way_and_described() -> None:
    for entry in FORMATS:
        found = [bool(entry.magic), entry.is_file is not None, entry.is_folder is not None]
        assert any(found) is (entry is not RAW)  # which is found by its ending, if it is nothing else
        assert not (entry.is_folder and any(found[:2])) or entry.name == "a DICOM file"
        assert all(ending.startswith(".") for ending in entry.endings)
        if entry.opener:
            assert entry.examples
            assert entry.readme
            assert entry.phrase in INPUTS


def test_no_ending_belongs_to_two_formats() -> None:
    assert len(set(ENDINGS)) == len(ENDINGS)
    assert set(TIFF.endings) <= set(NAPARI_ENDINGS) <= set(ENDINGS)
    assert all(f"*{ending}" in FILE_FILTER.split(";;")[0] for ending in ENDINGS)


def test_the_readme_has_the_table_of_formats() -> None:
    readme = Path(__file__).parents[2] / "README.md"
    match = re.search(
        r"<!-- formats: [^>]*-->\n\n(.*?)\n\n<!-- end of formats -->", readme.read_text(encoding="utf-8"), re.DOTALL
    )
    assert match
    assert match[1] == readme_table()


def test_the_extra_of_a_format_is_an_extra_of_the_package() -> None:
    import tomllib

    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    assert {entry.extra for entry in FORMATS if entry.extra} <= set(extras)


def test_a_view_that_does_not_fit_leaves_no_file_open(tmp_path: Path) -> None:
    path = write_pages(tmp_path / "scan.tif", pages_of(VOLUME))
    with pytest.raises(RequestError):
        open_source(path, SourceOptions(crop="100:200,,"))
    path.unlink()


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError) as caught:
        open_source(tmp_path / "scan.tif")
    assert str(tmp_path / "scan.tif") in str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)  # which other code catches


def test_a_missing_file_with_a_neighbour_of_nearly_the_same_name(tmp_path: Path) -> None:
    write_pages(tmp_path / "scan_01.tif", pages_of(VOLUME))
    with pytest.raises(SourceNotFoundError) as caught:
        open_source(tmp_path / "scan_1.tif")
    assert str(tmp_path / "scan_01.tif") in str(caught.value)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError) as caught:
        open_source(tmp_path / "lost" / "scan.tif")
    assert f"no folder {tmp_path / 'lost'}" in str(caught.value)


def test_a_path_through_a_file(tmp_path: Path) -> None:
    path = write_pages(tmp_path / "scan.tif", pages_of(VOLUME))
    with pytest.raises(SourceNotFoundError):
        open_source(path / "scan.tif")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_named_pipe_is_an_error_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tif")
    with pytest.raises(SourceError) as caught:
        open_source(tmp_path / "pipe.tif")
    assert str(tmp_path / "pipe.tif") in str(caught.value)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_pages(tmp_path / "scan.tif", pages_of(VOLUME))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)  # as an administrator, the tests may read anything
    with pytest.raises(SourceError, match="permission") as caught:
        open_source(path)
    assert str(path) in str(caught.value)


def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_pages(tmp_path / "scan.tif", pages_of(VOLUME))
    source = open_source(path)

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(SourceError, match=r"scan\.tif .*Input/output error"):
        open_source(path)
    with pytest.raises(SourceError, match=r"scan\.tif .*Input/output error"):
        source.read(0, 1, 0, 24, np.empty((1, 24, 20), "float32"))


def test_an_array_inside_of_a_format_that_has_none(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VOLUME)
    (tmp_path / "slices").mkdir()
    for name in ("a.npy", "slices"):
        with pytest.raises(SourceError) as caught:
            open_source(f"{tmp_path / name}::/data")
        assert "::/data" in str(caught.value)
        assert str(tmp_path / name) in str(caught.value)


def test_a_store_that_does_not_answer_is_not_called_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise OSError(errno.EIO, "no connection to localhost:1", "http://localhost:1/scan.ome.zarr")

    monkeypatch.setattr("napari_ct_pyramid.sources.registry._format_in_store", broken)
    with pytest.raises(SourceError, match="no connection to localhost:1") as caught:
        open_source("http://localhost:1/scan.ome.zarr")
    assert "damaged" not in str(caught.value)
