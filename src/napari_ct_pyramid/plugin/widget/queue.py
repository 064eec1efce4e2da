"""Volumes that a window converts one after another: a list that may grow and shrink while it is worked off.

It knows how one conversion follows another, and nothing of how the list is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtCore import QObject, Signal

from napari_ct_pyramid.conversion.progress import Progress
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.storage.paths import any_path

from .jobs import Conversion
from .planner import Planner, QueueAnswer, QueueRequest

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_ct_pyramid.conversion.batch import State
    from napari_ct_pyramid.model.plan import Plan
    from napari_ct_pyramid.plugin.preview import LivePreview


@dataclass(eq=False)
class Entry:
    """One volume of the queue.

    Attributes
    ----------
    source, output : str
        Paths. The output is known once it is planned.
    state : {"waiting", "running", "done", "failed"}
    plan : Plan or None
        Once there is one.
    result : Receipt or None
        Of one that is done. None where its output had been finished before.
    error : Exception or None
        Why it failed, or cannot be begun.
    progress : Progress or None
        The latest, once it was begun.
    in_run : bool
        Whether it is one of those that are, or were last, converted in one go.
    """

    source: str
    output: str = ""
    state: State = "waiting"
    plan: Plan | None = None
    result: Receipt | None = None
    error: Exception | None = None
    progress: Progress | None = None
    in_run: bool = False

    @property
    def fraction(self) -> float:
        """Of its work, from 0 to 1; one that failed leaves nothing to do."""
        if self.state in ("done", "failed"):
            return 1.0
        return self.progress.fraction if self.progress and self.state == "running" else 0.0

    @property
    def name(self) -> str:
        """What a user calls it by."""
        return any_path(self.source).name

    @property
    def size(self) -> int:
        """Bytes of the source, as far as they are known."""
        return self.plan.volume.nbytes if self.plan else 0


class Queue(QObject):
    """The volumes of a window, and their conversions, one at a time.

    All that wait when it is started are planned by then. It goes on when the widget that shows it is closed.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the previews are.

    Attributes
    ----------
    entries : list of Entry
        In the order in which they are done.
    error : Exception or None
        Why what waits cannot be converted together, though each may do by itself.
    planned : bool
        Whether what waits has been looked at with the latest options.
    job : Conversion or None
        The one that runs.
    """

    changed = Signal()  # entries, or how they are
    began = Signal(object)  # Conversion
    failed = Signal(object)  # Entry
    ended = Signal(object)  # the last Conversion, if there was one: nothing follows it

    _under_way: ClassVar[set[Queue]] = set()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.entries: list[Entry] = []
        self.error: Exception | None = None
        self.planned = True
        self.job: Conversion | None = None
        self._viewer = viewer
        self._asked: list[Entry] = []
        self._options: dict[str, Any] = {}
        self._folder = ""
        self._make_preview: Callable[[str], LivePreview | None] = lambda _: None
        self._preview: LivePreview | None = None
        self._last: Conversion | None = None
        self._stopping = False
        self._planner = Planner(self)
        self._planner.answered.connect(self._take_plans)

    @classmethod
    def of(cls, viewer: Viewer) -> Queue:
        """The viewer's queue that is under way, or a new one."""
        return next((queue for queue in cls._under_way if queue._viewer is viewer), None) or cls(viewer)

    @property
    def running(self) -> bool:
        """Whether it was started, and has not ended."""
        return self in self._under_way

    @property
    def run(self) -> list[Entry]:
        """The entries that are, or were last, converted in one go."""
        return [entry for entry in self.entries if entry.in_run]

    @property
    def place(self) -> tuple[int, int]:
        """Which of how many is under way: (2, 5)."""
        run = self.run
        return 1 + next((n for n, entry in enumerate(run) if entry.state == "running"), len(run) - 1), len(run)

    @property
    def fraction(self) -> float:
        """Of all the work of the run, by bytes of the sources."""
        total = sum(entry.size for entry in self.run)
        return sum(entry.fraction * entry.size for entry in self.run) / total if total else 0.0

    def having(self, *states: State) -> list[Entry]:
        """The entries in these states."""
        return [entry for entry in self.entries if entry.state in states]

    # The list

    def add(self, sources: Iterable[str], *, joins: bool = False) -> None:
        """Add what is not in it yet, to be planned by `plan`, or at once if it joins those that run."""
        known = {entry.source for entry in self.entries}
        new = [Entry(source, in_run=joins and self.running) for source in dict.fromkeys(sources) if source not in known]
        self.entries += new
        self.planned &= not new
        if new and self.running:
            self._ask([entry for entry in self.having("waiting") if not entry.plan])
        self.changed.emit()

    def remove(self, entry: Entry) -> None:
        """Take one away that is not running."""
        if entry in self.entries and entry.state != "running":
            self.entries.remove(entry)
            self.changed.emit()
            if self.running and self.job is None:
                self._go_on()

    def set(self, *entries: Entry) -> None:
        """Hold these, and nothing else."""
        self._planner.forget()
        self.entries, self.error, self.planned = list(entries), None, all(entry.plan for entry in entries)
        self.changed.emit()

    def plan(self, options: dict[str, Any], folder: str, *, again: bool = True) -> None:
        """Work out what is to be done, and whether it can: `changed` follows.

        Parameters
        ----------
        options : dict
            Fields of `ConversionOptions`, as a user writes them.
        folder : str
            Where the outputs go; each lies beside its source if it is empty.
        again : bool
            Whether conversions that failed are to be done again, too.
        """
        self._options, self._folder = options, folder
        self._ask([e for e in self.having("waiting", "failed") if again or e.state == "waiting" or not e.in_run])

    def forget_plans(self) -> None:
        """What is asked for makes no sense."""
        self.planned = False
        self._planner.forget()

    def _ask(self, entries: list[Entry]) -> None:
        self._asked, self.planned = entries, not entries
        if entries:
            # Leave to overwrite was for those that were there when it was given.
            late = {"overwrite": False} if self.running else {}
            sources = tuple(entry.source for entry in entries)
            self._planner.ask(QueueRequest(sources, self._folder, {**self._options, **late}))
        else:
            self._planner.forget()
            self.changed.emit()

    def _take_plans(self, answer: QueueAnswer) -> None:
        self.planned = True
        self.error = None if self.running else answer.error
        for entry, found in zip(self._asked, answer.batch.items if answer.batch else (), strict=False):
            if entry.state in ("waiting", "failed"):
                entry.output, entry.plan, entry.error = str(found.output), found.plan, found.error
                entry.progress, entry.in_run = None, entry.in_run and self.running
                entry.state = found.state
        if answer.error and self.running:
            for entry in self._asked:
                entry.state, entry.error = "failed", answer.error
        self.changed.emit()
        if self.running and self.job is None:
            self._go_on()

    # The run

    def start(self, options: dict[str, Any], make_preview: Callable[[str], LivePreview | None]) -> None:
        """Convert all that waits, as it was planned."""
        self._options, self._make_preview, self._stopping = options, make_preview, False
        for entry in self.entries:
            entry.in_run = entry.state == "waiting"
        self._under_way.add(self)
        self._go_on()

    def cancel(self) -> None:
        """Stop the one that runs, and leave the rest waiting. `ended` follows."""
        self._stopping = True
        if self.job:
            self.job.cancel()
        else:
            self._go_on()

    def _go_on(self) -> None:
        ahead = [entry for entry in self.run if entry.state == "waiting"]
        ready = next((entry for entry in ahead if entry.plan), None)
        if ready and not self._stopping:
            self._begin(ready)
        elif self._stopping or not ahead:  # or else it waits for a plan
            self._end()

    def _begin(self, entry: Entry) -> None:
        if self._options.get("overwrite"):
            for layer in [layer for layer in self._viewer.layers if layer.source.path == entry.output]:
                self._viewer.layers.remove(layer)  # what it shows is about to be deleted
        if self._preview and self._preview.layer:  # only one is to be seen
            self._preview.layer.visible = False
        self._preview = self._make_preview(entry.output)
        entry.state, entry.error, entry.progress = "running", None, None
        job = self.job = Conversion(entry.source, entry.output, self._options, self._viewer, self._preview)

        def note(progress: Progress) -> None:
            entry.progress = progress

        job.progressed.connect(note)
        job.ended.connect(lambda _: self._finish(entry, job))
        self.began.emit(job)
        self.changed.emit()
        job.start()

    def _finish(self, entry: Entry, job: Conversion) -> None:
        self.job = None
        if isinstance(job.outcome, Receipt):
            entry.state, entry.result = "done", job.outcome
        elif job.outcome is None:
            entry.state, self._stopping = "waiting", True
        else:
            entry.state, entry.error = "failed", job.outcome
            self.failed.emit(entry)
        self._stopping |= job.cancelling
        self._last = job
        self.changed.emit()
        self._go_on()

    def _end(self) -> None:
        self._under_way.discard(self)
        self._preview = None
        self.ended.emit(self._last)
