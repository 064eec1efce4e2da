"""`ct-pyramid export`: what it prints, and its exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_ct_pyramid.cli.main import main
from tests.helpers.command import VOXELS, command_after, everything, hold_reading


def test_an_export_prints_what_it_made(output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "made.tif"
    assert main(["export", str(output), str(made), "--crop", "1:5,,:8", "--level", "0"]) == 0
    said = capsys.readouterr()
    assert str(made) in said.out
    assert "4 × 24 × 8 float32" in said.out
    assert "100 %" in said.err
    assert np.array_equal(tifffile.imread(made), VOXELS[1:5, :, :8])


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(tmp_path)
    for name in ("made.tif", "made.ome.zarr", "made.mhd"):
        words = ["export", str(output), str(tmp_path / name), "--level", "1", "--dry-run"]
        assert main(words) == 0
        said = capsys.readouterr().out
        assert "3 × 12 × 20" in said
        assert "Time         about" in said
        assert main([*words, "--json"]) == 0
        plan = json.loads(capsys.readouterr().out)
        assert plan["shape"] == [3, 12, 20]
        assert plan["voxel_size"] == [1.0, 1.0, 1.0]
        assert plan["seconds_estimate"] >= 0
        assert plan["peak_memory_bytes"] == sum(plan["memory"].values())
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    "words", [["--level", "9"], ["--level", "-1"], ["--crop", "7:9,,"], ["--window", "0", "1"], ["--axes", "zz"]]
)
def test_a_wrong_request_writes_nothing(
    words: list[str], output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(tmp_path)
    assert main(["export", str(output), str(tmp_path / "made.tif"), *words]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert everything(tmp_path) == before


def test_a_slash_at_the_end_of_the_output_means_slices(output: Path, tmp_path: Path) -> None:
    assert main(["export", str(output), f"{tmp_path}/0.65/", "--quiet"]) == 0
    assert len(list((tmp_path / "0.65").iterdir())) == len(VOXELS)


@pytest.mark.skipif(os.name != "posix", reason="signals are different here")
def test_ctrl_c_leaves_nothing(scan: Path, tmp_path: Path) -> None:
    until = tmp_path / "go"
    prelude = hold_reading("scan", until).replace("Source.read", "Source.read_box")
    words = command_after(prelude, "export", scan, tmp_path / "made.tif")
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    while not Path(f"{until}.held").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    until.touch()
    assert process.wait(300) == 130
    assert process.stderr
    assert "Interrupted" in process.stderr.read()
    process.stderr.close()
    assert {path.name for path in tmp_path.iterdir()} == {"scan.tif", "go", "go.held"}
