"""`ct-pyramid convert`: what it makes and prints, for one volume and for many."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

import napari_ct_pyramid as ct
from napari_ct_pyramid.cli.main import main
from tests.helpers.command import CHUNKS, VOXELS, command, everything


def test_convert_prints_what_it_does_and_what_it_made(scan: Path, tmp_path: Path) -> None:
    done = command("convert", scan.name, *CHUNKS, "-l", 3, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, *lines = done.stderr.splitlines()
    assert first.startswith("Converting scan (23.0 kB) to scan.ome.zarr: 3 levels, ")
    assert lines[0].split()[:2] == ["0", "%"]
    assert lines[-1].split()[:2] == ["100", "%"]
    assert "23.0 kB of 23.0 kB" in lines[-1]
    assert " took " in lines[-1]
    assert done.stdout.startswith("Made scan.ome.zarr\n")
    assert "of a budget of 4.00 GB" in done.stdout
    assert "8 × 24 × 40" in done.stdout  # six slices padded to a multiple of four
    assert "2 × 6 × 10" in done.stdout
    assert done.stdout.endswith(" ct-pyramid view scan.ome.zarr\n")
    level = zarr.open_array(tmp_path / "scan.ome.zarr" / "0", mode="r")
    np.testing.assert_array_equal(level[:6], VOXELS)


@pytest.mark.parametrize(
    ("shape", "dtype", "levels"), [((3, 7, 11), "u1", 1), ((5, 12, 20), "i2", 3), ((2, 34, 6), "u2", 2)]
)
def test_odd_sizes_are_stored_voxel_for_voxel(
    shape: tuple[int, int, int], dtype: str, levels: int, tmp_path: Path
) -> None:
    voxels = (np.arange(np.prod(shape)) % 251).reshape(shape).astype(dtype)
    tifffile.imwrite(tmp_path / "odd.tif", voxels, photometric="minisblack")
    request = ["convert", str(tmp_path / "odd.tif"), "-c", "2", "5", "7", "-l", str(levels), "--quiet"]
    assert main(request) == 0
    finest = zarr.open_array(tmp_path / "odd.ome.zarr" / "0", mode="r")
    assert finest.dtype == voxels.dtype
    np.testing.assert_array_equal(finest[: shape[0]], voxels)
    assert finest.shape == (-(-shape[0] // 2 ** (levels - 1)) * 2 ** (levels - 1), *shape[1:])
    assert not np.any(finest[shape[0] :])


def test_json_and_nothing_else_is_on_standard_output(scan: Path, tmp_path: Path) -> None:
    output = tmp_path / "there.zarr"
    done = command("convert", scan, output, *CHUNKS, "--json", "--voxel-size", 1, 2, 3, "--unit", "micrometer")
    assert done.returncode == 0
    assert "100 %" in done.stderr
    receipt = json.loads(done.stdout)
    keys = "output ome_zarr_version levels seconds bytes_read bytes_written peak_memory_bytes gb_per_s"
    assert set(keys.split()) <= set(receipt)
    assert receipt["output"] == str(output)
    assert receipt["bytes_read"] == VOXELS.nbytes
    assert receipt["bytes_written"] == sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    (level,) = receipt["levels"]
    assert (level["path"], level["shape"], level["chunks"], level["scale"]) == ("0", [6, 24, 40], [4, 8, 16], [1, 2, 3])


def test_quiet_prints_nothing(scan: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(scan), *CHUNKS, "--quiet"]) == 0
    assert tuple(capfd.readouterr()) == ("", "")
    assert main(["convert", str(scan), *CHUNKS, "--quiet", "--overwrite", "--json"]) == 0
    said = capfd.readouterr()
    assert said.err == ""
    assert json.loads(said.out)["output"] == str(tmp_path / "scan.ome.zarr")
    assert main(["convert", str(scan), *CHUNKS, "--quiet"]) == 2
    assert capfd.readouterr().err.startswith("ct-pyramid: error: ")


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(tmp_path)
    assert main(["convert", str(scan), *CHUNKS, "-l", "2", "--dry-run"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    for words in ("scan", "6 × 24 × 40", "3 × 12 × 20", "peak", "files", "free"):
        assert words in said.out
    assert main(["convert", str(scan), *CHUNKS, "-l", "2", "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    keys = {"levels", "blocks", "peak_memory_bytes", "files", "bytes_out_estimate", "warnings"}
    assert keys <= set(plan)
    assert [level["shape"] for level in plan["levels"]] == [[6, 24, 40], [3, 12, 20]]
    assert main(["convert", str(scan), *CHUNKS, "--dry-run", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert everything(tmp_path) == before


def test_warnings_are_printed_before_the_conversion(scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(scan), *CHUNKS, "-l", "4"]) == 0
    said = capsys.readouterr().err
    assert "\nWarning: 4 levels " in said
    assert said.index("Warning") < said.index(" 0 %") < said.index("100 %")


def test_overwrite_replaces_an_output_and_nothing_else(
    output: Path, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(tmp_path)
    assert main(["convert", str(scan), *CHUNKS]) == 2
    assert "exists already" in capsys.readouterr().err
    assert everything(tmp_path) == before
    assert main(["convert", str(scan), *CHUNKS, "-l", "1", "--overwrite", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["levels"]) == 1
    assert not (output / "1").exists()

    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").touch()
    before = everything(tmp_path)
    assert main(["convert", str(scan), str(precious), *CHUNKS, "--overwrite"]) == 2
    assert everything(tmp_path) == before


def test_the_example_is_the_same_conversion(scan: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "examples" / "convert_tiff_to_zarr.py"
    run = [sys.executable, str(script), scan.name, "out.zarr", *CHUNKS, "--max-memory", "8G"]
    done = subprocess.run(run, capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Made out.zarr\n")
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "out.zarr" / "0", mode="r")[:], VOXELS)
    done = subprocess.run(run, capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, check=False)
    assert done.returncode == 2


# --- many volumes


def test_many_volumes_with_a_broken_one_in_the_middle(five: Path) -> None:
    names = [f"{name}.tif" for name in "abcde"]
    done = command("convert", *names, "--output-dir", "out", *CHUNKS, cwd=five)
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
        made = zarr.open_array(five / "out" / f"{name}.ome.zarr" / "0", mode="r")
        np.testing.assert_array_equal(made[:], VOXELS)
    assert not (five / "out" / "c.ome.zarr").exists()


def test_patterns_are_of_volumes_and_json_is_a_list(five: Path, capfd: pytest.CaptureFixture[str]) -> None:
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
    assert "*.jpg" in capfd.readouterr().err


def test_a_dry_run_has_a_line_for_each_and_writes_nothing(five: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(five)
    assert main(["convert", "*.tif", "--output-dir", "out", *CHUNKS, "--dry-run"]) == 1
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines() if ".tif" in line] == [f"{n}.tif" for n in "abdec"]
    assert "4 volumes to convert: 92.2 kB become 84 files" in said
    assert everything(five) == before


def test_where_none_can_be_converted_the_request_is_wrong(five: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(five)
    assert main(["convert", "c.tif", "no.tif", "--output-dir", "out", *CHUNKS]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert [word in said.err for word in ("c.tif is no", "no.tif", "Nothing was converted.")] == [True] * 3
    assert main(["convert", "a.tif", "b.tif", "--output-dir", "no/new", *CHUNKS]) == 2
    assert "no folder no/new".replace("/", os.sep) in capsys.readouterr().err
    assert everything(five) == before


def test_the_folder_of_the_outputs_is_made_if_its_parent_exists(five: Path) -> None:
    assert main(["convert", "c.tif", "--output-dir", "new", *CHUNKS]) == 2
    assert main(["convert", "a.tif", "--output-dir", "new", *CHUNKS, "--dry-run"]) == 0
    assert not Path("new").exists()
    assert main(["convert", "a.tif", "--output-dir", "new", *CHUNKS]) == 0
    batch = ct.convert_many(["a.tif", "b.tif"], "newer", chunks=(4, 8, 16), num_levels=1)
    assert [str(item.output) for item in batch.having("done")] == [str(Path("newer", f"{n}.ome.zarr")) for n in "ab"]


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


@pytest.mark.parametrize(("before", "after", "over"), [(10, 4050, 50), (10, 4000, 0), (5000, 5000, 0)])
def test_a_peak_over_the_budget_is_stated_by_the_summary_and_the_receipt(
    before: int, after: int, over: int, scan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peaks = iter([before * 10**6])
    monkeypatch.setattr("napari_ct_pyramid.conversion.convert.peak_resident_memory", lambda: next(peaks, after * 10**6))
    assert main(["convert", str(scan), *CHUNKS, "--max-memory", "4G"]) == 0
    assert ("Warning: " in capsys.readouterr().out) == bool(over)
    output = scan.with_name("scan.ome.zarr")
    receipt = json.loads((output / ".ct-pyramid" / "receipt.json").read_text(encoding="utf-8"))
    assert receipt["over_budget_bytes"] == over * 10**6
    assert main(["info", str(output)]) == 0
    assert ("over the budget" in capsys.readouterr().out) == bool(over)
