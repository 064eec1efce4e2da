"""What several tests of the command line start from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from napari_ct_pyramid.cli.main import main
from tests.helpers.command import CHUNKS, write_scan


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A small TIFF file."""
    return write_scan(tmp_path)


@pytest.fixture
def output(scan: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A finished conversion of `scan`, with two levels."""
    assert main(["convert", str(scan), *CHUNKS, "-l", "2", "--voxel-size", "0.5", "--unit", "micrometer"]) == 0
    capsys.readouterr()
    return scan.with_name("scan.ome.zarr")


@pytest.fixture
def five(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with five volumes, the third of which is broken, and a folder for the outputs."""
    scan = write_scan(tmp_path)
    for name in "abde":
        shutil.copy(scan, tmp_path / f"{name}.tif")
    scan.unlink()
    (tmp_path / "c.tif").write_text("Dear diary,\n")
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path
