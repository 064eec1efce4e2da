"""Files that were chosen together, and the slices among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.sources.grouping import group_inputs, slices_in, volume_of_slice, volumes_of_slices
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.dicoms import write_series

SLICE = np.zeros((6, 7), "u2")


def write(folder: Path, names: list[str], voxels: np.ndarray = SLICE, **options: Any) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name in names:
        tifffile.imwrite(folder / name, voxels, **{"photometric": "minisblack", **options})
    return [folder / name for name in names]


def numbered(count: int, stem: str = "slice_", first: int = 1) -> list[str]:
    return [f"{stem}{number:04}.tif" for number in range(first, first + count)]


def test_all_slices_of_a_folder_are_the_folder(tmp_path: Path) -> None:
    files = write(tmp_path / "scan", numbered(5))
    assert group_inputs(files) == [str(tmp_path / "scan")]
    assert group_inputs(files[::-1]) == [str(tmp_path / "scan")]
    with open_source(tmp_path / "scan") as source:
        assert source.volume.shape == (5, 6, 7)


def test_some_slices_stand_for_all(tmp_path: Path) -> None:
    files = write(tmp_path / "scan", numbered(9))
    assert group_inputs(files[2:6]) == [str(tmp_path / "scan")]


def test_slices_beside_others_are_a_pattern(tmp_path: Path) -> None:
    one, other = (write(tmp_path / "scan", numbered(4, stem)) for stem in ("a_", "b_"))
    volumes = group_inputs([*one, *other])
    assert len(volumes) == 2
    for volume in volumes:
        with open_source(volume) as source:
            assert source.volume.shape == (4, 6, 7)


def test_all_else_stays_as_it_is_in_its_order(tmp_path: Path) -> None:
    stacks = write(tmp_path / "stacks", numbered(4), np.zeros((3, 6, 7), "u2"))
    slices = write(tmp_path / "scan", numbered(4))
    (tmp_path / "c.h5").touch()
    chosen = [stacks[0], *slices, tmp_path / "c.h5", *stacks[1:], tmp_path / "gone.tif"]
    expected = [stacks[0], tmp_path / "scan", tmp_path / "c.h5", *stacks[1:], tmp_path / "gone.tif"]
    assert group_inputs(chosen) == list(map(str, expected))


def test_chosen_slices_with_a_gap_are_a_pattern_so_that_opening_it_names_the_gap(tmp_path: Path) -> None:
    files = write(tmp_path / "scan", numbered(6))
    files.pop(2).unlink()
    (volume,) = group_inputs(files)
    with pytest.raises(SourceError, match=r"slice_0003\.tif"):
        open_source(volume)


def test_pictures_with_numbers_far_apart_are_no_slices(tmp_path: Path) -> None:
    files = write(tmp_path / "photos", [f"IMG_{number:04}.tif" for number in (7, 123, 456)])
    assert group_inputs(files) == list(map(str, files))


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_slices_are_pictures(tmp_path: Path, count: int) -> None:
    files = write(tmp_path / "scan", numbered(5))
    assert volumes_of_slices(files[:count]) == {}
    assert volume_of_slice(files[0]) == str(tmp_path / "scan")


def test_color_pictures_are_no_slices(tmp_path: Path) -> None:
    files = write(tmp_path / "photos", numbered(5), np.zeros((6, 7, 3), "u1"), photometric="rgb")
    assert volumes_of_slices(files) == {}
    assert slices_in(tmp_path / "photos") is None


def test_a_folder_of_slices_is_recognized(tmp_path: Path) -> None:
    write(tmp_path / "scan", numbered(5))
    (tmp_path / "scan" / "log.txt").touch()
    assert slices_in(tmp_path / "scan") == str(tmp_path / "scan")


def test_a_folder_with_a_gap_is_one_so_that_opening_it_names_the_gap(tmp_path: Path) -> None:
    (*_, missing, _last) = write(tmp_path / "scan", numbered(6))
    missing.unlink()
    assert slices_in(tmp_path / "scan") == str(tmp_path / "scan")


@pytest.mark.parametrize(("ending", "mode"), [(".png", "L"), (".bmp", "L"), (".jpg", "L"), (".png", "RGB")])
def test_pictures_of_other_kinds_are_slices_if_they_are_grey(tmp_path: Path, ending: str, mode: str) -> None:
    files = [tmp_path / "scan" / f"a{number}{ending}" for number in range(4)]
    files[0].parent.mkdir()
    for file in files:
        Image.new(mode, (7, 6)).save(file)
    grey = mode == "L"
    assert group_inputs(files) == ([str(tmp_path / "scan")] if grey else list(map(str, files)))
    assert slices_in(tmp_path / "scan") == (str(tmp_path / "scan") if grey else None)


def test_dicom_slices_are_their_folder(tmp_path: Path) -> None:
    files = sorted(write_series(tmp_path / "series", np.arange(4 * 30, dtype="i2").reshape(4, 6, 5)).iterdir())
    assert group_inputs(files) == [str(tmp_path / "series")]
    assert volume_of_slice(files[0]) == slices_in(tmp_path / "series") == str(tmp_path / "series")


@pytest.mark.parametrize("names", [[], ["a.txt"], ["a.tif"], ["a.tif", "b.tif"], ["a.tif", "b.tif", "c.tif", "d.tif"]])
def test_other_folders_are_not(tmp_path: Path, names: list[str]) -> None:
    write(tmp_path / "folder", names)
    assert slices_in(tmp_path / "folder") is None
