"""Shows the job that runs in the form and the panels: what it does, and how far it is."""

from __future__ import annotations

from qtpy.QtCore import QObject

from napari_ct_pyramid.conversion.progress import Progress
from napari_ct_pyramid.model.plan import Plan

from .form import Form
from .jobs import ConversionJob, Job, VerificationJob
from .messages import verification_hint
from .parts import painted_once
from .plan_panel import PlanPanel
from .planner import PlanRequest
from .queue import Queue
from .queue_panel import QueuePanel
from .status_panel import StatusPanel


class JobView(QObject):
    """Shows one job at a time.

    Parameters
    ----------
    form, queue_panel, plan_panel, status_panel : QWidget
        What it fills in.
    queue : Queue
        The job may be one of its conversions.
    """

    def __init__(
        self, form: Form, queue: Queue, queue_panel: QueuePanel, plan_panel: PlanPanel, status_panel: StatusPanel
    ) -> None:
        super().__init__(form)  # with which Qt disconnects it from the job
        self._form, self._queue = form, queue
        self._queue_panel, self._plan_panel, self._status_panel = queue_panel, plan_panel, status_panel
        self._job: Job | None = None
        self._shown_plan: Plan | None = None

    def follow(self, job: Job) -> None:
        """Fill in what a job does, and show its progress from now on."""
        self._job = job
        job.progressed.connect(self.show_progress)
        if isinstance(job, ConversionJob) or not self._form.output_path:
            volume = job.last.plan.volume if job.last else None
            self._form.set_request(PlanRequest(job.source, job.output, job.options), volume)
        if isinstance(job, VerificationJob) and not self._plan_panel.shows_plan:
            self._plan_panel.show_hint(verification_hint(job.output, job.source))

    def show_progress(self, progress: Progress) -> None:
        """Show how far the job is, and its plan if that has changed."""
        assert self._job
        batch = self._queue.batch
        several = len(batch.items) > 1 and self._queue.running
        if several:
            self._queue_panel.show_progress(batch.items)
        if isinstance(self._job, ConversionJob) and progress.plan is not self._shown_plan:
            self._shown_plan = progress.plan
            if several:
                self._plan_panel.show_batch(batch)
            else:
                self._plan_panel.show_plan(progress.plan)
        with painted_once(self._status_panel):
            self._status_panel.show_progress(progress, self._job.activity, batch.run if several else None)
