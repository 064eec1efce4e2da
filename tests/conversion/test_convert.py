"""The whole conversion against a slow oracle, real validators, and spies on what is read and written."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ome_zarr_models
import pytest
import tensorstore
import yaozarrs
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import downscale_local_mean

import napari_ct_pyramid as ct
from napari_ct_pyramid.omezarr.kind import is_unfinished
from napari_ct_pyramid.omezarr.writer import OmeZarrWriter
from napari_ct_pyramid.sources.base import Source
from tests.helpers.scans import pyramid_files, write_tiff
from tests.helpers.tiffs import coordinates


def smallest_budget(source: Path, **options: Any) -> int:
    """The smallest that works, and some more, since this process may still grow a little."""
    with pytest.raises(ct.BudgetError) as caught:
        ct.plan(source, **options, max_memory=1)
    return caught.value.smallest + 50_000_000


def oracle(volume: np.ndarray, levels: int) -> list[np.ndarray]:
    """All levels, the slow way: scikit-image on the whole of each."""
    padding = -volume.shape[0] % 2 ** (levels - 1)
    pyramid = [np.pad(volume, ((0, padding), (0, 0), (0, 0)))]
    for _ in range(levels - 1):
        mean = downscale_local_mean(pyramid[-1].astype("f8"), (2, 2, 2))
        pyramid.append((mean if volume.dtype.kind == "f" else np.rint(mean)).astype(volume.dtype))
    return pyramid


def check(output: Path, volume: np.ndarray, levels: int) -> None:
    group = zarr.open_group(output, mode="r")
    for k, expected in enumerate(oracle(volume, levels)):
        found = group[str(k)][:]
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        if k == 0 or volume.dtype.kind != "f":
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_allclose(found, expected, rtol=2e-6 * k, atol=1e-6 * k * np.abs(expected).max())


@settings(max_examples=settings().max_examples * 3 // 20)  # each converts a volume
@given(
    depth=st.integers(2, 40),
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    levels=st.integers(1, 4),
    chunks=st.tuples(st.integers(1, 20), st.integers(1, 24), st.integers(1, 40)),
    dtype=st.sampled_from(["float32", "uint8", "uint16", "int16"]),
    compressor=st.sampled_from(["lz4", "zstd", "none"]),
    budget=st.sampled_from(["", "4G"]),
    threads=st.integers(1, 4),
    seed=st.integers(0, 10),
)
def test_every_level_is_the_local_mean_of_the_one_before(
    tmp_path_factory: pytest.TempPathFactory,
    depth: int,
    rows: int,
    columns: int,
    levels: int,
    chunks: tuple[int, int, int],
    dtype: str,
    compressor: str,
    budget: str,
    threads: int,
    seed: int,
) -> None:
    step = 2 ** (levels - 1)
    rng = np.random.default_rng(seed)
    shape = (depth, rows * step, columns * step)
    volume = (rng.standard_normal(shape) * 100).astype(dtype) if dtype == "float32" else (
        rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("oracle")
    source = write_tiff(folder / "scan.tif", volume)
    options: dict[str, Any] = {"chunks": chunks, "num_levels": levels, "compressor": compressor, "threads": threads}
    receipt = ct.convert(source, **options, max_memory=budget or smallest_budget(source, **options))
    assert receipt.output == folder / "scan.ome.zarr"
    check(receipt.output, volume, levels)
    assert (receipt.minimum, receipt.maximum) == (volume.min(), volume.max())
    assert receipt.bytes_read == volume.nbytes


def test_blocks_of_several_stages_fit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_ct_pyramid.model.blocks.BLOCK_BYTES", 100_000)
    volume = np.random.default_rng(1).integers(0, 65535, (70, 96, 64), dtype="u2")
    source = write_tiff(tmp_path / "scan.tif", volume)
    assert len(ct.plan(source, chunks=(8, 8, 16), num_levels=5).stages) >= 3
    check(ct.convert(source, chunks=(8, 8, 16), num_levels=5).output, volume, 5)


def test_every_voxel_is_where_it_was(tmp_path: Path) -> None:
    volume = coordinates((50, 80, 96))
    output = ct.convert(write_tiff(tmp_path / "scan.tif", volume), chunks=(16, 32, 32), num_levels=3).output
    spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": str(output / "0")}}
    level = tensorstore.open(spec, read=True).result()
    for z, y, x in [(0, 0, 0), (49, 79, 95), (17, 33, 31), (16, 32, 32), (15, 31, 63)]:
        assert level[z, y, x].read().result() == z * 10_000 + y * 100 + x
    assert not level[50:].read().result().any()  # padding


@pytest.mark.parametrize("chunks", [(8, 16, 16), (5, 7, 64)])
@pytest.mark.parametrize("budget", ["", "4G"])
def test_no_row_is_read_twice_and_no_chunk_is_written_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: tuple[int, int, int], budget: str
) -> None:
    source = write_tiff(tmp_path / "scan.tif", coordinates((37, 64, 48)))
    budget = budget or str(smallest_budget(source, chunks=chunks, num_levels=3))
    rows: Counter[tuple[int, int]] = Counter()
    written: Counter[tuple[int, Any]] = Counter()
    counting = threading.Event()
    read, write, start = Source.read, OmeZarrWriter.begin_chunk, OmeZarrWriter.begin

    def spy_start(self: OmeZarrWriter) -> None:
        start(self)
        counting.set()  # what the plan sampled before is not part of the conversion

    def spy_read(self: Source, z0: int, z1: int, y0: int, y1: int, out: np.ndarray) -> None:
        if counting.is_set():
            rows.update((z, y) for z in range(z0, z1) for y in range(y0, y1))
        read(self, z0, z1, y0, y1, out)

    def spy_write(self: OmeZarrWriter, level: int, index: Any) -> Any:
        written[level, index] += 1
        return write(self, level, index)

    monkeypatch.setattr(Source, "read", spy_read)
    monkeypatch.setattr(OmeZarrWriter, "begin", spy_start)
    monkeypatch.setattr(OmeZarrWriter, "begin_chunk", spy_write)
    receipt = ct.convert(source, chunks=chunks, num_levels=3, max_memory=budget)
    assert rows == Counter((z, y) for z in range(37) for y in range(64))
    assert set(written.values()) == {1}
    assert len(written) == sum(level.chunk_count for level in receipt.levels)
    for level in receipt.levels:
        files = [p for p in (receipt.output / level.path).rglob("*") if p.is_file() and p.name != ".zarray"]
        assert len(files) == level.chunk_count


def test_the_metadata_is_right_and_strict_validators_agree(tmp_path: Path) -> None:
    volume = coordinates((10, 32, 48))
    source = write_tiff(tmp_path / "scan.tif", volume)
    receipt = ct.convert(source, chunks=(8, 8, 8), num_levels=3, voxel_size=(2, 0.5, 0.5), unit="micrometer")
    image = ome_zarr_models.open_ome_zarr(zarr.open_group(receipt.output, mode="r"))
    assert type(image).__name__ == "Image"
    yaozarrs.validate_zarr_store(str(receipt.output))
    attributes = json.loads((receipt.output / ".zattrs").read_text())
    (scales,) = attributes["multiscales"]
    assert scales["version"] == "0.4"
    assert [axis["name"] for axis in scales["axes"]] == ["z", "y", "x"]
    assert {axis["unit"] for axis in scales["axes"]} == {"micrometer"}
    transformations = [dataset["coordinateTransformations"] for dataset in scales["datasets"]]
    assert [t[0]["scale"] for t in transformations] == [[2, 0.5, 0.5], [4, 1, 1], [8, 2, 2]]
    assert [t[1]["translation"] for t in transformations] == [[0, 0, 0], [1, 0.25, 0.25], [3, 0.75, 0.75]]
    assert scales["metadata"]["original_shape"] == [10, 32, 48]
    window = attributes["omero"]["channels"][0]["window"]
    assert (window["min"], window["max"]) == (0, volume.max())
    assert 0 <= window["start"] < window["end"] <= volume.max()
    assert json.loads((receipt.output / "0" / ".zarray").read_text())["dimension_separator"] == "/"
    assert not is_unfinished(receipt.output)


def test_no_unit_is_invented(tmp_path: Path) -> None:
    receipt = ct.convert(write_tiff(tmp_path / "scan.tif", coordinates((4, 8, 8))), chunks=(4, 4, 4))
    attributes = json.loads((receipt.output / ".zattrs").read_text())
    assert all("unit" not in axis for axis in attributes["multiscales"][0]["axes"])
    assert attributes["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] == [1, 1, 1]


def test_the_window_leaves_out_padding_and_voxels_that_are_not_finite(tmp_path: Path) -> None:
    volume = np.full((9, 32, 32), 5, "f4")
    volume[:, :16] = 7
    volume[0, 0, :3] = np.nan, np.inf, -np.inf
    receipt = ct.convert(write_tiff(tmp_path / "scan.tif", volume), chunks=(4, 8, 8), num_levels=4)
    assert (receipt.minimum, receipt.maximum) == (5, 7)
    assert receipt.window == (5, 7)
    json.loads((receipt.output / ".zattrs").read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("value", [0, 3, np.nan])
def test_a_volume_of_one_value_has_a_window_too(tmp_path: Path, value: float) -> None:
    receipt = ct.convert(write_tiff(tmp_path / "scan.tif", np.full((4, 8, 8), value, "f4")), chunks=(4, 4, 4))
    low, high = receipt.window
    assert low < high


def test_the_generator_yields_progress(tmp_path: Path) -> None:
    volume = coordinates((32, 64, 64))
    steps = ct.iter_convert(write_tiff(tmp_path / "scan.tif", volume), chunks=(8, 16, 16), num_levels=2)
    first = next(steps)
    # A viewer can open the levels now, and sees that the volume is not finished.
    for level in first.plan.levels:
        assert zarr.open_array(first.output / level.path, mode="r").shape == level.shape
    assert is_unfinished(first.output)
    *_, last = steps
    assert (last.fraction, last.blocks_done, last.bytes_done) == (1, last.blocks, volume.nbytes)
    assert not is_unfinished(last.output)


def test_a_closed_generator_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    steps = ct.iter_convert(write_tiff(tmp_path / "scan.tif", coordinates((64, 64, 64))), chunks=(8, 8, 8))
    output = next(steps).output
    steps.close()
    assert set(threading.enumerate()) <= before
    assert is_unfinished(output)
    assert not (output / ".zattrs").exists()
    check(ct.convert(tmp_path / "scan.tif", chunks=(8, 8, 8)).output, coordinates((64, 64, 64)), 1)


def fail_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    def write_file(self: OmeZarrWriter, *args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(OmeZarrWriter, "write_encoded", write_file)


def fail_to_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(fd: int) -> None:
        raise OSError(5, "Input/output error")

    start = OmeZarrWriter.begin

    def then_fail(self: OmeZarrWriter) -> None:
        start(self)
        monkeypatch.setattr("os.fsync", fsync)

    monkeypatch.setattr(OmeZarrWriter, "begin", then_fail)


def fail_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Source.read

    def short(self: Source, z0: int, z1: int, y0: int, y1: int, out: np.ndarray) -> None:
        if z0 >= 20:
            raise ct.SourceError("page 21 of 32 could not be read")
        read(self, z0, z1, y0, y1, out)

    start = OmeZarrWriter.begin

    def then_fail(self: OmeZarrWriter) -> None:
        start(self)
        monkeypatch.setattr(Source, "read", short)

    monkeypatch.setattr(OmeZarrWriter, "begin", then_fail)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (fail_to_write, "chunk 0/.* could not be written: No space left on device"),
        (fail_to_sync, "chunk 0/.* could not be written: Input/output error"),
        (fail_to_read, "page 21 of 32 could not be read"),
    ],
)
def test_a_fault_is_one_error_and_leaves_no_finished_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch], None], words: str
) -> None:
    source = write_tiff(tmp_path / "scan.tif", coordinates((32, 64, 64)))
    before = set(threading.enumerate())
    with monkeypatch.context() as patch:
        fault(patch)
        with pytest.raises(ct.ConversionError, match=words) as caught:
            ct.convert(source, chunks=(8, 16, 16))
    assert "scan.ome.zarr is unfinished" in str(caught.value)
    assert not (tmp_path / "scan.ome.zarr" / ".zattrs").exists()
    assert not [t for t in set(threading.enumerate()) - before if t.name.startswith("ct-pyramid")]
    check(ct.convert(source, chunks=(8, 16, 16)).output, coordinates((32, 64, 64)), 1)


def test_the_ledger_bounds_what_a_real_process_takes(tmp_path: Path) -> None:
    """Some 200 MB through processes of their own: the peak stays under the plan's, and the plan is no wild guess."""
    volume = np.random.default_rng(0).random((96, 512, 1024), dtype="f4")
    source = write_tiff(tmp_path / "scan.tif", volume)
    files = []
    for budget in ("smallest", "400M"):
        allowed, planned, measured = budgets(source, budget)
        assert measured <= planned <= allowed
        assert measured >= 0.4 * planned
        files.append(pyramid_files(tmp_path / "scan.ome.zarr"))
        if budget == "smallest":
            check(tmp_path / "scan.ome.zarr", volume, 3)
        shutil.rmtree(tmp_path / "scan.ome.zarr")
    assert files[0] == files[1]


