"""`.vol` files with the headers of Volume Graphics, GE phoenix and PyHST, written as these programs write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_ct_pyramid.errors import SourceError, UnknownShapeError
from napari_ct_pyramid.options import SourceOptions
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.headers import vgi
from tests.helpers.sources import read_whole
from tests.helpers.tiffs import coordinates

SHAPE = (9, 22, 17)
VOXELS = coordinates(SHAPE, "uint16")


def pcr(folder: Path, voxels: np.ndarray = VOXELS, data: str = "", code: int | None = None) -> Path:
    code = code or {"uint8": 1, "uint16": 5, "float32": 10}[voxels.dtype.name]
    (folder / "scan.vol").write_bytes(voxels.tobytes())
    (folder / "scan.pcr").write_text(
        f"[Versions]\nVersion-datos|x=2.2.1.739\n[ImageData]\nPCA_File=scan.pca\n[VolumeData]\n{data}Volume_SizeX=17\n"
        f"Volume_SizeY=22\nVolume_SizeZ=9\nFormat={code}\nMin=-1.5\nMax=2.5\nVoxelSizeRec=0.01234\n"
    )
    return folder / "scan.pcr"


def info(folder: Path, voxels: np.ndarray, *lines: str, name: str = "scan.vol") -> Path:
    (folder / name).write_bytes(voxels.tobytes())
    (folder / f"{name}.info").write_text(
        "\n".join(["! PyHST_SLAVE VOLUME INFO FILE", "NUM_X =   17", "NUM_Y =   22", "NUM_Z =    9", *lines]) + "\n"
    )
    return folder / f"{name}.info"


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("suffix", [".pcr", ".vol"])
def test_phoenix(tmp_path: Path, dtype: str, suffix: str) -> None:
    path = pcr(tmp_path, VOXELS.astype(dtype)).with_suffix(suffix)
    with open_source(path) as source:
        np.testing.assert_array_equal(read_whole(source), VOXELS.astype(dtype))
        assert source.volume.dtype == dtype
        assert (source.volume.voxel_size, source.volume.unit) == ((0.01234,) * 3, "millimeter")
        assert set(source.files) == {tmp_path / "scan.vol", tmp_path / "scan.pcr"}


@pytest.mark.parametrize("suffix", [".vol.info", ".vol"])
def test_pyhst(tmp_path: Path, suffix: str) -> None:
    voxels = coordinates(SHAPE)
    info(tmp_path, voxels, "voxelSize =  1.4", "BYTEORDER = LOWBYTEFIRST", "ValMin = -1.0", "S1 = 0.0")
    with open_source(tmp_path / f"scan{suffix}") as source:
        np.testing.assert_array_equal(read_whole(source), voxels)
        assert (source.volume.voxel_size, source.volume.unit) == ((1.4,) * 3, "micrometer")


@pytest.mark.parametrize(("line", "dtype"), [("DATA_TYPE = uint16", "<u2"), ("BYTEORDER = HIGHBYTEFIRST", ">f4")])
def test_pyhst_of_another_type(tmp_path: Path, line: str, dtype: str) -> None:
    voxels = coordinates(SHAPE, "uint16").astype(dtype)
    with open_source(info(tmp_path, voxels, line)) as source:
        np.testing.assert_array_equal(read_whole(source), voxels)
        assert source.volume.voxel_size is None


@pytest.mark.parametrize("name", ["scan.vol", "Scan.VOL", r"D:\scans\2024\scan.vol", "/data/scans/scan.vol"])
def test_the_file_of_that_name_beside_the_header_is_meant(tmp_path: Path, name: str) -> None:
    path = vgi(tmp_path, VOXELS)
    path.write_text(path.read_text().replace("Name = scan.vol", f"Name = {name}"))
    if name == "Scan.VOL":
        path.with_name("scan.vol").rename(path.with_name("Scan.VOL"))
    with open_source(path) as source:
        np.testing.assert_array_equal(read_whole(source), VOXELS)


def test_a_volume_elsewhere_needs_the_users_word(tmp_path: Path) -> None:
    (tmp_path / "header").mkdir()
    path = vgi(tmp_path / "header", VOXELS)
    path.write_text(path.read_text().replace("Name = scan.vol", "Name = ../other.vol"))
    path.with_suffix(".vol").rename(tmp_path / "other.vol")
    with pytest.raises(SourceError) as caught:
        open_source(path)
    assert "other.vol" in str(caught.value)
    with open_source(path, SourceOptions(follow_links=True)) as source:
        np.testing.assert_array_equal(read_whole(source), VOXELS)


def test_a_copy_has_its_own_voxels_though_its_header_names_the_original(tmp_path: Path) -> None:
    header = vgi(tmp_path, VOXELS)
    header.with_name("copy.vgi").write_bytes(header.read_bytes())
    copy = tmp_path / "copy.vol"
    copy.write_bytes((VOXELS + 1).tobytes())
    with open_source(copy) as source:
        np.testing.assert_array_equal(read_whole(source), VOXELS + 1)
        assert set(source.files) == {copy, tmp_path / "copy.vgi"}
        assert len(source.volume.notes) == 1
    copy.write_bytes(b"short")
    with pytest.raises(SourceError, match=r"copy\.vol"):
        open_source(copy)


def test_voxels_at_the_end(tmp_path: Path) -> None:
    path = vgi(tmp_path, VOXELS, skip=37)
    path.write_text(path.read_text().replace("SkipHeader = 37", "SkipHeader = -1"))
    with open_source(path) as source:
        np.testing.assert_array_equal(read_whole(source), VOXELS)


def test_a_header_that_shows_a_part_is_said(tmp_path: Path) -> None:
    path = vgi(tmp_path, VOXELS)
    path.write_text(path.read_text().replace("RegionOfInterestStart = 0 0 0", "RegionOfInterestStart = 0 2 0"))
    with open_source(path) as source:
        assert source.volume.shape == SHAPE
        assert len(source.volume.notes) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Datatype = unsigned integer", "Datatype = color"),
        ("BitsPerElement = 16", "BitsPerElement = 12"),
        ("FileFormat = raw", "FileFormat = tiff"),
        ("Size = 17 22 9", "Size = 17 22"),
        ("Size = 17 22 9", "Size = 17 22 0"),
        ("Size = 17 22 9", "Size = 17 22 10"),
        ("resolution = 0.01 0.02 0.03", "resolution = wide"),
        ("[file1]", "[file1]\nName = a.vol\n[file2]"),
        ("[file1]", "[nothing]"),
        ("SkipHeader = 0", "SkipHeader = 1"),
    ],
)
def test_headers_that_are_not_understood(tmp_path: Path, before: str, after: str) -> None:
    path = vgi(tmp_path, VOXELS)
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(SourceError) as caught:
        open_source(path)
    assert str(tmp_path) in str(caught.value)


def test_a_phoenix_format_that_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="7"):
        open_source(pcr(tmp_path, code=7))


def test_a_vol_without_a_header_is_raw(tmp_path: Path) -> None:
    path = tmp_path / "s_17x22x9.vol"
    path.write_bytes(VOXELS.tobytes())
    with pytest.raises(UnknownShapeError) as caught:
        open_source(path)
    assert (caught.value.shape, caught.value.dtype) == (SHAPE, "uint16")
    with open_source(path, SourceOptions(raw_shape=SHAPE, raw_dtype="uint16")) as source:
        np.testing.assert_array_equal(read_whole(source), VOXELS)


def test_a_header_without_its_volume(tmp_path: Path) -> None:
    path = vgi(tmp_path, VOXELS)
    path.with_suffix(".vol").unlink()
    with pytest.raises(SourceError, match=r"scan\.vol"):
        open_source(path)
