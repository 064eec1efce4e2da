"""What came of several volumes, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._queue_view import why
from .paths import any_path
from .text import count, duration

if TYPE_CHECKING:
    from ._queue import Entry

_LISTED, _LISTED_IN_TIP = 3, 40  # of what failed


def summary(run: Sequence[Entry]) -> tuple[str, str, str]:
    """The kind of box ("error", "warning", "success"), its words, and more of them for a tip."""
    made = [entry for entry in run if entry.state == "done"]
    failed = [entry for entry in run if entry.state == "failed"]
    waiting = [entry for entry in run if entry.state == "waiting"]
    seconds = sum(entry.result.seconds for entry in made if entry.result)
    lines = [f"Made {len(made)} of {count(len(run), 'volume')}" + (f" in {duration(seconds)}." if made else ".")]
    reasons = [f"{entry.name}: {why(entry)}" for entry in failed]
    lines += reasons[:_LISTED]
    if len(reasons) > _LISTED:
        lines.append(f"{len(reasons) - _LISTED} more failed.")
    if waiting:
        begun = [any_path(entry.output).name for entry in waiting if entry.progress]
        left = f" {begun[0]} is unfinished; Convert goes on with it." if begun else ""
        lines.append(f"Cancelled: {count(len(waiting), 'volume')} still to do.{left}")
    kind = "error" if failed else "warning" if waiting else "success"
    return kind, "\n".join(lines), "\n".join(reasons[:_LISTED_IN_TIP])
