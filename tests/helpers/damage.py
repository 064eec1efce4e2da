"""Small TIFFs of many kinds, and ways to damage them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py  # noqa: F401  it logs when it is first imported, which `error_of` would take for a log of ours
import numpy as np
import pytest
import tifffile

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.tiffs import coordinates, pages_of, write_pages

VOLUME = coordinates((8, 24, 20))
INTEGERS = coordinates((8, 24, 20), "uint16")
BYTES = INTEGERS.astype("u1")
Make = Callable[[Path], object]


def written(volume: Any, **options: Any) -> Make:
    return lambda path: tifffile.imwrite(path, volume, **options)


def content(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


def cut(make: Make, keep: Callable[[int], int]) -> Make:
    """Only the beginning of a file."""

    def make_cut(path: Path) -> None:
        make(path)
        os.truncate(path, keep(path.stat().st_size))

    return make_cut


def patched(make: Make, patch: Callable[[bytearray], None]) -> Make:
    """A file with some bytes changed."""

    def make_patched(path: Path) -> None:
        make(path)
        data = bytearray(path.read_bytes())
        patch(data)
        path.write_bytes(data)

    return make_patched


SEEDS: list[Make] = [
    lambda path: write_pages(path, pages_of(VOLUME, 5, gap=2)),
    lambda path: write_pages(path, pages_of(INTEGERS), big=False, order=">", directory_first=True),
    written(VOLUME, compression="zlib", rowsperstrip=7, predictor=True),
    written(INTEGERS, tile=(16, 16), compression="lzw"),
    written(VOLUME, imagej=True, resolution=(2, 2), metadata={"axes": "ZYX", "unit": "um", "spacing": 2}),
    written(INTEGERS, ome=True, metadata={"axes": "ZYX"}, compression="packbits"),
    written(VOLUME, volumetric=True, tile=(4, 16, 16), compression="zlib"),
]


KINDS: list[Make] = [
    *SEEDS,
    lambda path: write_pages(path, pages_of(INTEGERS, 7, gap=3), order=">", backwards=True),
    lambda path: write_pages(path, pages_of(VOLUME), big=False),
    written(VOLUME, bigtiff=True, photometric="minisblack"),
    written(INTEGERS, contiguous=True, metadata=None),
    written(BYTES, compression="zstd", rowsperstrip=5, metadata=None),
    written(BYTES, compression="jpeg", tile=(16, 16), metadata=None),
    written(INTEGERS, compression="lzma", predictor=True, byteorder=">"),
    written(VOLUME, compression="zlib", predictor=3, tile=(16, 32), metadata=None),
    written(VOLUME.astype("float64"), ome=True, metadata={"axes": "ZYX"}),
    written((VOLUME % 2048).astype("float16"), metadata=None),
    written(INTEGERS.astype("int16"), imagej=True, metadata={"axes": "ZYX"}),
    written(BYTES, compression="packbits", subfiletype=0, metadata=None),
    written(INTEGERS, volumetric=True, tile=(8, 16, 16)),
]


def damaged(correct: bytes, directories: list[tuple[int, int]], rng: np.random.Generator) -> bytes:
    """A file with some bytes changed, mostly in the directories; sometimes cut, or with bytes inserted."""
    data = bytearray(correct)
    for _ in range(rng.integers(1, 5)):
        low, high = (0, len(data)) if rng.random() < 0.25 else directories[rng.integers(len(directories))]
        at = int(rng.integers(low, max(low + 1, min(high, len(data)))))
        what = rng.random()
        if what < 0.4:
            data[at] ^= 1 << int(rng.integers(8))
        elif what < 0.8:
            data[at] = int(rng.choice([0, 1, 2, 127, 128, 254, 255, int(rng.integers(256))]))
        else:
            size = int(rng.choice([2, 4, 8]))
            data[at : at + size] = int(rng.choice([0, 1, 2**31, 2 ** (8 * size - 1) - 1])).to_bytes(8, "little")[:size]
    if rng.random() < 0.1:
        del data[int(rng.integers(len(data))) :]
    if rng.random() < 0.03:
        at = int(rng.integers(len(data) or 1))
        data[at:at] = bytes(int(rng.integers(1, 64)))
    return bytes(data)


def error_of(path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> str:
    """The message of the error, which must be about this file. Nothing else may be printed or logged."""
    with caplog.at_level(logging.DEBUG), pytest.raises(SourceError) as caught:
        open_source(path)
    message = str(caught.value)
    assert str(path) in message
    assert message.endswith((".", "?"))
    assert "\n" not in message
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
    return message
