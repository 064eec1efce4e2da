"""Small TIFFs of every kind, damaged at random: each is read correctly, or is an error of one sentence.

A thousand of them; a few are converted as well. None may hang, take much memory, or leave an output
after an error.
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
from tests.helpers.damage import KINDS, SEEDS, damaged

pytestmark = pytest.mark.once

CASES = 1000
HANG = 120  # seconds for one file, until a hang is shown and ended
MUCH = 700_000_000  # bytes; the files have a few thousand
CONVERTED = 25  # one of so many


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_random_damage_is_an_error_or_a_volume(
    tmp_path: Path, seed: int, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Mostly in the directories. There is no other exception, and nothing is printed or logged."""
    path = tmp_path / "damaged.tif"
    SEEDS[seed](path)
    correct = path.read_bytes()
    with tifffile.TiffFile(path) as tif:
        directories = [(page.offset, page.offset + 350) for page in tif.pages]
    rng = np.random.default_rng(seed)
    errors: list[str] = []
    for _ in range(40):
        data = bytearray(correct)
        for _ in range(rng.integers(1, 4)):
            low, high = (0, len(data)) if rng.random() < 0.2 else directories[rng.integers(len(directories))]
            at = int(rng.integers(low, min(high, len(data))))
            data[at] = int(rng.integers(256)) if rng.random() < 0.5 else data[at] ^ (1 << int(rng.integers(8)))
        if rng.random() < 0.15:
            del data[int(rng.integers(len(data))) :]
        path.write_bytes(data)
        try:
            with caplog.at_level(logging.DEBUG), open_source(path) as source:
                z, y, x = source.volume.shape
                if source.volume.nbytes < 2**24:
                    source.read(0, z, 0, y, np.empty((z, y, x), source.volume.dtype))
        except ct.SourceError as error:
            errors.append(str(error))
    assert errors  # or the damage did none
    assert all(str(path) in error for error in errors)
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def cases(kind: int, folder: Path, count: int) -> Iterator[bytes]:
    path = folder / "undamaged.tif"
    KINDS[kind](path)
    with tifffile.TiffFile(path) as tif:
        directories = [(page.offset, page.offset + 350) for page in tif.pages]
    correct, rng = path.read_bytes(), np.random.default_rng(kind)
    for _ in range(count):
        yield damaged(correct, directories, rng)


def as_tifffile_reads(path: Path) -> np.ndarray[Any, Any] | None:
    """What tifffile reads; None if it cannot. It also reads much that is an error here."""
    try:
        found: np.ndarray[Any, Any] = tifffile.imread(path)
        return found
    except Exception:  # noqa: BLE001  whatever damaged data make of it
        return None


@pytest.mark.filterwarnings("ignore")  # tifffile and its codecs warn of the damage
@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_damage_is_read_correctly_or_an_error(
    kind: int, tmp_path: Path, caplog: pytest.LogCaptureFixture, times: Callable[[int], int]
) -> None:
    path = tmp_path / "scan.tif"
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    before = peak_resident_memory()
    errors, compared, count = [], 0, times(-(-CASES // len(KINDS)))
    try:
        for number, data in enumerate(cases(kind, tmp_path, count)):
            faulthandler.dump_traceback_later(HANG, exit=True)  # in place of that for the file before
            path.write_bytes(data)
            try:
                with open_source(path) as source:
                    shape, dtype = source.volume.shape, source.volume.dtype
                    found = np.empty(shape, dtype)
                    source.read(0, shape[0], 0, shape[1], found)
            except ct.SourceError as error:
                errors.append(str(error))
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
    assert errors
    assert all(str(path) in error and "\n" not in error for error in errors)
    assert compared
    assert peak_resident_memory() - before < MUCH
    assert not [record for record in caplog.records if record.levelno < logging.CRITICAL and record.name != "tifffile"]


def convert(path: Path, expected: np.ndarray[Any, Any] | None) -> None:
    """A conversion gives what was read; after an error, it leaves nothing that looks complete."""
    output = path.with_name("scan.ome.zarr")
    try:
        ct.convert(path, chunks=(8, 8, 8), num_levels=1, overwrite=True)
    except (ct.SourceError, ct.RequestError):
        assert expected is None
        assert not output.exists()
        return
    except ct.ConversionError:
        assert expected is None  # damage that no sample of the plan has read
        assert not (output / ".zattrs").exists()
    else:
        assert expected is not None
        found = ct.open_pyramid(output).levels[0].array[...]
        assert np.asarray(found).tobytes() == expected.tobytes()
    shutil.rmtree(output)
