"""Runs a generator in a thread of napari. It does not know what the generator does."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from threading import Event
from typing import Any, Self

from napari.qt.threading import GeneratorWorkerSignals, WorkerBase

from napari_ct_pyramid.conversion.progress import Pace
from napari_ct_pyramid.model.formatting import shorten
from napari_ct_pyramid.plugin.viewer_hooks import short_switch_interval

_NAME = 20  # letters of a name in the activity dock


class StepsWorker(WorkerBase):
    """Runs a generator in a thread. In every case, it closes the generator before the signal `finished`.

    napari's `GeneratorWorker` leaves a generator suspended after `quit()`, with its threads and files. It also does not
    report a `RuntimeError`, and `ConversionError` is one.

    Parameters
    ----------
    function : callable
        Makes the generator.
    *args, **kwargs
        Arguments of `function`.
    """

    result: Any = None
    """What the generator returned. Unlike the signal `returned`, it is also set after a late `quit()`."""

    def __init__(self, function: Callable[..., Generator[Pace, None, Any]], *args: Any, **kwargs: Any) -> None:
        super().__init__(SignalsClass=GeneratorWorkerSignals)
        self._steps = function(*args, **kwargs)
        self.may_continue = Event()
        """The worker waits for this event after the first `Pace`."""

    def work(self) -> Any:
        with short_switch_interval(), closing(self._steps):
            while not self.abort_requested:
                try:
                    self.yielded.emit(next(self._steps))
                except StopIteration as end:
                    self.result = end.value
                    return self.result
                while not self.may_continue.wait(0.1) and not self.abort_requested:
                    pass
        self.aborted.emit()
        return None


class Task(partial[Any]):
    """A call with a title, which napari shows when it asks whether to close: "Executing …".

    Attributes
    ----------
    title : str
    short : str
        The title in the activity dock.
    """

    def __new__(cls, title: str, name: str, *call: Any, **options: Any) -> Self:
        task = super().__new__(cls, *call, **options)
        task.title = title
        task.short = shorten(name, _NAME)
        return task

    title: str
    short: str

    def __str__(self) -> str:
        return self.title
