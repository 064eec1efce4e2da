"""Plans in the background."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.plugin.widget import planner as _planner
from napari_ct_pyramid.plugin.widget.planner import PlanAnswer, PlanRequest
from tests.helpers.dock import (
    wait_until,
)


def test_only_the_latest_request_is_answered(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    go_on = threading.Event()

    def slowly(request: PlanRequest) -> PlanAnswer:
        asked.append(request.source)
        go_on.wait(300)
        return PlanAnswer(request)

    monkeypatch.setattr(_planner, "answer", slowly)
    planner = _planner.Planner()
    answers: list[str] = []
    planner.answered.connect(lambda a: answers.append(a.request.source))
    planner.ask(PlanRequest("first", "", ConversionOptions(chunks=16)))
    wait_until(lambda: asked)
    for later in ("second", "third", "fourth"):
        planner.ask(PlanRequest(later, "", ConversionOptions(chunks=16)))
    go_on.set()
    wait_until(lambda: answers)
    assert answers == ["fourth"]
    assert asked == ["first", "fourth"]
    planner.ask(PlanRequest("fifth", "", ConversionOptions(chunks=16)))
    planner.forget()
    planner.ask(PlanRequest("sixth", "", ConversionOptions(chunks=16)))
    wait_until(lambda: len(answers) > 1)
    assert answers == ["fourth", "sixth"]
