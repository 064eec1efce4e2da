"""`ct-pyramid verify`: what it finds and repairs, for one OME-Zarr and for many."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_ct_pyramid.cli.main import main
from tests.helpers.command import CHUNKS


def test_a_correct_output(output: Path, scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for source in (["--source", str(scan)], []):
        assert main(["verify", str(output), *source]) == 0
        said = capsys.readouterr()
        assert f"{output} is complete and correct" in said.out
        assert "100 %" in said.err
    assert main(["verify", str(output), "--quiet"]) == 0
    assert tuple(capsys.readouterr()) == ("", "")


def test_a_damaged_output_is_reported_and_repaired(
    output: Path, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chunk = output / "1" / "0" / "1" / "0"
    before = chunk.read_bytes()
    chunk.unlink()
    assert main(["verify", str(output)]) == 1
    said = capsys.readouterr()
    assert "level 1, chunk 1/0/1/0" in said.out
    last = said.err.splitlines()[-1]
    assert last.startswith("ct-pyramid: error: scan.ome.zarr has 1 problem.")
    assert last.endswith(f"ct-pyramid verify {output} --source INPUT --repair")
    assert main(["verify", str(output), "--json", "--quiet"]) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert (problem["level"], problem["chunk"]) == (1, [0, 1, 0])
    assert main(["verify", str(output), "--repair"]) == 2
    assert "--source" in capsys.readouterr().err
    assert main(["verify", str(output), "--repair", "--source", str(scan), "--quiet"]) == 0
    assert chunk.read_bytes() == before
    assert main(["info", str(output), "--json"]) == 0
    verified = json.loads(capsys.readouterr().out)["receipt"]["verified"]
    assert (verified["problems"], verified["repaired"]) == (1, True)


@pytest.mark.parametrize("option", [["--max-memory", "4X"], ["--threads", "0"]])
def test_options_are_checked_as_those_of_a_conversion(option: list[str], output: Path) -> None:
    assert main(["verify", str(output), *option]) == 2


def test_verifying_many_with_a_damaged_one(five: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "[abd].tif", "--output-dir", "out", *CHUNKS, "--quiet"]) == 0
    outputs = [str(Path("out", f"{name}.ome.zarr")) for name in "abd"]
    assert main(["verify", *outputs]) == 0
    assert "3 of 3 outputs are complete and correct" in capsys.readouterr().out
    (five / outputs[1] / "0" / "0" / "1" / "0").unlink()
    assert main(["verify", *outputs, "nothing.ome.zarr"]) == 1
    said = capsys.readouterr()
    assert [line.split()[1] for line in said.out.splitlines() if ".ome.zarr" in line] == [
        "complete", "1", "complete", "failed",
    ]  # fmt: skip
    assert "  level 0, chunk 0/0/1/0" in said.out
    assert said.err.splitlines()[-1].startswith("ct-pyramid: error: 2 of 4 ")
    assert said.err.splitlines()[-1].endswith(": b.ome.zarr, nothing.ome.zarr.")
    assert main(["verify", "out/*", "--json", "--quiet"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [item["result"]["sound"] for item in found] == [True, False, True]
    assert main(["verify", *outputs, "--repair", "--source", "a.tif"]) == 2
