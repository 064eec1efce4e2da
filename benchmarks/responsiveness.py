"""How long napari's window stands still while a volume is converted in it.

    python benchmarks/responsiveness.py [--gigabytes 1] [--no-preview | --plain]

A timer ticks every 5 ms; the largest time between two ticks is the longest that a click could have waited.
With --plain nothing is converted: a layer of an array in memory is added instead, and refreshed as often as a
preview is. What that takes is napari's own, and the screen's; without a graphics card, most of it is drawing.
Without a screen, run it under `xvfb-run`.
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
from napari._vispy.canvas import VispyCanvas
from napari.components import LayerList
from napari.layers import Image
from qtpy.QtCore import QTimer

from napari_ct_pyramid.plugin.widget.jobs import ActivityBar
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget, Stage
from napari_ct_pyramid.sources.phantom import sample_slices

TICK_MS = 5
SIDE = 1024
REFRESH_MS = 400
PLAIN_MS = 10_000

CALLS: list[tuple[str, Any, str]] = [
    ("napari: a layer is inserted", LayerList, "insert"),
    ("napari: a layer is refreshed", Image, "refresh"),
    ("napari: the canvas is drawn", VispyCanvas, "on_draw"),
    ("widget: progress is shown", ConvertWidget, "_show_progress"),
    ("widget: the plan is shown", ConvertWidget, "_show_answer"),
    ("activity dock, and what Qt does then", ActivityBar, "show"),
]
"""What the window's thread does at a stretch; one may hold another."""


class Ticker:
    """Notes the time between ticks, under the name of what goes on."""

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
        lines = [f"{'':46}{'longest':>10}{'99.9 %':>10}{'ticks':>8}"]
        for what, gaps in self.gaps.items():
            longest, usual = max(gaps) * 1000, float(np.percentile(gaps, 99.9)) * 1000
            lines.append(f"{what:46}{longest:>7.0f} ms{usual:>7.0f} ms{len(gaps):>8}")
        return "\n".join(lines)


def time_calls() -> dict[str, list[float]]:
    """Have the calls timed from now on."""
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
    """A phantom's slices over and over, with noise: the content hardly matters, its compression does."""
    depth = max(64, round(gigabytes * 1e9 / (SIDE * SIDE * 4) / 16) * 16)
    few = list(sample_slices((16, SIDE, SIDE)))
    slices = (few[z % len(few)] for z in range(depth))
    tifffile.imwrite(path, slices, shape=(depth, SIDE, SIDE), dtype=np.float32, bigtiff=True, photometric="minisblack")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--no-preview", action="store_true")
    parser.add_argument("--plain", action="store_true", help="convert nothing; show an array instead")
    parser.add_argument("--folder", type=Path, help="where the volume and its conversion are made for the time being")
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
        said: list[str] = []
        widget.form.live.value = not args.no_preview
        widget.form.options.set("chunks", "visualization")
        widget.form.options.set("num_levels", 3)

        def watch() -> None:
            begun = widget.foot.bar.value() > 0
            ticker.what = widget.stage.value if widget.stage is not Stage.RUNNING or begun else "its layer appears"
            if widget.stage is Stage.READY:
                widget.foot.convert.click()
            elif widget.stage in (Stage.WRONG, Stage.DONE):
                said.append(widget.foot.result.words.text() or widget.plan.box.words.text())
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
            QTimer.singleShot(1000, lambda: setattr(ticker, "what", "it is refreshed"))
            refreshing.start(REFRESH_MS)
            QTimer.singleShot(PLAIN_MS, lambda: (refreshing.stop(), viewer.close()))

        def begin() -> None:
            ticker.what = "nothing goes on"
            QTimer.singleShot(2000, show_plain if args.plain else convert)

        def convert() -> None:
            widget.set_source(source)
            watching.start(TICK_MS)

        ticker.what = "the window appears, libraries are loaded"
        QTimer.singleShot(5000, begin)
        napari.run()
    print(*said, ticker.table(), "", sep="\n")
    for name, seconds in taken.items():
        print(f"{name:42}longest {max(seconds) * 1000:4.0f} ms, all {sum(seconds):6.2f} s of {len(seconds):5}")
    return 0 if args.plain or widget.stage is Stage.DONE else 1


if __name__ == "__main__":
    sys.exit(main())
