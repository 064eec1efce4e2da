"""The manifest: what it contains, and what napari makes of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import napari
import npe2
import pytest
from npe2 import PluginManager, PluginManifest

import napari_ct_pyramid
from napari_ct_pyramid.sources.registry import NAPARI_ENDINGS

PLUGIN = "napari-ct-pyramid"
FILE = Path(napari_ct_pyramid.__file__).with_name("napari.yaml")


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_distribution(PLUGIN)


def test_the_manifest_is_valid_and_all_its_functions_exist(manifest: PluginManifest) -> None:
    manifest.validate_imports()
    assert manifest.display_name == "CT Pyramid"
    assert manifest.contributions == PluginManifest.from_file(FILE).contributions


def test_the_manifest_at_the_top_of_the_repository_is_the_same() -> None:
    top = FILE.parents[2] / "napari.yaml"
    if not (FILE.parents[2] / "pyproject.toml").exists():
        pytest.skip("installed without its repository")
    assert top.resolve() == FILE


def test_the_endings_are_those_of_the_registry(manifest: PluginManifest) -> None:
    assert manifest.contributions.readers
    for command in ("read_volume", "read_other"):
        (reader,) = [r for r in manifest.contributions.readers if r.command == f"{PLUGIN}.{command}"]
        assert reader.filename_patterns == [f"*{ending}" for ending in NAPARI_ENDINGS]
        assert reader.accepts_directories


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("scan.tif", True),
        ("scan.TIFF", True),
        ("scan_0.65um.ome.tif", True),
        ("scan.btf", True),
        ("scan.tf8", True),
        ("scan.tf2", True),
        ("scan.h5", True),
        ("scan.nxs", True),
        ("scan.zarr", False),
        ("scan.png", False),
    ],
)
def test_the_plugin_is_offered_for_files_by_their_ending(
    manifest: PluginManifest, tmp_path: Path, name: str, offered: bool
) -> None:
    manager = PluginManager()
    manager.register(manifest)
    assert any(manager.iter_compatible_readers([str(tmp_path / name)])) is offered


def test_the_plugin_is_offered_for_folders(manifest: PluginManifest, tmp_path: Path) -> None:
    manager = PluginManager()
    manager.register(manifest)
    commands = [
        reader.command.removeprefix(f"{PLUGIN}.") for reader in manager.iter_compatible_readers([str(tmp_path)])
    ]
    assert commands == ["read_ome_zarr", "read_volume", "read_other"]


@pytest.mark.parametrize(
    ("layers", "name", "ours"),
    [
        (["image"], "a.ome.zarr", True),
        (["labels"], "a.zarr", True),
        (["image", "image", "labels"], "A.OME.ZARR", True),
        (["image", "points"], "a.ome.zarr", False),
        (["points"], "a.ome.zarr", False),
        (["image"], "a.tif", False),
    ],
)
def test_the_plugin_saves_images_and_labels(manifest: PluginManifest, layers: list[str], name: str, ours: bool) -> None:
    manager = PluginManager()
    manager.register(manifest)
    writer, _ = manager.get_writer(name, layers)
    assert (writer is not None and writer.command == f"{PLUGIN}.write_ome_zarr") is ours


def test_asking_for_a_reader_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from napari_ct_pyramid.plugin.reader import get_ome_zarr_reader, get_volume_reader\n"
        f"assert get_ome_zarr_reader({str(tmp_path)!r}) is None\n"
        f"assert get_volume_reader({str(tmp_path / 'nothing.tif')!r}) is None\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "napari_ct_pyramid.plugin.reader" in imported
    assert not imported & {"dask", "magicgui", "napari", "numpy", "qtpy", "tensorstore", "tifffile", "zarr"}


def test_napari_shows_the_menus_samples_and_the_widget(viewer: napari.Viewer) -> None:
    from napari._app_model import get_app_model

    menus = get_app_model().menus
    in_layers = [item.command for item in menus.get_menu("napari/layers/data") if hasattr(item, "command")]
    assert "Convert to OME-Zarr… (CT Pyramid)" in [command.title for command in in_layers]
    samples = {
        c.display_name
        for name, found in npe2.PluginManager.instance().iter_sample_data()
        if name == PLUGIN
        for c in found
    }
    assert samples == {"Concrete (TIFF)", "Concrete (OME-Zarr)"}
    assert (PLUGIN, "Convert to OME-Zarr") in [
        (widget.plugin_name, widget.display_name) for widget in npe2.PluginManager.instance().iter_widgets()
    ]
