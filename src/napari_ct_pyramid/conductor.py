"""A thread that has the stages of a plan done, one after another, and tells whoever waits what stopped it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

from .plan import Plan
from .stages import Stage


class Stopped(Exception):
    """It was stopped from outside."""


class Conductor(ABC):
    """Has a plan carried out in the background, whoever does the work.

    Parameters
    ----------
    plan : Plan
    name : str
        Of the thread.
    """

    def __init__(self, plan: Plan, name: str) -> None:
        self._plan = plan
        self._thread = threading.Thread(target=self._conduct, name=name)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._failing = threading.Lock()

    def start(self) -> None:
        """Begin, in the background."""
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; True once everything is done.

        Raises
        ------
        Exception
            Whatever stopped it.
        """
        self._thread.join(seconds)
        if self._thread.is_alive():
            return False
        if self._error:
            raise self._error
        return True

    def stop(self) -> None:
        """End as soon as what is in hand is done, and wait for that."""
        self._stop.set()
        if self._begun:
            self._thread.join()

    @property
    def _begun(self) -> bool:
        return self._thread.ident is not None

    @abstractmethod
    def _run_stage(self, number: int, stage: Stage) -> None:
        """Do what of a stage is to be done; raise `Stopped` soon after `_stop` is set."""

    def _conduct(self) -> None:
        try:
            for number, stage in enumerate(self._plan.stages):
                self._run_stage(number, stage)
        except BaseException as error:  # noqa: BLE001  handed to whoever waits
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """What goes wrong first is the reason; all else follows from it."""
        with self._failing:
            self._error = self._error or error
        self._stop.set()
