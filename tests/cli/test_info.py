"""`ct-pyramid info`: the facts about a volume, for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_ct_pyramid.cli.main import main
from tests.helpers.command import CHUNKS, VOXELS
from tests.helpers.omezarr import write_image, write_json


def test_info_of_a_tiff(scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(scan)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    for words in (str(scan), "BigTIFF", "6 × 24 × 40 (z y x)", "float32", "23.0 kB", "unknown", "none"):
        assert words in said.out
    assert main(["info", str(scan), "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert (info["shape"], info["dtype"], info["bytes"]) == ([6, 24, 40], "float32", VOXELS.nbytes)
    assert (info["voxel_size"], info["unit"], info["levels"]) == (None, None, [])
    assert info["file_bytes"] == scan.stat().st_size


def test_info_of_an_ome_zarr(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(output)]) == 0
    said = capsys.readouterr().out
    for words in (str(output), "OME-Zarr 0.4", "6 × 24 × 40 (z y x)", "0.5 0.5 0.5 micrometer", "3 × 12 × 20", "1 1 1"):
        assert words in said
    assert main(["info", str(output), "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert (info["shape"], info["dtype"], info["voxel_size"]) == ([6, 24, 40], "float32", [0.5, 0.5, 0.5])
    assert [level["path"] for level in info["levels"]] == ["0", "1"]
    assert [level["chunks"] for level in info["levels"]] == [[4, 8, 16], [4, 8, 16]]
    assert [level["scale"] for level in info["levels"]] == [[0.5] * 3, [1.0] * 3]


def test_info_has_the_same_keys_for_everything(output: Path, scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = []
    for path in (output, scan):
        assert main(["info", str(path), "--json"]) == 0
        keys.append(set(json.loads(capsys.readouterr().out)))
    assert keys[0] == keys[1]
    assert {"shape", "dtype", "bytes", "voxel_size", "unit", "compression", "levels"} <= keys[0]


def test_info_tells_padding_from_voxels(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(scan), *CHUNKS, "-l", "3", "--quiet"]) == 0
    assert main(["info", str(tmp_path / "scan.ome.zarr")]) == 0
    said = capsys.readouterr().out
    assert "6 × 24 × 40 (z y x), stored as 8 × 24 × 40" in said
    assert "Voxel size   unknown" in said


def test_info_understands_the_units_of_other_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volume = np.zeros((4, 4, 4), "u1")
    for number, (units, size, unit) in enumerate([
        (("um", "um", "um"), [2, 0.5, 0.5], "micrometer"),
        (("mm", "um", "um"), [2, 0.0005, 0.0005], "millimeter"),
        (("voxel", "voxel", "voxel"), [2, 0.5, 0.5], None),
    ]):  # fmt: skip
        axes = [{"name": name, "type": "space", "unit": u} for name, u in zip("zyx", units, strict=True)]
        dataset = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [2, 0.5, 0.5]}]}
        path = write_image(tmp_path / f"{number}.zarr", [volume], multiscales={"axes": axes, "datasets": [dataset]})
        assert main(["info", str(path), "--json"]) == 0
        info = json.loads(capsys.readouterr().out)
        assert (info["voxel_size"], info["unit"], bool(info["notes"])) == (size, unit, unit is None)


def test_the_labels_of_an_image_are_listed_with_paths_that_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_image(tmp_path / "scan.zarr", [np.ones((4, 4, 4), "u2")])
    write_image(path / "labels" / "cells", [np.ones((4, 4, 4), "u1")])
    write_json(path / "labels" / ".zgroup", {"zarr_format": 2})
    write_json(path / "labels" / ".zattrs", {"labels": ["cells", "lost"]})
    assert main(["info", str(path)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  Labels")]
    assert main(["info", line.split()[1], "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["dtype"], found["labels"]) == ("uint8", [])
