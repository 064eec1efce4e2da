"""The texts for people: plans, receipts, and advice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_ct_pyramid.cli.render import announcement, describe_plan, summary, wording
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.errors import CONVERT, RESUME, VIEW, Advice
from napari_ct_pyramid.model.plan import make_plan
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import ConversionOptions

PLAN = make_plan(Volume("scan", (100, 1000, 1000), np.dtype("f4"), "TIFF"), ConversionOptions(chunks="conversion"))
RECEIPT = Receipt(
    output=Path("my scans/scan.ome.zarr"),
    ome_zarr_version="0.4",
    levels=PLAN.levels,
    seconds=100,
    bytes_read=50 * 10**9,
    bytes_written=40 * 10**9,
    peak_memory_bytes=900_000_000,
    minimum=0,
    maximum=1,
    nans=0,
    infinities=0,
    window=(0, 1),
)


@pytest.mark.parametrize("length", [1, 20, 200])
@pytest.mark.parametrize("width", [80, 100, 200])
def test_an_announcement_fits_its_line_whatever_the_names(length: int, width: int) -> None:
    volume = Volume("v" * length, (100, 1000, 1000), np.dtype("f4"), "TIFF")
    plan = make_plan(volume, ConversionOptions(chunks="conversion"))
    line = announcement(plan, Path("some/where") / f"{'o' * length}.zarr", width)
    assert len(line) <= width
    assert line.startswith("Converting v")
    assert ".zarr: 2 levels, " in line
    assert "some/where" not in line
    if length == 1:
        assert line.startswith("Converting v (400 MB) to o.zarr: 2 levels, ")


def test_a_summary_has_the_facts_and_a_command_that_can_be_copied() -> None:
    said = summary(RECEIPT, 10**9)
    assert said.startswith(f"Made {RECEIPT.output}\n")
    assert "50.0 GB became 40.0 GB in 1 min 40 s (500 MB/s)" in said
    assert "Peak memory 900 MB, of a budget of 1.00 GB" in said
    assert said.endswith(f"ct-pyramid view '{RECEIPT.output}'")


def test_a_summary_gives_no_rate_for_less_than_a_second() -> None:
    said = summary(replace(RECEIPT, seconds=0.42), 10**9)
    assert " in 0.4 s\n" in said
    assert "B/s" not in said


def test_a_plan_has_its_warnings_with_the_flags_that_help() -> None:
    options = ConversionOptions(chunks="conversion", voxel_size=0.65)
    plan = make_plan(PLAN.volume, options)
    assert "--unit micrometer" in describe_plan(plan)
    assert "--unit micrometer" in announcement(plan, Path("scan.zarr"), 80)


def test_a_plan_gives_the_time_it_expects_if_it_can() -> None:
    assert "about 2 min, at the rate of a sample" in describe_plan(replace(PLAN, seconds_estimate=130.0))
    assert "at the rate of a sample" not in describe_plan(replace(PLAN, seconds_estimate=None))


@pytest.mark.parametrize(
    ("advice", "words"),
    [
        (Advice("num_levels", 3), "-l 3"),
        (Advice("max_memory", "4G"), "--max-memory 4G"),
        (Advice("overwrite", True), "--overwrite"),
        (Advice("source"), "--source"),
        (Advice(VIEW, Path("my scan.ome.zarr")), "ct-pyramid view 'my scan.ome.zarr'"),
        (Advice(CONVERT, "scan.tif"), "ct-pyramid convert scan.tif -c visualization"),
        (Advice(RESUME), "the same command resumes it"),
    ],
)
def test_advice_is_worded_as_flags_and_commands(advice: Advice, words: str) -> None:
    assert wording(advice) == words
