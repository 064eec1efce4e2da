"""Slices of PNG, BMP, JPEG 2000 and JPEG, written by Pillow; images that cannot be slices are named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_ct_pyramid.errors import SingleSliceError, SourceError
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.sources import read_whole
from tests.helpers.tiffs import coordinates

VOLUME = coordinates((6, 20, 13), "uint16")
BYTES = (VOLUME % 251).astype("u1")
MASK = VOLUME % 3 == 0
GREY_PALETTE = [value for value in range(256) for _ in range(3)]


def write_images(folder: Path, volume: np.ndarray, ending: str, mode: str | None = None, **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for z, image in enumerate(volume):
        picture = Image.fromarray(image)
        if mode == "P":
            picture.putpalette(GREY_PALETTE)
        elif mode:
            picture = picture.convert(mode)
        picture.save(folder / f"s_{z:03}.{ending}", **options)
    return folder


KINDS: dict[str, tuple[np.ndarray, str, str | None, dict[str, Any]]] = {
    "PNG, 16 bits": (VOLUME, "png", None, {}),
    "PNG, 8 bits": (BYTES, "png", None, {}),
    "PNG, grey palette": (BYTES, "png", "P", {}),
    "PNG, transparency": (BYTES, "png", None, {"transparency": 3}),
    "PNG, with alpha": (BYTES, "png", "LA", {}),
    "PNG, mask": (MASK, "png", None, {}),
    "BMP": (BYTES, "bmp", None, {}),
    "BMP, mask": (MASK, "bmp", None, {}),
    "JPEG 2000, 16 bits": (VOLUME, "jp2", None, {}),
    "JPEG 2000, 8 bits": (BYTES, "j2k", None, {"no_jp2": True}),
    "JPEG": (BYTES, "jpg", None, {"quality": 90}),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_image(tmp_path: Path, name: str) -> None:
    volume, ending, mode, options = KINDS[name]
    folder = write_images(tmp_path / "scan", volume, ending, mode, **options)
    by_pillow = [np.asarray(Image.open(file).convert("L") if mode or volume.dtype == bool else Image.open(file))
                 for file in sorted(folder.iterdir())]  # fmt: skip
    with open_source(folder) as source:
        voxels = read_whole(source)
        np.testing.assert_array_equal(voxels, by_pillow)
        if name != "JPEG":
            np.testing.assert_array_equal(voxels, volume * np.uint8(255) if volume.dtype == bool else volume)
        assert voxels.dtype == ("u2" if volume.dtype == "u2" else "u1")
        assert source.volume.format == f"6 {name.split(',', maxsplit=1)[0]} files, one a slice"
        assert source.volume.granularity == (1, 20, 13)
        assert source.volume.voxel_size is None
        out = np.empty((2, 3, 13), voxels.dtype)
        source.read(2, 4, 5, 8, out)
        np.testing.assert_array_equal(out, voxels[2:4, 5:8])


def test_a_bmp_that_runs_downwards(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "scan", BYTES, "bmp")
    for file in folder.iterdir():
        data = bytearray(file.read_bytes())
        data[22:26] = (-20).to_bytes(4, "little", signed=True)
        file.write_bytes(data)
    with open_source(folder) as source:
        np.testing.assert_array_equal(read_whole(source), BYTES[:, ::-1])


def test_the_kind_that_most_files_have_is_that_of_the_slices(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "scan", BYTES, "png")
    tifffile.imwrite(folder / "overview.tif", VOLUME[0])
    with open_source(folder) as source:
        assert source.volume.format == "6 PNG files, one a slice"
    for z, image in enumerate(VOLUME):
        tifffile.imwrite(folder / f"t{z}.tif", image)
    (folder / "overview.tif").unlink()
    with open_source(folder) as source:
        assert source.volume.format == "6 TIFF files, one a slice"
    with open_source(folder / "s_*.png") as source:
        np.testing.assert_array_equal(read_whole(source), BYTES)


def test_the_preview_of_nrecon_is_no_slice(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "scan", BYTES, "bmp")
    shutil.copy(folder / "s_000.bmp", folder / "s__spr.bmp")
    with open_source(folder) as source:
        np.testing.assert_array_equal(read_whole(source), BYTES)


def colours(folder: Path, ending: str, mode: str = "RGB") -> None:
    Image.fromarray(BYTES[3]).convert(mode).save(folder / f"s_003.{ending}")


def palette(folder: Path, ending: str) -> None:
    picture = Image.fromarray(BYTES[3])
    picture.putpalette(GREY_PALETTE[::-1])
    picture.save(folder / f"s_003.{ending}")


def cut(folder: Path, ending: str) -> None:
    path = folder / f"s_003.{ending}"
    path.write_bytes(path.read_bytes()[:-20])


def smaller(folder: Path, ending: str) -> None:
    Image.fromarray(BYTES[3, :9]).save(folder / f"s_003.{ending}")


BAD: dict[str, tuple[Callable[[Path, str], object], str]] = {
    "colours": (colours, "colours"),
    "palette": (palette, "palette"),
    "cut short": (cut, "damaged"),
    "size": (smaller, "9 × 13"),
    "empty": (lambda folder, ending: (folder / f"s_003.{ending}").write_bytes(b""), "empty"),
    "other": (lambda folder, ending: (folder / f"s_003.{ending}").write_bytes(b"hello" * 100), "is not a "),
    "gap": (lambda folder, ending: (folder / f"s_003.{ending}").unlink(), "missing"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("ending", ["png", "bmp", "jp2", "jpg"])
def test_slices_that_do_not_fit_are_named(tmp_path: Path, ending: str, name: str) -> None:
    if name == "palette" and ending in ("jp2", "jpg"):
        ending = "png"  # Pillow writes no palette to these
    folder = write_images(tmp_path / "scan", BYTES, ending)
    make, fact = BAD[name]
    make(folder, ending)
    with pytest.raises(SourceError) as caught:
        open_source(folder)
    assert str(folder) in str(caught.value)
    assert f"s_003.{ending}" in str(caught.value)
    assert fact in str(caught.value)


@pytest.mark.parametrize("ending", ["png", "bmp", "jp2", "jpg"])
def test_a_lone_slice_offers_its_folder(tmp_path: Path, ending: str) -> None:
    folder = write_images(tmp_path / "scan", BYTES, ending)
    with pytest.raises(SingleSliceError) as caught:
        open_source(folder / f"s_002.{ending}")
    assert caught.value.volume == str(folder)


def test_a_depth_that_differs_is_named(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "scan", BYTES, "png")
    Image.fromarray(VOLUME[2]).save(folder / "s_002.png")
    with pytest.raises(SourceError) as caught:
        open_source(folder)
    assert [fact for fact in ("s_002.png", "uint16", "uint8") if fact not in str(caught.value)] == []


def test_a_slice_that_is_damaged_inside(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "scan", VOLUME, "png")
    data = bytearray((folder / "s_004.png").read_bytes())
    middle = len(data) // 2
    data[middle - 5 : middle + 5] = bytes(10)
    (folder / "s_004.png").write_bytes(data)
    with open_source(folder) as source, pytest.raises(SourceError, match=r"Slice 5 of 6 of .*s_004\.png"):
        read_whole(source)


def test_a_slice_that_is_replaced_after_it_was_opened(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "scan", BYTES, "bmp")
    with open_source(folder) as source:
        (folder / "s_001.bmp").write_bytes((folder / "s_001.bmp").read_bytes()[:-20])
        with pytest.raises(SourceError, match="ends early"):
            read_whole(source)
