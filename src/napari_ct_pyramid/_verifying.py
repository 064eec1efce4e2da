"""Verifications of outputs, and repairs, for the widget: begun, and what came of them shown in its foot."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from ._foot import Foot, tell
from ._jobs import Check
from ._plan_view import Remedy, error_words, remedies
from ._planner import Request
from .errors import BudgetError, RequestError, SourceError

if TYPE_CHECKING:
    from napari.viewer import Viewer


class Verifier(QObject):
    """Verifies what a request says, and makes good what is wrong.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers are drawn anew after a repair.
    foot : Foot
        Where the outcome is shown.
    apply : callable
        Sets what a remedy sets.
    """

    began = Signal(object)  # Check

    def __init__(self, viewer: Viewer, foot: Foot, apply: Callable[[Remedy], object]) -> None:
        super().__init__(foot)
        self._viewer = viewer
        self._foot = foot
        self._apply = apply

    def begin(self, request: Request, *, repair: bool = False) -> None:
        """Begin; `Check.ended` follows."""
        check = Check(request.source, request.output, request.options, self._viewer, repair=repair)
        self.began.emit(check)
        check.start()

    def show_end(self, check: Check) -> None:
        """What came of it."""
        if check.found:
            self._foot.show_verified(check.found, check.source)
            if check.found.repaired:
                for layer in self._viewer.layers:
                    if layer.source.path == check.output:
                        layer.refresh(extent=False)
        elif check.outcome is None:
            self._foot.show_cancelled(check.output, unfinished=check.leaves_unfinished)
        else:
            tell(check.outcome)
            self._foot.show_failed(error_words(check.outcome), self._ways_out(check, check.outcome))

    def _ways_out(self, check: Check, error: Exception) -> list[tuple[str, Callable[[], object]]]:
        """What can be done about an error at the press of a button."""
        ways: list[tuple[str, Callable[[], object]]]
        ways = [(remedy.words, partial(self._apply, remedy)) for remedy in remedies(error, check.output)]
        if check.source and isinstance(error, (RequestError, SourceError)) and not isinstance(error, BudgetError):
            without = Request("", check.output, check.options)
            ways.append(("Verify without the source", partial(self.begin, without)))
        return ways
