"""A thread that carries out a plan in the background, stage by stage, and passes on the error that stopped it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

from napari_ct_pyramid.model.blocks import Stage
from napari_ct_pyramid.model.plan import Plan


class Stopped(Exception):
    """The work was stopped before it was done."""


class BackgroundRunner(ABC):
    """Carries out a plan in the background. Subclasses do the work of a stage.

    Parameters
    ----------
    plan : Plan
    name : str
        Of the thread.
    """

    def __init__(self, plan: Plan, name: str) -> None:
        self._plan = plan
        self._thread = threading.Thread(target=self._run, name=name)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._error_lock = threading.Lock()

    def start(self) -> None:
        """Begin, in the background."""
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait, at most so long; True once all is done.

        Raises
        ------
        Exception
            The error that stopped the work.
        """
        self._thread.join(seconds)
        if self._thread.is_alive():
            return False
        if self._error:
            raise self._error
        return True

    def stop(self) -> None:
        """Stop after the rows and chunks that are being read and written now, and wait until then."""
        self._stop.set()
        if self._has_started:
            self._thread.join()

    @property
    def _has_started(self) -> bool:
        return self._thread.ident is not None

    @abstractmethod
    def _run_stage(self, number: int, stage: Stage) -> None:
        """Make the blocks of a stage that are not done; raise `Stopped` soon after `_stop` is set."""

    def _run(self) -> None:
        try:
            for number, stage in enumerate(self._plan.stages):
                self._run_stage(number, stage)
        except BaseException as error:  # noqa: BLE001  `wait` raises it
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Stop because of an error. The first one is the reason; later ones follow from it."""
        with self._error_lock:
            self._error = self._error or error
        self._stop.set()
