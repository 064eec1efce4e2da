"""Progress: what it counts, and the loops that jobs share."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.conversion.progress import Steps, follow, run_through
from tests.helpers.scans import write_scan


class Runner:
    """Is done after so many waits, or fails then; notes what happens to it."""

    def __init__(self, waits: int, error: Exception | None = None) -> None:
        self.waits, self.error = waits, error
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def wait(self, seconds: float) -> bool:
        self.waits -= 1
        if self.waits >= 0:
            return False
        if self.error:
            raise self.error
        return True

    def stop(self) -> None:
        self.calls.append("stop")

    def abandon(self) -> None:
        self.calls.append("abandon")


def test_a_runner_is_followed_until_it_is_done() -> None:
    runner = Runner(3)
    assert list(follow(runner, lambda: runner.waits, abandon=runner.abandon)) == [2, 1, 0]
    assert runner.calls == ["start", "stop"]


def test_a_runner_that_fails_is_abandoned_and_then_stopped() -> None:
    runner = Runner(1, OSError("no more"))
    with pytest.raises(OSError, match="no more"):
        list(follow(runner, lambda: None, abandon=runner.abandon))
    assert runner.calls == ["start", "abandon", "stop"]


def test_closing_abandons_and_stops_it_too() -> None:
    runner = Runner(9)
    steps = follow(runner, lambda: None, abandon=runner.abandon)
    next(steps)
    steps.close()
    assert runner.calls == ["start", "abandon", "stop"]


def count(events: list[str]) -> Generator[int, None, str]:
    try:
        yield 1
        yield 2
    except GeneratorExit:
        events.append("cancelled")
        raise
    return "result"


def test_steps_keep_what_a_generator_returns() -> None:
    with Steps(count([])) as steps:
        assert list(steps) == [1, 2]
        assert steps.result == "result"
    shown: list[int] = []
    assert run_through(count([]), shown.append) == "result"
    assert shown == [1, 2]


def test_an_error_on_the_way_cancels_the_job() -> None:
    events: list[str] = []

    def fail(step: int) -> None:
        raise ValueError(step)

    with pytest.raises(ValueError, match="1"):
        run_through(count(events), fail)
    assert events == ["cancelled"]


@pytest.fixture
def shown(tmp_path: Path) -> tuple[list[ct.Progress], ct.Receipt]:
    shown: list[ct.Progress] = []
    return shown, ct.convert(write_scan(tmp_path), chunks=8, progress=shown.append)


def test_progress_and_receipt_have_the_same_time(shown: tuple[list[ct.Progress], ct.Receipt]) -> None:
    """Both count from the request: planning is in the first progress, and nothing slow comes after the last."""
    progress, receipt = shown
    seconds = [one.seconds for one in progress]
    assert 0 < seconds[0] < seconds[-1] <= receipt.seconds
    assert seconds == sorted(seconds)
    last = progress[-1]
    assert last.working_seconds is not None
    assert last.working_seconds < last.seconds
    assert last.bytes_per_second == last.bytes_done / last.seconds


def test_the_rate_on_the_way_is_that_of_the_work(shown: tuple[list[ct.Progress], ct.Receipt]) -> None:
    half = replace(shown[0][-1], blocks_done=0, bytes_done=300, seconds=9, working_seconds=3, fraction=0.5)
    assert half.bytes_per_second == 100
    assert half.seconds_left == 3
    assert replace(half, fraction=0).seconds_left is None
    assert replace(half, working_seconds=None).seconds_left == 9
