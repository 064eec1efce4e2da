"""Long jobs in a thread of napari's: the worker, its bar in the activity dock, and both as one `Job`.

It knows how a job runs and ends, and nothing of fields, plans or layers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from napari.qt.threading import GeneratorWorkerSignals, WorkerBase, create_worker
from napari.utils.progress import cancelable_progress
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ct_pyramid.conversion.progress import Progress
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.model.formatting import shorten, time_left
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.plugin.viewer_hooks import short_switch_interval
from napari_ct_pyramid.storage.paths import any_path

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.comparison import Verification
    from napari_ct_pyramid.model.plan import Plan


_BAR_MS = 30  # in which the window is painted


class StepsWorker(WorkerBase):
    """Runs a generator in a thread, and closes it, however it ends, before the signal `finished`.

    napari's `GeneratorWorker` leaves a generator suspended after `quit()`, with its threads and its files, and it does
    not report a `RuntimeError`, which `ConversionError` is.

    Parameters
    ----------
    function : callable
        Makes the generator.
    *args, **kwargs
        Arguments of `function`.
    """

    result: Any = None
    """What the generator returned. Unlike the signal `returned`, it is set after a late `quit()`, too."""

    def __init__(self, function: Callable[..., Generator[Progress, None, Any]], *args: Any, **kwargs: Any) -> None:
        super().__init__(SignalsClass=GeneratorWorkerSignals)
        self._steps = function(*args, **kwargs)
        self.may_go_on = Event()
        """The worker waits for this event after the first `Progress`."""

    def work(self) -> Any:
        with short_switch_interval(), closing(self._steps):
            while not self.abort_requested:
                try:
                    self.yielded.emit(next(self._steps))
                except StopIteration as end:
                    self.result = end.value
                    return self.result
                while not self.may_go_on.wait(0.1) and not self.abort_requested:
                    pass
        self.aborted.emit()
        return None


class ActivityBar(cancelable_progress):
    """A job in napari's activity dock, counted in megabytes: Qt's bars hold no larger numbers than 2**31.

    Parameters
    ----------
    title : str
        What is going on.
    cancel : callable
        Called when somebody presses Cancel there. (napari's own class only sets a flag.)
    """

    def __init__(self, title: str, cancel: Callable[[], None]) -> None:
        self._words = ""
        self._megabytes = 0
        self._quit = cancel
        super().__init__(desc=title, total=0)

    def cancel(self) -> None:
        super().cancel()
        self._quit()

    def show(self, progress: Progress) -> None:
        self._words = progress_words(progress)
        megabytes = max(1, progress.bytes_total // 1_000_000)
        if megabytes != self._megabytes:
            self.total = self._megabytes = megabytes
        done = int(progress.fraction * megabytes)
        self.n = done
        self.events.value(value=done)
        self.events.eta(value=self._words)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:  # noqa: ARG002
        """Instead of tqdm's words, which also went to the terminal."""
        self.events.eta(value=self._words)


class Preview(Protocol):
    """Shows what a conversion makes while it makes it."""

    ready: Any  # signal: the first progress has been shown, or never will be

    def show_progress(self, progress: Progress, /) -> None:
        """Show what there is by now."""

    def end(self, outcome: Receipt | Exception | None, /) -> None:
        """The conversion has ended."""


class Task(partial[Any]):
    """A call with a title. napari asks with it before it closes: "Executing …"."""

    def __new__(cls, title: str, name: str, *call: Any, **options: Any) -> Self:
        task = super().__new__(cls, *call, **options)
        task.title = title
        task.short = shorten(name, 20)
        return task

    title: str
    short: str

    def __str__(self) -> str:
        return self.title


class Job(QObject):
    """Something long that is done to an output, from its start to its end.

    It lives as long as it runs, whether or not the widget that began it is still there.

    Parameters
    ----------
    source, output : str
        Paths.
    options : dict
        Fields of `ConversionOptions`, as a user writes them.
    owner : object
        Whose job it is: the viewer.
    preview : Preview, optional
        Shows what is made, from the first `Progress` on, which the job waits for: nobody has to
        add a layer while all cores are busy.

    Attributes
    ----------
    last : Progress or None
        The latest.
    outcome : object
        Once it has ended: what came of it, or the exception that ended it, or None where it was cancelled.
    """

    progressed = Signal(object)  # Progress
    ended = Signal(object)  # the job itself; its generator is closed by now

    _running: ClassVar[set[Job]] = set()

    def __init__(
        self, source: str, output: str, options: dict[str, Any], owner: object, preview: Preview | None = None
    ) -> None:
        super().__init__()
        self._owner = owner
        self._preview = preview
        self.source = source
        self.output = output
        self.options = options
        self.outcome: Any = None
        self.last: Progress | None = None
        self._worker: Any = None
        self._bar: ActivityBar | None = None

    @classmethod
    def running(cls, owner: object) -> Job | None:
        """The owner's job that is under way, if any."""
        return next((one for one in Job._running if one._owner is owner), None)

    @property
    def cancelling(self) -> bool:
        """Whether it was told to stop."""
        return bool(self._worker and self._worker.abort_requested)

    @property
    def leaves_unfinished(self) -> bool:
        """Whether the output is unfinished now, should the job not go on."""
        return self.last is not None

    def doing(self) -> str:
        """What it does just now, to stand before its rate; nothing where that is plain."""
        return ""

    def _task(self) -> Task:
        raise NotImplementedError

    def start(self) -> None:
        """Begin."""
        task = self._task()
        self._running.add(self)
        # In a turn of its own: to make a bar takes the window long, and so does whatever else is changed at the start.
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
            self._preview.ready.connect(self._worker.may_go_on.set)
        else:
            self._worker.may_go_on.set()
        self._worker.start()

    def _add_bar(self, title: str) -> None:
        if self not in self._running:
            return
        bar = ActivityBar(title, self.cancel)  # lets Qt handle other events, in which the job may have ended
        if self not in self._running:
            bar.close()
            return
        self._bar = bar
        if self.last:
            bar.show(self.last)

    def cancel(self) -> None:
        """Ask it to stop. `ended` follows within a second."""
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
        self._running.discard(self)
        bar, self._bar = self._bar, None
        if self._preview:
            self._preview.end(self.outcome)
        self.ended.emit(self)
        if bar is not None:
            bar.close()


def progress_words(progress: Progress) -> str:
    """Rate and time left: ``"0.55 GB/s · 35 s left"``."""
    words = [f"{progress.bytes_per_second / 1e9:.2f} GB/s"] if progress.bytes_done else []
    if progress.seconds_left is not None and progress.seconds >= 1:
        words.append(f"{time_left(progress.seconds_left)} left")
    return " · ".join(words)


class Conversion(Job):
    """Converts the source to the output; its outcome is a `Receipt`."""

    def _task(self) -> Task:
        name = any_path(self.source).name
        title = f"the conversion of {name} to OME-Zarr"
        return Task(title, name, _iter_convert, self.source, self.output, **self.options)


class Check(Job):
    """Verifies the output, against the source where one is given, or by its checksums; its outcome is a `Verification`.

    Parameters
    ----------
    repair : bool
        Have what is wrong made again.
    **rest
        As for `Job`.
    """

    def __init__(
        self, source: str, output: str, options: dict[str, Any], owner: object, *, repair: bool = False
    ) -> None:
        super().__init__(source, output, options, owner)
        self.repair = repair
        self._first: Plan | None = None

    @property
    def found(self) -> Verification | None:
        """What came of it."""
        return None if isinstance(self.outcome, Exception) else self.outcome

    @property
    def leaves_unfinished(self) -> bool:  # once it makes again what is wrong
        return self.last is not None and self.last.plan is not self._first

    def doing(self) -> str:
        return "Repairing" if self.leaves_unfinished else "Verifying"

    def _on_yielded(self, progress: Progress) -> None:
        self._first = self._first or progress.plan
        super()._on_yielded(progress)

    def _task(self) -> Task:
        name = any_path(self.output).name
        title = f"the {'repair' if self.repair else 'verification'} of {name}"
        options = {name: self.options[name] for name in ("max_memory", "threads")}
        return Task(title, name, _iter_verify, self.output, self.source or None, repair=self.repair, **options)


# Loading what these call takes a moment, which the window does not wait for.


def _iter_convert(source: str, output: str, **options: Any) -> Generator[Progress, None, Receipt]:
    from napari_ct_pyramid.conversion.convert import iter_conversion

    return (yield from iter_conversion(source, output, ConversionOptions(**options)))


def _iter_verify(output: str, source: str | None, **options: Any) -> Generator[Progress, None, Verification]:
    from napari_ct_pyramid.conversion.verify import iter_verification

    return (yield from iter_verification(output, source, **options))
