"""The histogram and the display window of an output, the same however it was made."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.conversion.receipt import read_receipt
from napari_ct_pyramid.model import histogram
from tests.helpers.scans import OPTIONS, small_blocks, write_scan

SHAPE = (46, 32, 32)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    monkeypatch.setattr(histogram, "COUNTED_WHOLE", 0)  # small volumes are sampled like large ones


@pytest.fixture
def counted_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small volumes are counted whole, as they are outside of these tests."""
    monkeypatch.setattr(histogram, "COUNTED_WHOLE", 2_000_000)


def volume(dtype: str) -> np.ndarray:
    rng = np.random.default_rng(4)
    if dtype == "f4":
        found = rng.normal(0.5, 0.1, SHAPE).astype("f4")
        found[3, 4, 5:9] = np.nan, np.inf, -np.inf, 7
        return found
    return rng.integers(0, 250, SHAPE).astype(dtype)


def facts(output: Any) -> tuple[Any, ...]:
    receipt = read_receipt(output)
    assert receipt is not None
    return receipt["histogram"], receipt["window"], ct.open_pyramid(output).window


@pytest.mark.usefixtures("counted_whole")
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2"])
def test_the_histogram_of_8_and_16_bits_is_that_of_numpy(tmp_path: Path, dtype: str) -> None:
    voxels = volume(dtype)
    receipt = ct.convert(write_scan(tmp_path, voxels), **OPTIONS, edges="pad")
    found = receipt.histogram
    assert found
    assert found["exact"] is True
    np.testing.assert_array_equal(found["counts"], np.histogram(voxels, found["edges"])[0])
    assert receipt.window == tuple(np.quantile(voxels, (0.001, 0.999), method="lower"))


def test_the_histogram_of_floats_is_that_of_a_sample_of_at_least_a_sixteenth(tmp_path: Path) -> None:
    voxels = volume("f4")
    receipt = ct.convert(write_scan(tmp_path, voxels), **OPTIONS)
    found = receipt.histogram
    assert found
    assert found["exact"] is False
    share = sum(found["counts"]) / voxels.size
    assert 1 / 16 < share < 1 / 10
    assert (found["edges"][0], found["edges"][-1]) == (receipt.minimum, receipt.maximum)
    finite = voxels[np.isfinite(voxels)]
    for limit in (0.3, 0.45, 0.5, 0.6, 0.7):
        at = np.searchsorted(found["edges"], limit)
        below = sum(found["counts"][:at]) / sum(found["counts"])
        assert below == pytest.approx(np.mean(finite < limit), abs=0.03)


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_it_is_the_same_however_the_blocks_are_made(tmp_path: Path, dtype: str) -> None:
    scan = write_scan(tmp_path, volume(dtype))
    expected = facts(ct.convert(scan, **OPTIONS).output)
    assert expected[0] is not None
    for threads in (1, 3):
        asked = {**OPTIONS, "threads": threads}
        assert facts(ct.convert(scan, tmp_path / f"{threads}.zarr", **asked).output) == expected
    with closing(ct.iter_convert(scan, tmp_path / "resumed.zarr", **OPTIONS)) as steps:
        for step in steps:
            if step.blocks_done >= 2:
                break
    resumed = ct.convert(scan, tmp_path / "resumed.zarr", **OPTIONS)
    assert facts(resumed.output) == expected


def test_other_blocks_make_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = write_scan(tmp_path, volume("f4"))
    expected = facts(ct.convert(scan, **OPTIONS).output)
    monkeypatch.setattr("napari_ct_pyramid.model.blocks.BLOCK_BYTES", 10**9)
    assert facts(ct.convert(scan, tmp_path / "b.zarr", **OPTIONS).output) == expected


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_a_repair_makes_the_same(tmp_path: Path, dtype: str) -> None:
    scan = write_scan(tmp_path, volume(dtype))
    output = Path(ct.convert(scan, **OPTIONS).output)
    expected = facts(output)
    next(path for path in output.rglob("*") if path.name == "0" and path.is_file()).unlink()
    assert ct.verify(output, scan, repair=True).repaired
    assert facts(output) == expected


@pytest.mark.usefixtures("counted_whole")
def test_padding_is_not_counted(tmp_path: Path) -> None:
    voxels = volume("u2")[:, :31, :29] + 500
    receipt = ct.convert(write_scan(tmp_path, voxels), **OPTIONS, edges="pad")
    assert receipt.histogram
    assert sum(receipt.histogram["counts"]) == voxels.size
    assert receipt.histogram["edges"][0] == 500


@pytest.mark.usefixtures("counted_whole")
def test_of_rescaled_voxels_it_is_in_stored_values_without_those_that_are_not_finite(tmp_path: Path) -> None:
    voxels = volume("f4")
    receipt = ct.convert(write_scan(tmp_path, voxels), **OPTIONS, dtype="uint8", window=(0, 1))
    stored = np.rint(np.clip(voxels[np.isfinite(voxels)].astype("f8"), 0, 1) * 255)
    assert receipt.histogram
    np.testing.assert_array_equal(receipt.histogram["counts"], np.histogram(stored, receipt.histogram["edges"])[0])
    assert receipt.histogram["exact"]
    assert receipt.window == tuple(np.quantile(stored, (0.001, 0.999), method="lower"))


@pytest.mark.parametrize("offset", [0, 5, 13, 21])
@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_a_small_structure_is_in_the_window_wherever_it_lies(tmp_path: Path, dtype: str, offset: int) -> None:
    """A cube of a chunk fraction: the fault of a sample with a period."""
    voxels = np.random.default_rng(offset).integers(90, 110, SHAPE).astype(dtype)
    voxels[offset : offset + 9, offset : offset + 9, offset : offset + 9] = 5000
    receipt = ct.convert(write_scan(tmp_path, voxels), **OPTIONS)
    assert receipt.window[0] < 110
    assert receipt.window[1] > 4900


@pytest.mark.parametrize("value", [0, 1234])
def test_a_constant_volume_has_a_window(tmp_path: Path, value: int) -> None:
    receipt = ct.convert(write_scan(tmp_path, np.full(SHAPE, value, "f4")), **OPTIONS)
    assert receipt.window == (value, value + 1)
