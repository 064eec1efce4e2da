"""The arguments of the command line: help, options in any order, suggestions, and completion."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

import napari_ct_pyramid
from napari_ct_pyramid.cli.arguments import parse
from napari_ct_pyramid.cli.main import main
from napari_ct_pyramid.cli.render import flags
from napari_ct_pyramid.options import ConversionOptions
from tests.helpers.command import CHUNKS, MODULE, everything

COMMANDS = ["convert", "info", "verify", "export", "stats", "edit", "demo", "view", "neuroglancer", "help"]


def printed(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """What a command line prints that ends well, and prints no error."""
    assert main(args) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


# --- help


def test_every_option_of_a_conversion_is_in_the_help_with_its_flags_and_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    shown = " ".join(printed(capsys, "convert", "--help").split())
    for option in fields(ConversionOptions):
        about = option.metadata
        value = f" {about['metavar']}" if about["metavar"] else ""
        default = f" (default: {option.default})" if option.default else ""
        assert f"{', '.join(flags(option.name))}{value} {about['help']}{default}" in shown


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(capsys, command, "--help")
    assert shown.startswith(f"usage: ct-pyramid {command} ")
    for words in ([command, "-h"], ["help", command], [command, "something", "--help"]):
        assert printed(capsys, *words) == shown


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_and_option_is_described(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = printed(capsys, command, "--help")
    assert max(map(len, shown.splitlines())) <= 80
    monkeypatch.setenv("COLUMNS", "1000")
    paragraphs = printed(capsys, command, "--help").split("\n\n")
    tables = [paragraph for paragraph in paragraphs if re.match(r"arguments|(\w+ )*options|what is printed", paragraph)]
    assert tables
    for names, text in re.findall(r"^  (\S(?: ?\S)*)(?:  +|\n {3,})?(.*)", "\n".join(tables), re.MULTILINE):
        assert text, f"{names} is not described"


def test_the_help_of_the_program_lists_the_commands_and_how_to_complete_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = printed(capsys, "--help")
    assert printed(capsys, "-h") == printed(capsys, "help") == shown
    assert [line.split()[0] for line in shown.splitlines() if re.match(r"    \S", line)] == COMMANDS
    assert "register-python-argcomplete ct-pyramid" in shown


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("-V", "--version"):
        assert printed(capsys, name) == f"ct-pyramid {napari_ct_pyramid.__version__}\n"


# --- misspelt words


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        (["convrt", "scan.tif"], "convert"),
        (["inf"], "info"),
        (["help", "verfy"], "verify"),
        (["convert", "scan.tif", "--max-memry", "4G"], "--max-memory"),
        (["convert", "scan.tif", "--max-memry=4G"], "--max-memory"),
        (["convert", "scan.tif", "--chunk", "128"], "--chunks"),
        (["verify", "scan.ome.zarr", "--sorce", "scan.tif"], "--source"),
        (["--versoin"], "--version"),
    ],
)
def test_a_misspelled_word_gets_a_suggestion(args: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 2
    assert f"Did you mean {meant}?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "args", [["sing"], ["info", "scan.tif", "--sing"], ["info", "a.tif", "b.tif"], ["--sing", "info"]]
)
def test_a_word_that_resembles_none_gets_no_suggestion(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 2
    said = capsys.readouterr().err
    assert "Did you mean" not in said
    assert said.count("\n") == 1


# --- arguments and options in any order


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
        (["--voxel-size", "0,5", "0,5", "1", "um", "INPUT", "-c", "8"], [8, 8, 8], [0.5, 0.5, 1]),
        (["--voxel-size", "1um", "1um", "500nm", "INPUT", "-c", "8"], [8, 8, 8], [1, 1, 0.5]),
        (["--voxel-size", "1", "x", "1", "x", "2", "mm", "INPUT", "-c", "8"], [8, 8, 8], [1, 1, 2]),
        (["--voxel-size", "1,1,2", "INPUT", "-c", "8"], [8, 8, 8], [1, 1, 2]),
        (["-c", "8", "--voxel-size", "500 nm", "INPUT"], [8, 8, 8], [500, 500, 500]),
        (["-c", "8", "--voxel-size=500nm", "INPUT"], [8, 8, 8], [500, 500, 500]),
        (["-c", "4", "8", "16", "--", "INPUT", "OUTPUT"], [4, 8, 16], [1, 1, 1]),
        (["-c", "8", "INPUT"], [8, 8, 8], [1, 1, 1]),
        (["INPUT", "-c", "8", "OUTPUT"], [8, 8, 8], [1, 1, 1]),
        (["-c", "4,8,16", "INPUT", "OUTPUT"], [4, 8, 16], [1, 1, 1]),
        (["-c", "4x8x16", "INPUT"], [4, 8, 16], [1, 1, 1]),
        (["INPUT", "-c", "4×8×16", "OUTPUT"], [4, 8, 16], [1, 1, 1]),
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


@pytest.mark.parametrize("paths", [["a.tif", "b.tif"], ["a.tif", "B.TIFF"], ["a.tif", "b.tif", "d.tif", "-c", "8"]])
def test_without_an_output_folder_a_second_input_is_an_error_that_names_the_option(
    paths: list[str], five: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(five)
    assert main(["convert", *paths, *CHUNKS]) == 2
    said = capsys.readouterr().err
    assert "--output-dir DIR" in said
    assert said.count("\n") == 1
    assert everything(five) == before


def test_a_word_with_several_numbers_ends_the_numbers() -> None:
    args = parse(["convert", "-c", "4,8,16", "2024", "out.zarr"])
    assert (args.chunks, args.inputs, args.output) == ("4,8,16", [Path("2024")], Path("out.zarr"))


# --- completion by the shell


def completions(line: str, tmp_path: Path) -> list[str]:
    """What bash gets to complete a line with: it sets these variables, and reads file descriptor 8."""
    answer = tmp_path / "answer"
    environment = {
        **os.environ, "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9",
        "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_SUPPRESS_SPACE": "1", "_ARGCOMPLETE_SHELL": "bash",
    }  # fmt: skip
    done = subprocess.run(
        ["sh", "-c", '"$@" 8>"$0"', str(answer), *MODULE], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return [word.strip() for word in answer.read_text().splitlines()]


@pytest.mark.skipif(os.name != "posix", reason="there is no such shell")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ct-pyramid ve", ["verify"]),
        ("ct-pyramid help v", ["verify", "view"]),
        ("ct-pyramid convert --max", ["--max-memory"]),
        ("ct-pyramid convert scan.tif -c vis", ["visualization"]),
        ("ct-pyramid convert scan.tif --method m", ["mean", "median", "mode", "min", "max"]),
        ("ct-pyramid verify out.ome.zarr --re", ["--rebuild-levels", "--repair"]),
    ],
)
def test_a_shell_completes_commands_options_and_values(line: str, words: list[str], tmp_path: Path) -> None:
    assert sorted(completions(line, tmp_path)) == sorted(words)
