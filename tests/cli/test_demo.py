"""`ct-pyramid demo`: its folder, and the folders that it must not touch."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_ct_pyramid.cli.main import main
from tests.helpers.command import everything


def test_the_demo_makes_a_volume_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    place = tmp_path / "ct-pyramid-demo"
    (made,) = place.glob("*.ome.zarr")
    assert f"ct-pyramid view {made.relative_to(tmp_path)}" in capsys.readouterr().out
    (made / "0" / "0" / "0" / "0").unlink()
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
