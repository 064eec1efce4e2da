"""The OME-Zarr of any layer is verified from a menu, with progress, and what is wrong with it is listed."""

from __future__ import annotations

from pathlib import Path

import napari
import numpy as np
import pytest

from napari_ct_pyramid.conversion.audit.findings import Audit
from napari_ct_pyramid.plugin import menus
from napari_ct_pyramid.plugin.verify_dialog import VerifyDialog
from tests.helpers.dock import wait_until
from tests.helpers.omezarr import pyramid_of, write_image
from tests.helpers.screen import PLUGIN


def dialog_for(viewer: napari.Viewer) -> VerifyDialog:
    menus.verify_layer()
    (found,) = viewer.window._qt_window.findChildren(VerifyDialog)
    wait_until(lambda: not found.bar.isVisible())
    return found


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_layer_is_verified(viewer: napari.Viewer, tmp_path: Path, is_damaged: bool) -> None:
    levels = pyramid_of(np.random.default_rng(0).integers(0, 999, (16, 24, 32)).astype("u2"), 2)
    path = write_image(tmp_path / "scan.zarr", levels)
    viewer.open(path, plugin=PLUGIN)
    if is_damaged:
        (path / "0" / "0" / "0" / "0").write_bytes(b"")
    dialog = dialog_for(viewer)
    assert isinstance(dialog.outcome, Audit)
    listed = [dialog.found.item(row).text() for row in range(dialog.found.count())]
    assert dialog.outcome.sound != is_damaged
    assert len(listed) == len(dialog.outcome.findings) + len(dialog.outcome.levels)
    assert any("stride" in line for line in listed)
    dialog.close()
