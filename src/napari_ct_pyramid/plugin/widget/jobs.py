"""A conversion or a verification in the background, as a `Job` with a start, progress and an end.

It knows nothing of fields, plans or layers.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, ClassVar, Protocol

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ct_pyramid.conversion.comparison import Verification
from napari_ct_pyramid.conversion.convert import iter_conversion
from napari_ct_pyramid.conversion.progress import Progress
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.conversion.verify import iter_verification
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.plugin.wording import source_name
from napari_ct_pyramid.sources.inputs import ArrayInput
from napari_ct_pyramid.storage.paths import any_path

from .activity_bar import ActivityBar
from .disk_watch import Look, look_at
from .worker import StepsWorker, Task

_BAR_MS = 30  # the delay of the bar, so that the window is painted first


class Preview(Protocol):
    """Shows the output of a conversion while it grows."""

    ready: Any  # signal: the first progress was shown, or will never be shown

    def show_progress(self, progress: Progress, /) -> None:
        """Show what has been written so far."""

    def end(self, outcome: Receipt | Exception | None, /) -> None:
        """The conversion has ended."""


class Job(QObject):
    """A long job on an output, from its start to its end.

    It lives as long as it runs, whether or not the widget that started it is still there.

    Parameters
    ----------
    source : str or ArrayInput
        A path, or an array.
    output : str
        A path.
    options : object
        What the user asked for.
    owner : object
        The viewer that the job belongs to.
    preview : Preview, optional
        Shows the output, from the first `Progress` on. The job waits for it, so that napari does not add a layer while
        all cores are busy.

    Attributes
    ----------
    last : Progress or None
        The latest progress.
    outcome : object
        Once the job has ended: its result, or the exception that ended it, or None if it was cancelled.
    seen : Look or None
        Once the job has ended with a result: the states of the source and the output.
    """

    progressed = Signal(object)  # Progress
    ended = Signal(object)  # the job itself; its generator is already closed

    under_way: ClassVar[set[Job]] = set()
    """All jobs that have started and not ended."""

    def __init__(
        self,
        source: str | ArrayInput,
        output: str,
        options: Any,
        owner: object,
        preview: Preview | None = None,
    ) -> None:
        super().__init__()
        self._owner = owner
        self._preview = preview
        self.source = source
        self.output = output
        self.options = options
        self.outcome: Any = None
        self.seen: Look | None = None
        self.last: Progress | None = None
        self._worker: Any = None
        self._bar: ActivityBar | None = None

    @classmethod
    def of(cls, owner: object) -> Job | None:
        """The owner's job that is under way, if there is one."""
        return next((job for job in Job.under_way if job._owner is owner), None)

    @property
    def cancelling(self) -> bool:
        """Whether it was asked to stop."""
        return bool(self._worker and self._worker.abort_requested)

    @property
    def leaves_unfinished(self) -> bool:
        """Whether the output would be unfinished if the job stopped now."""
        return self.last is not None

    @property
    def activity(self) -> str:
        """What the job does at the moment, to show before its rate; empty for a conversion."""
        return ""

    def _task(self) -> Task:
        raise NotImplementedError

    def start(self) -> None:
        """Start the job in a thread."""
        task = self._task()
        self.under_way.add(self)
        # Later: making the bar takes long, and so do the other changes of the window at the start.
        QTimer.singleShot(_BAR_MS, lambda: self._add_bar(task.short))
        self._worker = create_worker(
            task,
            _worker_class=StepsWorker,
            _ignore_errors=True,
            _start_thread=False,
            _connect={"yielded": self._on_yielded, "errored": self._on_errored, "finished": self._on_finished},
        )
        if self._preview:
            self.progressed.connect(self._preview.show_progress)
            self._preview.ready.connect(self._worker.may_continue.set)
        else:
            self._worker.may_continue.set()
        self._worker.start()

    def _add_bar(self, title: str) -> None:
        if self not in self.under_way:
            return
        bar = ActivityBar(title, self.cancel)  # lets Qt handle other events, during which the job may end
        if self not in self.under_way:
            bar.close()
            return
        self._bar = bar
        if self.last:
            bar.show(self.last)

    def cancel(self) -> None:
        """Ask the job to stop. `ended` follows within a second."""
        if self._worker:
            self._worker.quit()

    def _on_yielded(self, progress: Progress) -> None:
        if self.cancelling:
            return
        self.last = progress
        self.progressed.emit(progress)
        if self._bar is not None:
            self._bar.show(progress)  # lets Qt handle other events, so it comes last

    def _on_errored(self, error: Exception) -> None:
        self.outcome = error

    def _on_finished(self) -> None:
        if self._worker.result:
            self.outcome = self._worker.result
        self.under_way.discard(self)
        bar, self._bar = self._bar, None
        if self._preview:
            self._preview.end(self.outcome)
        self.ended.emit(self)
        if bar is not None:
            bar.close()


class ConversionJob(Job):
    """Converts the source to the output. Its result is a `Receipt`."""

    def _task(self) -> Task:
        name = source_name(self.source)
        title = f"the conversion of {name} to OME-Zarr"
        return Task(title, name, self._steps)

    def _steps(self) -> Generator[Progress, None, Receipt]:
        receipt = yield from iter_conversion(self.source, self.output, self.options)
        self.seen = look_at([self.source], [self.output])
        return receipt


class VerificationJob(Job):
    """Verifies the output, against its source or, without one, by its checksums. Its result is a `Verification`.

    Parameters
    ----------
    repair : bool
        Whether to make the wrong parts again.
    **rest
        As for `Job`. It uses only two options: the memory budget and the number of threads.
    """

    def __init__(
        self,
        source: str | ArrayInput,
        output: str,
        options: ConversionOptions,
        owner: object,
        *,
        repair: bool = False,
    ) -> None:
        super().__init__(source, output, options, owner)
        self.repair = repair
        self._first: Plan | None = None

    @property
    def verification(self) -> Verification | None:
        """The result; None if there is none."""
        return None if isinstance(self.outcome, Exception) else self.outcome

    @property
    def leaves_unfinished(self) -> bool:  # True once the repair has begun, which has its own plan
        return self.last is not None and self.last.plan is not self._first

    @property
    def activity(self) -> str:
        return "Repairing" if self.leaves_unfinished else "Verifying"

    def _on_yielded(self, progress: Progress) -> None:
        self._first = self._first or progress.plan
        super()._on_yielded(progress)

    def _task(self) -> Task:
        name = any_path(self.output).name
        return Task(
            f"the {'repair' if self.repair else 'verification'} of {name}",
            name,
            iter_verification,
            self.output,
            self.source or None,
            repair=self.repair,
            max_memory=self.options.max_memory,
            threads=self.options.threads,
        )
