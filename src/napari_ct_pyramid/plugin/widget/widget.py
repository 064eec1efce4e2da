"""Where the widget stands."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import partial
from pathlib import Path

import napari
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_ct_pyramid.conversion.progress import Progress
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.plugin.layers import source_file
from napari_ct_pyramid.plugin.preload import preload
from napari_ct_pyramid.plugin.preview import LivePreview
from napari_ct_pyramid.sources.registry import FILE_FILTER
from napari_ct_pyramid.storage.object_store import is_url
from napari_ct_pyramid.storage.paths import any_path

from .form import Form
from .jobs import Check, Conversion, Job
from .parts import FileDrops, ScrollColumn, painted_once
from .plan_panel import HINT, PlanView, error_words
from .planner import Answer, Planner, Request
from .queue import Entry, Queue
from .queue_panel import QueueView
from .status import Foot, Share, Verifier, compared_with, tell


class Stage(Enum):
    """Where the widget stands."""

    EMPTY = "there is no source yet"
    PLANNING = "the plan is being worked out"
    WRONG = "what is asked for cannot be done"
    READY = "Convert can be pressed"
    RUNNING = "a conversion, or a verification, is under way"
    CANCELLING = "it was told to stop"
    DONE = "it is finished, and nothing was changed since"


class ConvertWidget(QWidget):
    """Converts a volume to a multiscale OME-Zarr.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Where the live preview appears, and whose selected layer may be the source.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # napari hands plugins a proxy of the viewer, whose layers are proxies too and equal nothing.
        self._viewer: napari.viewer.Viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._job: Job | None = None
        self._answer: Answer | None = None
        self._shown_plan: Plan | None = None
        self._was_done = False  # before it was verified
        self.stage = Stage.EMPTY

        self.form = Form()
        self.sources = QueueView(FILE_FILTER)
        self.sources.hide()
        self.plan = PlanView()
        self.foot = Foot()
        self.queue = Queue.of(self._viewer)  # under way, if it was begun by a widget that was closed since
        self._planner = Planner(self)
        self._verifier = Verifier(self._viewer, self.foot, self.form.apply)
        self._lay_out()
        self._connect()
        self._offer_layer()
        preload()
        under_way = Job.running(self._viewer)
        if under_way:
            self._follow(under_way)
        self._show_queue()

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return self.stage in (Stage.RUNNING, Stage.CANCELLING)

    @property
    def several(self) -> bool:
        """Whether there is a list of sources, and not a field for one."""
        return len(self.queue.entries) > 1

    def set_sources(self, paths: Sequence[str | Path], *, join: bool = False) -> None:
        """Fill in a source, and the output beside it; or several, as a list.

        Where there is a list already, or something runs, they are added, to wait until somebody presses Convert. Or
        they may join the conversions that run.
        """
        sources = list(dict.fromkeys(map(str, paths)))
        if self.busy:
            first = [self.form.request().source] if not self.queue.entries else []  # that is being verified
            self.queue.add([*filter(None, first), *sources], joins=join)
        elif self.several or len(sources) > 1:
            if not self.several:
                self.queue.set()
            self.queue.add(sources)
            self._refresh()
        elif sources[0] == self.form.request().source:
            self._refresh()
        else:
            self.form.set_source(sources[0])

    def set_source(self, path: str | Path) -> None:
        """Fill in a source; see `set_sources`."""
        self.set_sources([path])

    def _lay_out(self) -> None:
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(10)
        for part in (self.sources, self.form, self.plan):
            column.addWidget(part)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(ScrollColumn(body))
        whole.addWidget(self.foot)
        whole.addStretch()

    def _connect(self) -> None:
        self.form.changed.connect(self._refresh)
        self.form.picked.connect(self.set_sources)
        self.sources.picked.connect(partial(self.set_sources, join=True))
        self.sources.removed.connect(self._take_off)
        self.sources.cleared.connect(self._another)
        self.queue.changed.connect(self._show_queue)
        self.queue.began.connect(self._follow)
        self.queue.failed.connect(self._tell_failure)
        self.queue.ended.connect(self._show_end)
        self._verifier.began.connect(self._follow)
        self._planner.answered.connect(self._show_answer)
        self.plan.chosen.connect(self.form.apply)
        self.foot.convert_pressed.connect(self._convert)
        self.foot.cancel_pressed.connect(self._cancel)
        self.foot.another_pressed.connect(self._another)
        self.foot.retry_pressed.connect(self._refresh)
        self.foot.verify_pressed.connect(self._verify)
        self.foot.repair_pressed.connect(lambda: self._verify(repair=True))
        FileDrops(self).dropped.connect(partial(self.set_sources, join=True))
        self._viewer.layers.selection.events.active.connect(self._offer_layer)

    # From the form to the plan

    def _refresh(self) -> None:
        """Something is asked for: work the plan out."""
        if self.busy:
            return
        self.foot.forget_result()
        if not self.several and self.queue.entries:
            self.queue.set()
        self._replan()

    def _replan(self, *, again: bool = True) -> None:
        self._answer = None
        request = self.form.request()
        if not request.source and not self.several:
            self._planner.forget()
            self.plan.show_hint(HINT)
            self._enter(Stage.EMPTY)
            if request.output:  # may be there to be verified
                self._planner.ask(Request("", request.output, request.options))
            return
        try:
            ConversionOptions(**request.options)
        except RequestError as error:  # no need to open a file to see that
            self._planner.forget()
            self.queue.forget_plans()
            self.plan.show_problem(error, request.output)
            self._enter(Stage.WRONG)
            return
        self._enter(Stage.PLANNING)
        if self.several:
            self._planner.forget()
            self.queue.plan(request.options, self.form.output_folder(), again=again)
        else:
            self._planner.ask(request)

    def _show_answer(self, answer: Answer) -> None:
        with painted_once(self):
            self.form.show_answer(answer)
            self._answer = answer
            if answer.plan:
                self.plan.show_plan(answer.plan, resumes=answer.resumes)
                self._enter(Stage.READY)
            elif answer.error:
                self.plan.show_problem(answer.error, answer.output)
                self._enter(Stage.WRONG)
            else:
                self._enter(Stage.EMPTY)

    def _show_queue(self) -> None:
        """The list, where there is one; and if nothing runs, what it comes to."""
        with painted_once(self):
            if self.several is self.sources.isHidden():
                self.sources.setVisible(self.several)
                self.form.show_several(self.several)
            if self.several:
                self.sources.show_entries(self.queue.entries)
                if self.queue.planned and not self.busy:
                    self._show_totals()

    def _show_totals(self) -> None:
        """What the several volumes come to."""
        queue = self.queue
        self.plan.show_queue(queue.entries, queue.error)
        if queue.error or not queue.having("waiting"):
            self._enter(Stage.WRONG if queue.error or queue.having("failed") else Stage.DONE)
        else:
            self._enter(Stage.READY)

    def _take_off(self, entry: Entry) -> None:
        """Take a volume off the list; the field has the last one."""
        self.queue.remove(entry)
        if self.busy:
            return
        if self.several:
            self._replan(again=False)
        elif self.queue.entries:
            source = self.queue.entries[0].source
            self.form.set_source("")
            self.form.set_source(source)

    def _offer_layer(self) -> None:
        self.form.offer_layer_file(source_file(self._viewer.layers.selection.active))

    # Conversions and verifications

    def _convert(self) -> None:
        if self.stage is not Stage.READY:
            return
        options = self.form.request().options
        if self._answer and not self.several:
            options = self._answer.options
            plan = self._answer.plan
            self.queue.set(Entry(self._answer.request.source, self._answer.output, plan=plan))
        live = self.form.live.value

        def preview(output: str) -> LivePreview | None:
            # Of a store, each look would cost many answers.
            return LivePreview(self._viewer) if live and not is_url(output) else None

        self.queue.start(options, preview)

    def _verify(self, *, repair: bool = False) -> None:
        if not self.busy:
            self._planner.forget()
            self._verifier.begin(self.form.request(), repair=repair)

    def _follow(self, job: Job) -> None:
        """Show a job that runs, or is about to."""
        with painted_once(self):
            self._job = job
            job.progressed.connect(self._show_progress)
            if isinstance(job, Check):
                self._was_done = self.stage is Stage.DONE
                job.ended.connect(self._show_end)
            if isinstance(job, Conversion) or not self.form.request().output:
                self.form.set_request(Request(job.source, job.output, job.options))
            if not isinstance(job, Conversion) and not self.plan.shows_plan:
                self.plan.show_hint(
                    f"{any_path(job.output).name} is read back, and compared with {compared_with(job.source)}."
                )
            follows = self.stage is Stage.RUNNING
            self._enter(Stage.RUNNING)
            if not follows:  # another one of several
                self.foot.show_running()
            if job.last:
                self._show_progress(job.last)

    def _cancel(self) -> None:
        if self._job and self.stage is Stage.RUNNING:
            self._enter(Stage.CANCELLING)
            (self.queue if self.queue.running else self._job).cancel()

    def _show_progress(self, progress: Progress) -> None:
        assert self._job
        several = self.several and self.queue.running
        if isinstance(self._job, Conversion) and progress.plan is not self._shown_plan:
            self._shown_plan = progress.plan
            self.plan.show_plan(progress.plan)
        with painted_once(self.foot):
            of = Share(*self.queue.place, self.queue.fraction) if several else None
            self.foot.show_progress(progress, self._job.doing(), of)
        if several:
            self.sources.show_progress()

    def _show_end(self, job: Job | None) -> None:
        """Nothing is under way any more."""
        self._job = None
        if self.several and not isinstance(job, Check):
            self.foot.show_several([entry for entry in self.queue.entries if entry.in_run or entry.state == "failed"])
            self.stage = Stage.PLANNING
            if self.queue.having("waiting"):
                self._replan(again=False)
            else:
                self._enter(Stage.DONE)
            return
        assert job
        outcome = job.outcome
        found = isinstance(job, Check) and job.found and self._was_done and not self.several
        if found or isinstance(outcome, Receipt):
            self._enter(Stage.DONE)
        else:
            self.stage = Stage.PLANNING
            self._replan()
        if isinstance(job, Check):
            self._verifier.show_end(job)
        elif isinstance(outcome, Receipt):
            self.foot.show_made(outcome)
        elif outcome is None:
            self.foot.show_cancelled(job.output, unfinished=job.leaves_unfinished)
        else:
            self.foot.show_failed(error_words(outcome))

    def _tell_failure(self, entry: Entry) -> None:
        assert entry.error
        tell(entry.error, f"{entry.name}: " if self.several else "")

    def _another(self) -> None:
        self.stage = Stage.EMPTY
        self.queue.set()
        if self.form.request().source:
            self.form.set_source("")
        else:
            self._refresh()

    def _enter(self, stage: Stage) -> None:
        self.stage = stage
        self.form.setEnabled(not self.busy)
        self.sources.set_busy(self.busy)
        if stage is Stage.CANCELLING:
            self.foot.show_cancelling()
        elif stage is Stage.DONE:
            self.foot.show_finished(verifiable=not self.several)
        elif not self.busy:
            answer = self._answer
            self.foot.show_idle(
                ready=stage is Stage.READY,
                resumes=bool(answer and answer.resumes),
                verifiable=answer.verifiable if answer else False if self.several else None,
                several=len(self.queue.having("waiting")) if self.several else None,
            )
