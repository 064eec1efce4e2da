"""Where the widget stands."""

from __future__ import annotations

from enum import Enum


class Stage(Enum):
    """Where the widget stands."""

    EMPTY = "there is no source yet"
    PLANNING = "the plan is being worked out"
    WRONG = "what is asked for cannot be done"
    READY = "Convert can be pressed"
    RUNNING = "a conversion, or a verification, is under way"
    CANCELLING = "it was told to stop"
    DONE = "it is finished, and nothing was changed since"
