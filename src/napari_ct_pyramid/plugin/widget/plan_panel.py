"""The panel that shows what a conversion will do, or why it is not possible, with buttons that may help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_ct_pyramid.conversion.batch import Batch
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.model.formatting import count, format_size, times
from napari_ct_pyramid.model.levels import Level
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.plugin.wording import error_words, voxel_size_words, wording

from .parts import Box, Meter, text_label
from .remedies import Remedy, common_remedies, remedies

HINT = "Choose a volume, or drop one here: a TIFF, a folder of slices, HDF5, …"


class PlanPanel(QWidget):
    """The plan: a table of levels, memory and disk; or a problem with its remedies; or a hint."""

    chosen = Signal(object)  # Remedy

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.hint = text_label()
        self.table = QLabel()
        self.values = text_label()
        self.resumes = Meter("Resumes")
        self.memory = Meter("Memory")
        self.disk = Meter("Disk")
        self.box = Box()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._parts = (self.hint, self.table, self.values, self.resumes, self.memory, self.disk, self.box)
        for part in self._parts:
            layout.addWidget(part)
        self.show_hint(HINT)

    @property
    def shows_plan(self) -> bool:
        """Whether it shows a plan, not a problem or a hint."""
        return not self.table.isHidden()

    def show_hint(self, words: str) -> None:
        """Show a hint, because there is no plan."""
        self._show(self.hint)
        self.hint.setText(words)

    def show_plan(self, plan: Plan, *, resumes: bool = False) -> None:
        """Show a plan, which may resume an unfinished conversion."""
        resumed = [self.resumes] if resumes or plan.blocks_done else []
        values = [self.values] if plan.calibration else []
        self._show(self.table, *values, *resumed, self.memory, self.disk)
        self.resumes.show_part(
            plan.blocks_done, plan.blocks, f"{plan.blocks_done:,} of {plan.blocks:,} blocks are done"
        )
        self.table.setText(_table(plan))
        self.values.setText(f"Values: {plan.values_text()}")
        self._show_memory([plan], "\n".join(f"{format_size(size)}  {item}" for item, size in plan.memory))
        self._show_disk([plan])
        if plan.warnings:
            self.box.show_words("warning", "\n".join(warning.worded(wording) for warning in plan.warnings))

    def show_batch(self, batch: Batch[Receipt], error: Exception | None = None) -> None:
        """Show what several volumes need together, and how many cannot be converted, and why."""
        plans = [item.plan for item in batch.having("waiting", "running") if item.plan]
        errors = [item.error for item in batch.having("failed") if item.error and not item.in_run]
        self._show(*([self.memory, self.disk] if plans else []))
        if plans:
            self._show_memory(plans)
            self._show_disk(plans)
        warnings = dict.fromkeys(warning.worded(wording) for plan in plans for warning in plan.warnings)
        if error:
            self.box.show_words("error", error_words(error))
        elif errors:
            what = f"{len(errors)} of {count(len(batch.items), 'volume')} cannot be converted."
            reasons = {error_words(error) for error in errors}
            words = f"{what} {reasons.pop()}" if len(reasons) == 1 else f"{what} The list gives the reasons."
            buttons = [(remedy.words, self._choose(remedy)) for remedy in common_remedies(errors)]
            self.box.show_words("warning" if plans else "error", words, buttons)
        elif warnings:
            self.box.show_words("warning", "\n".join(warnings))

    def show_problem(self, error: Exception, output: str) -> None:
        """Show why there is no plan, with a button for each remedy."""
        self._show()
        self.box.show_words("error", error_words(error), [(r.words, self._choose(r)) for r in remedies(error, output)])

    def _show_memory(self, plans: Sequence[Plan], tip: str = "") -> None:
        peak, budget = max(plan.peak_memory_bytes for plan in plans), plans[0].options.max_memory
        self.memory.show_part(peak, budget, f"at most {format_size(peak)} of {format_size(budget)}", tip)

    def _show_disk(self, plans: Sequence[Plan]) -> None:
        needed = sum(plan.bytes_out_estimate for plan in plans)
        free = min((plan.bytes_free for plan in plans if plan.bytes_free is not None), default=None)
        of_free = "" if free is None else f" of {format_size(free)} free"
        files = f"{sum(plan.files for plan in plans):,} files"
        self.disk.show_part(needed, free, f"about {format_size(needed)}{of_free}", files)

    def _choose(self, remedy: Remedy) -> Callable[[], None]:
        return lambda: self.chosen.emit(remedy)

    def _show(self, *parts: QWidget) -> None:
        for part in self._parts:
            part.setVisible(part in parts)


def _table(plan: Plan) -> str:
    """The levels as HTML, which takes the colours of the theme."""
    head = ("", "Shape (z y x)", "Voxel size", "Size")
    rows = [_cells(level, plan) for level in plan.levels]
    lines = [_row(head, "th"), *(_row(row, "td") for row in rows)]
    return f'<table width="100%" cellspacing="0" cellpadding="2">{"".join(lines)}</table>'


def _cells(level: Level, plan: Plan) -> Sequence[str]:
    size = voxel_size_words(level.voxel_size, plan.unit) if plan.voxel_size else "unknown"
    return level.path, times(level.shape), size, format_size(level.nbytes)


def _row(cells: Sequence[str], tag: str) -> str:
    aligns = ("left", "left", "right", "right")
    inside = [f'<{tag} align="{align}">{escape(cell)}</{tag}>' for align, cell in zip(aligns, cells, strict=True)]
    return f"<tr>{''.join(inside)}</tr>"
