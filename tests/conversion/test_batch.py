"""Many conversions as one batch: planned before the first begins, done one after another, failing one at a time."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_ct_pyramid import (
    Batch,
    BatchItem,
    DiskSpaceError,
    RequestError,
    SourceError,
    SourceNotFoundError,
    convert_many,
    iter_convert_many,
    iter_plan_many,
    iter_verify_many,
)
from napari_ct_pyramid.errors import Advice
from tests.helpers.command import everything

OPTIONS: dict[str, Any] = {"chunks": (4, 8, 16), "num_levels": 2}


def voxels(name: str) -> np.ndarray:
    """Those of the volume with this name."""
    return np.random.default_rng(list(name.encode())).normal(size=(6, 24, 40)).astype("f4")


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """Five, the third of which is broken."""
    (tmp_path / "scans").mkdir()
    (tmp_path / "out").mkdir()
    paths = [tmp_path / "scans" / f"{name}.tif" for name in "abcde"]
    for path in paths:
        tifffile.imwrite(path, voxels(path.stem), photometric="minisblack")
    paths[2].write_bytes(paths[2].read_bytes()[:5000])
    return paths


def last(steps: Generator[Batch, None, Batch]) -> Batch:
    return list(returned(steps))[-1]


def returned(steps: Generator[Batch, None, Batch]) -> Iterable[Batch]:
    yield (yield from steps)


def states(batch: Batch) -> str:
    return " ".join(item.state for item in batch.items)


def assert_made(output: Path) -> None:
    np.testing.assert_array_equal(zarr.open_array(output / "0", mode="r")[:6], voxels(output.name[0]))


def test_a_broken_source_does_not_stop_the_others(sources: list[Path], tmp_path: Path) -> None:
    seen: list[Batch] = []
    batch = convert_many(sources, tmp_path / "out", progress=seen.append, **OPTIONS)
    assert states(batch) == "done done failed done done"
    assert isinstance(batch.items[2].error, SourceError)
    assert "c.tif" in str(batch.items[2].error)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{n}.ome.zarr" for n in "abde"]
    for item in batch.having("done"):
        assert_made(item.output)
        assert item.result is not None
        assert item.result.output == item.output

    begun = next(n for n, step in enumerate(seen) if step.running)
    assert states(seen[0]) == "waiting waiting waiting waiting waiting"
    assert states(seen[begun]) == "running waiting failed waiting waiting"
    assert all(item.plan for item in seen[begun].items if item.state != "failed")
    assert all(len(step.having("running")) <= 1 for step in seen)
    fractions = [step.fraction for step in seen]
    assert fractions == sorted(fractions)
    assert (fractions[begun], fractions[-1]) == (0, 1)


def test_a_conversion_that_fails_does_not_stop_the_others(sources: list[Path]) -> None:
    planned = last(iter_plan_many(sources, **OPTIONS))
    sources[0].unlink()
    batch = last(iter_convert_many(planned))
    assert states(batch) == "failed done failed done done"
    assert isinstance(batch.items[0].error, SourceNotFoundError)
    for path in (sources[1], sources[3], sources[4]):
        assert_made(path.with_suffix(".ome.zarr"))


def test_closing_a_batch_cancels_one_conversion_and_the_next_run_resumes_it(
    sources: list[Path], tmp_path: Path
) -> None:
    planned = last(iter_plan_many(sources, tmp_path / "out", **OPTIONS))
    with closing(iter_convert_many(planned)) as steps:
        batch = next(batch for batch in steps if batch.running and batch.running[0] == 1 and batch.items[1].progress)
    assert states(batch) == "done running failed waiting waiting"
    assert not (tmp_path / "out" / "b.ome.zarr" / ".zattrs").exists()
    assert not (tmp_path / "out" / "d.ome.zarr").exists()

    before = everything(tmp_path / "out" / "a.ome.zarr")
    again = last(iter_plan_many(sources, tmp_path / "out", **OPTIONS))
    assert states(again) == "done waiting failed waiting waiting"
    assert again.items[0].was_made_before
    assert (again.fraction, batch.fraction > 0) == (0, True)
    assert states(last(iter_convert_many(again))) == "done done failed done done"
    assert everything(tmp_path / "out" / "a.ome.zarr") == before
    for name in "abde":
        assert_made(tmp_path / "out" / f"{name}.ome.zarr")


@pytest.mark.parametrize("change", ["other options", "another source", "a damaged output"])
def test_only_an_identical_output_counts_as_done(change: str, sources: list[Path]) -> None:
    (a, b, *_), options = sources, dict(OPTIONS)
    output = a.with_suffix(".ome.zarr")
    convert_many([a], **options)
    if change == "other options":
        options["compressor"] = "zstd"
    elif change == "another source":
        tifffile.imwrite(a, voxels("other"), photometric="minisblack")
    else:
        (output / ".ct-pyramid" / "journal.jsonl").unlink()
    batch = convert_many([a, b], **options)
    assert states(batch) == "failed done"
    assert isinstance(batch.items[0].error, FileExistsError)
    assert_made(output)
    assert states(convert_many([a], overwrite=True, **options)) == "done"


@pytest.mark.parametrize("name", ["a.tif", "A.ome.tif"])
def test_two_sources_with_the_same_output_are_both_named(name: str, sources: list[Path], tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    other = tmp_path / "more" / name
    other.write_bytes(sources[0].read_bytes())
    before = everything(tmp_path)
    with pytest.raises(RequestError) as error:
        convert_many([*sources, other], tmp_path / "out", **OPTIONS)
    assert str(sources[0]) in str(error.value)
    assert str(other) in str(error.value)
    assert everything(tmp_path) == before
    # Beside their sources they are not in each other's way, and one that is named twice is one.
    assert states(last(iter_plan_many([sources[0], other, sources[0]], **OPTIONS))) == "waiting waiting"


def test_all_outputs_together_must_fit_on_the_disk(
    sources: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = last(iter_plan_many(sources[:1], **OPTIONS)).items[0].plan
    assert one is not None
    room = SimpleNamespace(free=int(3.5 * one.bytes_out_estimate))
    monkeypatch.setattr("shutil.disk_usage", lambda _: room)
    before = everything(tmp_path)
    with pytest.raises(DiskSpaceError) as error:
        convert_many(sources, tmp_path / "out", **OPTIONS)
    assert everything(tmp_path) == before
    assert (error.value.needed > error.value.free, error.value.free) == (True, room.free)
    assert states(last(iter_plan_many(sources[:4], tmp_path / "out", **OPTIONS))) == "waiting waiting failed waiting"


def test_an_error_of_the_whole_batch_is_raised_first(sources: list[Path], tmp_path: Path) -> None:
    with pytest.raises(RequestError) as error:
        convert_many(sources)
    assert Advice("chunks", "visualization") in error.value.message.parts
    with pytest.raises(RequestError) as error:
        convert_many(sources, tmp_path / "no" / "outputs", **OPTIONS)
    assert str(tmp_path / "no") in str(error.value)
    with pytest.raises(RequestError):
        convert_many([], **OPTIONS)


def test_verifying_many_reads_all_outputs(sources: list[Path], tmp_path: Path) -> None:
    outputs = [item.output for item in convert_many(sources, tmp_path / "out", **OPTIONS).having("done")]
    chunk = outputs[1] / "0" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    batch = last(iter_verify_many([*outputs, tmp_path / "nothing"]))
    assert states(batch) == "done done done done failed"
    assert [item.result.sound for item in batch.having("done")] == [True, False, True, True]
    assert isinstance(batch.items[-1].error, SourceNotFoundError)


def test_a_batch_has_each_item_once_and_removes_all_but_the_running_one(sources: list[Path]) -> None:
    batch = last(iter_plan_many(sources, **OPTIONS))
    a, b, c, *_ = batch.items
    assert batch.add([replace(a), BatchItem(None, Path("new"))]).items[:-1] == batch.items
    running = batch.start().begin(a)
    assert states(running) == "running waiting failed waiting waiting"
    assert running.remove(a) == running
    assert c not in running.remove(c).items
    assert running.next_ready is not None
    assert running.next_ready.name == b.name


def test_a_run_holds_the_items_that_waited_at_its_start(sources: list[Path]) -> None:
    batch = last(iter_plan_many(sources, **OPTIONS)).start()
    assert [item.in_run for item in batch.items] == [True, True, False, True, True]
    a, b, *_ = batch.items
    batch = batch.begin(a).finish(a, RequestError("Something is wrong"))
    assert states(batch) == "failed waiting failed waiting waiting"
    assert batch.run.fraction == pytest.approx(1 / 4)
    batch = batch.begin(b)
    assert batch.run.place == (2, 4)
    cancelled = batch.finish(b, None)
    assert states(cancelled) == "failed waiting failed waiting waiting"
    again = cancelled.take_plans(last(iter_plan_many(sources, **OPTIONS)), keep_run=False)
    assert states(again) == "waiting waiting failed waiting waiting"
    assert not again.run.items
