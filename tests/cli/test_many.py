"""Many volumes on the command line: what is said of each, and what the exit status says of all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_ct_pyramid.cli.main import main
from tests.helpers.command import CHUNKS, VOXELS, command, command_after, everything, write_scan

# Every read takes its time, so that there is a middle of each conversion.
SLOW = """
import time
from napari_ct_pyramid.sources import registry as source
read = source.Source.read
source.Source.read = lambda *args: (time.sleep(0.1), read(*args))[1]
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five volumes, the third of which is broken, and a folder for the outputs."""
    scan = write_scan(tmp_path)
    for name in "abde":
        shutil.copy(scan, tmp_path / f"{name}.tif")
    scan.unlink()
    (tmp_path / "c.tif").write_text("Dear diary,\n")
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_five_with_a_broken_one_in_the_middle(place: Path) -> None:
    names = [f"{name}.tif" for name in "abcde"]
    done = command("convert", *names, "--output-dir", "out", *CHUNKS, cwd=place)
    assert done.returncode == 1
    said, lines = done.stderr.splitlines(), done.stdout.splitlines()
    assert said[0] == "Planning 5 conversions"
    assert said[1].startswith("ct-pyramid: error: c.tif ")  # before any work
    assert [line[:6] for line in said if " of 5: Converting" in line] == ["1 of 5", "2 of 5", "4 of 5", "5 of 5"]
    assert said[-1] == "ct-pyramid: error: 1 of 5 failed: c.tif."
    assert [line.split()[:2] for line in lines[:-1]] == [
        [name, "failed" if name == "c.tif" else "done"] for name in names
    ]
    assert "23.0 kB became " in lines[0]
    assert "c.tif is no" in lines[2]
    assert lines[-1].startswith("Made 4 of 5 volumes in ")
    for name in "abde":
        made = zarr.open_array(place / "out" / f"{name}.ome.zarr" / "0", mode="r")
        np.testing.assert_array_equal(made[:], VOXELS)
    assert not (place / "out" / "c.ome.zarr").exists()


def test_patterns_are_of_volumes_and_json_is_a_list(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "[ab].tif", "c*", "b.tif", "--output-dir", "out", *CHUNKS, "--json", "--quiet"]) == 1
    said = capfd.readouterr()
    assert [line.count("c.tif") > 0 for line in said.err.splitlines()] == [True, True]
    items = json.loads(said.out)
    assert [(item["source"], item["state"]) for item in items] == [
        ("a.tif", "done"), ("b.tif", "done"), ("c.tif", "failed"),
    ]  # fmt: skip
    assert items[0]["result"]["output"] == items[0]["output"] == str(Path("out", "a.ome.zarr"))
    assert [item["error"] is None for item in items] == [True, True, False]

    assert main(["convert", "a.tif", "--output-dir", "out", *CHUNKS, "--dry-run", "--json"]) == 0
    (item,) = json.loads(capfd.readouterr().out)
    assert (item["state"], item["plan"]["source"]["shape"]) == ("done", [6, 24, 40])
    assert main(["convert", "*.jpg", "--output-dir", "out", *CHUNKS]) == 2
    assert "nothing called *.jpg" in capfd.readouterr().err


def test_a_dry_run_has_a_line_for_each_and_writes_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(place)
    assert main(["convert", "*.tif", "--output-dir", "out", *CHUNKS, "--dry-run"]) == 1
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines() if ".tif" in line] == [f"{n}.tif" for n in "abdec"]
    assert "4 volumes to convert: 92.2 kB become 84 files" in said
    assert everything(place) == before


@pytest.mark.parametrize("paths", [["a.tif", "b.tif"], ["a.tif", "B.TIFF"], ["a.tif", "b.tif", "d.tif", "-c", "8"]])
def test_without_a_folder_a_second_input_is_an_error_that_says_how(
    paths: list[str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(place)
    assert main(["convert", *paths, *CHUNKS]) == 2
    said = capsys.readouterr().err
    assert "--output-dir DIR" in said
    assert said.count("\n") == 1
    assert everything(place) == before


def test_where_none_can_be_converted_the_request_is_wrong(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(place)
    assert main(["convert", "c.tif", "no.tif", "--output-dir", "out", *CHUNKS]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert [word in said.err for word in ("c.tif is no", "no.tif", "Nothing was converted.")] == [True] * 3
    assert main(["convert", "a.tif", "b.tif", "--output-dir", "no", *CHUNKS]) == 2
    assert "no folder no" in capsys.readouterr().err
    assert everything(place) == before


@pytest.mark.skipif(os.name != "posix", reason="signals are others here")
def test_ctrl_c_in_the_second_leaves_the_rest_untouched(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request = ["convert", "a.tif", "b.tif", "d.tif", "--output-dir", "out", *CHUNKS]
    started = command_after(SLOW, *request, "--threads", 1)
    with subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        while "2 of 3" not in process.stderr.readline():
            assert process.poll() is None, "it ended before it began"
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        said, printed = process.stderr.read(), process.stdout.read()
    unfinished = Path("out", "b.ome.zarr")
    assert process.returncode == 130
    assert said.splitlines()[-1] == (
        f"ct-pyramid: Interrupted. {unfinished} is unfinished, and 1 volume had not begun; the same command resumes."
    )
    assert (printed, (place / "out" / "d.ome.zarr").exists()) == ("", False)
    before = everything(place / "out" / "a.ome.zarr")
    assert main(request) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["a.tif", "done"], ["b.tif", "done"], ["d.tif", "done"], ["Made", "2"],
    ]  # fmt: skip
    assert everything(place / "out" / "a.ome.zarr") == before
    assert main(["verify", "out/*", "--quiet"]) == 0


def test_verifying_many_with_a_damaged_one(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "[abd].tif", "--output-dir", "out", *CHUNKS, "--quiet"]) == 0
    outputs = [str(Path("out", f"{name}.ome.zarr")) for name in "abd"]
    assert main(["verify", *outputs]) == 0
    assert "3 of 3 outputs are whole and true" in capsys.readouterr().out
    (place / outputs[1] / "0" / "0" / "1" / "0").unlink()
    assert main(["verify", *outputs, "nothing.ome.zarr"]) == 1
    said = capsys.readouterr()
    assert [line.split()[1] for line in said.out.splitlines() if ".ome.zarr" in line] == [
        "whole", "1", "whole", "failed",
    ]  # fmt: skip
    assert "  level 0, chunk 0/0/1/0: it is missing" in said.out
    assert said.err.splitlines()[-1].endswith("2 of 4 are wrong, or cannot be read: b.ome.zarr, nothing.ome.zarr.")
    assert main(["verify", "out/*", "--json", "--quiet"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [item["result"]["sound"] for item in found] == [True, False, True]
    assert main(["verify", *outputs, "--repair", "--source", "a.tif"]) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is not counted so exactly")
def test_the_last_of_many_has_as_much_memory_as_the_first(tmp_path: Path) -> None:
    scan = tmp_path / "0.tif"
    tifffile.imwrite(scan, np.zeros((128, 512, 512), "u2"), photometric="minisblack")
    for n in range(1, 5):
        os.link(scan, tmp_path / f"{n}.tif")
    (tmp_path / "out").mkdir()
    least = command("convert", scan, "-c", "visualization", "--max-memory", "1M").stderr
    budget = least.split("--max-memory ")[1].split(")")[0]
    done = command("convert", tmp_path / "*.tif", "--output-dir", tmp_path / "out", "-c", "visualization",
                   "--max-memory", budget, "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    peaks = [item["result"]["peak_memory_bytes"] for item in json.loads(done.stdout)]
    assert max(peaks) <= int(budget.removesuffix("MB")) * 1_000_000
