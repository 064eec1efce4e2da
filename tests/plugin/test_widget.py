"""The dock widget in a real napari window: form, plan and remedies, and every stage of a conversion."""

from __future__ import annotations

import dataclasses
import shutil
import threading
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QApplication, QFileDialog, QLineEdit

from napari_ct_pyramid import open_pyramid
from napari_ct_pyramid.errors import RESUME, Advice, BudgetError, ConversionError, DiskSpaceError, LevelsError
from napari_ct_pyramid.model.formatting import format_size
from napari_ct_pyramid.options import NAMED_CHUNKS, ConversionOptions
from napari_ct_pyramid.plugin.widget import planner as _planner
from napari_ct_pyramid.plugin.widget.plan_panel import HINT
from napari_ct_pyramid.plugin.widget.planner import PlanAnswer, PlanRequest
from napari_ct_pyramid.plugin.widget.remedies import remedies
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget, WidgetState
from napari_ct_pyramid.plugin.wording import wording
from tests.helpers.dock import (
    add_widget,
    drop_on,
    enabled,
    gated,
    press,
    volume,
    wait_for,
    wait_for_progress,
    wait_until,
    write_tiff,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tiff(tmp_path / "scan.tif")


# The form


def test_every_option_has_a_field_with_its_help_and_its_default(viewer: napari.Viewer) -> None:
    widget = ConvertWidget(viewer)
    form = widget.form
    values = form.options.values()
    for option in dataclasses.fields(ConversionOptions):
        field = form.options.fields[option.name]
        assert field.widget.tooltip.lower() == option.metadata["help"].lower()
        assert field.rare == option.metadata["rare"]
    first = next(iter(NAMED_CHUNKS))
    assert values.pop("chunks") == first
    assert ConversionOptions(chunks=first, **values) == ConversionOptions(chunks=first)


def test_rare_options_are_behind_the_fold(viewer: napari.Viewer) -> None:
    widget = ConvertWidget(viewer)
    seen = {name: field.widget.native.isVisibleTo(widget) for name, field in widget.form.options.fields.items()}
    assert seen == {option.name: not option.metadata["rare"] for option in dataclasses.fields(ConversionOptions)}
    widget.form.fold.click()
    assert all(field.widget.native.isVisibleTo(widget) for field in widget.form.options.fields.values())


@pytest.mark.parametrize(
    ("name", "value", "means"),
    [
        ("chunks", "conversion", (32, 256, 256)),
        ("chunks", "16 32 64", (16, 32, 64)),
        ("chunks", "16×32 x 64", (16, 32, 64)),
        ("chunks", (16, 32, 64), (16, 32, 64)),
        ("num_levels", 4, 4),
        ("num_levels", None, None),
        ("dtype", "uint8", "uint8"),
        ("method", "mode", "mode"),
        ("downsample", "1 2 2", (1, 2, 2)),
        ("downsample", "auto", None),
        ("edges", "pad", "pad"),
        ("max_memory", "500M", 500_000_000),
        ("compressor", "zstd", "zstd"),
        ("voxel_size", "0.65", (0.65, 0.65, 0.65)),
        ("voxel_size", "1, 0.5, 0.5", (1.0, 0.5, 0.5)),
        ("voxel_size", None, None),
        ("unit", "nanometer", "nanometer"),
        ("threads", 2, 2),
        ("overwrite", True, True),
    ],
)
def test_a_field_says_what_is_written_in_it(qtbot: Any, name: str, value: Any, means: Any) -> None:
    from napari_ct_pyramid.plugin.widget.fields import OptionFields

    fields = OptionFields()
    with qtbot.waitSignal(fields.changed) if value is not None else qtbot.assertNotEmitted(fields.changed):
        fields.set(name, value)
    assert getattr(ConversionOptions(**fields.values()), name) == means
    fields.reset(name)
    assert fields.values() == OptionFields().values()


def test_a_source_brings_its_facts_its_output_and_a_plan(viewer: napari.Viewer, source: Path) -> None:
    widget = ConvertWidget(viewer)
    assert widget.state is WidgetState.EMPTY
    assert widget.plan_panel.hint.text() == HINT
    assert enabled(widget) == {"form"}
    widget.set_source(source)
    wait_for(widget, WidgetState.READY)
    assert enabled(widget) == {"form", "Convert"}
    assert widget.form.facts.text() == "42 × 64 × 96 · float32 · 1.03 MB · 0.5 µm"
    assert widget.form.output_path == str(source.with_name("scan.ome.zarr"))
    assert widget.form.options.fields["num_levels"].widget.native.currentText() == "auto (1)"
    widget.form.options.set("num_levels", 3)
    wait_for(widget, WidgetState.READY)
    table = widget.plan_panel.table.text()
    for cell in ("44 × 64 × 96", "22 × 32 × 48", "11 × 16 × 24", "0.5 µm", "1 µm", "2 µm", "1.08 MB"):
        assert f">{cell}<" in table
    assert " of 4.00 GB" in widget.plan_panel.memory.words.text()
    assert widget.plan_panel.disk.words.text().endswith("free")


def test_an_unknown_voxel_size_is_said_and_can_be_given(viewer: napari.Viewer, tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", volume(), photometric="minisblack")
    widget = add_widget(viewer, tmp_path / "a.tif")
    assert widget.form.facts.text().endswith("voxel size unknown")
    widget.form.options.set("voxel_size", "2 0.5 0.5")
    widget.form.options.set("unit", "millimeter")
    wait_for(widget, WidgetState.READY)
    assert widget.form.facts.text().endswith("2 0.5 0.5 mm")
    assert ">4 1 1 mm<" in widget.plan_panel.table.text()


def test_another_source_has_another_output_and_leave_to_overwrite_is_not_carried_over(
    viewer: napari.Viewer, source: Path
) -> None:
    widget = add_widget(viewer, source)
    widget.form.output.line_edit.value = str(source.with_name("mine.ome.zarr"))
    widget.form.options.set("overwrite", True)
    wait_for(widget, WidgetState.READY)
    assert widget.form.request().options.overwrite
    widget.set_source(write_tiff(source.with_name("other.tif")))
    wait_for(widget, WidgetState.READY)
    request = widget.form.request()
    assert request.output == str(source.with_name("other.ome.zarr"))
    assert not request.options.overwrite


def test_files_dropped_anywhere_on_the_dock_are_its_source(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer)
    assert drop_on(widget, source)
    wait_for(widget, WidgetState.READY)
    assert widget.form.source_path == str(source)
    # A line edit would take the path for text, were it asked first.
    assert not any(line.acceptDrops() for line in widget.findChildren(QLineEdit))
    assert not viewer.layers


def test_a_file_dialog_chooses_the_source(viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    widget = add_widget(viewer)
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([str(source)], ""))
    widget.form.source.choose_btn.native.click()
    wait_for(widget, WidgetState.READY)
    assert widget.form.source_path == str(source)


def test_the_selected_layers_file_can_be_the_source(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer)
    assert not widget.form.use_layer.isVisibleTo(widget)
    viewer.add_image(np.zeros((4, 4, 4)))
    assert not widget.form.use_layer.isVisibleTo(widget)
    viewer.open(source, plugin="napari")
    assert widget.form.use_layer.isVisibleTo(widget)
    press(widget, "Use selected layer")
    wait_for(widget, WidgetState.READY)
    assert widget.form.source_path == str(source)
    assert not widget.form.use_layer.isVisibleTo(widget)


# The plan, and what is wrong with it


def test_what_is_wrong_has_remedies(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    options, box = widget.form.options, widget.plan_panel.box

    options.set("num_levels", 9)
    wait_for(widget, WidgetState.WRONG)
    assert enabled(widget) == {"form"}
    assert "64" in box.words.text()
    assert "-l" not in box.words.text()
    assert not widget.plan_panel.table.isVisibleTo(widget)
    press(widget, "Use 6 levels")
    wait_for(widget, WidgetState.READY)
    assert not box.isVisibleTo(widget) or "halve" in box.words.text()  # a warning may stay

    options.set("num_levels", 7)
    wait_for(widget, WidgetState.WRONG)
    press(widget, "Pad the edges")
    wait_for(widget, WidgetState.READY)
    assert options.values()["edges"] == "pad"

    options.set("max_memory", "1M")
    wait_for(widget, WidgetState.WRONG)
    assert "budget of 1.00 MB is too small" in box.words.text()
    (button,) = [b for b in box.buttons if b.text().startswith("Use ")]
    button.click()
    wait_for(widget, WidgetState.READY)
    assert format_size(options.options().max_memory) == button.text().removeprefix("Use ")
    assert widget.plan_panel.shows_plan


def test_an_output_that_exists_can_be_overwritten_or_named_otherwise(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    press(widget, "Convert another")
    assert widget.state is WidgetState.EMPTY
    widget.set_source(source)
    wait_for(widget, WidgetState.WRONG)
    assert "exists already" in widget.plan_panel.box.words.text()
    press(widget, "Use another name")
    wait_for(widget, WidgetState.READY)
    assert widget.form.output_path == str(source.with_name("scan-2.ome.zarr"))
    widget.set_source("")
    widget.set_source(source)
    wait_for(widget, WidgetState.WRONG)
    press(widget, "Overwrite it")
    wait_for(widget, WidgetState.READY)
    assert widget.form.request().options.overwrite
    assert widget.form.output_path == str(source.with_name("scan.ome.zarr"))


def test_what_cannot_be_overwritten_is_not_offered_to_be(viewer: napari.Viewer, source: Path) -> None:
    folder = source.with_name("scan.ome.zarr")
    folder.mkdir()
    (folder / "letters.txt").write_text("dear")
    widget = add_widget(viewer)
    widget.set_source(source)
    wait_for(widget, WidgetState.WRONG)
    assert [button.text() for button in widget.plan_panel.box.buttons] == ["Use another name"]


@pytest.mark.parametrize(
    ("error", "words", "values"),
    [
        (LevelsError("", most=1), "Use 1 level", {"num_levels": 1}),
        (LevelsError("", most=6), "Use 6 levels", {"num_levels": 6}),
        (BudgetError("", smallest=1_234_567_890), "Use 1.40 GB", {"max_memory": 1_400_000_000}),
        (BudgetError("", smallest=412_000_000), "Use 460 MB", {"max_memory": 460_000_000}),
    ],
)
def test_remedies(error: Exception, words: str, values: dict[str, Any]) -> None:
    (remedy,) = remedies(error, "")
    assert (remedy.words, remedy.values) == (words, values)
    if isinstance(error, BudgetError):
        assert values["max_memory"] > error.smallest


def test_a_full_disk_is_said(viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 1000))  # type: ignore[attr-defined]
    widget = add_widget(viewer)
    widget.set_source(source)
    wait_for(widget, WidgetState.WRONG)
    assert "1.00 kB" in widget.plan_panel.box.words.text()
    assert remedies(DiskSpaceError("", needed=2, free=1), "") == []


def test_nonsense_in_a_field_is_said_at_once(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    before = widget.form.options.values()
    for name, value, words in (
        ("chunks", "64 64", "'64 64' is not a chunk size"),
        ("max_memory", "4X", "'4X' is not a size"),
        ("max_memory", "", "is not a size"),
        ("voxel_size", "wide", "'wide' is not a voxel size"),
    ):
        widget.form.options.set(name, value)
        assert widget.state is WidgetState.WRONG
        assert words in widget.plan_panel.box.words.text()
        assert enabled(widget) == {"form"}
        widget.form.options.set(name, before[name])
        assert widget.state is WidgetState.PLANNING
        assert enabled(widget) == {"form"}
    wait_for(widget, WidgetState.READY)


def test_a_source_that_cannot_be_read_is_said(viewer: napari.Viewer, tmp_path: Path) -> None:
    widget = add_widget(viewer, write_tiff(tmp_path / "scan.tif"))
    assert widget.form.facts.isVisibleTo(widget)
    (tmp_path / "cut short.tif").write_bytes(b"II*")
    (tmp_path / "folder.tif").mkdir()
    for name in ("cut short.tif", "folder.tif", "nothing.tif"):
        widget.set_source(tmp_path / name)
        wait_for(widget, WidgetState.WRONG)
        assert name in widget.plan_panel.box.words.text()
        assert not widget.form.facts.isVisibleTo(widget)
        assert enabled(widget) == {"form"}


def test_messages_name_fields_as_the_form_does() -> None:
    assert wording(Advice("max_memory", "4G")) == "“Memory”: 4.00 GB"
    assert wording(Advice("edges", "pad")) == "“Edges”: pad with zeros"
    assert wording(Advice("voxel_size")) == "“Voxel size”"
    assert wording(Advice("overwrite", True)) == "“Overwrite”"
    assert "Resume" in wording(Advice(RESUME))


def test_only_the_latest_request_is_answered(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    go_on = threading.Event()

    def slowly(request: PlanRequest) -> PlanAnswer:
        asked.append(request.source)
        go_on.wait(10)
        return PlanAnswer(request)

    monkeypatch.setattr(_planner, "answer", slowly)
    planner = _planner.Planner()
    answers: list[str] = []
    planner.answered.connect(lambda a: answers.append(a.request.source))
    planner.ask(PlanRequest("first", "", ConversionOptions(chunks=16)))
    wait_until(lambda: asked)
    for later in ("second", "third", "fourth"):
        planner.ask(PlanRequest(later, "", ConversionOptions(chunks=16)))
    go_on.set()
    wait_until(lambda: answers)
    assert answers == ["fourth"]
    assert asked == ["first", "fourth"]
    planner.ask(PlanRequest("fifth", "", ConversionOptions(chunks=16)))
    planner.forget()
    planner.ask(PlanRequest("sixth", "", ConversionOptions(chunks=16)))
    wait_until(lambda: len(answers) > 1)
    assert answers == ["fourth", "sixth"]


# The window


def test_a_long_path_is_shown_with_its_middle_left_out(shown_viewer: napari.Viewer, tmp_path: Path) -> None:
    folder = tmp_path / ("a_long_name_" * 8) / ("another_one_" * 8)
    folder.mkdir(parents=True)
    source = write_tiff(folder / "scan.tif")
    assert len(str(source)) > 200
    widget = add_widget(shown_viewer, source)
    line = widget.form.source.line_edit.native
    assert line.text() == str(source)
    assert line.toolTip() == str(source)
    assert widget.width() < 420

    def seen(path: str) -> object:
        line.setText(path)
        return line.grab().toImage()

    path = str(source)
    middle = len(path) // 2
    assert seen(path[:middle] + "XXX" + path[middle + 3 :]) == seen(path)
    assert seen("/XX" + path[3:]) != seen(path)
    assert seen(path[:-8] + "XXXX.tif") != seen(path)


def test_a_low_window_scrolls_and_keeps_convert_in_sight(shown_viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(shown_viewer, source)
    widget.form.fold.click()
    shown_viewer.window._qt_window.resize(1000, 480)
    wait_until(lambda: widget.visibleRegion().boundingRect().height() == widget.height() <= 480)
    convert = widget.status_panel.convert
    assert widget.rect().contains(convert.geometry().translated(widget.status_panel.pos()))
    assert convert.visibleRegion().boundingRect().size() == convert.size()


def test_the_wheel_scrolls_the_dock_and_changes_no_field(viewer: napari.Viewer) -> None:
    from qtpy.QtGui import QWheelEvent

    widget = add_widget(viewer)
    before = widget.form.options.values()
    menu = widget.form.options.fields["num_levels"].widget.native
    event = QWheelEvent(
        QPointF(5, 5),
        QPointF(5, 5),
        QPoint(0, -120),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(menu, event)
    assert widget.form.options.values() == before


# Conversions


def test_a_conversion_from_stage_to_stage(viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    widget = add_widget(viewer, source)
    panel = widget.status_panel
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()) or True)
    with gated(monkeypatch, slices=16) as gate:
        press(widget, "Convert")
        assert widget.state is WidgetState.RUNNING
        assert enabled(widget) == {"Cancel"}
        assert panel.status.text() == "Starting…"
        wait_for_progress(widget)
        assert 0 < panel.bar.value() < 1000
        assert panel.bar.text().endswith("%")
        assert "GB/s" in panel.status.text()
        assert enabled(widget) == {"Cancel"}
        gate.open()
        wait_for(widget, WidgetState.DONE)
    assert enabled(widget) == {"form", "Verify"}
    assert not panel.bar.isVisibleTo(widget)
    assert "Made scan.ome.zarr in" in panel.result.words.text()
    assert "3 levels" in panel.result.words.text()
    press(widget, "Open folder")
    assert opened == [str(source.parent)]
    made = open_pyramid(source.with_name("scan.ome.zarr"))
    assert np.array_equal(np.asarray(made.levels[0].array), volume())
    press(widget, "Convert another")
    assert widget.state is WidgetState.EMPTY
    assert not panel.result.isVisibleTo(widget)
    assert enabled(widget) == {"form"}


def test_cancelled_and_resumed(viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    widget = add_widget(viewer, source)
    output = source.with_name("scan.ome.zarr")
    with gated(monkeypatch, slices=16) as gate:
        press(widget, "Convert")
        wait_for_progress(widget)
        press(widget, "Cancel")
        assert widget.state is WidgetState.CANCELLING
        assert enabled(widget) == set()
        assert widget.status_panel.cancel.text() == "Cancelling…"
        gate.open()
        wait_for(widget, WidgetState.READY)
    assert "Cancelled" in widget.status_panel.result.words.text()
    assert enabled(widget) == {"form", "Resume"}
    assert not viewer.layers
    assert output.exists()
    assert not (output / ".zattrs").exists()
    assert widget.plan_panel.resumes.isVisibleTo(widget)
    asked = widget.form.request().options
    widget.form.options.set("num_levels", 2)
    widget.form.options.set("chunks", "visualization")
    widget.form.options.set("voxel_size", "3 2 2")
    wait_for(widget, WidgetState.WRONG)
    for words in ("unfinished", "the number of levels (was 3, is 2)", "the voxel size (was 0.5 × 0.5 × 0.5, is 3"):
        assert words in widget.plan_panel.box.words.text()
    press(widget, "Use its options")
    wait_for(widget, WidgetState.READY)
    assert widget.form.request().options == dataclasses.replace(asked, voxel_size=(0.5, 0.5, 0.5))
    assert enabled(widget) == {"form", "Resume"}
    press(widget, "Resume")
    wait_for(widget, WidgetState.DONE)
    assert np.array_equal(np.asarray(open_pyramid(output).levels[0].array), volume())


def test_a_failure_is_told_twice_and_then_resume_works(
    viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari.utils.notifications import notification_manager

    widget = add_widget(viewer, source)
    with gated(monkeypatch, slices=16) as gate:
        press(widget, "Convert")
        wait_for_progress(widget)
        gate.fail(ConversionError("The disk is on fire"))
        wait_for(widget, WidgetState.READY)
    assert "The disk is on fire" in widget.status_panel.result.words.text()
    notification = notification_manager.records[-1]
    assert notification.severity == "error"
    assert "The disk is on fire" in notification.message
    assert "Resume" in notification.message
    assert enabled(widget) == {"form", "Resume"}
    assert "blocks are done" in widget.plan_panel.resumes.words.text()
    assert not viewer.layers
    press(widget, "Resume")
    wait_for(widget, WidgetState.DONE)
    assert open_pyramid(source.with_name("scan.ome.zarr")).levels[0].shape == (44, 64, 96)


def test_an_output_is_verified_and_repaired(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    said = widget.status_panel.result.words
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    press(widget, "Verify")
    assert widget.state is WidgetState.RUNNING
    assert enabled(widget) == {"Cancel"}
    wait_for(widget, WidgetState.DONE)
    assert said.text().startswith("Verified: 86 chunks are complete and correct, and agree with scan.tif")
    assert widget.plan_panel.shows_plan

    chunk = source.with_name("scan.ome.zarr") / "1" / "0" / "1" / "2"
    damaged = bytearray(chunk.read_bytes())
    damaged[-1] ^= 1
    chunk.write_bytes(damaged)
    press(widget, "Verify")
    wait_for(widget, WidgetState.DONE)
    assert said.text() == "1 of 86 chunks is wrong.\n1/0/1/2: its file is not as it was written"
    press(widget, "Repair")
    wait_for(widget, WidgetState.DONE)
    assert said.text() == "Repaired from scan.tif: 1 of 86 chunks was made again."
    assert np.array_equal(np.asarray(open_pyramid(source.with_name("scan.ome.zarr")).levels[0].array), volume())

    write_tiff(source, seed=1)
    press(widget, "Verify")
    wait_for(widget, WidgetState.WRONG)  # there is an output already
    assert "not the source that the output was made from" in said.text()
    press(widget, "Verify without the source")
    wait_for(widget, WidgetState.WRONG)
    assert "agree with the checksums of its source" in said.text()


def test_verifying_is_cancelled_and_needs_no_source(
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
        wait_for(widget, WidgetState.WRONG)
    assert widget.status_panel.result.words.text() == "Cancelled."
    output = widget.form.output_path
    widget.set_source("")
    assert enabled(widget) == {"form"}
    widget.form.output.line_edit.value = output
    wait_until(lambda: enabled(widget) == {"form", "Verify"})
    press(widget, "Verify")
    wait_for(widget, WidgetState.EMPTY)
    assert "agree with the checksums of its source" in widget.status_panel.result.words.text()


def test_two_conversions_one_after_the_other(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    other = write_tiff(source.with_name("other.tif"), seed=3)
    widget.set_source(other)
    assert not widget.status_panel.result.isVisibleTo(widget)
    wait_for(widget, WidgetState.READY)
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    wait_until(lambda: len(viewer.layers) == 2)
    assert [layer.name for layer in viewer.layers] == ["scan", "other"]
    for name, seed in (("scan", 0), ("other", 3)):
        made = open_pyramid(source.with_name(f"{name}.ome.zarr"))
        assert np.array_equal(np.asarray(made.levels[0].array), volume(seed))


def test_a_layer_of_what_is_overwritten_goes(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    wait_until(lambda: len(viewer.layers) == 1)
    (old,) = viewer.layers
    other = viewer.add_image(np.zeros((4, 4, 4)))
    widget.form.options.set("num_levels", 2)
    wait_for(widget, WidgetState.WRONG)
    press(widget, "Overwrite it")
    wait_for(widget, WidgetState.READY)
    press(widget, "Convert")
    assert list(viewer.layers) == [other]
    wait_for(widget, WidgetState.DONE)
    wait_until(lambda: len(viewer.layers) == 2)
    assert viewer.layers[1] is not old
    assert len(viewer.layers[1].data) == 2


def test_a_conversion_outlives_its_dock_and_is_found_by_the_next(
    viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = add_widget(viewer, source)
    with gated(monkeypatch, slices=16) as gate:
        press(widget, "Convert")
        wait_for_progress(widget)
        viewer.window.remove_dock_widget(widget)
        widget.deleteLater()
        del widget
        QApplication.processEvents()
        another = ConvertWidget(viewer)
        viewer.window.add_dock_widget(another, name="Again")
        assert another.state is WidgetState.RUNNING
        assert another.form.source_path == str(source)
        assert enabled(another) == {"Cancel"}
        gate.open()
        wait_for(another, WidgetState.DONE)
    assert "Made scan.ome.zarr" in another.status_panel.result.words.text()


def test_without_a_preview_there_is_no_layer(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    widget.form.live.native.click()
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    assert not viewer.layers
