"""The command line, as its users meet it: what it prints, where, and what it makes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tifffile
import zarr

from napari_ct_pyramid.cli.main import main
from napari_ct_pyramid.cli.render import SHORT_FLAGS, flag
from napari_ct_pyramid.options import ConversionOptions
from tests.helpers.command import CHUNKS, MODULE, VOXELS, command, everything, write_scan


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_scan(tmp_path)


@pytest.fixture
def output(scan: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A finished conversion of two levels."""
    assert main(["convert", str(scan), *CHUNKS, "-l", "2", "--voxel-size", "0.5", "--unit", "micrometer"]) == 0
    capsys.readouterr()
    return scan.with_name("scan.ome.zarr")


# --- help


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom napari_ct_pyramid.cli.main import main\n"
        "try: main(['convert', '--help'])\n"
        "except SystemExit as end: print(end.code, *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    code, *modules = done.stderr.split()
    assert code == "0"
    assert "usage: ct-pyramid convert INPUT [OUTPUT] -c Z Y X | NAME" in done.stdout
    assert "napari_ct_pyramid.options" in modules
    heavy = {"numpy", "tensorstore", "zarr", "tifffile", "ome_zarr", "rich", "psutil", "napari", "asyncio"}
    assert not heavy & set(modules)


def test_every_option_is_a_flag_with_its_help_and_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        main(["convert", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for option in fields(ConversionOptions):
        about = option.metadata
        names = [SHORT_FLAGS[option.name]] if option.name in SHORT_FLAGS else []
        names.append(flag(option.name))
        value = f" {about['metavar']}" if about["metavar"] else ""
        default = f" (default: {option.default})" if option.default else ""
        assert f"{', '.join(names)}{value} {about['help']}{default}" in shown


@pytest.mark.parametrize("args", [[], ["--help"], ["convert", "--help"], ["--version"]])
def test_help_to_a_pipe_that_nobody_reads_ends_quietly(args: list[str]) -> None:
    with subprocess.Popen([*MODULE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said.count("\n")) == ((0, 0) if args else (2, 1))


# --- convert


def test_convert_says_what_it_does_and_what_it_made(scan: Path, tmp_path: Path) -> None:
    done = command("convert", scan.name, *CHUNKS, "-l", 3, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, *lines = done.stderr.splitlines()
    assert first.startswith("Converting scan (23.0 kB) to scan.ome.zarr: 3 levels, ")
    assert lines[0].split()[:2] == ["0", "%"]
    assert lines[-1].split()[:2] == ["100", "%"]
    assert "23.0 kB of 23.0 kB" in lines[-1]
    assert "GB/s" in lines[-1]
    assert done.stdout.startswith("Made scan.ome.zarr\n")
    assert "of a budget of 4.00 GB" in done.stdout
    assert "8 × 24 × 40" in done.stdout  # six slices padded to a multiple of four
    assert "2 × 6 × 10" in done.stdout
    assert done.stdout.endswith("To look at it: ct-pyramid view scan.ome.zarr\n")
    level = zarr.open_array(tmp_path / "scan.ome.zarr" / "0", mode="r")
    np.testing.assert_array_equal(level[:6], VOXELS)


@pytest.mark.parametrize(
    ("shape", "dtype", "levels"), [((3, 7, 11), "u1", 1), ((5, 12, 20), "i2", 3), ((2, 34, 6), "u2", 2)]
)
def test_odd_sizes_come_out_voxel_for_voxel(
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


def test_quiet_is_quiet(scan: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
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


def test_warnings_are_said_before_the_work(scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(scan), *CHUNKS, "-l", "4"]) == 0
    said = capsys.readouterr().err
    assert "\nWarning: 4 levels " in said
    assert said.index("Warning") < said.index(" 0 %") < said.index("100 %")


@pytest.mark.parametrize(
    ("args", "chunks", "scale"),
    [
        (["INPUT", "-c", "4", "8", "16"], [4, 8, 16], [1, 1, 1]),
        (["-c", "4", "8", "16", "INPUT"], [4, 8, 16], [1, 1, 1]),
        (["-c", "4", "8", "16", "INPUT", "OUTPUT"], [4, 8, 16], [1, 1, 1]),
        (["-c", "visualization", "INPUT", "OUTPUT"], [128, 128, 128], [1, 1, 1]),
        (["-cconversion", "INPUT"], [32, 256, 256], [1, 1, 1]),
        (["--chunks=conversion", "INPUT"], [32, 256, 256], [1, 1, 1]),
        (["--chunks=4 8 16", "INPUT"], [4, 8, 16], [1, 1, 1]),
        (["INPUT", "--chunks", "4", "8", "16", "OUTPUT"], [4, 8, 16], [1, 1, 1]),
        (["--voxel-size", "0.5", "INPUT", "-c", "4", "8", "16"], [4, 8, 16], [0.5, 0.5, 0.5]),
        (["--voxel-size", "1", ".5", "5e-1", "INPUT", "-c", "4", "8", "16"], [4, 8, 16], [1, 0.5, 0.5]),
        (["-c", "4", "8", "16", "--", "INPUT", "OUTPUT"], [4, 8, 16], [1, 1, 1]),
    ],
)
def test_flags_may_stand_anywhere(
    args: list[str],
    chunks: list[int],
    scale: list[float],
    scan: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = {"INPUT": str(scan), "OUTPUT": str(tmp_path / "out.zarr")}
    assert main(["convert", "--dry-run", "--json", *(paths.get(arg, arg) for arg in args)]) == 0
    level = json.loads(capsys.readouterr().out)["levels"][0]
    assert (level["chunks"], level["scale"]) == (chunks, scale)


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


# --- info, demo, view, the example


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


def test_the_demo_makes_a_volume_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    place = tmp_path / "ct-pyramid-demo"
    (made,) = place.glob("*.ome.zarr")
    assert f"ct-pyramid view {made.relative_to(tmp_path)}" in capsys.readouterr().out
    (made / "0" / ".zarray").unlink()
    (place / "mine.txt").touch()
    assert main(["demo"]) == 0
    assert (made / "0" / ".zarray").exists()
    assert (place / "mine.txt").exists()


@pytest.mark.parametrize("name", ["thesis", "thesis/chapter.txt"])
def test_the_demo_leaves_other_folders_alone(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").touch()
    before = everything(tmp_path)
    assert main(["demo", str(tmp_path / name)]) == 2
    assert "Name another folder" in capsys.readouterr().err
    assert everything(tmp_path) == before


@pytest.mark.parametrize("missing", [["napari"], ["PyQt6", "PySide6", "PyQt5", "PySide2"]])
def test_view_without_napari_or_qt_says_how_to_get_them(
    missing: list[str], scan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["view", str(scan)]) == 2
    said = capsys.readouterr().err
    assert "pip install 'napari-ct-pyramid[all]'" in said
    assert said.count("\n") == 1


def test_view_hands_over_to_napari(scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    window = ModuleType("napari_ct_pyramid.plugin.view")
    window.view = lambda path, *, screenshot: asked.append((path, screenshot))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, window.__name__, window)
    for name in ("napari", "PyQt6"):  # whether they are installed here or not
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    assert main(["view", str(scan)]) == 0
    assert main(["view", str(scan), "--screenshot", str(tmp_path / "a.png")]) == 0
    assert asked == [(scan, None), (scan, tmp_path / "a.png")]


def test_the_example_is_the_same_conversion(scan: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "examples" / "convert_tiff_to_zarr.py"
    run = [sys.executable, str(script), scan.name, "out.zarr", *CHUNKS, "--max-memory", "8G"]
    done = subprocess.run(run, capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Made out.zarr\n")
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "out.zarr" / "0", mode="r")[:], VOXELS)
    done = subprocess.run(run, capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, check=False)
    assert done.returncode == 2
