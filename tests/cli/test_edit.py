"""`ct-pyramid edit`: what it prints, and that a dry run writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.cli.main import main
from tests.helpers.command import everything


def test_an_edit_prints_the_facts_before_and_after(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["edit", str(output), "--voxel-size", "650", "650", "1300", "nm", "--window", "-1", "2.5"]
    before = everything(output)
    assert main([*words, "--dry-run"]) == 0
    planned = capsys.readouterr().out.splitlines()
    assert everything(output) == before
    assert main(words) == 0
    done = capsys.readouterr().out.splitlines()
    assert done[1:] == planned[1:]
    assert done[0] != planned[0]
    size = next(line for line in done if "Voxel size" in line)
    assert size.index("0.5 0.5 0.5 micrometer") < size.index("650 650 1300 nanometer")
    assert not any("Name" in line for line in done)
    pyramid = ct.open_pyramid(output)
    assert (pyramid.levels[0].scale, pyramid.units[0]) == ((650, 650, 1300), "nanometer")
    assert pyramid.window
    assert pyramid.window[2:] == (-1, 2.5)
    assert main(["verify", str(output), "--quiet"]) == 0


def test_an_edit_as_json(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edit", str(output), "--name", "Bone 7", "--unit", "mm", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["before"]["name"], said["after"]["name"]) == ("scan", "Bone 7")
    assert (said["before"]["unit"], said["after"]["unit"]) == ("micrometer", "millimeter")
    assert main(["info", str(output)]) == 0
    assert "Edited" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["--window", "2", "1"], ["--voxel-size", "1", "px"], ["--unit", "s"]])
def test_a_wrong_request_changes_nothing(words: list[str], output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(output)
    assert main(["edit", str(output), *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert everything(output) == before