def budgets(source: Path, budget: str) -> list[int]:
    """The budget, the peak of the plan and the peak of a process that converts; the budget may be "smallest"."""
    script = (
        "import sys, json, napari_ct_pyramid as ct\n"
        "options = dict(chunks=(32, 64, 64), num_levels=3, threads=2)\n"
        "budget = sys.argv[2]\n"
        "if budget == 'smallest':\n"
        "    try: ct.plan(sys.argv[1], **options, max_memory=1)\n"
        "    except ct.BudgetError as error: budget = error.smallest\n"
        "plan = ct.plan(sys.argv[1], **options, max_memory=budget)\n"
        "receipt = ct.convert(sys.argv[1], **options, max_memory=budget)\n"
        "print(json.dumps([plan.options.max_memory, plan.peak_memory_bytes, receipt.peak_memory_bytes]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(source), budget], capture_output=True, text=True, check=True, timeout=600
    )
    found: list[int] = json.loads(done.stdout)
    return found


class TestSecondsEstimate:
    def test_a_plan_estimates_its_time_and_compares_equal_all_the_same(self, tmp_path: Path) -> None:
        source = write_tiff(tmp_path / "scan.tif", coordinates((32, 64, 64)))
        plan = ct.plan(source, chunks=(8, 16, 16), threads=1)
        assert plan.seconds_estimate is not None
        assert plan.seconds_estimate > 0
        assert plan.to_json()["seconds_estimate"] == round(plan.seconds_estimate, 1)
        assert plan == replace(plan, seconds_estimate=plan.seconds_estimate + 1)

    def test_it_is_the_time_of_the_sample_times_the_work(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """With a clock that counts how often it is asked: reading takes a second, and compressing one."""
        source = write_tiff(tmp_path / "scan.tif", coordinates((32, 64, 64)))
        clock = itertools.count()
        with monkeypatch.context() as patch:
            patch.setattr("time.perf_counter", lambda: float(next(clock)))
            one, two = (ct.plan(source, chunks=(8, 16, 16), num_levels=1, threads=n).seconds_estimate for n in (1, 2))
        # The sample is 8 of 32 slices.
        assert one == pytest.approx(2 * 32 / 8)
        assert two == pytest.approx(32 / 8)
