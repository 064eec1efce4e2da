"""The README and the documentation: every block of commands runs as pasted, in order, in a folder with small volumes.

A block that begins with `# needs` wants what is not here, such as a cluster. Windows and servers are not opened, and
nothing is installed: of those commands, the arguments are checked.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

import napari_ct_pyramid as ct
from napari_ct_pyramid.cli.arguments import parse
from napari_ct_pyramid.cli.main import main
from napari_ct_pyramid.model import memory
from napari_ct_pyramid.sources import phantom

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```(sh|python)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
VOXELS = np.random.default_rng(0).random((128, 8, 512), np.float32)
NEEDS = "# needs "
BY_OTHERS = {"cd", "conda", "git", "napari", "py", "python", "source", "sudo", "uv"}
OPEN_WINDOWS = {"neuroglancer", "view"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_blocks_of_a_page_run_in_order(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # A reader's commands have processes of their own. This one is large after many tests.
    monkeypatch.setattr(memory, "resident_memory", lambda: 100_000_000)
    monkeypatch.setattr(phantom, "write_sample", partial(phantom.write_sample, shape=(32, 64, 64)))
    names: dict[str, object] = {}
    for _, language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if text.lstrip().startswith(NEEDS):
            continue
        if language == "python":
            _provide(*re.findall(r'"(\w+\.tif)"', text))
            if "ct.convert" not in text:
                _provide(*re.findall(r'open_pyramid\("(.+)"\)', text))
            exec(compile(text, str(page), "exec"), names)
            continue
        for line in text.replace("\\\n", " ").splitlines():
            _run(shlex.split(line, comments=True))


def _run(words: list[str]) -> None:
    match words:
        case []:
            pass
        case ["ct-pyramid", *arguments, ">", name]:
            with Path(name).open("w", encoding="utf-8") as file, redirect_stdout(file):
                _run(["ct-pyramid", *arguments])
        case ["ct-pyramid", command, *arguments]:
            makes_last = command in {"convert", "demo", "export"} and "--output-dir" not in arguments
            _provide(*arguments[: 1 if makes_last else None])
            if command in OPEN_WINDOWS and "--link" not in arguments:
                parse([command, *arguments])
            else:
                assert main([command, *arguments]) == 0, shlex.join(words)
        case ["make", target]:
            assert f"\n{target}: ##" in (ROOT / "Makefile").read_text(encoding="utf-8")
        case ["pip", "install", *packages]:
            known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
            for extras in re.findall(r"\[(.*)\]", " ".join(packages)):
                assert {*extras.split(",")} <= {*known["optional-dependencies"]}
        case [program, *_]:
            assert program in BY_OTHERS or Path(program).name == "run", words


def _provide(*names: str) -> None:
    """Make the volumes that a reader has already: those that are named and not there."""
    for name in names:
        path = Path(name.split("::")[0])
        if "//" not in name and not name.startswith("-") and not path.is_absolute() and not path.exists():
            _make(path, name)


def _make(path: Path, name: str) -> None:
    match path.name.partition(".")[2]:
        case "tif" if "*" in name:
            path.parent.mkdir(exist_ok=True)
            for number in range(3):
                tifffile.imwrite(name.replace("*", f"{number}"), VOXELS[number] if "slice" in name else VOXELS)
        case "tif":
            tifffile.imwrite(path, VOXELS, photometric="minisblack")
        case "raw":
            np.zeros((200, 256, 256), "<u2").tofile(path)
        case "h5":
            with h5py.File(path, "w") as file:
                file[name.partition("::")[2]] = VOXELS
        case "ome.zarr" if "*" not in name:
            ct.convert(VOXELS, name, chunks=128, num_levels=3, dtype="uint8" if "8bit" in name else None)
        case "" if name.endswith("/"):
            path.mkdir()
            for number in range(3):
                tifffile.imwrite(path / f"slice_{number}.tif", VOXELS[number])


def test_every_promise_names_tests_that_exist() -> None:
    table = [line for line in (ROOT / "docs" / "promises.md").read_text(encoding="utf-8").splitlines() if "|" in line][
        2:
    ]
    for row in table:
        text = ""
        for name in re.findall(r"`(.+?)`", row.split("|")[2]):
            if name.endswith(".py"):
                text = (ROOT / name).read_text(encoding="utf-8")
            elif not name.startswith("--"):
                assert f"def {name}(" in text, name
        assert "tests/" in row


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_the_links_of_a_page_outside_of_the_site_lead_somewhere(page: Path) -> None:
    """`make docs` checks those of the site."""
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    titles = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in headings}
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        if "//" in name:
            continue
        assert (page.parent / name).exists() if name else anchor in titles, target
