"""The package as it is installed: what importing it costs, what it needs, what it offers."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import napari_ct_pyramid

DISTRIBUTION = importlib.metadata.distribution("napari-ct-pyramid")
HEAVY = {
    "dask",
    "imagecodecs",
    "magicgui",
    "napari",
    "numpy",
    "ome_zarr",
    "qtpy",
    "rich",
    "tensorstore",
    "tifffile",
    "zarr",
}


def fresh_python(code: str) -> str:
    """What the code prints in a Python that has imported nothing yet."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def requirements(extra: str = "") -> set[str]:
    """Names of the packages that an install brings, with an extra or without."""
    found = map(Requirement, DISTRIBUTION.requires or [])
    return {r.name for r in found if r.marker is None or (extra and r.marker.evaluate({"extra": extra}))}


def test_importing_the_package_imports_nothing_heavy() -> None:
    imported = fresh_python("import napari_ct_pyramid, sys; print(*sys.modules)").split()
    assert "napari_ct_pyramid" in imported
    assert not HEAVY.intersection(imported)


def test_every_public_name_is_there() -> None:
    for name in napari_ct_pyramid.__all__:
        assert getattr(napari_ct_pyramid, name).__name__ == name
    assert set(napari_ct_pyramid.__all__) <= set(dir(napari_ct_pyramid))


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"napari_ct_pyramid.*'nothing'"):
        napari_ct_pyramid.nothing  # noqa: B018


@pytest.mark.parametrize("first", ["conversion.convert", "model.plan", "omezarr.reader", "cli.main"])
def test_convert_and_plan_are_the_functions_whatever_module_came_first(first: str) -> None:
    kinds = fresh_python(
        f"import napari_ct_pyramid.{first}\n"
        "import napari_ct_pyramid as package\n"
        "from napari_ct_pyramid import convert, plan\n"
        "from napari_ct_pyramid.model.plan import Plan\n"
        "print(*(type(x).__name__ for x in (package.convert, package.plan, convert, plan, Plan)))"
    )
    assert kinds == "function function function function type"


def test_the_plain_install_has_no_window() -> None:
    plain = requirements()
    assert {"numpy", "tensorstore", "tifffile"} <= plain
    assert not {"napari", "magicgui", "qtpy", "PyQt6", "superqt", "neuroglancer"} & plain


def test_the_extra_all_brings_what_every_other_extra_does() -> None:
    others = {extra for extra in DISTRIBUTION.metadata.get_all("Provides-Extra", []) if extra != "all"}
    assert others >= {"napari", "neuroglancer"}
    assert requirements("all") == set.union(*map(requirements, others)) > requirements()


def test_napari_finds_the_manifest_beside_the_package() -> None:
    (entry,) = (e for e in DISTRIBUTION.entry_points if e.group == "napari.manifest")
    module, _, file = entry.value.partition(":")
    assert module == "napari_ct_pyramid"
    manifest = Path(napari_ct_pyramid.__file__).parent / file
    assert f"name: {DISTRIBUTION.name}\n" in manifest.read_text(encoding="utf-8")


def test_the_version_is_said_once() -> None:
    assert DISTRIBUTION.version == napari_ct_pyramid.__version__
