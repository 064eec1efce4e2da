"""TIFFs with several channels, several files, or pages written one by one."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import napari_ct_pyramid as ct
from napari_ct_pyramid.errors import Advice
from napari_ct_pyramid.options import SourceOptions
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.sources import read_whole
from tests.helpers.tiffs import coordinates

VOLUME = coordinates((14, 12, 10), "uint16")
SIZES = {"T": 3, "Z": 4, "C": 2, "Y": 6, "X": 5}

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "ImageJ": ("TZCYX", {"imagej": True}),
    "ImageJ, channels": ("ZCYX", {"imagej": True}),
    "ImageJ, times": ("TZYX", {"imagej": True}),
    "ImageJ, compressed": ("TZCYX", {"imagej": True, "compression": "zlib"}),
    **{f"OME {axes}": (axes, {"ome": True}) for axes in map("".join, (*permutations("TZC"), *permutations("ZC")))},
    "OME, compressed": ("CTZ", {"ome": True, "compression": "zlib", "rowsperstrip": 2}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_channel_and_a_time_point_are_chosen(tmp_path: Path, kind: str) -> None:
    axes, options = KINDS[kind]
    axes = axes.removesuffix("YX") + "YX"
    shape = [SIZES[axis] for axis in axes]
    volume = coordinates((1, 1, int(np.prod(shape))), "uint16").reshape(shape)
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, volume, metadata={"axes": axes}, photometric="minisblack", **options)
    with pytest.raises(ct.SeveralVolumesError) as caught:
        open_source(path)
    assert (caught.value.channels, caught.value.times) == (2 if "C" in axes else 1, 3 if "T" in axes else 1)
    for c in range(caught.value.channels):
        for t in range(caught.value.times):
            asked = {name: n for name, n in (("channel", c), ("time", t)) if name[0].upper() in axes}
            expected = volume[tuple({"C": c, "T": t}.get(axis, slice(None)) for axis in axes)]
            with open_source(path, SourceOptions(**asked)) as source:
                np.testing.assert_array_equal(read_whole(source), expected)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"metadata": None}, {"bigtiff": True}])
def test_a_stack_written_page_by_page(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "scan.tif"
    for image in VOLUME:
        tifffile.imwrite(path, image, append=True, **options)
    with open_source(path) as source:
        np.testing.assert_array_equal(read_whole(source), VOLUME)


def test_pages_that_differ_are_not_one_volume(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    for image in (VOLUME[0], VOLUME[1], VOLUME[2, :-1]):
        tifffile.imwrite(path, image, append=True)
    with pytest.raises(ct.SourceError, match="Page 3"):
        open_source(path)
    volumes = tmp_path / "volumes.tif"
    for _ in range(2):
        tifffile.imwrite(volumes, VOLUME, append=True, photometric="minisblack")
    with pytest.raises(ct.SourceError, match="2 images"):
        open_source(volumes)


def write_ome_set(folder: Path, order: list[int], name: str = "part{}.ome.tif") -> None:
    """A file for each slice, whose OME-XML states an order that is not that of the names."""
    planes = "".join(
        f'<TiffData IFD="0" PlaneCount="1" FirstZ="{z}" FirstC="0" FirstT="0">'
        f'<UUID FileName="{name.format(number)}">urn:uuid:{number}</UUID></TiffData>'
        for z, number in enumerate(order)
    )
    for number in order:
        xml = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{number}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
            f'SizeX="10" SizeY="12" SizeZ="{len(order)}" SizeC="1" SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.5" '
            f'PhysicalSizeZ="2"><Channel ID="Channel:0"/>{planes}</Pixels></Image></OME>'
        )
        image = VOLUME[order.index(number)]
        tifffile.imwrite(folder / Path(name.format(number)).name, image, description=xml, metadata=None)


def test_a_folder_of_ome_tiffs_is_in_the_order_of_its_metadata(tmp_path: Path) -> None:
    order = [4, 0, 7, 2, 9]
    write_ome_set(tmp_path, order)
    for given in (tmp_path, tmp_path / "part*.tif", tmp_path / "part0.ome.tif"):
        with open_source(given) as source:
            np.testing.assert_array_equal(read_whole(source), VOLUME[:5])
            assert source.volume.voxel_size == (2, 0.5, 0.5)
    tifffile.imwrite(tmp_path / "part5.ome.tif", VOLUME[0])
    with pytest.raises(ct.SourceError, match="part5"):
        open_source(tmp_path)
    (tmp_path / "part5.ome.tif").unlink()
    (tmp_path / "part7.ome.tif").unlink()
    for given in (tmp_path, tmp_path / "part0.ome.tif"):
        with pytest.raises(ct.SourceNotFoundError, match="part7"):
            open_source(given)


def test_an_ome_tiff_names_files_of_its_own_folder_only(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_ome_set(tmp_path, [0, 1, 2], "../part{}.ome.tif")
    for number in range(3):
        (tmp_path / f"part{number}.ome.tif").rename(tmp_path / "in" / f"part{number}.ome.tif")
    (tmp_path / "in" / "part1.ome.tif").rename(tmp_path / "part1.ome.tif")
    with pytest.raises(ct.SourceError) as caught:
        open_source(tmp_path / "in" / "part0.ome.tif")
    assert Advice("follow_links", True) in caught.value.message.parts


def test_a_part_of_an_ome_tiff_without_its_metadata(tmp_path: Path) -> None:
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1">'
        '<BinaryOnly MetadataFile="scan.companion.ome" UUID="urn:uuid:2"/></OME>'
    )
    for z in range(3):
        tifffile.imwrite(tmp_path / f"{z}.ome.tif", VOLUME[z], description=xml, metadata=None)
    for given in (tmp_path, tmp_path / "0.ome.tif"):
        with pytest.raises(ct.SourceError, match=r"scan\.companion\.ome"):
            open_source(given)


@pytest.mark.parametrize("size", [25.3, 0.65, 0.1, 3.7, 650.0, 0.0123])
def test_imagej_cuts_resolutions_off(tmp_path: Path, size: float) -> None:
    """As ImageJ writes them (ij.io.TiffEncoder): millionths, cut off."""
    for factor, equal in ((1, True), (1.1, False)):
        resolution = (int(1e6 / size), 1_000_000)
        path = tmp_path / f"{factor}.tif"
        metadata = {"axes": "ZYX", "unit": "um", "spacing": size * factor}
        tifffile.imwrite(path, VOLUME, imagej=True, resolution=(resolution, resolution), metadata=metadata)
        with open_source(path) as source:
            z, y, x = source.volume.voxel_size or (0, 0, 0)
        assert z == pytest.approx(size * factor, rel=1e-12)
        assert (y == z, x == z) == (equal, equal)
        assert y == pytest.approx(size, rel=2e-3)
