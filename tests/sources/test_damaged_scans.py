"""Damaged files of scanners and cameras: each is one clear error, or a volume of the shape that its header states."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.compound import write_txm
from tests.helpers.dicoms import write_frames, write_series
from tests.helpers.scanco import write_aim, write_isq
from tests.helpers.sources import read_whole
from tests.helpers.tiffs import coordinates

pytestmark = pytest.mark.once

VOLUME = coordinates((4, 9, 7), "uint16")
LARGEST = 10**8  # bytes: a header that states more voxels than its file can have must not be believed


def images(ending: str, volume: np.ndarray) -> Callable[[Path], tuple[Path, Path]]:
    def write(folder: Path) -> tuple[Path, Path]:
        for z, image in enumerate(volume):
            Image.fromarray(image).save(folder / f"{z}.{ending}")
        return folder, folder / f"2.{ending}"

    return write


def one(write: Callable[[Path], Path]) -> Callable[[Path], tuple[Path, Path]]:
    def write_one(folder: Path) -> tuple[Path, Path]:
        path = write(folder / "scan")
        return path, path

    return write_one


def series(syntax: str) -> Callable[[Path], tuple[Path, Path]]:
    def write(folder: Path) -> tuple[Path, Path]:
        write_series(folder, VOLUME, syntax)
        return folder, folder / "IM0001.dcm"

    return write


KINDS: dict[str, Callable[[Path], tuple[Path, Path]]] = {
    # each writes a source in a folder: the source, and the file of it to damage
    "PNG": images("png", VOLUME),
    "BMP": images("bmp", VOLUME.astype("u1")),
    "JPEG": images("jpg", VOLUME.astype("u1")),
    "JPEG 2000": images("jp2", VOLUME),
    "DICOM": series("explicit"),
    "DICOM, implicit": series("implicit"),
    "DICOM, RLE": series("RLE"),
    "DICOM, JPEG-LS": series("JPEG-LS"),
    "DICOM, frames": one(lambda path: write_frames(path, VOLUME)),
    "DICOM, compressed frames": one(lambda path: write_frames(path, VOLUME, "JPEG 2000")),
    "Zeiss": one(lambda path: write_txm(path, VOLUME)),
    "Zeiss, large": one(lambda path: write_txm(path, coordinates((3, 50, 45), "uint16"), seed=1)),
    "ISQ": one(lambda path: write_isq(path, VOLUME.astype("i2"), density=(1, 2, "mg"))),
    "AIM 020": one(lambda path: write_aim(path, VOLUME, log={"Mu_Scaling": 8192})),
    "AIM 030": one(lambda path: write_aim(path, VOLUME, "030")),
}


def damage(correct: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, mostly in the header, or the file cut."""
    data = bytearray(correct)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(len(data) if rng.random() < 0.3 else min(len(data), 1024)))
        if rng.random() < 0.5:
            data[at] ^= 1 << int(rng.integers(8))
        else:
            size = int(rng.choice([1, 2, 4, 8]))
            value = int(rng.choice([0, 1, 127, 255, 2**31 - 1, 2 ** (8 * size) - 1])) % 2 ** (8 * size)
            data[at : at + size] = value.to_bytes(size, "little")
    if rng.random() < 0.15:
        del data[int(rng.integers(len(data))) :]
    return bytes(data)


@pytest.mark.parametrize("name", KINDS)
def test_damage_is_one_clear_error(tmp_path: Path, name: str, times: Callable[[int], int]) -> None:
    source, path = KINDS[name](tmp_path)
    correct = path.read_bytes()
    rng = np.random.default_rng(sorted(KINDS).index(name))
    errors: list[str] = []
    for _ in range(times(30)):
        path.write_bytes(damage(correct, rng))
        try:
            with open_source(source) as opened:
                assert opened.volume.nbytes < LARGEST
                read_whole(opened)
        except SourceError as error:
            errors.append(str(error))
    assert errors
    assert [error for error in errors if str(tmp_path) not in error or "\n" in error] == []
    assert [error for error in errors if not error.endswith((".", "?", "'"))] == []
