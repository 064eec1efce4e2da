"""The volumes that a window converts one after another: a batch that may grow and shrink while it runs.

It does not know how the batch is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from qtpy.QtCore import QObject, Signal

from napari_ct_pyramid.conversion.batch import Batch, BatchItem, batch_item
from napari_ct_pyramid.conversion.progress import Progress
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.sources.inputs import ArrayInput

from .disk_watch import Look
from .jobs import ConversionJob
from .planner import BatchAnswer, BatchRequest, Planner

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_ct_pyramid.plugin.preview import LivePreview


class Queue(QObject):
    """The batch of a window, and its conversions, one at a time.

    It continues when the widget that shows it is closed.

    Parameters
    ----------
    viewer : napari.Viewer
        It shows the previews.

    Attributes
    ----------
    batch : Batch
    error : Exception or None
        Why the waiting items cannot be converted together, although each alone may be possible.
    planned : bool
        Whether the waiting items are planned with the latest options.
    seen : Look or None
        The states of the sources and the outputs before they were planned.
    job : ConversionJob or None
        The job that runs.
    """

    changed = Signal()  # the batch or its plans have changed
    began = Signal(object)  # ConversionJob
    failed = Signal(object)  # BatchItem
    ended = Signal(object)  # the last ConversionJob of the run, or None

    under_way: ClassVar[set[Queue]] = set()
    """All queues that were started and have not ended."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.batch = Batch[Receipt]()
        self.error: Exception | None = None
        self.planned = True
        self.seen: Look | None = None
        self.job: ConversionJob | None = None
        self._viewer = viewer
        self._options: ConversionOptions | None = None  # for items that are added later
        self._folder = ""
        self._make_preview: Callable[[BatchItem[Receipt]], LivePreview | None] = lambda _: None
        self._preview: LivePreview | None = None
        self._last: ConversionJob | None = None
        self._stopping = False
        self._planner = Planner(self)
        self._planner.answered.connect(self._take_plans)

    @classmethod
    def of(cls, viewer: Viewer) -> Queue:
        """The viewer's queue that is under way, or a new one."""
        return next((queue for queue in cls.under_way if queue._viewer is viewer), None) or cls(viewer)

    @property
    def running(self) -> bool:
        """Whether it was started, and has not ended."""
        return self in self.under_way

    # The list

    def add(self, sources: Iterable[str | ArrayInput], *, joins: bool = False) -> None:
        """Add sources that are not in the batch yet.

        `plan` plans them. If the queue runs, they are planned at once; with `joins`, the same run converts them.
        """
        joins = joins and self.running
        before = len(self.batch.items)
        self.batch = self.batch.add(replace(batch_item(source), in_run=joins) for source in sources)
        if len(self.batch.items) > before:
            self.planned = False
            if self.running:
                self._ask([item for item in self.batch.having("waiting") if not item.plan])
        self.changed.emit()

    def remove(self, item: BatchItem[Receipt]) -> None:
        """Remove an item that is not running."""
        self.batch = self.batch.remove(item)
        self.changed.emit()
        if self.running and self.job is None:
            self._continue()

    def set(self, *items: BatchItem[Receipt]) -> None:
        """Replace all items by these."""
        self._planner.forget()
        self.batch, self.error, self.planned = Batch(items), None, all(item.plan for item in items)
        self.changed.emit()

    def plan(self, options: ConversionOptions, folder: str, *, again: bool = True) -> None:
        """Plan the items that wait: `changed` follows.

        Parameters
        ----------
        options : ConversionOptions
        folder : str
            The folder for the outputs; if empty, each goes beside its source.
        again : bool
            Whether to also plan conversions that failed.
        """
        self._options, self._folder = options, folder
        items = self.batch.having("waiting", "failed")
        self._ask([item for item in items if again or item.state == "waiting" or not item.in_run])

    def forget_plans(self) -> None:
        """Drop the plans, because the form has an invalid value."""
        self.planned = False
        self._planner.forget()

    def _ask(self, items: list[BatchItem[Receipt]]) -> None:
        self.planned = not items
        if items and self._options:
            # The user allowed overwriting only for the outputs that existed then.
            options = replace(self._options, overwrite=False) if self.running else self._options
            self._planner.ask(BatchRequest(tuple(map(source_of, items)), self._folder, options))
        else:
            self._planner.forget()
            self.changed.emit()

    def _take_plans(self, answer: BatchAnswer) -> None:
        self.planned = True
        self.seen = None if self.running else answer.seen  # a run changes what was seen
        self.error = None if self.running else answer.error
        if answer.batch:
            self.batch = self.batch.take_plans(answer.batch, keep_run=self.running)
        if answer.error and self.running:
            for item in self.batch.having("waiting"):
                if source_of(item) in answer.request.sources:
                    self.batch = self.batch.finish(item, answer.error)
        self.changed.emit()
        if self.running and self.job is None:
            self._continue()

    # The run

    def start(
        self, options: ConversionOptions, make_preview: Callable[[BatchItem[Receipt]], LivePreview | None]
    ) -> None:
        """Convert all waiting items as planned. Items that join later get these options."""
        self._options, self._make_preview, self._stopping = options, make_preview, False
        self.batch = self.batch.start()
        self.seen = None
        self.under_way.add(self)
        self._continue()

    def cancel(self) -> None:
        """Stop the conversion that runs, and leave the others waiting. `ended` follows."""
        self._stopping = True
        if self.job:
            self.job.cancel()
        else:
            self._continue()

    def _continue(self) -> None:
        ready = self.batch.next_ready
        if ready and not self._stopping:
            self._begin(ready)
        elif self._stopping or not self.batch.run.having("waiting"):  # otherwise it waits for a plan
            self._end()

    def _begin(self, item: BatchItem[Receipt]) -> None:
        assert item.plan
        options, output = item.plan.options, str(item.output)
        if options.overwrite:
            for layer in [layer for layer in self._viewer.layers if layer.source.path == output]:
                self._viewer.layers.remove(layer)  # its files are about to be deleted
        self._preview = self._make_preview(item)
        self.batch = self.batch.begin(item)
        job = self.job = ConversionJob(source_of(item), output, options, self._viewer, self._preview)

        def advance(progress: Progress) -> None:
            self.batch = self.batch.advance(item, progress)

        job.progressed.connect(advance)
        job.ended.connect(lambda _: self._finish(item, job))
        self.began.emit(job)
        self.changed.emit()
        job.start()

    def _finish(self, item: BatchItem[Receipt], job: ConversionJob) -> None:
        self.job = None
        self.batch = self.batch.finish(item, job.outcome)
        if isinstance(job.outcome, Exception):
            self.failed.emit(replace(item, state="failed", error=job.outcome))
        self._stopping |= job.cancelling or job.outcome is None
        self._last = job
        self.changed.emit()
        self._continue()

    def _end(self) -> None:
        self.under_way.discard(self)
        self._preview = None
        self.ended.emit(self._last)


def source_of(item: BatchItem[Receipt]) -> str | ArrayInput:
    """An item's source, as a form holds it."""
    return item.source if isinstance(item.source, ArrayInput) else str(item.source)
