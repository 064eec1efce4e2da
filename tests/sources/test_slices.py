"""A folder of slices as one volume, in the order of their numbers; slices that do not fit are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import napari_ct_pyramid as ct
from napari_ct_pyramid.conversion.output import default_output
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.tiffs import Page, coordinates, write_pages

VOLUME = coordinates((12, 20, 17), "uint16")


def write_slices(folder: Path, names: str = "slice_{:04}.tif", first: int = 1, **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for z, image in enumerate(VOLUME, start=first):
        tifffile.imwrite(folder / names.format(z), image, **options)
    return folder


def read_whole(source: Any) -> np.ndarray:
    with open_source(source) as opened:
        out = np.empty(opened.volume.shape, opened.volume.dtype)
        opened.read(0, out.shape[0], 0, out.shape[1], out)
        return out


@pytest.mark.parametrize("names", ["slice_{:04}.tif", "{}.TIFF", "scan 2 (0.65um) z{}.tif", "a-{:02}_rec.tif"])
@pytest.mark.parametrize(
    "options", [{}, {"compression": "lzw", "predictor": True}, {"tile": (16, 16)}], ids=["plain", "lzw", "tiles"]
)
def test_slices_in_natural_order(tmp_path: Path, names: str, options: dict[str, Any]) -> None:
    folder = write_slices(tmp_path / "scan.1", names, first=0, **options)
    (folder / "notes.txt").write_text("not a slice")
    (folder / ".hidden_0001.tif").touch()
    expected = np.stack([tifffile.imread(folder / names.format(z)) for z in range(len(VOLUME))])
    np.testing.assert_array_equal(read_whole(folder), expected)
    np.testing.assert_array_equal(expected, VOLUME)
    with open_source(folder) as source:
        assert (source.volume.name, source.volume.format) == ("scan.1", "12 TIFF files, one a slice")
        assert [file.name for file in source.files] == [names.format(z) for z in range(len(VOLUME))]


def test_files_by_a_pattern(tmp_path: Path) -> None:
    folder = write_slices(write_slices(tmp_path / "scan"), "dark_{}.tif")
    pattern = folder / "slice_*.tif"
    np.testing.assert_array_equal(read_whole(pattern), VOLUME)
    receipt = ct.convert(pattern, chunks=(4, 8, 8), num_levels=1)
    assert receipt.output == folder / "slice.ome.zarr"
    np.testing.assert_array_equal(ct.open_pyramid(receipt.output).levels[0].array[:], VOLUME)
    assert ct.verify(receipt.output, pattern).sound
    assert default_output(folder) == tmp_path / "scan.ome.zarr"


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    path = write_pages(tmp_path / "scan[1].tif", [Page(image) for image in VOLUME])
    np.testing.assert_array_equal(read_whole(path), VOLUME)


def test_only_the_slices_that_are_asked_for_are_opened(tmp_path: Path) -> None:
    folder = write_slices(tmp_path / "scan")
    with open_source(folder) as source:
        (folder / "slice_0007.tif").unlink()
        out = np.empty((3, 20, 17), "uint16")
        source.read(0, 3, 0, 20, out)
        np.testing.assert_array_equal(out, VOLUME[:3])
        with pytest.raises(ct.SourceError, match=r"slice_0007\.tif .*No such file"):
            source.read(6, 7, 0, 20, out[:1])


def big_endian(folder: Path) -> None:
    tifffile.imwrite(folder / "slice_0005.tif", VOLUME[4], byteorder=">")


BAD: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "gap": (lambda f: (f / "slice_0005.tif").unlink(),
            ("slice_0005.tif is missing", "slice_0006.tif", "slice_0004.tif")),
    "wide gap": (lambda f: [(f / f"slice_{z:04}.tif").unlink() for z in (3, 4, 5)],
                 ("slice_0003.tif is missing", "3 slices")),
    "stray": (lambda f: tifffile.imwrite(f / "dark.tif", VOLUME[0]),
              ("dark.tif", "slice_0001.tif", "slice_*.tif'")),
    "two sequences": (lambda f: [tifffile.imwrite(f / f"dark_{z}.tif", VOLUME[0]) for z in (1, 2, 3)],
                      ("dark_1.tif", "2 more files")),
    "number twice": (lambda f: tifffile.imwrite(f / "slice_5.tif", VOLUME[0]),
                     ("slice_5.tif", "slice_0005.tif", "number")),
    "size": (lambda f: tifffile.imwrite(f / "slice_0005.tif", VOLUME[0][:, :9]),
             ("slice_0005.tif", "20 × 9", "slice_0001.tif", "20 × 17")),
    "type": (lambda f: tifffile.imwrite(f / "slice_0005.tif", VOLUME[0].astype("f4")),
             ("slice_0005.tif", "float32", "slice_0001.tif", "uint16")),
    "compression": (lambda f: tifffile.imwrite(f / "slice_0012.tif", VOLUME[0], compression="zlib"),
                    ("slice_0012.tif", "Deflate", "slice_0001.tif", "not compressed")),
    "byte order": (big_endian, ("slice_0005.tif", "big-endian", "slice_0001.tif", "little-endian")),
    "several slices": (lambda f: tifffile.imwrite(f / "slice_0005.tif", VOLUME[:2], photometric="minisblack"),
                       ("slice_0005.tif", "2 slices")),
    "cut short": (lambda f: (f / "slice_0005.tif").write_bytes((f / "slice_0005.tif").read_bytes()[:-40]),
                  ("slice_0005.tif", "640", "680")),
    "no tiff": (lambda f: (f / "slice_0005.tif").write_text("hello"), ("slice_0005.tif", "TIFF")),
    "empty": (lambda f: (f / "slice_0005.tif").write_bytes(b""), ("slice_0005.tif", "empty")),
    "one": (lambda f: [(f / f"slice_{z:04}.tif").unlink() for z in range(2, 13)], ("single file", "slice_0001.tif")),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_slices_that_do_not_fit_are_named(tmp_path: Path, name: str) -> None:
    folder = write_slices(tmp_path / "scan")
    make, facts = BAD[name]
    make(folder)
    with pytest.raises(ct.SourceError) as caught:
        open_source(folder)
    assert str(folder) in str(caught.value)
    assert [fact for fact in facts if fact not in str(caught.value)] == []


def test_patterns_that_match_nothing(tmp_path: Path) -> None:
    with pytest.raises(ct.SourceNotFoundError, match=r"slice_\*\.tif"):
        open_source(tmp_path / "slice_*.tif")
    with pytest.raises(ct.SourceNotFoundError, match="lost"):
        open_source(tmp_path / "lost" / "slice_*.tif")


def test_the_voxel_size_of_a_slice_gives_z_only_where_it_is_stated(tmp_path: Path) -> None:
    known = {"imagej": True, "resolution": (2.0, 2.0)}
    folder = write_slices(tmp_path / "a", metadata={"unit": "um"}, **known)
    with open_source(folder) as source:
        assert source.volume.voxel_size is None
    folder = write_slices(tmp_path / "b", metadata={"unit": "um", "spacing": 0.75}, **known)
    with open_source(folder) as source:
        assert (source.volume.voxel_size, source.volume.unit) == ((0.75, 0.5, 0.5), "micrometer")
        assert source.volume.voxel_size_from == "ImageJ metadata of slice_0001.tif"
