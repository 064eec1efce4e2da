"""`ct-pyramid stats`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_ct_pyramid.cli.main import main


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.tif"
    voxels = np.random.default_rng(0).normal(10, 2, (5, 20, 30)).astype("f4")
    voxels[0, 0, 0] = np.nan
    tifffile.imwrite(path, voxels, photometric="minisblack")
    return path


def test_numbers_for_people_and_as_json(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", str(scan), "--per-slice", "--plot", str(tmp_path / "a.png")]) == 0
    text = capsys.readouterr().out
    assert "Otsu" in text
    assert "1 NaN" in text
    assert (tmp_path / "a.png").read_bytes()[1:4] == b"PNG"
    assert main(["stats", str(scan), "--json", "--threshold", "-3", "--crop", "1:3,,", "--bins", "10"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["above"] == 1
    assert found["shape"] == [2, 20, 30]
    assert len(found["histogram"]["counts"]) == 10


def test_errors_are_one_line(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", str(tmp_path / "nothing.tif")]) == 2
    assert main(["stats", str(scan), "--plot", "a.jpg"]) == 2
    assert main(["stats", str(scan), "--level", "1"]) == 2
    assert capsys.readouterr().err.count("error:") == 3


def test_a_picture_that_exists_is_left_alone(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"a user's")
    assert main(["stats", str(scan), "--plot", str(picture)]) == 2
    assert str(picture) in capsys.readouterr().err
    assert picture.read_bytes() == b"a user's"
