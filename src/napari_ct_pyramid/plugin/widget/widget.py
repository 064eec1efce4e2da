"""The dock widget: connects the form, the panels, the planner and the queue, and knows which state they are in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import napari
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_ct_pyramid.conversion.batch import BatchItem
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.errors import DiskSpaceError, RequestError
from napari_ct_pyramid.plugin.dock import share_place
from napari_ct_pyramid.plugin.picture_offers import PictureOffers
from napari_ct_pyramid.plugin.preload import preload
from napari_ct_pyramid.plugin.preview import LivePreview
from napari_ct_pyramid.plugin.voxel_sizes import show_voxel_size
from napari_ct_pyramid.sources.grouping import group_inputs
from napari_ct_pyramid.sources.inputs import ArrayInput
from napari_ct_pyramid.sources.registry import FILE_FILTER
from napari_ct_pyramid.storage.paths import any_path

from .actions import after_verification, carry_out, make_folder, selected_layer, show_as_read
from .crop_rectangle import CropRectangle
from .disk_watch import DiskWatch
from .form import Form
from .job_view import JobView
from .jobs import Job, VerificationJob
from .messages import Message, batch_plan_message, plan_message, problem
from .parts import FileDrops, ScrollColumn, painted_once
from .plan_panel import HINT, PlanPanel
from .planner import PlanAnswer, Planner, PlanRequest
from .queue import Queue, source_of
from .queue_panel import QueuePanel
from .remedies import Act, Offer
from .results import Result, batch_result, result_of
from .states import WidgetState
from .status_panel import StatusPanel, notify_error

SourceItem = str | Path | ArrayInput


class ConvertWidget(QWidget):
    """Converts a volume to a multiscale OME-Zarr.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        It shows the live preview, and its selected layer may be the source.
    """

    voxel_size_changed = Signal(object, object, object)
    """The source (path or ArrayInput), its voxel size (z, y, x) and unit, from the file or typed; None if unknown."""

    def __init__(self, napari_viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # napari gives plugins a proxy of the viewer. Its layers are proxies, too, and equal no layer.
        self._viewer: napari.viewer.Viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._job: Job | None = None
        self._answer: PlanAnswer | None = None
        self._result: Result | None = None  # of the last job
        self.state = WidgetState.EMPTY

        self.form = Form()
        self.form.browse.layer_input = partial(selected_layer, self._viewer)
        self.queue_panel = QueuePanel(FILE_FILTER)
        self.queue_panel.hide()
        self.plan_panel = PlanPanel()
        self.status_panel = StatusPanel()
        self.queue = Queue.of(self._viewer)  # may still run, if a widget that is closed by now started it
        self._job_view = JobView(self.form, self.queue, self.queue_panel, self.plan_panel, self.status_panel)
        self._planner = Planner(self)
        self._watch = DiskWatch(self)
        self._crop = CropRectangle(self._viewer, self.form)
        PictureOffers(self._viewer, self)
        self._lay_out()
        self._connect()
        preload()
        share_place(self)
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

    def set_sources(self, paths: Sequence[SourceItem], *, join: bool = False) -> None:
        """Fill in one source, and the output beside it; or several sources, as a list.

        If there is a list already, or a job runs, they are added to the list. They wait until the user presses Convert;
        with `join`, the run that is under way converts them, too.
        """
        sources = list(dict.fromkeys(path if isinstance(path, ArrayInput) else str(path) for path in paths))
        if self.busy:
            verified = self.form.source_value  # by the job, which is not in the list
            first = [verified] if verified and not self.queue.batch.items else []
            self.queue.add([*first, *sources], joins=join)
        elif self.several or len(sources) > 1:
            if not self.several:
                self.queue.set()
            self.queue.add(sources)
            self._refresh()
        elif sources[0] == self.form.source_value:
            self._refresh()
        else:
            self.form.set_source(sources[0])

    def set_source(self, path: SourceItem) -> None:
        """Fill in a source; see `set_sources`."""
        self.set_sources([path])

    def _take_files(self, paths: Sequence[str]) -> None:
        """Take files that the user chose or dropped. Slices of one volume are one source."""
        self.set_sources(group_inputs(paths), join=True)

    def _lay_out(self) -> None:
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(6, 8, 6, 8)
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
        self.form.files_chosen.connect(self._take_files)
        self.queue_panel.picked.connect(self._take_files)
        self.queue_panel.removed.connect(self._remove_item)
        self.queue_panel.cleared.connect(self._start_over)
        self.queue.changed.connect(self._show_queue)
        self.queue.began.connect(self._follow)
        self.queue.failed.connect(self._notify_failure)
        self.queue.ended.connect(self._show_end)
        self._planner.answered.connect(self._show_answer)
        self._planner.answered.connect(partial(show_as_read, self._viewer))
        self._watch.changed.connect(self._refresh)
        self.status_panel.convert_pressed.connect(self._convert)
        self.status_panel.cancel_pressed.connect(self._cancel)
        self.status_panel.offer_chosen.connect(self._carry_out)
        FileDrops(self).dropped.connect(self._take_files)
        self.voxel_size_changed.connect(partial(show_voxel_size, self._viewer))

    # From the form to the plan

    def _refresh(self) -> None:
        """The form, or something on a disk, has changed: make a new plan."""
        if self.busy:
            return
        if self._result or self.state is WidgetState.DONE:
            self.status_panel.show_message(None)
        self._result = None
        if not self.several and self.queue.batch.items:
            self.queue.set()
        self._replan()

    def _replan(self, *, again: bool = True) -> None:
        self._answer = None
        if not (self.form.source_value or self.form.output_path or self.several):
            self._show_nothing_to_do()
            return
        try:
            request = self.form.request()
        except RequestError as error:  # found without opening a file
            self.form.show_invalid(error)
            self._planner.forget()
            self._watch.stop()
            self.queue.forget_plans()
            self.plan_panel.show_nothing()
            self._result = None
            self._enter(WidgetState.WRONG, problem(error, self.form.output_path))
            return
        self.form.show_invalid(None)
        if self.several:
            self._enter(WidgetState.PLANNING)
            self._planner.forget()
            self.queue.plan(request.options, self.form.output_folder(), again=again)
        elif request.source:
            self._enter(WidgetState.PLANNING)
            self._planner.ask(request)
        else:
            self._show_nothing_to_do()
            self._planner.ask(request)  # the output may be an OME-Zarr already

    def _show_nothing_to_do(self) -> None:
        self._planner.forget()
        self._watch.stop()
        self.form.show_invalid(None)
        self.plan_panel.show_hint(HINT)
        self._enter(WidgetState.EMPTY, self._result(None) if self._result else None)

    def _show_answer(self, answer: PlanAnswer) -> None:
        with painted_once(self):
            self.form.show_answer(answer)
            if self.form.differs_from(answer.request):  # an option does not apply to this volume
                self._replan()
                return
            self._answer = answer
            self._watch.watch(
                [answer.request.source],
                [answer.output],
                space=isinstance(answer.error, DiskSpaceError),
                seen=answer.seen,
            )
            message = self._result(answer) if self._result else plan_message(answer)
            if answer.plan:
                self.plan_panel.show_plan(answer.plan, resumes=answer.resumes, made=answer.made)
                self._enter(WidgetState.DONE if answer.made else WidgetState.READY, message)
            elif answer.error:
                self.plan_panel.show_nothing()
                self._enter(WidgetState.WRONG, message)
            else:
                self._enter(WidgetState.EMPTY, message)
        if answer.volume:
            self.voxel_size_changed.emit(answer.request.source, answer.voxel_size, answer.unit)

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
        self.plan_panel.show_batch(batch)
        message = self._result(None) if self._result and not error else batch_plan_message(batch, error)
        waiting = batch.having("waiting")
        todo = batch.having("waiting", "failed")
        outputs = [str(item.output) for item in todo]
        self._watch.watch(
            list(map(source_of, todo)), outputs, space=isinstance(error, DiskSpaceError), seen=self.queue.seen
        )
        if error or not waiting:
            failed = batch.having("failed") and not batch.having("done")
            self._enter(WidgetState.WRONG if error or failed else WidgetState.DONE, message)
        else:
            self._enter(WidgetState.READY, message)

    def _remove_item(self, item: BatchItem[Receipt]) -> None:
        """Remove a volume from the list; the last one moves into the field."""
        self.queue.remove(item)
        if self.busy:
            return
        if self.several:
            self._replan(again=False)
        elif self.queue.batch.items:
            source = self.queue.batch.items[0].source
            self.form.set_source("")
            self.form.set_source(source if isinstance(source, ArrayInput) else str(source))

    # What the message box offers

    def _carry_out(self, offer: Offer) -> None:
        if carry_out(offer, self._viewer) or self.busy:
            return
        if offer.act is Act.SET:
            self.form.apply(offer)
        elif offer.act is Act.MAKE_FOLDER:
            make_folder(offer.value)
            self._refresh()
        elif offer.act is Act.CHECK_AGAIN:
            self._refresh()
        elif offer.act is Act.VERIFY_ALONE:
            self._verify(PlanRequest("", str(offer.value), self.form.options.options()))
        else:
            self._verify(self.form.request(), repair=offer.act is Act.REPAIR)

    # Conversions and verifications

    def _convert(self) -> None:
        if self.state is not WidgetState.READY:
            return
        request = self.form.request()
        if self._answer and not self.several:
            request, plan = self._answer.request, self._answer.plan
            source = request.source if isinstance(request.source, ArrayInput) else any_path(request.source)
            self.queue.set(BatchItem(source, any_path(self._answer.output), plan=plan))
        live = self.form.live.value

        def preview(item: BatchItem[Receipt]) -> LivePreview | None:
            # A preview of an output in an object store would cost many requests.
            shows = live and isinstance(item.output, Path)
            return LivePreview(self._viewer, item.source, follow=self.several) if shows else None

        self.queue.start(request.options, preview)

    def _verify(self, request: PlanRequest, *, repair: bool = False) -> None:
        self._planner.forget()
        job = VerificationJob(request.source, request.output, request.options, self._viewer, repair=repair)
        self._follow(job)
        job.start()

    def _follow(self, job: Job) -> None:
        """Show a job that runs, or begins just now."""
        with painted_once(self):
            self._job = job
            self._result = None
            self._watch.stop()
            if isinstance(job, VerificationJob):
                job.ended.connect(self._show_end)
            self._job_view.follow(job)
            first = self.state is not WidgetState.RUNNING
            self._enter(WidgetState.RUNNING)
            if first:  # of several
                self.status_panel.show_running()
            if job.last:
                self._job_view.show_progress(job.last)

    def _cancel(self) -> None:
        if self._job and self.state is WidgetState.RUNNING:
            self._enter(WidgetState.CANCELLING)
            (self.queue if self.queue.running else self._job).cancel()

    def _show_end(self, job: Job | None) -> None:
        """Nothing runs any more: show the result of the job, or of several volumes."""
        self._job = None
        self.state = WidgetState.PLANNING
        if self.several and not isinstance(job, VerificationJob):
            self._result = batch_result(self.queue.batch)
            if self.queue.batch.having("waiting"):
                self._replan(again=False)
            else:
                self._show_totals()
            return
        assert job
        self._result = result_of(job)
        if isinstance(job, VerificationJob):
            after_verification(job, self._viewer)
        if isinstance(job.outcome, Receipt):
            self._watch.watch([job.source], [job.output], seen=job.seen)
            if job.last:
                self.plan_panel.show_plan(job.last.plan, made=True)
            self._enter(WidgetState.DONE, self._result(None))
        else:
            self.status_panel.show_message(self._result(None))
            self._replan()

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

    def _enter(self, state: WidgetState, message: Message | None = None) -> None:
        self.state = state
        self.form.setEnabled(not self.busy)
        self.queue_panel.set_busy(self.busy)
        if state is WidgetState.CANCELLING:
            self.status_panel.show_cancelling()
            return
        if self.busy:
            return
        if state is not WidgetState.PLANNING:
            self.status_panel.show_message(message)
        if state is WidgetState.DONE:
            self.status_panel.show_finished()
        else:
            self.status_panel.show_idle(
                ready=state is WidgetState.READY,
                resumes=bool(self._answer and self._answer.resumes),
                several=len(self.queue.batch.having("waiting")) if self.several else None,
            )
