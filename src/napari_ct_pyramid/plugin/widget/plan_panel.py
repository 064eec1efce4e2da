"""The panel that shows what a conversion will do, or why it cannot, and what can be done about that."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_ct_pyramid.errors import BudgetError, LevelsError, OutputExistsError, sentence
from napari_ct_pyramid.model.formatting import count, format_size, numbers, times

from .fields import wording
from .parts import Box, Meter, text_label
from .planner import free_name

if TYPE_CHECKING:
    from napari_ct_pyramid.model.levels import Level
    from napari_ct_pyramid.model.plan import Plan
    from napari_ct_pyramid.model.volume import Volume
    from napari_ct_pyramid.options import VoxelSize

    from .queue import Entry


_SYMBOLS = {"nanometer": "nm", "micrometer": "µm", "millimeter": "mm", "centimeter": "cm", "meter": "m"}
HINT = "Choose a volume, or drop one here: a TIFF, a folder of slices, HDF5, …"


@dataclass(frozen=True)
class Remedy:
    """What may put a wrong request right: the words on a button, and what to set.

    `values` are those of fields of `ConversionOptions`, or of ``"output"``.
    """

    words: str
    values: Mapping[str, Any]


def remedies(error: Exception, output: str) -> list[Remedy]:
    """What can be done about an error at the press of a button."""
    if isinstance(error, LevelsError):
        pad = [Remedy("Pad the edges", {"edges": "pad"})] if error.paddable else []
        return [Remedy(f"Use {error.most} level{'s' * (error.most > 1)}", {"num_levels": error.most}), *pad]
    if isinstance(error, BudgetError):
        size = _enough(error.smallest)
        return [Remedy(f"Use {format_size(size)}", {"max_memory": f"{size // 1_000_000}M"})]
    if isinstance(error, OutputExistsError):
        found = [Remedy("Use its options", error.options)] if error.options else []
        if error.replaceable:
            found.append(Remedy("Overwrite it", {"overwrite": True}))
        return [*found, Remedy("Use another name", {"output": free_name(output)})]
    return []


def common_remedies(errors: Sequence[Exception]) -> list[Remedy]:
    """What can be done about the errors of several volumes, for all at once."""
    levels = [error for error in errors if isinstance(error, LevelsError)]
    budgets = [error for error in errors if isinstance(error, BudgetError)]
    found: list[Remedy] = []
    if levels:
        found += remedies(min(levels, key=lambda error: error.most), "")
    if budgets:
        found += remedies(max(budgets, key=lambda error: error.smallest), "")
    if any(isinstance(error, OutputExistsError) and error.replaceable and not error.options for error in errors):
        found.append(Remedy("Overwrite what exists", {"overwrite": True}))
    return found


def facts(volume: Volume, voxel_size: VoxelSize | None = None, unit: str | None = None) -> str:
    """A volume in one line: ``"512 × 2560 × 2560 · float32 · 13.4 GB · 0.65 µm"``."""
    size = voxel_size or volume.voxel_size
    known = _length(size, unit or volume.unit) if size else "voxel size unknown"
    return " · ".join([times(volume.shape), str(volume.dtype), format_size(volume.nbytes), known])


def error_words(error: Exception) -> str:
    """What went wrong, in the words of whoever found it."""
    return sentence(error, wording)


class PlanView(QWidget):
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
        """Whether it shows a plan, and neither a problem nor a hint."""
        return not self.table.isHidden()

    def show_hint(self, words: str) -> None:
        """Nothing to plan, or not yet."""
        self._show(self.hint)
        self.hint.setText(words)

    def show_plan(self, plan: Plan, *, resumes: bool = False) -> None:
        """A plan that can be carried out, perhaps by going on with what is there."""
        going_on = [self.resumes] if resumes or plan.blocks_done else []
        values = [self.values] if plan.meaning else []
        self._show(self.table, *values, *going_on, self.memory, self.disk)
        self.resumes.show_part(
            plan.blocks_done, plan.blocks, f"{plan.blocks_done:,} of {plan.blocks:,} blocks are done"
        )
        self.table.setText(_table(plan))
        self.values.setText(f"Values: {plan.values_text()}")
        budget = plan.options.max_memory
        self.memory.show_part(
            plan.peak_memory_bytes,
            budget,
            f"at most {format_size(plan.peak_memory_bytes)} of {format_size(budget)}",
            "\n".join(f"{format_size(size)}  {item}" for item, size in plan.memory),
        )
        needed, free = plan.bytes_out_estimate, plan.bytes_free
        room = "" if free is None else f" of {format_size(free)} free"
        self.disk.show_part(needed, free, f"about {format_size(needed)}{room}", f"{plan.files:,} files")
        if plan.warnings:
            self.box.show_words("warning", "\n".join(warning.worded(wording) for warning in plan.warnings))

    def show_queue(self, entries: Sequence[Entry], error: Exception | None = None) -> None:
        """What several volumes take together, and which of them cannot be converted; or why all cannot."""
        plans = [entry.plan for entry in entries if entry.plan and entry.state in ("waiting", "running")]
        wrong = [entry for entry in entries if entry.state == "failed" and entry.error and not entry.in_run]
        self._show(*([self.memory, self.disk] if plans else []))
        if plans:
            peak, budget = max(plan.peak_memory_bytes for plan in plans), plans[0].options.max_memory
            self.memory.show_part(peak, budget, f"at most {format_size(peak)} of {format_size(budget)}")
            needed = sum(plan.bytes_out_estimate for plan in plans)
            free = min((plan.bytes_free for plan in plans if plan.bytes_free is not None), default=None)
            room = "" if free is None else f" of {format_size(free)} free"
            files = f"{sum(plan.files for plan in plans):,} files"
            self.disk.show_part(needed, free, f"about {format_size(needed)}{room}", files)
        warnings = dict.fromkeys(warning.worded(wording) for plan in plans for warning in plan.warnings)
        if error:
            self.box.show_words("error", error_words(error))
        elif wrong:
            what = f"{count(len(wrong), 'volume')} of {len(entries)} cannot be converted."
            said = {error_words(entry.error) for entry in wrong if entry.error}
            words = f"{what} {said.pop()}" if len(said) == 1 else f"{what} The list says why."
            errors = [entry.error for entry in wrong if entry.error]
            buttons = [(remedy.words, self._choose(remedy)) for remedy in common_remedies(errors)]
            self.box.show_words("warning" if plans else "error", words, buttons)
        elif warnings:
            self.box.show_words("warning", "\n".join(warnings))

    def show_problem(self, error: Exception, output: str) -> None:
        """Why there is no plan, with a button for each remedy."""
        self._show()
        self.box.show_words("error", error_words(error), [(r.words, self._choose(r)) for r in remedies(error, output)])

    def _choose(self, remedy: Remedy) -> Callable[[], None]:
        return lambda: self.chosen.emit(remedy)

    def _show(self, *parts: QWidget) -> None:
        for part in self._parts:
            part.setVisible(part in parts)


def _enough(size: int) -> int:
    """A round size that is somewhat more: what the process holds by itself varies."""
    step = 10 ** max(7, math.floor(math.log10(size)) - 1)
    return math.ceil(size * 1.1 / step) * step


def _table(plan: Plan) -> str:
    """The levels as HTML, which follows the theme by itself."""
    head = ("", "Shape (z y x)", "Voxel size", "Size")
    rows = [_cells(level, plan) for level in plan.levels]
    lines = [_row(head, "th"), *(_row(row, "td") for row in rows)]
    return f'<table width="100%" cellspacing="0" cellpadding="2">{"".join(lines)}</table>'


def _cells(level: Level, plan: Plan) -> Sequence[str]:
    size = _length(level.voxel_size, plan.unit) if plan.voxel_size else "unknown"
    return (level.path, times(level.shape), size, format_size(level.nbytes))


def _row(cells: Sequence[str], tag: str) -> str:
    aligns = ("left", "left", "right", "right")
    inside = [f'<{tag} align="{align}">{escape(cell)}</{tag}>' for align, cell in zip(aligns, cells, strict=True)]
    return f"<tr>{''.join(inside)}</tr>"


def _length(size: VoxelSize, unit: str | None) -> str:
    """``"0.65 µm"``, or three numbers where they differ along z, y, x."""
    each = numbers(size[:1] if len(set(size)) == 1 else size)
    return f"{each} {_SYMBOLS.get(unit, unit)}" if unit else each
