"""Small TIFFs of every kind, damaged at random: each is read right, or refused in one sentence.

Five thousand of them; a few are converted as well. None may hang, take much memory, or leave an output
that was refused.
"""

from __future__ import annotations

import faulthandler
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import napari_ct_pyramid as ct
from napari_ct_pyramid.model.memory import peak_resident_memory
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.tiffs import pages_of, write_pages
from tests.sources.test_damaged import INTEGERS, SEEDS, VOLUME, written

CASES = 5000
HANG = 120  # seconds until a hang is shown and ended
MUCH = 700_000_000  # bytes; the files have a few thousand
CONVERTED = 25  # one of so many

Make = Callable[[Path], object]
BYTES = INTEGERS.astype("u1")
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


def damaged(sound: bytes, directories: list[tuple[int, int]], rng: np.random.Generator) -> bytes:
    """Some bytes changed, mostly in the directories, where it hurts; now and then cut, doubled or with a hole."""
    data = bytearray(sound)
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


def cases(kind: int, folder: Path, count: int) -> Iterator[bytes]:
    path = folder / "sound.tif"
    KINDS[kind](path)
    with tifffile.TiffFile(path) as tif:
        directories = [(page.offset, page.offset + 350) for page in tif.pages]
    sound, rng = path.read_bytes(), np.random.default_rng(kind)
    for _ in range(count):
        yield damaged(sound, directories, rng)


def as_tifffile_reads(path: Path) -> np.ndarray[Any, Any] | None:
    """The second opinion; None where it has none. It makes the best of much that is refused here, in its own way."""
    try:
        found: np.ndarray[Any, Any] = tifffile.imread(path)
        return found
    except Exception:  # noqa: BLE001  whatever damaged data make of it
        return None


@pytest.mark.filterwarnings("ignore")  # tifffile's and its codecs', about the damage, when asked for a second opinion
@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_damage_is_read_right_or_refused(
    kind: int, in_memory: Path, caplog: pytest.LogCaptureFixture, times: Callable[[int], int]
) -> None:
    faulthandler.dump_traceback_later(HANG, exit=True)
    path = in_memory / "scan.tif"
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    before = peak_resident_memory()
    refusals, compared, count = [], 0, times(-(-CASES // len(KINDS)))
    try:
        for number, data in enumerate(cases(kind, in_memory, count)):
            path.write_bytes(data)
            try:
                with open_source(path) as source:
                    shape, dtype = source.volume.shape, source.volume.dtype
                    found = np.empty(shape, dtype)
                    source.read(0, shape[0], 0, shape[1], found)
            except ct.SourceError as error:
                refusals.append(str(error))
                found = None
            else:
                second = as_tifffile_reads(path)
                if second is not None and second.shape == shape and second.dtype == dtype:
                    compared += 1
                    assert found.tobytes() == np.ascontiguousarray(second).tobytes()
            if number % CONVERTED == 0:
                convert(path, found)
    finally:
        faulthandler.cancel_dump_traceback_later()
        logging.getLogger("tifffile").setLevel(logging.NOTSET)
    assert refusals
    assert all(str(path) in refusal and "\n" not in refusal for refusal in refusals)
    assert compared or count < 100  # of a few, all may be refused
    assert peak_resident_memory() - before < MUCH
    assert not [record for record in caplog.records if record.levelno < logging.CRITICAL and record.name != "tifffile"]


def convert(path: Path, expected: np.ndarray[Any, Any] | None) -> None:
    """A conversion of what was read gives that, and of what was refused leaves nothing that looks whole."""
    output = path.with_name("scan.ome.zarr")
    try:
        ct.convert(path, chunks=(8, 8, 8), num_levels=1, overwrite=True)
    except (ct.SourceError, ct.RequestError):
        assert expected is None
        assert not output.exists()
        return
    except ct.ConversionError:
        assert expected is None  # damage where no sample looked
        assert not (output / ".zattrs").exists()
    else:
        assert expected is not None
        found = ct.open_pyramid(output).levels[0].array[...]
        assert np.asarray(found).tobytes() == expected.tobytes()
    shutil.rmtree(output)
