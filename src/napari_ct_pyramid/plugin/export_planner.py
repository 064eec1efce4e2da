"""Plans exports in the background, for the dialog."""

from __future__ import annotations

import threading
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_ct_pyramid.exports.api import plan_of
from napari_ct_pyramid.exports.plan import ExportPlan
from napari_ct_pyramid.options import ExportOptions


class ExportPlanner(QObject):
    """Plans in a thread, so that the fields stay quick. Only the answer to the last question counts."""

    answered = Signal(object)  # ExportPlan, or the error
    _done = Signal(int, object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._asked = 0
        self._done.connect(self._on_done)

    def ask(self, source: Any, output: str, options: ExportOptions) -> None:
        self._asked += 1
        number = self._asked

        def plan() -> None:
            answer: ExportPlan | BaseException
            try:
                answer = plan_of(source, output, options)
            except Exception as error:  # noqa: BLE001  it is shown
                answer = error
            try:
                self._done.emit(number, answer)
            except RuntimeError:  # the dialog was closed meanwhile
                return

        threading.Thread(target=plan, name="ct-pyramid-plan", daemon=True).start()

    def _on_done(self, number: int, answer: object) -> None:
        if number == self._asked:
            self.answered.emit(answer)
