"""The wheel, made from the sdist and installed into an empty environment: light, and enough to convert and verify."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile

ROOT = Path(__file__).resolve().parents[1]

TOO_HEAVY = {
    "dask",
    "scipy",
    "scikit-image",
    "fsspec",
    "obstore",
    "boto3",
    "aiohttp",
    "napari",
    "qtpy",
    "pyqt6",
    "ome-zarr",
}
MOST_BYTES = 306_000_000

KILLED = """
import os, sys
import napari_ct_pyramid as ct
for step in ct.iter_convert("scan.tif", chunks=16, num_levels=2, max_memory="160M"):
    if step.blocks_done:
        os._exit(9)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, with the sdist beside it."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)  # an sdist, and a wheel of that
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel: Path) -> Path:
    """The interpreter of an environment that holds the wheel and what it requires."""
    folder = wheel.parent
    venv.create(folder / "environment")
    found = folder / "environment" / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(sys.executable, "-m", "pip", "--python", found, "install", "--no-compile", wheel)
    return found


def run(*command: object, cwd: Path | None = None, status: int = 0) -> str:
    """What a command printed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run([*map(str, command)], check=False, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_package_and_its_licence_only(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    (licence,) = (name for name in names if name.endswith(".dist-info/licenses/LICENSE"))
    folders = {name.partition("/")[0] for name in names}
    assert folders == {"napari_ct_pyramid", licence.partition("/")[0]}
    assert {Path(name).suffix for name in names if "dist-info" not in name} == {".py", ".typed", ".yaml"}
    links = re.findall(r'(?:\]\(|src=")([^)\s"]+)', metadata)  # those of the README, which PyPI shows
    assert len(links) > 20
    assert [link for link in links if not link.startswith("https://")] == []


def test_the_sdist_holds_what_the_tests_need_and_nothing_that_was_made(wheel: Path) -> None:
    (sdist,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "Makefile", "tests/test_wheel.py", "docs/tutorial.md"} <= names
    assert [name for name in names if {"__pycache__", "site", ".venv", "out"} & {*Path(name).parts}] == []


def test_the_plain_install_is_light(python: Path) -> None:
    names = {
        line.split("==")[0].lower()
        for line in run(sys.executable, "-m", "pip", "--python", python, "freeze").splitlines()
    }
    assert "tifffile" in names
    assert not names & TOO_HEAVY
    packages = python.parents[1]
    files = [path for path in packages.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES


def test_it_converts_resumes_and_verifies(python: Path, tmp_path: Path) -> None:
    volume = np.random.default_rng(0).random((64, 64, 64), np.float32)
    tifffile.imwrite(tmp_path / "scan.tif", volume)
    command = (python.with_name("ct-pyramid"),)
    run(python, "-c", KILLED, cwd=tmp_path, status=9)
    assert not (tmp_path / "scan.ome.zarr" / ".zattrs").exists()
    options = ("--chunks", "16", "--num-levels", "2", "--max-memory", "160M")
    run(*command, "convert", "scan.tif", *options, cwd=tmp_path)
    run(*command, "verify", "scan.ome.zarr", "--source", "scan.tif", cwd=tmp_path)
    read = "import sys, zarr, numpy; numpy.save(sys.argv[2], zarr.open_array(sys.argv[1], mode='r')[:])"
    run(python, "-c", read, "scan.ome.zarr/0", "level0.npy", cwd=tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "level0.npy"), volume)
    assert "scan.ome.zarr" in run(*command, "info", "scan.ome.zarr", cwd=tmp_path)
