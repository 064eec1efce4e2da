"""The fields of the options: what they hold, and what is written into them."""

from __future__ import annotations

import dataclasses
from typing import Any

import napari
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtWidgets import QApplication

from napari_ct_pyramid.options import NAMED_CHUNKS, ConversionOptions
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget
from tests.helpers.dock import (
    add_widget,
)


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
def test_a_field_gives_what_is_written_into_it(qtbot: Any, name: str, value: Any, means: Any) -> None:
    from napari_ct_pyramid.plugin.widget.fields import OptionFields

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
    from napari_ct_pyramid.plugin.widget.fields import OptionFields

    fields = OptionFields()
    fields.show(options)
    assert fields.options() == options


def test_fields_stay_as_typed_where_they_mean_the_options_that_are_shown(qtbot: Any) -> None:
    from napari_ct_pyramid.plugin.widget.fields import OptionFields

    fields = OptionFields()
    fields.set("max_memory", "1.5 GiB")
    before = fields.values()
    fields.show(fields.options())
    assert fields.values() == before
