"""The exit status of every outcome, and what is printed where."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_ct_pyramid import UnfinishedError, open_pyramid
from napari_ct_pyramid.cli.main import main
from tests.helpers.command import CHUNKS, MODULE, command, command_after, everything, write_scan


def pages(path: Path, *shapes: tuple[int, ...], dtypes: tuple[str, ...] = ("u2",) * 9) -> Path:
    """A TIFF with pages of these shapes."""
    with tifffile.TiffWriter(path) as tiff:
        for shape, dtype in zip(shapes, dtypes, strict=False):
            tiff.write(np.ones(shape, dtype), contiguous=False, metadata=None)
    return path


def volume(path: Path, array: np.ndarray, **how: Any) -> Path:
    """A TIFF of an array."""
    tifffile.imwrite(path, array, **how)
    return path


def cut(path: Path, *, keep: float) -> Path:
    """A file that ends too early."""
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    return path


def text(path: Path, content: str = "Dear diary,\n") -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def folder(path: Path, *files: str) -> Path:
    path.mkdir()
    for name in files:
        text(path / name)
    return path


BAD_INPUTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing there": (lambda p: p / "no.tif", "no.tif"),
    "a folder of something else": (lambda p: folder(p / "letters", "a.txt", "b.txt"), "letters"),
    "an empty folder": (lambda p: folder(p / "empty"), "empty"),
    "not a TIFF": (lambda p: text(p / "diary.tif"), "diary.tif"),
    "an empty file": (lambda p: text(p / "empty.tif", ""), "empty.tif"),
    "truncated": (lambda p: cut(pages(p / "cut.tif", *[(16, 16)] * 5), keep=0.5), "age 3"),
    "different shapes": (lambda p: pages(p / "odd.tif", (16, 16), (16, 16), (16, 8)), "Page 3 of 3"),
    "different dtypes": (lambda p: pages(p / "odd.tif", (16, 16), (16, 16), dtypes=("u2", "u1")), "Page 2 of 2"),
    "RGB": (lambda p: volume(p / "rgb.tif", np.ones((4, 16, 16, 3), "u1"), photometric="rgb"), "RGB"),
    "several samples": (
        lambda p: volume(p / "s.tif", np.ones((4, 16, 16, 2), "u1"), photometric="minisblack", planarconfig="contig"),
        "samples",
    ),
    "more axes": (
        lambda p: volume(p / "tzyx.tif", np.ones((2, 3, 16, 16), "u2"), imagej=True, metadata={"axes": "TZYX"}),
        "--time",
    ),
    "a single page": (lambda p: volume(p / "flat.tif", np.ones((16, 16), "u2")), "single image"),
}
BAD_REQUESTS: dict[str, tuple[list[str], str]] = {
    "no chunk size": (["INPUT"], "-c visualization"),
    "chunks of zero": (["INPUT", "-c", "0", "8", "8"], "'0 8 8' is not a chunk size"),
    "negative chunks": (["INPUT", "-c", "8", "-8", "8"], "'8 -8 8' is not a chunk size"),
    "two chunks": (["INPUT", "-c", "8", "8"], "'8 8' is not a chunk size"),
    "four chunks": (["INPUT", "-c", "8", "8", "8", "8"], "'8 8 8 8' is not a chunk size"),
    "chunks in one word": (["INPUT", "-c", "8x8xx"], "'8x8xx' is not a chunk size"),
    "chunks with commas": (["INPUT", "-c", "8,,8,8"], "'8,,8,8' is not a chunk size"),
    "chunks that no viewer can read": (["INPUT", "-c", "4096", "4096", "4096"], "-c visualization"),
    "chunks that the budget does not allow": (
        ["INPUT", "-c", "512", "512", "512", "--max-memory", "300M"],
        "smallest that works",
    ),
    "a small budget": (["INPUT", *CHUNKS, "--max-memory", "1M"], "smallest that works"),
    "no size": (["INPUT", *CHUNKS, "--max-memory", "4X"], "'4X' is not a size"),
    "an unknown unit": (["INPUT", *CHUNKS, "--unit", "parsnip"], "'parsnip' is not a unit"),
    "no voxel size": (["INPUT", *CHUNKS, "--voxel-size", "large"], "'large' is not a voxel size"),
    "two voxel sizes": (["INPUT", *CHUNKS, "--voxel-size", "1", "2"], "'1 2' is not a voxel size"),
    "an unknown compressor": (["INPUT", *CHUNKS, "--compressor", "zip"], "'zip' is not a compressor"),
    "no levels": (["INPUT", *CHUNKS, "-l", "0"], "is not a number of levels"),
    "too many levels": (["INPUT", *CHUNKS, "-l", "5"], "Ask for 4 levels"),
    "no threads": (["INPUT", *CHUNKS, "--threads", "0"], "is not a number of threads"),
    "an output inside the input": (["INPUT", "INPUT/out.zarr", *CHUNKS], "lies inside the input"),
    "an output that is the input": (["INPUT", "INPUT", *CHUNKS], "is the input itself"),
    "an output that holds the input": (["INPUT", "INPUT/..", *CHUNKS], "holds the input"),
    "an output in a folder that is not there": (["INPUT", "PARENT/no/out.zarr", *CHUNKS], "no folder"),
    "an output in a file": (["INPUT", "PARENT/notes.txt/out.zarr", *CHUNKS], "no folder"),
    "an output that is a file": (["INPUT", "PARENT/notes.txt", *CHUNKS], "exists already"),
    "an output that is a folder": (["INPUT", "PARENT/notes", *CHUNKS], "exists already"),
    "an input without a name": (["", *CHUNKS], "path is empty"),
    "an output without a name": (["INPUT", "", *CHUNKS], "path is empty"),
    "no input": ([*CHUNKS], "INPUT"),
    "an unknown flag": (["INPUT", *CHUNKS, "--fast"], "--fast"),
    "half a flag": (["INPUT", *CHUNKS, "--max", "4G"], "--max"),
    "too many paths": (["INPUT", "PARENT/a.zarr", "PARENT/b.zarr", *CHUNKS], "b.zarr"),
}


def expect_one_sentence(args: list[str], words: str, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = everything(place)
    try:
        status = main(args)
    except SystemExit as end:  # argparse ends so
        status = int(str(end.code))
    said = capfd.readouterr()
    assert status == 2
    assert said.out == ""
    assert said.err.startswith("ct-pyramid: error: ")
    assert said.err.count("\n") == 1, "one line"
    assert words in said.err
    assert everything(place) == before


@pytest.mark.parametrize("case", BAD_INPUTS)
@pytest.mark.parametrize("verb", ["convert", "info"])
def test_bad_input(verb: str, case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make, words = BAD_INPUTS[case]
    args = [verb, str(make(tmp_path)), *(CHUNKS if verb == "convert" else [])]
    expect_one_sentence(args, words, tmp_path, capfd)


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_bad_request(case: str, scan: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    args, words = BAD_REQUESTS[case]
    text(tmp_path / "notes.txt")
    folder(tmp_path / "notes", "monday.txt")
    args = [arg.replace("INPUT", str(scan)).replace("PARENT", str(tmp_path)) for arg in args]
    expect_one_sentence(["convert", *args], words, tmp_path, capfd)


@contextlib.contextmanager
def nobody() -> Iterator[Path]:
    """A working folder of a user without special rights, even where root runs the tests."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o777)
        root = os.getuid() == 0
        try:
            if root:
                os.setresuid(65534, 65534, 0)
            yield place
        finally:
            if root:
                os.setresuid(0, 0, 0)


