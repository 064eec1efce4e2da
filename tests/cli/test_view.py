"""`ct-pyramid view`: with and without napari."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from napari_ct_pyramid.cli.main import main


@pytest.mark.parametrize("missing", [["napari"], ["PyQt6", "PySide6", "PyQt5", "PySide2"]])
def test_view_without_napari_or_qt_names_the_command_to_install_them(
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
