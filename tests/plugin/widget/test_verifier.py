"""Outputs are verified and repaired in the dock."""

from __future__ import annotations

from pathlib import Path

import napari
import numpy as np
import pytest

from napari_ct_pyramid import convert, open_pyramid
from napari_ct_pyramid.conversion.audit.findings import Audit
from napari_ct_pyramid.plugin.verify_dialog import VerifyDialog
from napari_ct_pyramid.plugin.widget.widget import WidgetState
from tests.helpers.dock import (
    add_widget,
    enabled,
    gated,
    offers,
    press,
    said,
    volume,
    wait_for,
    wait_for_progress,
    wait_until,
    write_tiff,
)
from tests.helpers.omezarr import pyramid_of, write_image


def test_an_output_is_verified_and_repaired(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    press(widget, "Verify")
    assert widget.state is WidgetState.RUNNING
    assert enabled(widget) == {"Cancel"}
    wait_for(widget, WidgetState.DONE)
    assert said(widget).startswith("Verified: 86 chunks are complete and correct, and agree with scan.tif")
    assert widget.plan_panel.shows_plan

    chunk = source.with_name("scan.ome.zarr") / "1" / "0" / "1" / "2"
    damaged = bytearray(chunk.read_bytes())
    damaged[-1] ^= 1
    chunk.write_bytes(damaged)
    press(widget, "Verify")
    wait_for(widget, WidgetState.DONE)
    assert said(widget) == "1 of 86 chunks is wrong.\n1/0/1/2: its file is not as it was written"
    press(widget, "Repair")
    wait_for(widget, WidgetState.DONE)
    assert said(widget) == "Repaired from scan.tif: 1 of 86 chunks was made again."
    assert np.array_equal(np.asarray(open_pyramid(source.with_name("scan.ome.zarr")).levels[0].array), volume())

    write_tiff(source, seed=1)
    press(widget, "Verify")
    wait_until(lambda: "not the source" in said(widget))
    wait_for(widget, WidgetState.WRONG)  # there is an output already
    assert "not the source that the output was made from" in said(widget)
    press(widget, "Verify without the source")
    wait_until(lambda: said(widget).startswith("Verified"))
    wait_for(widget, WidgetState.WRONG)
    assert "agree with the checksums of its source" in said(widget)


def test_a_verification_is_cancelled_and_needs_no_source(
    viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = add_widget(viewer, source)
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    with gated(monkeypatch, slices=16) as gate:
        press(widget, "Verify")
        wait_for_progress(widget)
        assert "Verifying" in widget.status_panel.status.text()
        press(widget, "Cancel")
        gate.open()
        wait_for(widget, WidgetState.DONE)
    assert said(widget) == "Cancelled."
    output = widget.form.output_path
    widget.set_source("")
    assert enabled(widget) == {"form"}
    widget.form.output.line_edit.value = output
    wait_until(lambda: "Verify" in offers(widget))
    press(widget, "Verify")
    wait_for(widget, WidgetState.EMPTY)
    assert "agree with the checksums of its source" in said(widget)


@pytest.mark.parametrize("field", ["input", "output"])
def test_an_image_of_another_program_is_verified(viewer: napari.Viewer, tmp_path: Path, field: str) -> None:
    image = write_image(tmp_path / "scan.zarr", pyramid_of(volume(), 2))
    (image / "1" / "0" / "0" / "0").write_bytes(b"")
    widget = add_widget(viewer)
    if field == "input":
        widget.set_source(image)
        wait_for(widget, WidgetState.READY)
    else:
        widget.form.output.line_edit.value = str(image)
        wait_until(lambda: said(widget))
    assert said(widget) == "scan.zarr is an OME-Zarr already."
    press(widget, "Verify")
    (dialog,) = viewer.window._qt_window.findChildren(VerifyDialog)
    wait_until(lambda: dialog.outcome)
    assert isinstance(dialog.outcome, Audit)
    assert not dialog.outcome.sound
    dialog.close()


def test_an_image_that_cannot_be_read_is_verified(viewer: napari.Viewer, tmp_path: Path) -> None:
    image = write_image(tmp_path / "scan.zarr", pyramid_of(volume(), 2))
    (image / "0" / ".zarray").write_text("{}")
    widget = add_widget(viewer)
    widget.set_source(image)
    wait_for(widget, WidgetState.WRONG)
    assert offers(widget) == ["Try again", "Verify"]


def test_an_output_as_the_input_is_verified_by_its_checksums(viewer: napari.Viewer, tmp_path: Path) -> None:
    image = tmp_path / "scan.ome.zarr"
    convert(volume(), image, chunks=16, num_levels=2)
    widget = add_widget(viewer, image)
    for _ in range(2):  # and again, from the message about the first time
        press(widget, "Verify")
        assert widget.state is WidgetState.RUNNING
        wait_for(widget, WidgetState.READY)
        assert "agree with the checksums of its source" in said(widget)
    chunk = image / "0" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    press(widget, "Verify")
    wait_for(widget, WidgetState.WRONG)  # it cannot be converted, either
    assert "choose its source" in said(widget)
