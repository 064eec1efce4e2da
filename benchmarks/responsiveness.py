"""Measures how long the GUI of napari does not respond while it converts a volume.

    python benchmarks/responsiveness.py [--gigabytes 1] [--no-preview | --plain]

A timer ticks every 5 ms; the longest time between two ticks is the longest that a click would have to wait. With
--plain it converts nothing: it adds a layer of an array in memory, and refreshes it as often as a preview. That shows
the time that napari itself and the display take; without a graphics card, most of it is drawing. Without a display, run
the script under `xvfb-run`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import tifffile
from napari._vispy.canvas import VispyCanvas  # private, for its drawing time (napari 0.9)
from napari.components import LayerList
from napari.layers import Image
from qtpy.QtCore import QTimer

from napari_ct_pyramid.plugin.widget.activity_bar import ActivityBar
from napari_ct_pyramid.plugin.widget.plan_panel import PlanPanel
from napari_ct_pyramid.plugin.widget.status_panel import StatusPanel
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget, WidgetState
from napari_ct_pyramid.sources.phantom import sample_slices

TICK_MS = 5
SIDE = 1024
REFRESH_MS = 400
PLAIN_MS = 10_000

CALLS: list[tuple[str, Any, str]] = [
    ("napari: a layer is inserted", LayerList, "insert"),
    ("napari: a layer is refreshed", Image, "refresh"),
    ("napari: the canvas is drawn", VispyCanvas, "on_draw"),
    ("widget: progress is shown", StatusPanel, "show_progress"),
    ("widget: the plan is shown", PlanPanel, "show_plan"),
    ("activity dock is shown", ActivityBar, "show"),
]
"""Calls that block the GUI thread; one may contain another."""


class Ticker:
    """Records the time between ticks, by the name of what happens."""

    def __init__(self) -> None:
        self.what = ""
        self.gaps: dict[str, list[float]] = defaultdict(list)
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK_MS)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.gaps[self.what].append(now - self._last)
        self._last = now

    def table(self) -> str:
        lines = [f"{'':52}{'longest':>10}{'99.9 %':>10}{'ticks':>8}"]
        for what, gaps in self.gaps.items():
            longest, usual = max(gaps) * 1000, float(np.percentile(gaps, 99.9)) * 1000
            lines.append(f"{what:52}{longest:>7.0f} ms{usual:>7.0f} ms{len(gaps):>8}")
        return "\n".join(lines)


def time_calls() -> dict[str, list[float]]:
    """Measure the calls from now on."""
    taken: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                taken[name].append(time.perf_counter() - began)

        return wrapper

    for name, owner, method in CALLS:
        setattr(owner, method, timed(name, getattr(owner, method)))
    return taken


def write_volume(path: Path, gigabytes: float) -> None:
    """Write the slices of a phantom, repeated, with noise: only their compression matters."""
    depth = max(64, round(gigabytes * 1e9 / (SIDE * SIDE * 4) / 16) * 16)
    few = list(sample_slices((16, SIDE, SIDE)))
    slices = (few[z % len(few)] for z in range(depth))
    tifffile.imwrite(path, slices, shape=(depth, SIDE, SIDE), dtype=np.float32, bigtiff=True, photometric="minisblack")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--no-preview", action="store_true")
    parser.add_argument("--plain", action="store_true", help="convert nothing, and show an array instead")
    parser.add_argument("--folder", type=Path, help="folder for the temporary volume and its conversion")
    args = parser.parse_args()

    taken = time_calls()
    viewer = napari.Viewer(show_welcome_screen=False)
    widget = ConvertWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Convert to OME-Zarr")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        source = Path(folder) / "volume.tif"
        if not args.plain:
            write_volume(source, args.gigabytes)
        ticker = Ticker()
        results: list[str] = []
        widget.form.live.value = not args.no_preview
        widget.form.options.set("chunks", "visualization")
        widget.form.options.set("num_levels", 3)

        def watch() -> None:
            begun = widget.status_panel.bar.value() > 0
            ticker.what = (
                widget.state.value if widget.state is not WidgetState.RUNNING or begun else "preview layer appears"
            )
            if widget.state is WidgetState.READY:
                widget.status_panel.convert.click()
            elif widget.state in (WidgetState.WRONG, WidgetState.DONE):
                results.append(widget.status_panel.message.words.text())
                QTimer.singleShot(2000, viewer.close)
                watching.stop()

        watching = QTimer()
        watching.timeout.connect(watch)
        refreshing = QTimer()
        refreshing.timeout.connect(lambda: viewer.layers[0].refresh(extent=False))

        def show_plain() -> None:
            ticker.what = "a plain layer appears"
            volume = np.zeros((64, SIDE, SIDE), np.float32)
            viewer.add_image([volume, volume[::2, ::2, ::2], volume[::4, ::4, ::4]], contrast_limits=(0, 1))
            QTimer.singleShot(1000, lambda: setattr(ticker, "what", "the plain layer is refreshed"))
            refreshing.start(REFRESH_MS)
            QTimer.singleShot(PLAIN_MS, lambda: (refreshing.stop(), viewer.close()))

        def begin() -> None:
            ticker.what = "idle"
            QTimer.singleShot(2000, show_plain if args.plain else convert)

        def convert() -> None:
            widget.set_source(source)
            watching.start(TICK_MS)

        ticker.what = "the window appears, libraries load"
        QTimer.singleShot(5000, begin)
        napari.run()
    print(*results, ticker.table(), "", sep="\n")
    for name, seconds in taken.items():
        print(f"{name:42}longest {max(seconds) * 1000:4.0f} ms, total {sum(seconds):6.2f} s in {len(seconds):5} calls")
    return 0 if args.plain or widget.state is WidgetState.DONE else 1


if __name__ == "__main__":
    sys.exit(main())
