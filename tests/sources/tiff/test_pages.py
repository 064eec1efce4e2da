"""The page directory: read again when the file may have changed."""

from __future__ import annotations

import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.sources.tiff.pages import is_tiff, read_pages


def test_the_directory_is_read_again_once_a_file_may_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, np.zeros((3, 8, 8), "u1"), photometric="minisblack")
    assert read_pages(path) is not read_pages(path)  # it has just changed
    later = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: later)
    known = read_pages(path)
    assert read_pages(path) is known
    tifffile.imwrite(path, np.zeros((4, 8, 8), "u1"), photometric="minisblack")
    assert len(read_pages(path).pages) == 4


def test_a_tiff_is_known_by_its_first_bytes() -> None:
    assert all(is_tiff(head) for head in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))
    assert not any(is_tiff(head) for head in (b"", b"II", b"II*", b"MM*\0", b"\x89PNG"))


def pages_that_share_tables(path: Path, pages: int, strips: int) -> None:
    """A TIFF of which all pages have the same strips, by the same tables of positions and sizes."""
    tags = 7
    head, row = 8, 4
    data = head + strips * 4 * 2
    first = data + row
    size = 2 + tags * 12 + 4
    with path.open("wb") as file:
        file.write(b"II*\0" + struct.pack("<I", first))
        file.write(struct.pack(f"<{strips}I", *[data] * strips) + struct.pack(f"<{strips}I", *[row] * strips))
        file.write(bytes(row))
        for number in range(pages):
            entries = [
                (256, 4, 1, row), (257, 4, 1, strips), (258, 3, 1, 8), (262, 3, 1, 1),
                (273, 4, strips, head), (278, 4, 1, 1), (279, 4, strips, head + 4 * strips),
            ]  # fmt: skip
            file.write(struct.pack("<H", tags) + b"".join(struct.pack("<HHII", *entry) for entry in entries))
            file.write(struct.pack("<I", first + (number + 1) * size if number + 1 < pages else 0))


def test_pages_that_share_tables_do_not_fill_the_memory(tmp_path: Path) -> None:
    pages_that_share_tables(tmp_path / "scan.tif", pages=2000, strips=20_000)
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match="larger than the file"):
            open_source(tmp_path / "scan.tif")
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_as_many_strips_as_the_file_has_room_for_are_read(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).integers(0, 255, (30, 64, 1), np.uint8)
    tifffile.imwrite(
        tmp_path / "scan.tif", volume, rowsperstrip=1, compression="packbits", photometric="minisblack", metadata=None
    )
    with open_source(tmp_path / "scan.tif") as source:
        out = np.empty_like(volume)
        source.read(0, 30, 0, 64, out)
    np.testing.assert_array_equal(out, volume)
