"""Voxel sizes of TIFFs: found wherever a file states them plainly, and never made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tifffile

from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.microscopes import metamorph
from tests.helpers.tiffs import ASCII, RATIONAL, SHORT, coordinates, pages_of, write_pages

VOLUME = coordinates((6, 9, 7))
Size = tuple[float, float, float] | None
PIXEL = (1 / 0.65, 1 / 0.65)
CM = {"resolution": (4000, 5000), "resolutionunit": "CENTIMETER"}


def ome(**metadata: Any) -> dict[str, Any]:
    return {"ome": True, "metadata": {"axes": "ZYX", **metadata}}


def imagej(resolution: tuple[float, float] | None, **metadata: Any) -> dict[str, Any]:
    return {"imagej": True, "resolution": resolution, "metadata": {"axes": "ZYX", **metadata}}


@pytest.mark.parametrize(
    ("options", "size", "unit", "origin"),
    [
        (ome(PhysicalSizeX=0.5, PhysicalSizeY=0.75, PhysicalSizeZ=2), (2, 0.75, 0.5), "micrometer", "OME-XML"),
        (
            ome(PhysicalSizeX=5, PhysicalSizeXUnit="nm", PhysicalSizeY=5, PhysicalSizeYUnit="nm",
                PhysicalSizeZ=8, PhysicalSizeZUnit="nm"),
            (8, 5, 5), "nanometer", "OME-XML",
        ),
        (
            ome(PhysicalSizeX=0.5, PhysicalSizeY=0.5, PhysicalSizeZ=200, PhysicalSizeZUnit="nm"),
            (200, 500, 500), "nanometer", "OME-XML",
        ),
        (ome(PhysicalSizeX=0.5, PhysicalSizeY=0.5), None, None, None),
        (ome(PhysicalSizeX=0, PhysicalSizeY=0.5, PhysicalSizeZ=1), None, None, None),
        (ome(), None, None, None),
        (imagej(PIXEL, spacing=1.5, unit="um"), (1.5, 0.65, 0.65), "micrometer", "ImageJ metadata"),
        (imagej(PIXEL, spacing=1.5, unit="micron"), (1.5, 0.65, 0.65), "micrometer", "ImageJ metadata"),
        (imagej(PIXEL, spacing=-1.5, unit="\\u00B5m"), (1.5, 0.65, 0.65), "micrometer", "ImageJ metadata"),
        (imagej((2, 4), spacing=0.5, unit="mm"), (0.5, 0.25, 0.5), "millimeter", "ImageJ metadata"),
        (imagej((2, 2), spacing=0.5, unit="pixel"), (0.5, 0.5, 0.5), None, "ImageJ metadata, which names no unit"),
        (imagej((0.512, 0.512), spacing=1.953125, unit=""), (1.953125,) * 3, None,
         "ImageJ metadata, which names no unit"),
        (imagej((1, 1), spacing=1, unit="pixel"), None, None, None),
        (imagej((1, 1), unit=""), None, None, None),
        (imagej(PIXEL, unit="um"), None, None, None),  # the distance between slices is not given
        (imagej((72, 72), spacing=1, unit="inch"), None, None, None),
        (imagej((2, 2), spacing=1, unit="um", zunit="mm"), None, None, None),
        ({**imagej((4, 4), spacing=0.25, unit="cm"), "resolutionunit": "CENTIMETER"}, (0.25,) * 3, "centimeter",
         "ImageJ metadata"),
        ({**imagej((4, 4), spacing=1, unit="um"), "resolutionunit": "CENTIMETER"}, None, None, None),  # which of them?
        ({**imagej((72, 72), spacing=1, unit="um"), "resolutionunit": "INCH"}, None, None, None),
        ({"metadata": {"spacing": 2, "unit": "um"}, **CM}, (2, 2, 2.5), "micrometer",
         "TIFF description and resolution"),
        ({"metadata": {"spacing": 2, "unit": "um"}, "resolution": (2, 4), "resolutionunit": "NONE"}, (2, 0.25, 0.5),
         "micrometer", "TIFF description and resolution"),
        ({"metadata": {"PhysicalSizeX": 1, "PhysicalSizeY": 1, "PhysicalSizeZ": 3}}, (3, 1, 1), "micrometer",
         "TIFF description"),
        ({"metadata": {"spacing": 2}, **CM}, None, None, None),  # 2 of what?
        ({"metadata": {"spacing": "far", "unit": "um"}, **CM}, None, None, None),
        ({"metadata": None, **CM}, None, None, None),  # z is not given
        ({"metadata": {"spacing": 1, "unit": "inch"}, "resolution": (72, 72), "resolutionunit": "INCH"}, None, None,
         None),
        ({"metadata": {"spacing": 1, "unit": "inch"}, "resolution": (96, 96), "resolutionunit": "INCH"}, None, None,
         None),
        ({"metadata": {"spacing": 0.01, "unit": "inch"}, "resolution": (300, 300), "resolutionunit": "INCH"},
         (0.01, 1 / 300, 1 / 300), "inch", "TIFF description and resolution"),
    ],
)  # fmt: skip
def test_voxel_size(tmp_path: Path, options: dict[str, Any], size: Size, unit: str | None, origin: str | None) -> None:
    tifffile.imwrite(tmp_path / "v.tif", VOLUME, **options)
    with open_source(tmp_path / "v.tif") as source:
        volume = source.volume
    assert volume.voxel_size == (None if size is None else pytest.approx(size, rel=1e-12))
    assert (volume.unit, volume.voxel_size_from) == (unit, origin)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("ImageJ=1.54f\nimages=6\nslices=6\nunit=micron\n", (1, 0.5, 0.5)),  # ImageJ leaves a spacing of 1 out
        ("ImageJ=1.54f\nimages=6\nslices=6\nunit=micron\nspacing=2.25\n", (2.25, 0.5, 0.5)),
        ("ImageJ=1.54f\nimages=6\nslices=6\n", (1, 0.5, 0.5)),
    ],
)
def test_voxel_size_as_imagej_writes_it(tmp_path: Path, text: str, size: Size) -> None:
    pages = pages_of(VOLUME)
    pages[0].tags |= {
        270: (ASCII, text.encode() + b"\0"),
        282: (RATIONAL, [2, 1]),
        283: (RATIONAL, [2, 1]),
        296: (SHORT, [1]),
    }
    with open_source(write_pages(tmp_path / "v.tif", pages)) as source:
        assert source.volume.voxel_size == size
        assert source.volume.unit == ("micrometer" if "unit" in text else None)


def test_a_resolution_of_seven_digits_means_a_round_pixel_size(tmp_path: Path) -> None:
    pages = pages_of(VOLUME)
    text = b"ImageJ=1.54f\nimages=6\nslices=6\nunit=micron\nspacing=0.65\n\0"
    pages[0].tags |= {270: (ASCII, text)} | dict.fromkeys((282, 283), (RATIONAL, [1538461, 1000000]))
    with open_source(write_pages(tmp_path / "v.tif", pages)) as source:
        assert source.volume.voxel_size == (0.65, 0.65, 0.65)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ((0.7, 0.65, 0.65), "micrometer", "MetaMorph metadata")),
        ({"unit": "nm"}, ((0.7, 0.00065, 0.00065), "micrometer", "MetaMorph metadata")),
        ({"unit": "pixel"}, (None, None, None)),
        ({"steps": [700] * 5 + [800]}, (None, None, None)),
        ({"steps": [0] * 6}, (None, None, None)),
    ],
)
def test_the_voxel_size_of_metamorph(tmp_path: Path, asked: dict[str, Any], found: Any) -> None:
    metamorph(tmp_path / "scan.stk", **asked)
    with open_source(tmp_path / "scan.stk") as source:
        assert (source.volume.voxel_size, source.volume.unit, source.volume.voxel_size_from) == found
