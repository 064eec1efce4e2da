"""Voxels that are stored in a smaller type: each is the nearest that can be stored, and says what it was."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

import napari_ct_pyramid as ct
from napari_ct_pyramid.cli import main as cli
from napari_ct_pyramid.conversion.receipt import read_receipt
from napari_ct_pyramid.errors import Advice
from napari_ct_pyramid.model.intensity import automatic_window
from napari_ct_pyramid.omezarr.journal import Journal
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.sources.sampling import spread_rows
from tests.helpers.greys import check_nearest
from tests.helpers.pyramids import check, is_intact, pyramid_of, scales_of
from tests.helpers.scans import pyramid_files, small_blocks, write_scan

OPTIONS: dict[str, Any] = {"chunks": (5, 8, 12), "num_levels": 3, "threads": 2}
GREYS = np.random.default_rng(4).normal(0.5, 1, (21, 40, 48))
ODD = GREYS[:, :37, :45].astype("f4")


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)


def with_odd_ones(voxels: np.ndarray) -> np.ndarray:
    voxels = voxels.copy()
    voxels[3, 4:6, 7:9] = np.nan
    voxels[20, 39, :2] = np.inf, -np.inf
    return voxels


def beyond(voxels: np.ndarray, low: float, high: float) -> int:
    return int(np.count_nonzero((voxels < low) | (voxels > high)))


CASES: dict[str, tuple[np.ndarray, str, Any, dict[str, Any]]] = {
    "float32, automatic": (GREYS.astype("f4"), "uint8", "auto", {}),
    "float32, asked": (GREYS.astype("f4"), "uint16", (-0.5, 2), {"ome_zarr_version": "0.5", "shards": (10, 16, 24)}),
    "float64, not finite": (with_odd_ones(GREYS), "uint8", (-0.25, 1.5), {}),
    "float64, not finite, automatic": (with_odd_ones(GREYS), "uint16", None, {"ome_zarr_version": "0.5"}),
    "float16": (GREYS.astype("f2"), "uint8", (-1, 1), {"method": "max"}),
    "int16": ((GREYS * 900).astype("i2"), "uint8", (-1000, 1550), {"downsample": "1 2 2"}),
    "uint16, wider than its values": ((GREYS * 900).astype("i2").view("u2"), "uint8", (-100, 1e5), {}),
    "int32, automatic": ((GREYS * 1e8).astype("i4"), "uint16", "auto", {"method": "mode"}),
    "odd shape": (ODD, "uint8", (-2, 2), {"edges": "pad"}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_receipt_and_metadata_state_how_voxels_were_rescaled(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    voxels, dtype, window, options = CASES[name]
    source = write_scan(tmp_path, voxels)
    receipt = ct.convert(source, **OPTIONS, **options, dtype=dtype, window=window)
    output = receipt.output
    finite = voxels[np.isfinite(voxels)].astype("f8")
    if isinstance(window, tuple):
        low, high = map(float, window)
    else:
        low, high = np.percentile(finite, (0.1, 99.9))
        if voxels.dtype.kind == "i":
            low, high = math.floor(low), math.ceil(high)

    stored = zarr.open_group(output, mode="r")["0"][: voxels.shape[0], : voxels.shape[1], : voxels.shape[2]]
    assert stored.dtype == dtype
    check_nearest(stored, voxels, low, high)
    steps = [(1, 2, 2) if "downsample" in options else (2, 2, 2)] * 2
    check(output, pyramid_of(stored, steps, options.get("method", "mean")))

    clipped = beyond(voxels, low, high)
    told = receipt.rescaled
    assert told is not None
    assert (told.clipped, told.clipped_share) == (clipped, clipped / voxels.size)
    assert (told.minimum, told.maximum) == (finite.min(), finite.max())
    assert (receipt.nans, receipt.infinities) == (np.isnan(voxels).sum(), np.isinf(voxels).sum())
    shown = [stored[np.isfinite(voxels)].min(), stored[np.isfinite(voxels)].max()]
    assert [receipt.minimum, receipt.maximum] == shown
    assert json.loads(json.dumps(read_receipt(output)))["rescaled"] == told.to_json()  # type: ignore[index]

    kept = ct.open_pyramid(output).rescale
    assert kept is not None
    assert (kept.low, kept.high, kept.source_dtype) == (low, high, voxels.dtype)
    metadata = json.loads((output / ("zarr.json" if "ome_zarr_version" in options else ".zattrs")).read_text())
    image = metadata["attributes"]["ome"] if "attributes" in metadata else metadata
    slope = (high - low) / np.iinfo(dtype).max
    assert image["multiscales"][0]["metadata"]["rescale"] == {
        "source_dtype": voxels.dtype.name, "window": [low, high], "slope": slope, "intercept": low,
    }  # fmt: skip
    assert [image["omero"]["channels"][0]["window"][end] for end in ("min", "max")] == shown
    if "ome_zarr_version" not in options:
        scales_of(output)  # strict validators agree
    assert is_intact(output, source)
    assert cli.main(["info", str(output)]) == 0
    said = capsys.readouterr().out
    assert f"were {voxels.dtype} in a window of {low:g} to {high:g}; grey = stored × {slope:g}" in said
    assert f", {clipped:,} voxel" in said.partition("Clipped  ")[2]


def test_an_automatic_window_is_the_same_every_time_and_may_be_named(tmp_path: Path) -> None:
    """An interrupted conversion resumes, with an automatic or a named window, and makes the same bytes."""
    source = write_scan(tmp_path, GREYS.astype("f4"))
    output = ct.convert(source, **OPTIONS, dtype="uint8").output
    whole = pyramid_files(output)
    window = ct.open_pyramid(output).rescale
    assert window is not None
    for again in ("auto", (window.low, window.high)):
        shutil.rmtree(output)
        interrupt(source, dtype="uint8")
        plan = ct.plan(source, **OPTIONS, dtype="uint8", window=again)
        assert 0 < plan.blocks_done < plan.blocks
        clipped = ct.convert(source, **OPTIONS, dtype="uint8", window=again).rescaled
        assert pyramid_files(output) == whole
        assert clipped is not None
        assert clipped.clipped == beyond(GREYS.astype("f4"), window.low, window.high)


def interrupt(source: Path, **options: Any) -> None:
    append, done = Journal.append, []

    def then_stop(self: Journal, *args: Any) -> None:
        append(self, *args)
        done.append(args)
        if len(done) == 3:
            raise OSError(5, "stopped by the test")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "append", then_stop)
        with pytest.raises(ct.ConversionError, match="stopped by the test"):
            ct.convert(source, **OPTIONS, **options)


def test_another_window_is_another_conversion(tmp_path: Path) -> None:
    source = write_scan(tmp_path, GREYS.astype("f4"))
    interrupt(source, dtype="uint8", window=(-1, 2))
    with pytest.raises(ct.OutputExistsError, match=r"the window \(was -1 to 2, is 0 to 2\)") as caught:
        ct.plan(source, **OPTIONS, dtype="uint8", window=(0, 2))
    assert caught.value.options == {"window": [-1, 2]}
    with pytest.raises(ct.OutputExistsError, match="was uint8, is uint16"):
        ct.plan(source, **OPTIONS, dtype="uint16", window=(-1, 2))
    with pytest.raises(ct.OutputExistsError, match="was uint8, is none") as caught:
        ct.plan(source, **OPTIONS)
    assert caught.value.options == {"dtype": "uint8", "window": [-1, 2]}
    assert ct.plan(source, **OPTIONS, **caught.value.options).blocks_done


def test_damage_is_found_by_the_source_and_repaired(tmp_path: Path) -> None:
    source = write_scan(tmp_path, GREYS.astype("f4"))
    output = ct.convert(source, **OPTIONS, dtype="uint8").output
    whole = pyramid_files(output)
    (output / "0" / "1" / "2" / "3").unlink()
    found = ct.verify(output, source, repair=True)
    assert [(p.level, p.chunk) for p in found.problems] == [(0, (1, 2, 3))]
    assert pyramid_files(output) == whole
    other = GREYS.astype("f4")
    other[7] += 0.5
    (tmp_path / "other").mkdir()
    found = ct.verify(output, write_scan(tmp_path / "other", other))
    finest = {(p.chunk[0], p.what) for p in found.problems if p.chunk and p.level == 0}
    assert finest == {(1, "it differs from the source")}


@pytest.mark.parametrize("value", [0.1, -3e5, 1e30])
def test_a_volume_of_one_value_keeps_it(tmp_path: Path, value: float) -> None:
    source = write_scan(tmp_path, np.full((4, 8, 8), value, "f4"))
    receipt = ct.convert(source, chunks=(4, 8, 8), dtype="uint8")
    pyramid = ct.open_pyramid(receipt.output)
    assert pyramid.rescale is not None
    assert pyramid.levels[0].array[1, 2, 3] * pyramid.rescale.slope + pyramid.rescale.intercept == np.float32(value)
    assert receipt.rescaled is not None
    assert receipt.rescaled.clipped == 0


def test_a_volume_of_nan_only(tmp_path: Path) -> None:
    receipt = ct.convert(write_scan(tmp_path, np.full((4, 8, 8), np.nan)), chunks=(4, 8, 8), dtype="uint16")
    assert (receipt.nans, receipt.minimum, receipt.maximum) == (256, 0, 0)
    assert not np.asarray(ct.open_pyramid(receipt.output).levels[0].array).any()
    assert receipt.rescaled is not None
    assert receipt.rescaled.to_json()["minimum"] is None


def test_the_rescaling_is_kept_by_later_conversions(tmp_path: Path) -> None:
    """From one OME-Zarr to another with other chunks, and to fewer bits still."""
    source = write_scan(tmp_path, GREYS.astype("f4"))
    first = ct.convert(source, tmp_path / "a.zarr", **OPTIONS, dtype="uint16", window=(-1, 3)).output
    second = ct.convert(first, tmp_path / "b.zarr", chunks=(8, 8, 8), num_levels=1)
    third = ct.convert(first, tmp_path / "c.zarr", chunks=(8, 8, 8), num_levels=1, dtype="uint8", window=(0, 32767))
    again, less = (ct.open_pyramid(receipt.output) for receipt in (second, third))
    assert again.rescale == ct.open_pyramid(first).rescale
    assert less.rescale is not None
    assert (less.rescale.source_dtype, less.rescale.low) == (np.dtype("f4"), -1)
    greys = np.asarray(less.levels[0].array) * less.rescale.slope + less.rescale.intercept
    inside = (GREYS > -1) & (GREYS < 0.999)
    assert np.abs(greys - GREYS)[inside].max() < less.rescale.slope * 0.51
    assert second.rescaled is None
    assert ct.verify(third.output, first).sound


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_large_volume_is_sampled_all_over(tmp_path: Path, compression: str | None) -> None:
    """A gradient along every axis: its percentiles are found without reading most of it."""
    z, y, x = np.ogrid[:40, :400, :300]
    voxels = (z / 40 + y / 400 + x / 300).astype("f4")
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, voxels, photometric="minisblack", compression=compression, rowsperstrip=400)
    with open_source(path) as source:
        sample = spread_rows(source)
        assert sample.nbytes < voxels.nbytes / 4
        np.testing.assert_array_equal(sample, spread_rows(source))
    np.testing.assert_allclose(automatic_window(sample), np.percentile(voxels, (0.1, 99.9)), atol=0.08)


def test_the_plan_states_the_rescaling_and_the_stored_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(write_scan(tmp_path, GREYS.astype("f4")))
    ask = ["convert", source, "-c", "5", "8", "12", "-l", "3", "--dry-run"]
    assert cli.main([*ask, "--dtype", "uint8", "--window", "-0.5", "2"]) == 0
    said = capsys.readouterr().out
    assert "Values       float32 as uint8, window -0.5 to 2; grey = stored × 0.00980392 - 0.5" in said
    assert cli.main(["convert", "--dtype", "uint8", "--window", "-1e-3", ".5", *ask[1:], "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["dtype"], told["rescale"]["window"]) == ("uint8", [-0.001, 0.5])
    assert told["levels"][0]["bytes"] == 24 * 40 * 48
    assert cli.main([*ask, "--dtype", "uint16", "--window", "auto"]) == 0
    assert "(automatic); grey" in capsys.readouterr().out
    plans = [ct.plan(source, **OPTIONS, dtype=dtype) for dtype in (None, np.uint16, np.dtype("u1"))]
    assert [plan.levels[0].nbytes for plan in plans] == [4 * 24 * 40 * 48, 2 * 24 * 40 * 48, 24 * 40 * 48]
    cells = [dict(plan.memory)["cells of the levels"] for plan in plans]
    assert cells[0] == 2 * cells[1] == 4 * cells[2]


@pytest.mark.parametrize(
    ("dtype", "asked", "advice"),
    [
        ("f4", {"window": (0, 1)}, "dtype"),
        ("f4", {"dtype": "float16"}, None),
        ("f4", {"dtype": "uint8", "window": "1 1"}, None),
        ("f4", {"dtype": "uint8", "window": "2 -1"}, None),
        ("f4", {"dtype": "uint8", "window": "1"}, None),
        ("f4", {"dtype": "uint8", "window": "1 2 3"}, None),
        ("f4", {"dtype": "uint8", "window": "0 inf"}, None),
        ("f4", {"dtype": "uint8", "window": "0 5e-324"}, "window"),
        ("f4", {"dtype": "uint8", "window": "-1e308 1e308"}, "window"),
        ("u1", {"dtype": "uint16"}, "dtype"),
        ("i1", {"dtype": "uint16"}, "dtype"),
        ("i2", {"dtype": "uint16", "window": "0 1"}, "dtype"),
    ],
)
def test_a_type_or_window_that_makes_no_sense_is_refused_before_anything_is_written(
    tmp_path: Path, dtype: str, asked: dict[str, Any], advice: str | None
) -> None:
    source = write_scan(tmp_path, np.ones((4, 8, 8), dtype))
    with pytest.raises(ct.RequestError) as caught:
        ct.convert(source, chunks=(4, 8, 8), **asked)
    named = {part.name for part in caught.value.message.parts if isinstance(part, Advice)}
    assert named == ({advice} if advice else set())
    assert not (tmp_path / "scan.ome.zarr").exists()
