"""Samples of a source: which rows they have, since the bytes of some identify a source in the journal."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
import pytest

from napari_ct_pyramid.model.intensity import automatic_window
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.sources.sampling import a_few_rows, spread_rows

SHAPE = (40, 300, 500)
CRC = 3775006213  # by the version that wrote the first journals


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sampling") / "scan.npy"
    np.save(path, np.arange(math.prod(SHAPE), dtype="u4").reshape(SHAPE))
    return path


def test_a_few_rows_never_change(path: Path) -> None:
    """An output of an earlier version resumes only if these bytes are the same."""
    with open_source(path) as source:
        rows = a_few_rows(source)
    starts = [(0, 0), (5, 6), (11, 12), (16, 18), (22, 25), (27, 31), (33, 37), (39, 43)]
    volume = np.load(path)
    np.testing.assert_array_equal(rows, np.stack([volume[z, y : y + 250] for z, y in starts]))
    assert zlib.crc32(rows.tobytes()) == CRC


def test_spread_rows_are_from_all_slices_and_all_heights(path: Path) -> None:
    with open_source(path) as source:
        rows = spread_rows(source)
    first = rows[:, 0, 0]
    z, y = first // (SHAPE[1] * SHAPE[2]), first // SHAPE[2] % SHAPE[1]
    assert set(z.tolist()) == set(range(SHAPE[0]))
    assert np.diff(np.sort(y)).max() < 10
    assert rows.nbytes <= 4_000_000


def test_a_small_volume_is_its_own_sample(tmp_path: Path) -> None:
    volume = np.arange(6 * 5 * 4, dtype="u2").reshape(6, 5, 4)
    np.save(tmp_path / "a.npy", volume)
    with open_source(tmp_path / "a.npy") as source:
        np.testing.assert_array_equal(spread_rows(source), volume)


@pytest.mark.parametrize("shape", [(1, 3, 4), (2, 1, 1), (9, 5, 4)])
def test_a_few_rows_of_a_small_volume(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    volume = np.arange(math.prod(shape), dtype="u2").reshape(shape)
    np.save(tmp_path / "a.npy", volume)
    with open_source(tmp_path / "a.npy") as source:
        rows = a_few_rows(source)
    slices = sorted({(shape[0] - 1) * i // 7 for i in range(8)})
    np.testing.assert_array_equal(rows, volume[slices])


@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize("offset", range(0, 121, 11))
def test_a_cube_is_in_the_automatic_window_wherever_it_lies(tmp_path: Path, dtype: str, offset: int) -> None:
    volume = np.random.default_rng(3).integers(10, 20, (160, 200, 240)).astype(dtype)
    volume[offset : offset + 32, offset : offset + 32, offset : offset + 32] += 100
    np.save(tmp_path / "scan.npy", volume)
    with open_source(tmp_path / "scan.npy") as source:
        low, high = automatic_window(spread_rows(source))
    assert 10 <= low < 11
    assert high > 105


@pytest.mark.parametrize("axis", [0, 1])
def test_sheets_have_their_share_of_spread_rows(tmp_path: Path, axis: int) -> None:
    for period in (2, 4, 16):
        for offset in range(0, period, period // 2):
            places = np.arange(256).reshape(-1, 1, 1) if axis == 0 else np.arange(256).reshape(1, -1, 1)
            volume = np.broadcast_to(places % period == offset, (256, 256, 65)).astype("u1")
            np.save(tmp_path / "scan.npy", volume)
            with open_source(tmp_path / "scan.npy") as source:
                assert spread_rows(source).mean() == pytest.approx(1 / period, rel=0.35)
