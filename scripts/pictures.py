"""Make the pictures of the README that show napari: a scan dropped, being converted, and done in 3D.

scripts/on_screen.sh .venv/bin/python scripts/pictures.py SCAN
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
HOME = Path(tempfile.mkdtemp())
os.environ.update(NAPARI_CONFIG=str(HOME / "napari.yaml"), XDG_CONFIG_HOME=str(HOME))  # not the user's settings

import napari  # noqa: E402
import pytest  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402

from napari_ct_pyramid.plugin.preview import LivePreview  # noqa: E402
from napari_ct_pyramid.plugin.viewer_hooks import camera  # noqa: E402
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget, WidgetState  # noqa: E402
from tests.helpers.dock import gated, wait_for, wait_until  # noqa: E402

VOXEL_SIZE = "0.65 µm"
SIZE = 1280, 820


def main() -> None:
    """Make the pictures."""
    scan = HOME / "fly.tif"
    shutil.copy(sys.argv[1], scan)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    viewer.open(str(scan), plugin="napari-ct-pyramid")
    [widget] = _wait_for_widget()
    wait_for(widget, WidgetState.READY, WidgetState.WRONG)
    widget.form.options.set("chunks", "32 32 32")
    widget.form.options.set("num_levels", 3)
    widget.form.options.set("voxel_size", VOXEL_SIZE)
    widget.form.options.split_unit()
    wait_for(widget, WidgetState.READY)
    _save(viewer, "napari-dropped")
    with pytest.MonkeyPatch.context() as patch, gated(patch, slices=80) as gate:
        widget.status_panel.convert.click()
        wait_until(lambda: len(viewer.layers) == 2)
        _save(viewer, "napari-converting", seconds=3)
        gate.open()
        wait_for(widget, WidgetState.DONE)
    wait_until(lambda: not LivePreview.under_way)
    viewer.dims.ndisplay = 3
    camera(viewer).angles = (10, -30, 60)
    _save(viewer, "napari", seconds=5)
    viewer.close()


def _wait_for_widget() -> list[ConvertWidget]:
    def found() -> list[ConvertWidget]:
        return [widget for widget in QApplication.allWidgets() if isinstance(widget, ConvertWidget)]

    wait_until(found)
    return found()


def _save(viewer: napari.Viewer, name: str, seconds: float = 1) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
    viewer.screenshot(str(ROOT / "docs" / f"{name}.png"), canvas_only=False, flash=False)


if __name__ == "__main__":
    main()
