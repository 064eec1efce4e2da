"""Conversions in napari's thread workers: how they end, and what the activity dock shows of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import napari
import pytest
from napari._qt.widgets.qt_progress_bar import QtLabeledProgressBar

from napari_ct_pyramid.conversion.progress import Progress
from napari_ct_pyramid.errors import ConversionError
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.plugin.widget import jobs
from napari_ct_pyramid.plugin.widget.activity_bar import progress_words
from napari_ct_pyramid.plugin.widget.jobs import ConversionJob
from tests.helpers.dock import wait_until

Steps = Generator[Progress, None, Any]

OPTIONS = ConversionOptions(chunks="visualization")
RECEIPT: Any = SimpleNamespace(output=Path("scan.ome.zarr"))


def progress(part: float) -> Progress:
    """So far of a volume of 50 GB: Qt's bars count to two thousand millions."""
    plan: Any = None
    return Progress(
        output=Path("scan.ome.zarr"),
        plan=plan,
        blocks_done=int(part * 10),
        blocks=10,
        bytes_done=int(part * 50e9),
        bytes_total=50_000_000_000,
        seconds=100 * part,
        fraction=part,
    )


class Work:
    """A conversion that does nothing, and notes what is done to it."""

    def __init__(self, *parts: float, error: Exception | None = None, waits: bool = False) -> None:
        self.parts = parts
        self.error = error
        self.may_end = Event()
        self.asked_for: tuple[Any, ...] = ()
        self.given = 0
        self.closed = False
        if not waits:
            self.may_end.set()

    def __call__(self, *asked_for: Any, **options: Any) -> Steps:
        self.asked_for = (*asked_for, options) if options else asked_for
        try:
            for part in self.parts:
                self.given += 1
                yield progress(part)
            while not self.may_end.wait(0.01):
                yield progress(self.parts[-1])
            if self.error:
                raise self.error
            return RECEIPT
        finally:
            self.closed = True


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch, viewer: napari.Viewer) -> Iterator[Callable[..., ConversionJob]]:
    """Start a conversion that is some `Work` in fact."""
    begun: list[ConversionJob] = []

    def start(work: Work, preview: Any = None) -> ConversionJob:
        monkeypatch.setattr(jobs, "iter_conversion", work)
        conversion = ConversionJob("a/scan.tif", "scan.ome.zarr", OPTIONS, viewer, preview)
        begun.append(conversion)
        conversion.start()
        return conversion

    yield start
    for conversion in begun:
        conversion.cancel()
    wait_until(lambda: ConversionJob.of(viewer) is None)


def ends(conversion: ConversionJob) -> list[Any]:
    """A list that will hold what its signals emit."""
    found: list[Any] = []
    conversion.progressed.connect(lambda p: found.append(p.fraction))
    conversion.ended.connect(lambda c: found.append(c.outcome))
    return found


def activity_bars(viewer: napari.Viewer) -> list[QtLabeledProgressBar]:
    """What napari's activity dock holds."""
    dialog = viewer.window._qt_window._activity_dialog
    return [bar for bar in dialog.findChildren(QtLabeledProgressBar) if bar.isVisibleTo(dialog)]


def test_a_conversion_yields_progress_and_ends_with_its_receipt(begin: Callable[..., ConversionJob]) -> None:
    work = Work(0, 0.5, 1)
    said = ends(begin(work))
    wait_until(lambda: RECEIPT in said)
    assert said == [0, 0.5, 1, RECEIPT]
    assert work.asked_for == ("a/scan.tif", "scan.ome.zarr", OPTIONS)


def test_cancelling_closes_the_generator_before_the_signal_ended(begin: Callable[..., ConversionJob]) -> None:
    work = Work(0, 0.5, waits=True)
    conversion = begin(work)
    closed: list[bool] = []
    conversion.ended.connect(lambda _: closed.append(work.closed))
    wait_until(lambda: conversion.last is not None)
    assert not conversion.cancelling
    conversion.cancel()
    assert conversion.cancelling
    wait_until(lambda: closed)
    assert closed == [True]
    assert conversion.outcome is None


