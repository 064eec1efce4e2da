"""Runs jobs to their end: announces each volume, shows its progress, and reports what an interruption leaves."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from napari_ct_pyramid.errors import sentence
from napari_ct_pyramid.model.formatting import count
from napari_ct_pyramid.storage.paths import AnyPath

from .render import wording
from .terminal import Display, choose_display, print_error, print_message, width

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.audit.run import AuditProgress
    from napari_ct_pyramid.conversion.batch import Batch, BatchItem
    from napari_ct_pyramid.conversion.progress import Progress
    from napari_ct_pyramid.conversion.rebuild.run import RebuildProgress
    from napari_ct_pyramid.exports.result import ExportProgress
    from napari_ct_pyramid.statistics.result import StatsProgress

    Planned = Progress | ExportProgress | AuditProgress | RebuildProgress | StatsProgress


Announce = Callable[[Any, AnyPath, int], str]
"""Of a plan, makes a line about the job that begins, of at most the given number of characters."""

R = TypeVar("R")
Step = TypeVar("Step")


def watch(steps: Generator[Planned, None, R], announce: Announce, *, quiet: bool) -> R:
    """Run one job to its end, and return its result."""
    watcher = _Watcher(announce, quiet=quiet)
    return watcher.run(steps, watcher.show)


def watch_batch(steps: Generator[Batch[Any], None, Batch[Any]], announce: Announce, *, quiet: bool) -> Batch[Any]:
    """Run many jobs to their end, one after another. An error is printed as soon as its job has failed."""
    watcher = _Watcher(announce, quiet=quiet)
    return watcher.run(steps, watcher.show_batch)


def print_error_of(item: BatchItem[Any]) -> None:
    """Print the error of one of many volumes, with the volume's name."""
    assert item.error
    what = sentence(item.error, wording)
    print_error(what if item.name.name in what else f"{item.name.name}: {what}")


class _Watcher:
    def __init__(self, announce: Announce, *, quiet: bool) -> None:
        self._announce = announce
        self._quiet = quiet
        self._display: Display | None = None  # of the job that runs
        self._place: int | None = None  # in the batch, of the job that runs
        self._output: AnyPath | None = None  # of the job that runs
        self._waiting = 0  # jobs that were not started

    def run(self, steps: Generator[Step, None, R], show: Callable[[Step], None]) -> R:
        from napari_ct_pyramid.conversion.progress import run_through

        try:
            return run_through(steps, show)
        except KeyboardInterrupt:
            self._close()
            raise KeyboardInterrupt(*self._what_is_left()) from None
        finally:
            self._close()

    def show(self, progress: Planned, heading: str = "") -> None:
        self._output = progress.output
        if self._display is None:
            if not self._quiet:
                print_message(heading + self._announce(progress.plan, progress.output, width() - len(heading)))
            self._display = choose_display(quiet=self._quiet)
        try:
            self._display.show(progress)
        except BaseException:
            self._close()  # now, because it may take a moment until the job has stopped
            raise

    def show_batch(self, batch: Batch[Any]) -> None:
        self._waiting = len(batch.having("waiting"))
        if batch.running:
            self._place, item = batch.running
            self._output = item.output
            if item.progress:
                self.show(item.progress, f"{self._place + 1} of {len(batch.items)}: ")
        elif self._place is not None:
            ended = batch.items[self._place]
            self._close()
            self._place = self._output = None
            if ended.error:
                print_error_of(ended)

    def _close(self) -> None:
        if self._display:
            self._display.close()
            self._display = None

    def _what_is_left(self) -> list[str]:
        from napari_ct_pyramid.omezarr.kind import is_unfinished

        left = [f"{self._output} is unfinished"] if self._output and is_unfinished(self._output) else []
        if self._waiting:
            left.append(f"{count(self._waiting, 'volume')} {'was' if self._waiting == 1 else 'were'} not started")
        return [f"{', and '.join(left)}. Run the same command again to continue."] if left else []
