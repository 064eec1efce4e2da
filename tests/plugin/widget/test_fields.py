"""The fields of the options: what they hold, and what is written into them."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtWidgets import QAbstractButton, QApplication, QComboBox, QLineEdit, QTreeWidget

from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.plugin.widget.fields import GROUPS, OF_SOME_SOURCES, ON_FORM, OptionFields, in_group
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget, WidgetState
from tests.helpers.dock import add_widget, volume, wait_for, write_tiff


def test_every_option_has_a_field_in_one_place_with_its_default(viewer: napari.Viewer) -> None:
    widget = ConvertWidget(viewer)
    form = widget.form
    values = form.options.values()
    placed = [name for group in GROUPS for name in in_group(group)] + list(ON_FORM)
    assert sorted(placed) == sorted(option.name for option in dataclasses.fields(ConversionOptions))
    assert values.pop("chunks") == "visualization"
    assert values.pop("edges") == "pad"  # odd sizes just work
    assert ConversionOptions(chunks=64, **values) == ConversionOptions(chunks=64)


def test_every_control_has_a_name_and_a_tip_in_a_users_words(viewer: napari.Viewer) -> None:
    widget = ConvertWidget(viewer)
    kinds = (QAbstractButton, QComboBox, QLineEdit, QTreeWidget)
    controls = [part for kind in kinds for part in widget.findChildren(kind)]
    checked = [part for part in controls if not isinstance(part.parent(), (QComboBox, QTreeWidget))]
    assert len(checked) > 25
    for control in checked:
        name = control.accessibleName() or (control.text() if isinstance(control, QAbstractButton) else "")
        assert name.strip(), control
        assert control.toolTip(), name
        assert not re.search(r"\b(INPUT|OUTPUT|PATH)\b|--\w", control.toolTip()), name


def test_each_fold_says_in_one_line_what_is_chosen_in_it(viewer: napari.Viewer, tmp_path: Path) -> None:
    widget = add_widget(viewer, write_tiff(tmp_path / "scan.tif"))
    folds, options = widget.form.folds, widget.form.options
    lines = {name: fold.summary.text() for name, fold in folds.items()}
    assert lines["Pyramid"] == "16³ · 3 levels · mean"
    assert lines["Voxels"] == "float32 as in the file · all of it"
    assert lines["Format"] == "OME-Zarr 0.4 · lz4"
    assert lines["Machine"].startswith("at most 4 GB · ")
    options.set("dtype", "uint8")
    options.set("window", "-0.5 2")
    options.set("crop", "0:20,,")
    options.set("ome_zarr_version", "0.5")
    assert folds["Voxels"].summary.text() == "uint8, -0.5 to 2 · a part"
    assert folds["Format"].summary.text() == "OME-Zarr 0.5 · shards · lz4"


def test_only_the_folds_that_are_open_show_their_fields(viewer: napari.Viewer) -> None:
    widget = ConvertWidget(viewer)
    form = widget.form
    fields = form.options.fields
    assert fields["voxel_size"].widget.native.isVisibleTo(form)
    assert not fields["chunks"].widget.native.isVisibleTo(form)
    form.folds["Pyramid"].button.click()
    for name in in_group("Pyramid"):
        label = fields[name].label
        assert label.fontMetrics().horizontalAdvance(label.text()) + 12 <= label.maximumWidth()  # it is not cut off
    assert fields["chunks"].widget.native.isVisibleTo(form)
    assert not fields["shards"].widget.native.isVisibleTo(form)


def test_an_option_is_enabled_only_where_it_applies_and_is_never_silently_ignored(
    viewer: napari.Viewer, tmp_path: Path
) -> None:
    widget = add_widget(viewer)
    options = widget.form.options

    def enabled(name: str) -> bool:
        return options.fields[name].widget.native.isEnabled()

    assert not enabled("shards")
    assert not enabled("window")
    options.set("ome_zarr_version", "0.5")
    options.set("shards", "64 64 64")
    options.set("dtype", "uint16")
    assert enabled("shards")
    assert enabled("window")
    assert options.options().shards == (64, 64, 64)
    options.set("ome_zarr_version", "0.4")
    assert not enabled("shards")
    assert options.options().shards is None
    assert enabled("method")
    options.set("num_levels", 1)  # no level is made of another one
    assert not enabled("method")
    assert not enabled("downsample")
    tifffile.imwrite(tmp_path / "narrow.tif", volume(dtype="uint8"), photometric="minisblack")
    widget.set_source(tmp_path / "narrow.tif")
    wait_for(widget, WidgetState.READY)
    assert not enabled("dtype")
    assert not enabled("window")
    assert options.options().dtype is None


def test_channel_time_and_links_are_enabled_for_a_source_that_needs_them(viewer: napari.Viewer, tmp_path: Path) -> None:
    widget = add_widget(viewer)
    options = widget.form.options

    def enabled() -> list[str]:
        return [name for name in OF_SOME_SOURCES if options.fields[name].widget.native.isEnabled()]

    assert enabled() == []
    voxels = np.zeros((2, 8, 16, 16), "u1")
    tifffile.imwrite(tmp_path / "t.tif", voxels, imagej=True, metadata={"axes": "TZYX"})
    widget.set_source(tmp_path / "t.tif")
    wait_for(widget, WidgetState.WRONG)
    assert enabled() == ["time"]
    options.set("time", "1")
    wait_for(widget, WidgetState.READY)
    assert enabled() == ["time"]
    (tmp_path / "in").mkdir()
    (tmp_path / "v.raw").write_bytes(voxels.tobytes())
    (tmp_path / "in" / "v.mhd").write_text(
        "NDims = 3\nDimSize = 16 16 16\nElementType = MET_UCHAR\nElementDataFile = ../v.raw\n"
    )
    widget.set_source(tmp_path / "in" / "v.mhd")
    wait_for(widget, WidgetState.WRONG)
    assert enabled() == ["follow_links"]
    options.set("follow_links", True)
    wait_for(widget, WidgetState.READY)
    assert enabled() == ["follow_links"]
    widget.set_source(write_tiff(tmp_path / "a.tif"))
    wait_for(widget, WidgetState.READY)
    assert enabled() == []
    widget.set_sources([tmp_path / "t.tif", tmp_path / "a.tif"])
    assert enabled() == [*OF_SOME_SOURCES]


@pytest.mark.parametrize("name", ["window", "voxel_size", "crop", "axes", "max_memory", "shards", "channel"])
def test_an_empty_field_means_the_default(qtbot: Any, name: str) -> None:
    fields = OptionFields()
    fields.set("ome_zarr_version", "0.5")
    before = fields.options()
    fields.set(name, None if name == "crop" else "")
    assert fields.options() == before


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
        ("edges", "strict", "strict"),
        ("max_memory", "500M", 500_000_000),
        ("compressor", "zstd", "zstd"),
        ("voxel_size", "0.65", (0.65, 0.65, 0.65)),
        ("voxel_size", "0,65 µm", (0.65, 0.65, 0.65)),
        ("voxel_size", "1 0.5 0.5", (1.0, 0.5, 0.5)),
        ("voxel_size", None, None),
        ("unit", "nanometer", "nanometer"),
        ("threads", 2, 2),
        ("overwrite", True, True),
    ],
)
def test_a_field_gives_what_is_written_into_it(qtbot: Any, name: str, value: Any, means: Any) -> None:
    fields = OptionFields()
    with qtbot.waitSignal(fields.changed) if value is not None else qtbot.assertNotEmitted(fields.changed):
        fields.set(name, value)
    assert getattr(ConversionOptions(**fields.values()), name) == means
    fields.reset(name)
    assert fields.values() == OptionFields().values()


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


@pytest.mark.parametrize(
    "options",
    [
        ConversionOptions(chunks="conversion", num_levels=3, max_memory="1.5G", method="mode", downsample="1 2 2"),
        ConversionOptions(chunks=(16, 32, 64), dtype="uint8", window=(-0.5, 2), edges="pad", max_memory=123_456_789),
        ConversionOptions(chunks=64, ome_zarr_version="0.5", shards=None, downsample="auto", crop="1:20,,:30"),
        ConversionOptions(chunks=64, ome_zarr_version="0.5", voxel_size="1 0.5 0.5", unit="nm", axes="xzy", threads=2),
        ConversionOptions(chunks=64, ome_zarr_version="0.5", shards=(128, 128, 128), overwrite=True),
    ],
)
def test_options_that_are_shown_are_those_that_the_fields_give(qtbot: Any, options: ConversionOptions) -> None:
    fields = OptionFields()
    fields.show(options)
    assert fields.options() == options


def test_fields_stay_as_typed_where_they_mean_the_options_that_are_shown(qtbot: Any) -> None:
    fields = OptionFields()
    fields.set("max_memory", "1.5 GiB")
    before = fields.values()
    fields.show(fields.options())
    assert fields.values() == before
