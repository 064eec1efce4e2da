"""The dock widget that converts a volume: choose it, see the plan, press Convert, watch it grow."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from pathlib import Path

import napari
from napari.utils.notifications import notification_manager, show_error, show_info
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ._foot import Buttons, Foot, compared_with
from ._form import Form, layer_file
from ._jobs import Check, Conversion
from ._parts import FileDrops, ScrollColumn, painted_once
from ._plan_view import HINT, PlanView, Remedy, error_words, remedies
from ._planner import Answer, Planner, Request
from ._preview import LivePreview, warm_up
from ._worker import Job
from .errors import BudgetError, CtPyramidError, RequestError, SourceError
from .options import ConversionOptions
from .paths import any_path
from .plan import Plan
from .remote import is_url
from .report import Progress, Receipt

PLUGIN, TITLE = "napari-ct-pyramid", "Convert to OME-Zarr"


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
        self._next_source: str | None = None
        self._was_done = False  # before it was verified
        self.stage = Stage.EMPTY

        self.form = Form()
        self.plan = PlanView()
        self.foot = Foot()
        self._planner = Planner(self)
        self._lay_out()

        self.form.changed.connect(self._refresh)
        self._planner.answered.connect(self._show_answer)
        self.plan.chosen.connect(self._apply)
        self.foot.convert_pressed.connect(self._convert)
        self.foot.cancel_pressed.connect(self._cancel)
        self.foot.another_pressed.connect(self._another)
        self.foot.verify_pressed.connect(self._verify)
        self.foot.repair_pressed.connect(lambda: self._verify(repair=True))
        FileDrops(self).dropped.connect(self.set_source)
        self._viewer.layers.selection.events.active.connect(self._offer_layer)
        self._offer_layer()
        warm_up()
        under_way = Job.running(self._viewer)
        if under_way:  # begun by a widget that was closed since
            self._follow(under_way)

    def set_source(self, path: str | Path) -> None:
        """Fill in a source, and the output beside it. While something runs, it waits for its end."""
        path = str(path)
        if self.stage in (Stage.RUNNING, Stage.CANCELLING):
            self._next_source = path
            show_info(f"{any_path(path).name} can be converted when this has ended.")
        elif path == self.form.request().source:
            self._refresh()
        else:
            self.form.set_source(path)

    def _lay_out(self) -> None:
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(10)
        column.addWidget(self.form)
        column.addWidget(self.plan)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(ScrollColumn(body))
        whole.addWidget(self.foot)
        whole.addStretch()

    # From the form to the plan

    def _refresh(self) -> None:
        """Something is asked for: work the plan out."""
        if self.stage in (Stage.RUNNING, Stage.CANCELLING):
            return
        self.foot.forget_result()
        self._replan()

    def _replan(self) -> None:
        self._answer = None
        request = self.form.request()
        if not request.source:
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
            self.plan.show_problem(error, request.output)
            self._enter(Stage.WRONG)
            return
        self._enter(Stage.PLANNING)
        self._planner.ask(Request(request.source, request.output, request.options))

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

    def _apply(self, remedy: Remedy) -> None:
        self.form.apply(remedy)

    def _offer_layer(self) -> None:
        self.form.offer_layer_file(layer_file(self._viewer.layers.selection.active))

    # Conversions and verifications

    def _convert(self) -> None:
        if self.stage is not Stage.READY or self._answer is None:
            return
        answer = self._answer
        live = self.form.live.value and not is_url(answer.output)  # each look would cost the store many answers
        preview = LivePreview(self._viewer) if live else None
        conversion = Conversion(answer.request.source, answer.output, answer.options, self._viewer, preview)
        if answer.options["overwrite"]:
            for layer in [layer for layer in self._viewer.layers if layer.source.path == answer.output]:
                self._viewer.layers.remove(layer)  # what it shows is about to be deleted
        self._begin(conversion)

    def _verify(self, *, repair: bool = False, with_source: bool = True) -> None:
        if self.stage in (Stage.RUNNING, Stage.CANCELLING):
            return
        request = self.form.request()
        source = request.source if with_source else ""
        self._was_done = self.stage is Stage.DONE
        self._planner.forget()
        self._begin(Check(source, request.output, request.options, self._viewer, repair=repair))

    def _begin(self, job: Job) -> None:
        self._follow(job)
        job.start()

    def _follow(self, job: Job) -> None:
        """Show a job that runs, or is about to."""
        with painted_once(self):
            self._job = job
            job.progressed.connect(self._show_progress)
            job.ended.connect(self._show_end)
            if isinstance(job, Conversion) or not self.form.request().output:
                self.form.set_request(Request(job.source, job.output, job.options))
            if not isinstance(job, Conversion) and not self.plan.shows_plan:
                self.plan.show_hint(
                    f"{any_path(job.output).name} is read back, and compared with {compared_with(job.source)}."
                )
            self._enter(Stage.RUNNING)
            self.foot.show_running()
            if job.last:
                self._show_progress(job.last)

    def _cancel(self) -> None:
        if self._job and self.stage is Stage.RUNNING:
            self._enter(Stage.CANCELLING)
            self._job.cancel()

    def _show_progress(self, progress: Progress) -> None:
        assert self._job
        if isinstance(self._job, Conversion) and progress.plan is not self._shown_plan:
            self._shown_plan = progress.plan
            self.plan.show_plan(progress.plan)
        with painted_once(self.foot):
            self.foot.show_progress(progress, self._job.doing())

    def _show_end(self, job: Job) -> None:
        self._job = None
        outcome = job.outcome
        if isinstance(outcome, Receipt):
            self._enter(Stage.DONE)
            self.foot.show_made(outcome, self._next_source)
            return
        if isinstance(job, Check) and job.found and self._was_done:
            self._enter(Stage.DONE)
        else:
            self.stage = Stage.PLANNING
            self._replan()
        if isinstance(job, Check) and job.found:
            self.foot.show_verified(job.found, job.source, self._next_source)
            if job.found.repaired:
                self._refresh_layers(job.output)
        elif outcome is None:
            self.foot.show_cancelled(job.output, unfinished=job.leaves_unfinished)
        else:
            words = error_words(outcome)
            self.foot.show_failed(words, self._ways_out(job, outcome))
            if isinstance(outcome, CtPyramidError):
                show_error(words)
            else:  # a mistake of ours: with its traceback
                notification_manager.receive_error(type(outcome), outcome, outcome.__traceback__)

    def _ways_out(self, job: Job, error: Exception) -> Buttons:
        """What can be done about an error at the press of a button, where the plan does not say so."""
        if isinstance(job, Conversion):
            return []
        ways: list[tuple[str, Callable[[], object]]]
        ways = [(remedy.words, partial(self._apply, remedy)) for remedy in remedies(error, job.output)]
        if job.source and isinstance(error, (RequestError, SourceError)) and not isinstance(error, BudgetError):
            ways.append(("Verify without the source", partial(self._verify, with_source=False)))
        return ways

    def _refresh_layers(self, output: str) -> None:
        for layer in self._viewer.layers:
            if layer.source.path == output:
                layer.refresh(extent=False)

    def _another(self) -> None:
        source, self._next_source = self._next_source or "", None
        self.stage = Stage.EMPTY
        if source == self.form.request().source:
            self._refresh()
        else:
            self.form.set_source(source)

    def _enter(self, stage: Stage) -> None:
        self.stage = stage
        busy = stage in (Stage.RUNNING, Stage.CANCELLING)
        self.form.setEnabled(not busy)
        if stage is Stage.CANCELLING:
            self.foot.show_cancelling()
        elif stage is Stage.DONE:
            self.foot.show_finished()
        elif not busy:
            answer = self._answer
            self.foot.show_idle(
                ready=stage is Stage.READY,
                resumes=bool(answer and answer.resumes),
                verifiable=answer.verifiable if answer else None,
            )


def open_widget(viewer: napari.viewer.Viewer) -> ConvertWidget:
    """The one dock with the widget, opened if need be, in sight."""
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, TITLE)
    dock.show()
    dock.raise_()
    return widget


def convert_layer() -> None:
    """Bring the widget up, filled in with the selected layer's file: a command of napari's menus."""
    viewer = napari.current_viewer()
    if viewer is None:
        return
    path = layer_file(viewer.layers.selection.active)
    if path is None:
        show_info("Select a layer that was opened from a TIFF or an HDF5 file, then choose this again.")
        return
    open_widget(viewer).set_source(path)
