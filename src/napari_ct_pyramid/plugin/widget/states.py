"""The states of the widget."""

from __future__ import annotations

from enum import Enum


class WidgetState(Enum):
    """What the widget does, and what the user can do with it."""

    EMPTY = "no source is chosen"
    PLANNING = "a plan is being made"
    WRONG = "the request cannot be carried out"
    READY = "Convert can be pressed"
    RUNNING = "a conversion or a verification runs"
    CANCELLING = "the job was asked to stop"
    DONE = "the output is there, and is what would be made"
