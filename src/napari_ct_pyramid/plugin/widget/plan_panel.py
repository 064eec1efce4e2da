"""The panel that shows what a conversion will do: levels, memory, disk and time."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_ct_pyramid.conversion.batch import Batch
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.model.formatting import UNIT_BYTES, count, format_size, rough_duration, times
from napari_ct_pyramid.model.levels import Level
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.plugin.wording import voxel_size_words, wording

from .parts import AMBER, Meter, text_label

HINT = "Choose a volume, or drop one here: a TIFF, a folder of slices, HDF5, …"


class PlanPanel(QWidget):
    """The plan: a table of levels, notes about it, memory, disk and time; or a hint."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.hint = text_label()
        self.table = QLabel()
        self.table.setMinimumWidth(1)
        self.table.setWordWrap(True)  # in a narrow dock, a shape breaks, and no size is cut off
        self.values = text_label()
        self.notes = text_label()
        self.notes.setStyleSheet(f"color: rgb({AMBER});")
        self.resumes = Meter("Resumes")
        self.memory = Meter("Memory")
        self.disk = Meter("Disk")
        self.time = QLabel()
        self.needs = QWidget()
        needs = QVBoxLayout(self.needs)
        needs.setContentsMargins(0, 0, 0, 0)
        needs.setSpacing(4)
        needs.addWidget(self.memory)
        needs.addWidget(self.disk)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        self._parts = (self.hint, self.table, self.values, self.notes, self.resumes, self.needs, self.time)
        for part in self._parts:
            layout.addWidget(part)
        self.show_hint(HINT)

    @property
    def shows_plan(self) -> bool:
        """Whether it shows the plan of a volume."""
        return not self.table.isHidden()

    def show_hint(self, words: str) -> None:
        """Show a hint, because there is no plan."""
        self._show(self.hint)
        self.hint.setText(words)

    def show_nothing(self) -> None:
        """Show nothing, because a message says why there is no plan."""
        self._show()

    def show_plan(self, plan: Plan, *, resumes: bool = False, made: bool = False) -> None:
        """Show a plan, which may resume an unfinished conversion, or describe what is there already (`made`)."""
        notes = [*([] if made else _padding(plan)), *plan.volume.notes]
        notes += [] if made else [warning.worded(wording) for warning in plan.warnings]
        self._show(
            self.table,
            *([self.values] if plan.calibration else []),
            *([self.notes] if notes else []),
            *([self.resumes] if (resumes or plan.blocks_done) and not made else []),
            *([] if made else [self.needs]),
            *([] if made or plan.seconds_estimate is None else [self.time]),
        )
        self.resumes.show_part(
            plan.blocks_done, plan.blocks, f"{plan.blocks_done:,} of {plan.blocks:,} blocks are done"
        )
        self.table.setText(_table(plan))
        self.values.setText(f"Values: {plan.values_text()}")
        self.notes.setText("\n".join(notes))
        self._show_needs([plan], "\n".join(f"{format_size(size)}  {item}" for item, size in plan.memory))

    def show_batch(self, batch: Batch[Receipt]) -> None:
        """Show what several volumes need together."""
        plans = [item.plan for item in batch.having("waiting", "running") if item.plan]
        notes = dict.fromkeys(warning.worded(wording) for plan in plans for warning in plan.warnings)
        times_known = [plan.seconds_estimate for plan in plans if plan.seconds_estimate is not None]
        self._show(
            *([self.notes] if notes else []), *([self.needs] if plans else []), *([self.time] if times_known else [])
        )
        self.notes.setText("\n".join(notes))
        if plans:
            self._show_needs(plans)

    def _show_needs(self, plans: Sequence[Plan], tip: str = "") -> None:
        peak, budget = max(plan.peak_memory_bytes for plan in plans), plans[0].options.max_memory
        self.memory.show_part(peak, budget, part_of(peak, budget), tip)
        needed = sum(plan.bytes_out_estimate for plan in plans)
        free = min((plan.bytes_free for plan in plans if plan.bytes_free is not None), default=None)
        files = count(sum(plan.files for plan in plans), "file")
        self.disk.show_part(needed, free, part_of(needed, free), files)
        seconds = sum(plan.seconds_estimate or 0 for plan in plans)
        self.time.setText(f"About {rough_duration(seconds)}, {files}")
        self.time.setToolTip("At the speed at which a sample was read and compressed. A slow disk takes longer.")

    def _show(self, *parts: QWidget) -> None:
        for part in self._parts:
            part.setVisible(part in parts)


def part_of(part: float, whole: float | None) -> str:
    """Bytes of all bytes: ``"0.9 of 4 GB"``, ``"2.2 MB of 50 GB"``. Without a whole, those of the part."""
    if whole is None:
        return format_size(part)
    if part < whole / 1000:
        return f"{format_size(part)} of {format_size(whole)}"
    size, unit = format_size(whole).split()
    return f"{float(f'{part / UNIT_BYTES[unit]:.2g}'):g} of {float(size):g} {unit}"


def _padding(plan: Plan) -> list[str]:
    """A line about rows and columns that are added; none if there are none."""
    added = [
        count(stored - n, what)
        for stored, n, what in zip(plan.levels[0].shape, plan.volume.shape, ("slice", "row", "column"), strict=True)
        if stored > n
    ]
    if not added:
        return []
    words = " and ".join(filter(None, [", ".join(added[:-1]), added[-1]]))
    return [f"Edges padded with zeros: {words}, which napari does not show."]


def _table(plan: Plan) -> str:
    """The levels as HTML, which takes the colours of the theme."""
    head = ("", "Shape (z y x)", "Voxel", "Size")
    rows = [_cells(level, plan) for level in plan.levels]
    lines = [_row(head, "th"), *(_row(row, "td") for row in rows)]
    return f'<table width="100%" cellspacing="0" cellpadding="1">{"".join(lines)}</table>'


def _cells(level: Level, plan: Plan) -> Sequence[str]:
    size = voxel_size_words(level.voxel_size, plan.unit) if plan.voxel_size else "unknown"
    shape = times(level.shape).replace(" × ", "×\N{ZERO WIDTH SPACE}")  # it fits 270 pixels
    return level.path, shape, size, format_size(level.nbytes).replace(" ", "\N{NO-BREAK SPACE}")


def _row(cells: Sequence[str], tag: str) -> str:
    aligns = ("left", "left", "right", "right")
    inside = [f'<{tag} align="{align}">{escape(cell)}</{tag}>' for align, cell in zip(aligns, cells, strict=True)]
    return f"<tr>{''.join(inside)}</tr>"
