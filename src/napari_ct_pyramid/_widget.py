"""The dock widget that converts a volume: choose it, see the plan, press Convert, watch it grow."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import napari
from napari.utils.notifications import notification_manager, show_error, show_info
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ._foot import Foot
from ._form import Form, layer_file
from ._parts import FileDrops, ScrollColumn
from ._plan_view import HINT, PlanView, Remedy, error_words
from ._planner import Answer, Planner, Request
from ._preview import LivePreview, warm_up
from ._worker import Conversion
from .errors import CtPyramidError, RequestError
from .options import ConversionOptions
from .plan import Plan
from .report import Progress, Receipt

PLUGIN, TITLE = "napari-ct-pyramid", "Convert to OME-Zarr"


class Stage(Enum):
    """Where the widget stands."""

    EMPTY = "there is no source yet"
    PLANNING = "the plan is being worked out"
    WRONG = "what is asked for cannot be done"
    READY = "Convert can be pressed"
    RUNNING = "a conversion is under way"
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
        self._conversion: Conversion | None = None
        self._answer: Answer | None = None
        self._shown_plan: Plan | None = None
        self._next_source: str | None = None
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
        FileDrops(self).dropped.connect(self.set_source)
        self._viewer.layers.selection.events.active.connect(self._offer_layer)
        self._offer_layer()
        warm_up()
        under_way = Conversion.running(self._viewer)
        if under_way:  # begun by a widget that was closed since
            self._follow(under_way)

    def set_source(self, path: str | Path) -> None:
        """Fill in a source, and the output beside it. While a conversion runs, it waits for its end."""
        path = str(path)
        if self.stage in (Stage.RUNNING, Stage.CANCELLING):
            self._next_source = path
            show_info(f"{Path(path).name} can be converted when this conversion has ended.")
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
        self.form.show_answer(answer)
        if answer.plan:
            self._answer = answer
            self.plan.show_plan(answer.plan)
            self._enter(Stage.READY)
        elif answer.error:
            self.plan.show_problem(answer.error, answer.output)
            self._enter(Stage.WRONG)

    def _apply(self, remedy: Remedy) -> None:
        self.form.apply(remedy)

    def _offer_layer(self) -> None:
        self.form.offer_layer_file(layer_file(self._viewer.layers.selection.active))

    # The conversion

    def _convert(self) -> None:
        if self.stage is not Stage.READY or self._answer is None:
            return
        answer = self._answer
        preview = LivePreview(self._viewer) if self.form.live.value else None
        conversion = Conversion(answer.request.source, answer.output, answer.options, self._viewer, preview)
        if answer.options["overwrite"]:
            for layer in [layer for layer in self._viewer.layers if layer.source.path == answer.output]:
                self._viewer.layers.remove(layer)  # what it shows is about to be deleted
        self._follow(conversion)
        conversion.start()

    def _follow(self, conversion: Conversion) -> None:
        """Show a conversion that runs, or is about to."""
        self._conversion = conversion
        conversion.progressed.connect(self._show_progress)
        conversion.ended.connect(self._show_end)
        self.form.set_request(Request(conversion.source, conversion.output, conversion.options))
        self._enter(Stage.RUNNING)
        self.foot.show_running()
        if conversion.last:
            self._show_progress(conversion.last)

    def _cancel(self) -> None:
        if self._conversion and self.stage is Stage.RUNNING:
            self._enter(Stage.CANCELLING)
            self._conversion.cancel()

    def _show_progress(self, progress: Progress) -> None:
        if progress.plan is not self._shown_plan:
            self._shown_plan = progress.plan
            self.plan.show_plan(progress.plan)
        self.foot.show_progress(progress)

    def _show_end(self, conversion: Conversion) -> None:
        self._conversion = None
        outcome = conversion.outcome
        if isinstance(outcome, Receipt):
            self._enter(Stage.DONE)
            self.foot.show_done(outcome, self._next_source)
            return
        self.stage = Stage.PLANNING
        self._replan()
        if outcome is None:
            self.foot.show_cancelled(conversion.output)
        else:
            words = error_words(outcome)
            self.foot.show_failed(words)
            if isinstance(outcome, CtPyramidError):
                show_error(words)
            else:  # a mistake of ours: with its traceback
                notification_manager.receive_error(type(outcome), outcome, outcome.__traceback__)

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
        elif not busy and stage is not Stage.DONE:
            plan = self._answer.plan if self._answer and stage is Stage.READY else None
            self.foot.show_idle(ready=stage is Stage.READY, resumes=bool(plan and plan.blocks_done))


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
        show_info("Select a layer that was opened from a TIFF, then choose this again.")
        return
    open_widget(viewer).set_source(path)
