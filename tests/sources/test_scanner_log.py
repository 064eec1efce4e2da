"""The voxel size in the logs that scanners leave beside slices: used where it belongs to the slices, and never guessed.

The texts have the keys of real logs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_ct_pyramid.sources.registry import open_source

SHAPE = (5, 12, 9)
SKYSCAN = """[System]
Scanner=SkyScan1272
Camera Pixel Size (um)=9.0
[Acquisition]
Filename Prefix=tooth~00
Number Of Files=  471
Number Of Rows=  896
Number Of Columns= 1075
Image Pixel Size (um)=19.797722
[Reconstruction]
Reconstruction Program=NRecon
First Section=27
Last Section=31
Section to Section Step=1
Sections Count=5
Result File Type=BMP
Result Image Width (pixels)=9
Result Image Height (pixels)=12
Pixel Size (um)=19.79772
[File name convention]
Filename Index Length=8
Filename Prefix=tooth_rec
"""
NIKON = """[XTekCT]
Name=tooth
VoxelsX=9
VoxelSizeX=0.02
VoxelsY=12
VoxelSizeY=0.03
VoxelsZ=5
VoxelSizeZ=0.04
DetectorPixelsX=1000
DetectorPixelsY=800
Units=mm
Projections=1570
[DICOM]
DICOMTags=<?xml version="1.0"?><a b="[c]"/>
"""
PHOENIX = """[VolumeData]
Volume_SizeX=9
Volume_SizeY=12
Volume_SizeZ=5
VoxelSizeRec=0.0102906534448266
"""
RX_SOLUTIONS = """<?xml version="1.0"?>
<unireconstruction><conebeam><volume><size X="9" Y="12" Z="5"/><voxelSize X="0.01" Y="0.01" Z="0.02"/></volume>
</conebeam></unireconstruction>"""
LOGS: dict[str, tuple[str, str, tuple[float, float, float], str]] = {
    "SkyScan": ("tooth_rec.log", SKYSCAN, (19.79772,) * 3, "micrometer"),
    "SkyScan, every second slice": (
        "tooth_rec.log", SKYSCAN.replace("Step=1", "Step=2"), (39.59544, 19.79772, 19.79772), "micrometer",
    ),
    "SkyScan, acquisition only": (
        "tooth.log", SKYSCAN[: SKYSCAN.index("[Reconstruction]")], (19.797722,) * 3, "micrometer",
    ),
    "Nikon": ("tooth_01.xtekct", NIKON, (0.04, 0.03, 0.02), "millimeter"),
    "phoenix": ("tooth.pcr", PHOENIX, (0.0102906534448266,) * 3, "millimeter"),
    "RX Solutions": ("unireconstruction.xml", RX_SOLUTIONS, (0.02, 0.01, 0.01), "millimeter"),
}  # fmt: skip


def write_slices(folder: Path, shape: tuple[int, int, int] = SHAPE, name: str = "tooth_rec{:08}.tif") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for z in range(shape[0]):
        tifffile.imwrite(folder / name.format(27 + z), np.full(shape[1:], z, "u2"))
    return folder


def volume_of(folder: Path) -> Any:
    with open_source(folder) as source:
        return source.volume


@pytest.mark.parametrize("name", LOGS)
def test_each_log(tmp_path: Path, name: str) -> None:
    file, text, size, unit = LOGS[name]
    folder = write_slices(tmp_path / "scan")
    (folder / file).write_text(text, encoding="latin-1")
    volume = volume_of(folder)
    assert (volume.voxel_size, volume.unit) == (size, unit)
    assert volume.voxel_size_from.startswith(file)
    assert volume.notes == ()


def test_the_log_of_rx_solutions_in_the_folder_above(tmp_path: Path) -> None:
    folder = write_slices(tmp_path / "scan" / "Slices")
    (tmp_path / "scan" / "unireconstruction.xml").write_text(RX_SOLUTIONS)
    assert volume_of(folder).voxel_size == (0.02, 0.01, 0.01)


@pytest.mark.parametrize("name", LOGS)
def test_a_log_of_slices_with_another_size_is_not_used(tmp_path: Path, name: str) -> None:
    file, text, _, _ = LOGS[name]
    folder = write_slices(tmp_path / "scan", (5, 6, 9))
    (folder / file).write_text(text)
    volume = volume_of(folder)
    if "acquisition" in name:
        assert volume.voxel_size is not None  # it does not state the size of slices
        return
    assert volume.voxel_size is None
    assert file in volume.notes[0]
    assert "12 × 9" in volume.notes[0]


def test_another_number_of_slices_is_said(tmp_path: Path) -> None:
    folder = write_slices(tmp_path / "scan", (4, 12, 9))
    (folder / "tooth_rec.log").write_text(SKYSCAN)
    volume = volume_of(folder)
    assert volume.voxel_size == (19.79772,) * 3
    assert [fact for fact in ("tooth_rec.log", "5 slices", "4") if fact not in volume.notes[0]] == []


@pytest.mark.parametrize(("name", "shape"), [("tooth.log", (471, 896, 1075)), ("tooth.xtekct", (1570, 800, 1000))])
def test_projections_have_no_voxel_size(tmp_path: Path, name: str, shape: tuple[int, int, int]) -> None:
    small = (7, 4, 6)
    text = SKYSCAN if name.endswith(".log") else NIKON
    for given, value in zip(shape, small, strict=True):
        text = re.sub(f"= *{given}\\b", f"={value}", text)
    folder = write_slices(tmp_path / "scan", small, "tooth{:04}.tif")
    (folder / name).write_text(text)
    volume = volume_of(folder)
    assert volume.voxel_size is None
    assert "projections" in volume.notes[0]


def test_the_log_whose_name_fits_is_used(tmp_path: Path) -> None:
    folder = write_slices(tmp_path / "scan")
    (folder / "tooth.log").write_text(SKYSCAN[: SKYSCAN.index("[Reconstruction]")])
    (folder / "another_rec.log").write_text(SKYSCAN.replace("=19.79772\n", "=3\n"))
    (folder / "tooth_rec.log").write_text(SKYSCAN)
    assert volume_of(folder).voxel_size_from == "tooth_rec.log, [Reconstruction] Pixel Size"


def test_several_logs_that_differ_are_no_choice(tmp_path: Path) -> None:
    folder = write_slices(tmp_path / "scan", name="slice{}.tif")
    (folder / "a.log").write_text(SKYSCAN)
    (folder / "b.log").write_text(SKYSCAN.replace("=19.79772\n", "=3\n"))
    assert volume_of(folder).voxel_size is None
    (folder / "b.log").write_text(SKYSCAN)
    assert volume_of(folder).voxel_size == (19.79772,) * 3


def test_a_log_that_states_no_size_must_have_the_name_of_the_slices(tmp_path: Path) -> None:
    folder = write_slices(tmp_path / "scan")
    (folder / "bone.log").write_text(SKYSCAN[: SKYSCAN.index("[Reconstruction]")])
    assert volume_of(folder).voxel_size is None
    (folder / "bone.log").rename(folder / "tooth.log")
    assert volume_of(folder).voxel_size == (19.797722,) * 3


def test_what_the_slices_state_themselves_is_used(tmp_path: Path) -> None:
    for z in range(5):
        options = {"imagej": True, "resolution": (2, 2), "metadata": {"unit": "um", "spacing": 0.75}}
        tifffile.imwrite(tmp_path / f"tooth_rec{z:04}.tif", np.zeros((12, 9), "u2"), **options)
    (tmp_path / "tooth_rec.log").write_text(SKYSCAN)
    assert volume_of(tmp_path).voxel_size == (0.75, 0.5, 0.5)


NO_LOGS = {
    "text.log": "2026-01-01 started\nPixel Size (um)=3\n",
    "other.log": "[Server]\nPixel Size (um)=3\n",
    "zero.log": SKYSCAN.replace("=19.797722", "=nan").replace("=19.79772", "=0"),
    "words.log": "[Reconstruction]\nPixel Size (um)=small\n",
    "long.log": SKYSCAN + " " * 3_000_000,
    "empty.log": "",
    "a.xtekct": NIKON.replace("Units=mm", "Units=ells"),
    "b.xtekct": NIKON.replace("VoxelSizeZ=0.04\n", ""),
    "c.pcr": PHOENIX.replace("[VolumeData]", "[Volume]"),
    "unireconstruction.xml": "<a><volume></a>",
}


@pytest.mark.parametrize("name", NO_LOGS)
def test_files_that_are_no_logs_are_ignored(tmp_path: Path, name: str) -> None:
    (write_slices(tmp_path / "scan") / name).write_text(NO_LOGS[name])
    volume = volume_of(tmp_path / "scan")
    assert (volume.voxel_size, volume.notes) == (None, ())


@pytest.mark.parametrize("name", LOGS)
def test_a_log_that_is_damaged_is_used_or_ignored(tmp_path: Path, name: str, times: Callable[[int], int]) -> None:
    file, text, _, _ = LOGS[name]
    folder = write_slices(tmp_path / "scan", (2, 12, 9))
    rng = np.random.default_rng(len(name))
    for _ in range(times(15)):
        data = bytearray(text, "latin-1")
        for _ in range(rng.integers(1, 20)):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        (folder / file).write_bytes(data[: int(rng.integers(len(data)))])
        size = volume_of(folder).voxel_size
        assert size is None or all(math.isfinite(value) and value > 0 for value in size)
