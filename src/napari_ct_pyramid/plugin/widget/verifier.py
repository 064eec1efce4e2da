"""Verifies and repairs outputs: runs the job, and shows its result."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal

from napari_ct_pyramid.errors import BudgetError, RequestError, SourceError
from napari_ct_pyramid.plugin.wording import error_words

from .jobs import VerificationJob
from .planner import PlanRequest
from .remedies import Remedy, remedies
from .status_panel import StatusPanel, notify_error


class Verifier(QObject):
    """Verifies the output of a request, and repairs it.

    Parameters
    ----------
    viewer : napari.Viewer
        Its layers are drawn again after a repair.
    status_panel : StatusPanel
        Where the result is shown.
    apply : callable
        Sets the values of a remedy.
    """

    began = Signal(object)  # VerificationJob

    def __init__(self, viewer: Viewer, status_panel: StatusPanel, apply: Callable[[Remedy], object]) -> None:
        super().__init__(status_panel)
        self._viewer = viewer
        self._status_panel = status_panel
        self._apply = apply

    def begin(self, request: PlanRequest, *, repair: bool = False) -> None:
        """Start to verify; `VerificationJob.ended` follows."""
        job = VerificationJob(request.source, request.output, request.options, self._viewer, repair=repair)
        self.began.emit(job)
        job.start()

    def show_end(self, job: VerificationJob) -> None:
        """Show the result of a job."""
        if job.verification:
            self._status_panel.show_verified(job.verification, job.source)
            if job.verification.repaired:
                for layer in self._viewer.layers:
                    if layer.source.path == job.output:
                        layer.refresh(extent=False)
        elif job.outcome is None:
            self._status_panel.show_cancelled(job.output, unfinished=job.leaves_unfinished)
        else:
            notify_error(job.outcome)
            self._status_panel.show_failed(error_words(job.outcome), self._buttons(job, job.outcome))

    def _buttons(self, job: VerificationJob, error: Exception) -> list[tuple[str, Callable[[], object]]]:
        """The buttons that may help with an error."""
        found: list[tuple[str, Callable[[], object]]]
        found = [(remedy.words, partial(self._apply, remedy)) for remedy in remedies(error, job.output)]
        if job.source and isinstance(error, (RequestError, SourceError)) and not isinstance(error, BudgetError):
            without = PlanRequest("", job.output, job.options)
            found.append(("Verify without the source", partial(self.begin, without)))
        return found
