"""A progress bar in notebooks, where a call would otherwise show nothing for minutes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from napari_ct_pyramid.model.formatting import format_size, time_left

from .progress import Pace


def notebook_bar() -> Callable[[Pace], None] | None:
    """Shows progress as a bar below the cell that runs; None outside of notebooks."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if type(shell).__name__ != "ZMQInteractiveShell":
        return None
    display = sys.modules["IPython"].display
    handle: Any = display.display(display.HTML(""), display_id=True)

    def show(progress: Pace) -> None:
        left = progress.seconds_left
        words = f"{progress.fraction:.0%}, {format_size(progress.bytes_done)} of {format_size(progress.bytes_total)}"
        if left is not None and progress.fraction < 1:
            words += f", {time_left(left)}"
        handle.update(display.HTML(f"<progress value='{progress.fraction:.4f}'></progress> {words}"))

    return show
