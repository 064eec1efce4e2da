"""The page directory: read again when the file may have changed."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

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
