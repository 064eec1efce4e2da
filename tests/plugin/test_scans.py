"""Files and folders of scanners, dropped on napari's window: each opens lazily as one volume, with its voxel size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import napari
import numpy as np
import pytest
from napari.settings import get_settings
from napari.utils.notifications import notification_manager
from PIL import Image

from napari_ct_pyramid.model.lazy_array import LazyArray
from tests.helpers import headers
from tests.helpers.compound import write_txm
from tests.helpers.dicoms import write_frames, write_series
from tests.helpers.dock import wait_until
from tests.helpers.scanco import write_isq
from tests.helpers.screen import PLUGIN, drop
from tests.helpers.tiffs import coordinates

VOLUME = coordinates((6, 20, 15), "uint16")
LOG = (
    "[Reconstruction]\nSections Count=6\nResult Image Width (pixels)=15\nResult Image Height (pixels)=20\n"
    "Pixel Size (um)=2.5\n"
)


def skyscan(folder: Path) -> Path:
    """A folder as NRecon writes it."""
    (folder / "tooth_Rec").mkdir()
    for z, image in enumerate((VOLUME % 251).astype("u1")):
        Image.fromarray(image).save(folder / "tooth_Rec" / f"tooth_rec{z + 27:08}.bmp")
    Image.fromarray(np.zeros((40, 30), "u1")).save(folder / "tooth_Rec" / "tooth_rec_spr.bmp")
    (folder / "tooth_Rec" / "tooth_rec.log").write_text(LOG)
    return folder / "tooth_Rec"


KINDS: dict[str, tuple[Callable[[Path], Path], tuple[float, float, float], str]] = {
    "SkyScan": (skyscan, (2.5, 2.5, 2.5), "micrometer"),
    "DICOM series": (lambda folder: write_series(folder / "series", VOLUME), (0.05, 0.03, 0.02), "millimeter"),
    "DICOM frames": (lambda folder: write_frames(folder / "scan.dcm", VOLUME), (0.05, 0.03, 0.02), "millimeter"),
    "Zeiss": (lambda folder: write_txm(folder / "scan.txm", VOLUME, seed=1), (0.65,) * 3, "micrometer"),
    "Scanco": (lambda folder: write_isq(folder / "scan.isq", VOLUME.astype("i2"), (50,) * 3), (50,) * 3, "micrometer"),
    **{
        kind: (partial(headers.KINDS[kind], voxels=VOLUME), headers.SIZES_MM, "millimeter")
        for kind in ("MetaImage, .mha, compressed", "MetaImage, list", "NRRD", "NIfTI", "VGI", "VOL of VGI")
    },
    "NIfTI, compressed": (partial(headers.KINDS["NIfTI, compressed"], voxels=VOLUME), (30, 20, 10), "micrometer"),
    "MRC, xzy": (partial(headers.KINDS["MRC, xzy"], voxels=VOLUME), (3e5, 2e5, 1e5), "angstrom"),
}
ENDINGS = (".dcm", ".txm", ".isq", ".mha", ".mhd", ".nrrd", ".nii", ".gz", ".nii.gz", ".mrc", ".vgi", ".vol", ".raw")


@pytest.fixture(autouse=True)
def _remembered_choice() -> Iterator[None]:
    """The user has chosen our reader once and for all, so that napari does not ask."""
    before = get_settings().plugins.extension2reader
    get_settings().plugins.extension2reader = dict.fromkeys(("*/", *(f"*{ending}" for ending in ENDINGS)), PLUGIN)
    yield
    get_settings().plugins.extension2reader = before


def test_voxels_without_a_header_open_the_converter(hidden_viewer: napari.Viewer, tmp_path: Path) -> None:
    (tmp_path / "s_15x20x6.raw").write_bytes(VOLUME.tobytes())
    drop(hidden_viewer, tmp_path / "s_15x20x6.raw")
    wait_until(lambda: len(hidden_viewer.window.dock_widgets) == 1)
    (widget,) = hidden_viewer.window.dock_widgets.values()
    assert widget.form.source_path == str(tmp_path / "s_15x20x6.raw")
    assert [record.severity for record in notification_manager.records] == ["info"]
    assert not hidden_viewer.layers


@pytest.mark.parametrize("name", KINDS)
def test_a_drop_opens_the_volume(hidden_viewer: napari.Viewer, tmp_path: Path, name: str) -> None:
    write, voxel_size, unit = KINDS[name]
    drop(hidden_viewer, write(tmp_path))
    wait_until(lambda: len(hidden_viewer.layers) == 1)
    layer = hidden_viewer.layers[0]
    assert isinstance(layer.data[0] if layer.multiscale else layer.data, LazyArray)
    voxels = np.asarray(layer.data[0] if layer.multiscale else layer.data)
    np.testing.assert_array_equal(voxels, VOLUME % 251 if name == "SkyScan" else VOLUME.astype(voxels.dtype))
    np.testing.assert_allclose(layer.scale, voxel_size, rtol=1e-6)
    assert {str(found) for found in layer.units} == {unit}