@pytest.mark.parametrize("error", [ConversionError("No space left."), ValueError("a mistake"), MemoryError()])
def test_a_failure_is_the_outcome(begin: Callable[..., ConversionJob], error: Exception) -> None:
    # ConversionError is a RuntimeError, and after one, napari's own workers never emit `finished`.
    work = Work(0, 0.5, error=error)
    said = ends(begin(work))
    wait_until(lambda: error in said)
    assert said == [0, 0.5, error]
    assert work.closed


def test_a_cancel_that_comes_too_late_leaves_the_receipt(begin: Callable[..., ConversionJob]) -> None:
    work = Work(0)
    conversion = begin(work)
    said = ends(conversion)
    while not work.closed:
        time.sleep(0.002)  # it returns, and the window, which handles no events here, does not hear of it
    assert not said
    conversion.cancel()
    wait_until(lambda: len(said) and said[-1] is RECEIPT)


def test_progress_after_a_cancel_is_not_shown(begin: Callable[..., ConversionJob]) -> None:
    work = Work(0, waits=True)
    conversion = begin(work)
    wait_until(lambda: conversion.last is not None)
    conversion.cancel()
    said = ends(conversion)
    wait_until(lambda: said)
    assert said == [None]


class Shown:
    """A preview that is not ready yet."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.ready = SimpleNamespace(connect=self._connect)
        self.go: Callable[[], None] = lambda: None

    def _connect(self, go: Callable[[], None]) -> None:
        self.go = go

    def show_progress(self, progress: Progress) -> None:
        self.seen.append(progress.fraction)

    def end(self, outcome: Any) -> None:
        self.seen.append(outcome)


def test_the_job_waits_for_the_preview(begin: Callable[..., ConversionJob]) -> None:
    work, preview = Work(0, 0.5), Shown()
    begin(work, preview)
    wait_until(lambda: preview.seen)
    rest = time.monotonic() + 0.3  # in which it would have gone on
    wait_until(lambda: time.monotonic() > rest)
    assert work.given == 1
    preview.go()
    wait_until(lambda: RECEIPT in preview.seen)
    assert preview.seen == [0, 0.5, RECEIPT]


def test_a_conversion_that_waits_can_be_cancelled(begin: Callable[..., ConversionJob]) -> None:
    work, preview = Work(0, 0.5), Shown()
    conversion = begin(work, preview)
    wait_until(lambda: preview.seen)
    conversion.cancel()
    wait_until(lambda: None in preview.seen)
    assert work.given == 1
    assert work.closed


def test_the_activity_dock_shows_it_and_cancels_it(begin: Callable[..., ConversionJob]) -> None:
    work = Work(0, 0.25, waits=True)
    conversion = begin(work)
    viewer = napari.current_viewer()
    assert viewer is not None
    wait_until(lambda: conversion.last is not None and conversion.last.fraction == 0.25 and activity_bars(viewer))
    (bar,) = activity_bars(viewer)
    assert bar.description_label.text() == "scan.tif: "
    assert bar.qt_progress_bar.maximum() == 50_000
    assert bar.qt_progress_bar.value() == 12_500
    assert bar.eta_label.text() == "500 MB/s · 1 min 15 s left"
    assert bar.cancel_button.isVisibleTo(bar)
    bar.cancel_button.click()
    wait_until(lambda: work.closed and not activity_bars(viewer))
    assert conversion.outcome is None


def test_napari_asks_by_name_before_it_closes(begin: Callable[..., ConversionJob]) -> None:
    work = Work(0, waits=True)
    conversion = begin(work)
    wait_until(lambda: conversion.last is not None)
    viewer = napari.current_viewer()
    assert viewer is not None
    (said,) = viewer.window._task_status_manager.get_status()
    assert said == "napari-worker: Executing the conversion of scan.tif to OME-Zarr"


def test_words_of_progress() -> None:
    assert progress_words(progress(0)) == ""
    assert progress_words(progress(0.5)) == "500 MB/s · 50 s left"
