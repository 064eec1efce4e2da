"""A folder of slices as one volume, in the order of their numbers; slices that do not fit are named."""

from __future__ import annotations

import os
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

import napari_ct_pyramid as ct
from napari_ct_pyramid.conversion.output import default_output
from napari_ct_pyramid.sources.names import in_order
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


@pytest.mark.parametrize(("first", "step"), [(0, 10), (3, 2), (1, 1000)])
def test_numbers_with_one_step_are_in_order(tmp_path: Path, first: int, step: int) -> None:
    for z, image in enumerate(VOLUME):
        tifffile.imwrite(tmp_path / f"s_{first + z * step:05}.tif", image)
    np.testing.assert_array_equal(read_whole(tmp_path), VOLUME)
    with open_source(tmp_path) as source:
        assert [str(step) in note.replace(",", "") for note in source.volume.notes] == [True]
    (tmp_path / f"s_{first + 4 * step:05}.tif").unlink()
    with pytest.raises(ct.SourceError, match=f"s_{first + 4 * step:05}.tif is missing"):
        open_source(tmp_path)


@pytest.mark.parametrize("numbers", [(1, 5), (1, 2, 3, 5, 7, 9), (0, 10, 20, 25, 30), (0, 3, 5, 10)])
def test_numbers_without_one_step_are_not_taken_for_an_order(tmp_path: Path, numbers: tuple[int, ...]) -> None:
    for number in numbers:
        tifffile.imwrite(tmp_path / f"{number}.tif", VOLUME[0])
    with pytest.raises(ct.SourceError, match="is missing"):
        open_source(tmp_path)


def test_the_preview_of_skyscan_is_left_out(tmp_path: Path) -> None:
    folder = write_slices(tmp_path / "scan", "scan_rec{:04}.tif")
    tifffile.imwrite(folder / "scan_rec_spr.tif", VOLUME[0, :5])
    with open_source(folder) as source:
        np.testing.assert_array_equal(read_whole(folder), VOLUME)
        assert ["scan_rec_spr.tif" in note for note in source.volume.notes] == [True]


SEQUENCES: dict[str, list[str]] = {
    "a copy": ["slice_0005_copy.tif"],
    "another sequence": [f"slice_0001_{z}.tif" for z in range(4)],
    "another scan": [f"slice2_{z:04}.tif" for z in range(1, 9)],
    "brackets": ["[x]_0001.tif", "mask.tif"],
    "a longer number": ["slice_00005.tif"],
    "the same number": ["slice_5.tif"],
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_pattern_that_is_suggested_works(tmp_path: Path, name: str) -> None:
    folder = write_slices(tmp_path / "scan")
    for other in SEQUENCES[name]:
        tifffile.imwrite(folder / other, VOLUME[0])
    with pytest.raises(ct.SourceError) as caught:
        open_source(folder)
    np.testing.assert_array_equal(read_whole(str(caught.value).split("'")[1]), VOLUME)


def test_no_pattern_is_suggested_where_none_works(tmp_path: Path) -> None:
    for name in ("a_1_2.tif", "b_1_3.tif", "c.tif"):
        tifffile.imwrite(tmp_path / name, VOLUME[0])
    with pytest.raises(ct.SourceError) as caught:
        open_source(tmp_path)
    assert "*" not in str(caught.value)


NAMES = st.from_regex(r"[a-c]{0,2}_?[0-9]{1,2}(_[0-9])?(_spr|\[)?\.tif", fullmatch=True)


@given(st.lists(NAMES, min_size=1, max_size=9, unique=True))
def test_names_of_any_kind_give_an_order_or_a_pattern_that_works(names: list[str]) -> None:
    where = Path("scan")
    try:
        assert sorted(in_order(where, names).names) == sorted(names)
    except ct.SourceError as error:
        if "'" in str(error):
            pattern = str(error).split("'")[1].removeprefix(f"{where}{os.sep}").removeprefix(f"{os.sep}")
            in_order(where, [name for name in names if fnmatchcase(name, pattern)])


@pytest.mark.parametrize("stray", [False, True])
def test_a_single_slice_offers_all_of_them(tmp_path: Path, stray: bool) -> None:
    folder = write_slices(tmp_path / "scan")
    if stray:
        tifffile.imwrite(folder / "dark.tif", VOLUME[0])
    with pytest.raises(ct.SingleSliceError) as caught:
        open_source(folder / "slice_0003.tif")
    assert caught.value.volume is not None
    np.testing.assert_array_equal(read_whole(caught.value.volume), VOLUME)
    assert caught.value.volume in str(caught.value)
    tifffile.imwrite(tmp_path / "alone.tif", VOLUME[0])
    with pytest.raises(ct.SingleSliceError) as caught:
        open_source(tmp_path / "alone.tif")
    assert caught.value.volume is None


def test_a_folder_without_slices_says_what_is_in_it(tmp_path: Path) -> None:
    with pytest.raises(ct.SourceNotFoundError, match="empty"):
        open_source(tmp_path)
    for name in ("a.txt", "b.txt", "scan.log"):
        (tmp_path / name).touch()
    write_slices(tmp_path / "recon")
    with pytest.raises(ct.SourceNotFoundError) as caught:
        open_source(tmp_path)
    facts = ("2 .txt files", "1 .log file", "1 folder", str(tmp_path / "recon"))
    assert [fact for fact in facts if fact not in str(caught.value)] == []