@pytest.mark.skipif(not hasattr(os, "setresuid"), reason="there are no such permissions here")
def test_paths_that_may_not_be_read_or_written(capfd: pytest.CaptureFixture[str]) -> None:
    with nobody() as place:
        locked = pages(place / "locked.tif", (16, 16), (16, 16))
        locked.chmod(0)
        expect_one_sentence(["convert", str(locked), *CHUNKS], "locked.tif", place, capfd)
        expect_one_sentence(["info", str(locked)], "locked.tif", place, capfd)
        locked.chmod(0o644)
        shut = folder(place / "shut")
        shut.chmod(0o555)
        expect_one_sentence(["convert", str(locked), str(shut / "a.zarr"), *CHUNKS], "cannot be written", place, capfd)
        shut.chmod(0o755)


def test_too_little_disk(
    scan: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    expect_one_sentence(["convert", str(scan), *CHUNKS], "1.00 kB", tmp_path, capfd)


def test_errors_end_the_process_with_their_status(tmp_path: Path) -> None:
    done = command("convert", tmp_path / "no.tif", *CHUNKS)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    done = command("convert", tmp_path / "no.tif")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


# No file may grow larger than this, which is more than any metadata and less than an uncompressed chunk.
# Python before 3.12.8 keeps bytecode that did not fit, and could not import those modules again.
SMALL_FILES = """
import resource, signal, sys
sys.dont_write_bytecode = True
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
"""


def test_a_failure_after_the_start_has_its_own_exit_status(scan: Path, tmp_path: Path) -> None:
    failing = command_after(SMALL_FILES, "convert", scan, "-c", 8, 32, 32, "--compressor", "none")
    done = subprocess.run(failing, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.startswith("ct-pyramid: error: ")
    assert f"{tmp_path / 'scan.ome.zarr'} is unfinished" in said
    with pytest.raises(UnfinishedError):
        open_pyramid(tmp_path / "scan.ome.zarr")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_output_that_cannot_be_written_is_a_failure(scan: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*MODULE, "info", str(scan)], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("ct-pyramid: error: ")
    assert done.stderr.count("\n") == 1


def test_a_file_name_with_invalid_bytes_can_be_printed(tmp_path: Path) -> None:
    scan = write_scan(tmp_path)
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/sc\xe4n.tif")
    try:
        scan.rename(odd)
    except OSError:
        pytest.skip("this file system has no such names")
    done = command("info", odd)
    assert done.returncode == 0, done.stderr
    assert "sc\\udce4n.tif" in done.stdout
    assert json.loads(command("info", odd, "--json").stdout)["path"] == odd


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom napari_ct_pyramid.cli.main import main\n"
        "print(main(['convert', '--help']), *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    status, *modules = done.stderr.split()
    assert status == "0"
    assert done.stdout.startswith("usage: ct-pyramid convert INPUT [OUTPUT] -c ")
    assert "napari_ct_pyramid.options" in modules
    heavy = {
        "numpy",
        "tensorstore",
        "zarr",
        "tifffile",
        "ome_zarr",
        "rich",
        "psutil",
        "napari",
        "asyncio",
        "argcomplete",
    }
    assert not {*heavy, "argcomplete"} & set(modules)


@pytest.mark.parametrize("args", [["--help"], ["convert", "--help"], ["--version"]])
def test_help_to_a_pipe_that_nobody_reads_ends_quietly(args: list[str]) -> None:
    with subprocess.Popen([*MODULE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, "")


def test_without_arguments_it_prints_its_help_with_status_2() -> None:
    done = command()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == command("--help").stdout


@pytest.mark.parametrize("args", [["--debug", "info", "no.tif"], ["info", "no.tif", "--debug"], ["info", "no.tif"]])
def test_the_traceback_of_an_error_is_printed_with_debug_only(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 2
    said = capsys.readouterr().err
    assert ("Traceback (most recent call last)" in said) == ("--debug" in args)
    assert said.splitlines()[-1].startswith("ct-pyramid: error: ")
