"""`ct-pyramid verify` of many OME-Zarrs; tests/conversion/test_verify.py runs it on one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_ct_pyramid.cli.main import main
from tests.helpers.command import CHUNKS


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
    assert "  level 0, chunk 0/0/1/0: it is missing" in said.out
    assert said.err.splitlines()[-1].startswith("ct-pyramid: error: 2 of 4 ")
    assert said.err.splitlines()[-1].endswith(": b.ome.zarr, nothing.ome.zarr.")
    assert main(["verify", "out/*", "--json", "--quiet"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [item["result"]["sound"] for item in found] == [True, False, True]
    assert main(["verify", *outputs, "--repair", "--source", "a.tif"]) == 2
