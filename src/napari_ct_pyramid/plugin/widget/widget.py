"""The dock widget: connects the form, the panels, the planner and the queue, and knows which state they are in."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import partial
from pathlib import Path

import napari
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_ct_pyramid.conversion.batch import Batch, BatchItem
from napari_ct_pyramid.conversion.progress import Progress
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.plugin.layers import source_file
from napari_ct_pyramid.plugin.preload import preload
from napari_ct_pyramid.plugin.preview import LivePreview
from napari_ct_pyramid.plugin.wording import error_words
from napari_ct_pyramid.sources.registry import FILE_FILTER
from napari_ct_pyramid.storage.paths import any_path

from .form import Form
from .jobs import ConversionJob, Job, VerificationJob
from .parts import FileDrops, ScrollColumn, painted_once
from .plan_panel import HINT, PlanPanel
from .planner import PlanAnswer, Planner, PlanRequest
from .queue import Queue
from .queue_panel import QueuePanel
from .status_panel import StatusPanel, notify_error
from .summaries import compared_with
from .verifier import Verifier


class WidgetState(Enum):
    """What the widget does, and what the user can do with it."""

    EMPTY = "no source is chosen"
    PLANNING = "a plan is being made"
    WRONG = "the request cannot be carried out"
    READY = "Convert can be pressed"
    RUNNING = "a conversion or a verification runs"
    CANCELLING = "the job was asked to stop"
    DONE = "the job is finished, and nothing has changed since"


class ConvertWidget(QWidget):
    """Converts a volume to a multiscale OME-Zarr.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        It shows the live preview, and its selected layer may be the source.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # napari gives plugins a proxy of the viewer. Its layers are proxies, too, and equal no layer.
        self._viewer: napari.viewer.Viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._job: Job | None = None
        self._answer: PlanAnswer | None = None
        self._shown_plan: Plan | None = None
        self._was_done = False  # before the verification began
        self.state = WidgetState.EMPTY

        self.form = Form()
        self.queue_panel = QueuePanel(FILE_FILTER)
        self.queue_panel.hide()
        self.plan_panel = PlanPanel()
        self.status_panel = StatusPanel()
        self.queue = Queue.of(self._viewer)  # may still run, if a widget that is closed by now started it
        self._planner = Planner(self)
        self._verifier = Verifier(self._viewer, self.status_panel, self.form.apply)
        self._lay_out()
        self._connect()
        self._offer_layer()
        preload()
        under_way = Job.of(self._viewer)
        if under_way:
            self._follow(under_way)
        self._show_queue()

    @property
    def busy(self) -> bool:
        """Whether a job runs."""
        return self.state in (WidgetState.RUNNING, WidgetState.CANCELLING)

    @property
    def several(self) -> bool:
        """Whether there is a list of sources in place of the field for one."""
        return len(self.queue.batch.items) > 1

    def set_sources(self, paths: Sequence[str | Path], *, join: bool = False) -> None:
        """Fill in one source, and the output beside it; or several sources, as a list.

        If there is a list already, or a job runs, they are added to the list. They wait until the user presses Convert;
        with `join`, the run that is under way converts them, too.
        """
        sources = list(dict.fromkeys(map(str, paths)))
        if self.busy:
            first = [] if self.queue.batch.items else [self.form.source_path]  # the job verifies this one
            self.queue.add([*filter(None, first), *sources], joins=join)
        elif self.several or len(sources) > 1:
            if not self.several:
                self.queue.set()
            self.queue.add(sources)
            self._refresh()
        elif sources[0] == self.form.source_path:
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
        for part in (self.queue_panel, self.form, self.plan_panel):
            column.addWidget(part)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(ScrollColumn(body))
        whole.addWidget(self.status_panel)
        whole.addStretch()

    def _connect(self) -> None:
        self.form.changed.connect(self._refresh)
        self.form.several_chosen.connect(self.set_sources)
        self.queue_panel.picked.connect(partial(self.set_sources, join=True))
        self.queue_panel.removed.connect(self._remove_item)
        self.queue_panel.cleared.connect(self._start_over)
        self.queue.changed.connect(self._show_queue)
        self.queue.began.connect(self._follow)
        self.queue.failed.connect(self._notify_failure)
        self.queue.ended.connect(self._show_end)
        self._verifier.began.connect(self._follow)
        self._planner.answered.connect(self._show_answer)
        self.plan_panel.chosen.connect(self.form.apply)
        self.status_panel.convert_pressed.connect(self._convert)
        self.status_panel.cancel_pressed.connect(self._cancel)
        self.status_panel.convert_another_pressed.connect(self._start_over)
        self.status_panel.retry_pressed.connect(self._refresh)
        self.status_panel.verify_pressed.connect(self._verify)
        self.status_panel.repair_pressed.connect(lambda: self._verify(repair=True))
        FileDrops(self).dropped.connect(partial(self.set_sources, join=True))
        self._viewer.layers.selection.events.active.connect(self._offer_layer)

    # From the form to the plan

    def _refresh(self) -> None:
        """The form has changed: make a new plan."""
        if self.busy:
            return
        self.status_panel.hide_result()
        if not self.several and self.queue.batch.items:
            self.queue.set()
        self._replan()

    def _replan(self, *, again: bool = True) -> None:
        self._answer = None
        source, output = self.form.source_path, self.form.output_path
        if not (source or output or self.several):
            self._show_nothing_to_do()
            return
        try:
            request = self.form.request()
        except RequestError as error:  # found without opening a file
            self._planner.forget()
            self.queue.forget_plans()
            self.plan_panel.show_problem(error, output)
            self._enter(WidgetState.WRONG)
            return
        if self.several:
            self._enter(WidgetState.PLANNING)
            self._planner.forget()
            self.queue.plan(request.options, self.form.output_folder(), again=again)
        elif source:
            self._enter(WidgetState.PLANNING)
            self._planner.ask(request)
        else:
            self._show_nothing_to_do()
            self._planner.ask(request)  # there may be an output to verify

    def _show_nothing_to_do(self) -> None:
        self._planner.forget()
        self.plan_panel.show_hint(HINT)
        self._enter(WidgetState.EMPTY)

    def _show_answer(self, answer: PlanAnswer) -> None:
        with painted_once(self):
            self.form.show_answer(answer)
            self._answer = answer
            if answer.plan:
                self.plan_panel.show_plan(answer.plan, resumes=answer.resumes)
                self._enter(WidgetState.READY)
            elif answer.error:
                self.plan_panel.show_problem(answer.error, answer.output)
                self._enter(WidgetState.WRONG)
            else:
                self._enter(WidgetState.EMPTY)

    def _show_queue(self) -> None:
        """Show the list if there is one, and its totals if nothing runs."""
        with painted_once(self):
            if self.several is self.queue_panel.isHidden():
                self.queue_panel.setVisible(self.several)
                self.form.show_several(self.several)
            if self.several:
                self.queue_panel.show_items(self.queue.batch.items)
                if self.queue.planned and not self.busy:
                    self._show_totals()

    def _show_totals(self) -> None:
        """Show what the volumes need together."""
        batch, error = self.queue.batch, self.queue.error
        self.plan_panel.show_batch(batch, error)
        if error or not batch.having("waiting"):
            self._enter(WidgetState.WRONG if error or batch.having("failed") else WidgetState.DONE)
        else:
            self._enter(WidgetState.READY)

    def _remove_item(self, item: BatchItem[Receipt]) -> None:
        """Remove a volume from the list; the last one moves into the field."""
        self.queue.remove(item)
        if self.busy:
            return
        if self.several:
            self._replan(again=False)
        elif self.queue.batch.items:
            source = str(self.queue.batch.items[0].source)
            self.form.set_source("")
            self.form.set_source(source)

    def _offer_layer(self) -> None:
        self.form.offer_layer_file(source_file(self._viewer.layers.selection.active))

    # Conversions and verifications

    def _convert(self) -> None:
        if self.state is not WidgetState.READY:
            return
        request = self.form.request()
        if self._answer and not self.several:
            request, plan = self._answer.request, self._answer.plan
            self.queue.set(BatchItem(any_path(request.source), any_path(self._answer.output), plan=plan))
        live = self.form.live.value

        def preview(item: BatchItem[Receipt]) -> LivePreview | None:
            # A preview of an output in an object store would cost many requests.
            shows = live and isinstance(item.output, Path)
            return LivePreview(self._viewer, item.source, follow=self.several) if shows else None

        self.queue.start(request.options, preview)

    def _verify(self, *, repair: bool = False) -> None:
        if not self.busy:
            self._planner.forget()
            self._verifier.begin(self.form.request(), repair=repair)

    def _follow(self, job: Job) -> None:
        """Show a job that runs, or begins just now."""
        with painted_once(self):
            self._job = job
            job.progressed.connect(self._show_progress)
            if isinstance(job, VerificationJob):
                self._was_done = self.state is WidgetState.DONE
                job.ended.connect(self._show_end)
            if isinstance(job, ConversionJob) or not self.form.output_path:
                self.form.set_request(PlanRequest(job.source, job.output, job.options))
            if isinstance(job, VerificationJob) and not self.plan_panel.shows_plan:
                self.plan_panel.show_hint(
                    f"{any_path(job.output).name} is read back, and compared with {compared_with(job.source)}."
                )
            first = self.state is not WidgetState.RUNNING
            self._enter(WidgetState.RUNNING)
            if first:  # of several
                self.status_panel.show_running()
            if job.last:
                self._show_progress(job.last)

    def _cancel(self) -> None:
        if self._job and self.state is WidgetState.RUNNING:
            self._enter(WidgetState.CANCELLING)
            (self.queue if self.queue.running else self._job).cancel()

    def _show_progress(self, progress: Progress) -> None:
        assert self._job
        several = self.several and self.queue.running
        if isinstance(self._job, ConversionJob) and progress.plan is not self._shown_plan:
            self._shown_plan = progress.plan
            self.plan_panel.show_plan(progress.plan)
        with painted_once(self.status_panel):
            run = self.queue.batch.run if several else None
            self.status_panel.show_progress(progress, self._job.activity, run)
        if several:
            self.queue_panel.show_progress(self.queue.batch.items)

    def _show_end(self, job: Job | None) -> None:
        """Nothing runs any more: show the result of the job, or of several volumes."""
        self._job = None
        if self.several and not isinstance(job, VerificationJob):
            items = [item for item in self.queue.batch.items if item.in_run or item.state == "failed"]
            self.status_panel.show_batch(Batch(tuple(items)))
            self.state = WidgetState.PLANNING
            if self.queue.batch.having("waiting"):
                self._replan(again=False)
            else:
                self._enter(WidgetState.DONE)
            return
        assert job
        outcome = job.outcome
        verified = isinstance(job, VerificationJob) and job.verification and self._was_done and not self.several
        if verified or isinstance(outcome, Receipt):
            self._enter(WidgetState.DONE)
        else:
            self.state = WidgetState.PLANNING
            self._replan()
        if isinstance(job, VerificationJob):
            self._verifier.show_end(job)
        elif isinstance(outcome, Receipt):
            self.status_panel.show_made(outcome)
        elif outcome is None:
            self.status_panel.show_cancelled(job.output, unfinished=job.leaves_unfinished)
        else:
            self.status_panel.show_failed(error_words(outcome))

    def _notify_failure(self, item: BatchItem[Receipt]) -> None:
        assert item.error
        notify_error(item.error, f"{item.name.name}: " if self.several else "")

    def _start_over(self) -> None:
        self.state = WidgetState.EMPTY
        self.queue.set()
        if self.form.source_path:
            self.form.set_source("")
        else:
            self._refresh()

    def _enter(self, state: WidgetState) -> None:
        self.state = state
        self.form.setEnabled(not self.busy)
        self.queue_panel.set_busy(self.busy)
        if state is WidgetState.CANCELLING:
            self.status_panel.show_cancelling()
        elif state is WidgetState.DONE:
            self.status_panel.show_finished(verifiable=not self.several)
        elif not self.busy:
            answer = self._answer
            self.status_panel.show_idle(
                ready=state is WidgetState.READY,
                resumes=bool(answer and answer.resumes),
                verifiable=answer.verifiable if answer else False if self.several else None,
                several=len(self.queue.batch.having("waiting")) if self.several else None,
            )
