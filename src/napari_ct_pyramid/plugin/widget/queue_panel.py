"""The table of several volumes: name, state and size of each, and why it failed.

It shows the items of a batch, and does not know what happens to them.
"""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_ct_pyramid.conversion.batch import BatchItem
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.model.formatting import count, duration, format_size

from .messages import failure_reason
from .parts import BLUE, GREEN, RED

Item = BatchItem[Receipt]

_ROWS = 8  # visible at the same time
_HEADER = "QHeaderView::section { background: transparent; border: none; padding: 1px 2px; font-weight: bold; }"
"""As in the table of a plan: napari has no style for headers, and Qt's is that of a light theme."""
_COLOURS = {"running": BLUE, "done": GREEN, "failed": RED}


class QueuePanel(QWidget):
    """Several volumes, in place of the field for one."""

    removed = Signal(object)  # Item
    picked = Signal(list)  # of paths, to be added
    cleared = Signal()

    def __init__(self, filters: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._filters = filters
        self._items: list[Item] = []
        self.head = QLabel()
        self.add = QPushButton("Add…")
        self.add.setToolTip("Add volumes. They can also be dropped here.")
        self.remove = QPushButton("Remove")
        self.remove.setToolTip("Remove the selected volumes from the list. No file is deleted.")
        self.clear = QPushButton("Clear")
        self.clear.setToolTip("Remove all volumes from the list. No file is deleted.")
        self.table = QTreeWidget()
        self.table.setHeaderLabels(["Volume", "State", "Size"])
        self.table.setAccessibleName("Volumes")
        self.table.setToolTip("The volumes to convert, one after another. More can be dropped here.")
        self.table.setRootIsDecorated(False)
        self.table.setIndentation(0)
        self.table.setSelectionMode(QTreeWidget.SelectionMode.ExtendedSelection)
        self.table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.table.setVerticalScrollMode(QTreeWidget.ScrollMode.ScrollPerPixel)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.table.header()
        assert header is not None
        header.setStyleSheet(_HEADER)
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        top = QHBoxLayout()
        top.addWidget(self.head, 1)
        for button in (self.add, self.remove, self.clear):
            top.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(top)
        layout.addWidget(self.table)
        self.add.clicked.connect(self._pick)
        self.remove.clicked.connect(self._remove_selected)
        self.clear.clicked.connect(lambda: self.cleared.emit())
        self.table.itemSelectionChanged.connect(self._show_removable)
        self.table.installEventFilter(self)
        self._show_removable()

    def show_items(self, items: Sequence[Item]) -> None:
        """Show the volumes as they are now."""
        size = sum(item.size for item in items)
        self.head.setText(" · ".join([count(len(items), "volume"), *([format_size(size)] if size else [])]))
        if [item.name for item in items] != [item.name for item in self._items]:
            self.table.clear()
            self.table.addTopLevelItems([QTreeWidgetItem() for _ in items])
        self._items = list(items)
        for number, item in enumerate(items):
            self._show_item(number, item)
        running = next((number for number, item in enumerate(items) if item.state == "running"), None)
        if running is not None:
            self.table.scrollToItem(self.table.topLevelItem(running))
        rows = min(_ROWS, sum(2 if reason(item) else 1 for item in items))
        header = self.table.header()
        height = self.table.sizeHintForRow(0) * rows + (header.sizeHint().height() if header else 0)
        self.table.setFixedHeight(height + 2 * self.table.frameWidth() + 2)
        self._show_removable()

    def show_progress(self, items: Sequence[Item]) -> None:
        """Show the progress of the running item, if nothing else has changed."""
        if not self._items:
            self.show_items(items)
        self._items = list(items)
        for number, item in enumerate(items):
            if item.state == "running":
                self._show_item(number, item)

    def set_busy(self, busy: bool) -> None:
        """Enable or disable the buttons for a running job."""
        self.clear.setEnabled(not busy)

    def _show_item(self, number: int, item: Item) -> None:
        row = self.table.topLevelItem(number)
        if row is None:
            return
        words = (item.name.name, info(item), format_size(item.size) if item.plan else "")
        colour = _COLOURS.get(item.state)
        tip = "\n\n".join(filter(None, [str(item.source), reason(item)]))
        for column, text in enumerate(words):
            row.setText(column, text)
            row.setToolTip(column, tip)
        row.setTextAlignment(2, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for column in range(3) if item.state == "failed" else (1,):
            row.setData(column, Qt.ItemDataRole.ForegroundRole, _colour(colour) if colour else None)
        if item.state != "failed":
            for column in (0, 2):
                row.setData(column, Qt.ItemDataRole.ForegroundRole, None)
        row.takeChildren()
        if why := reason(item):
            child = QTreeWidgetItem([why])
            child.setFlags(Qt.ItemFlag.ItemIsEnabled)
            child.setToolTip(0, why)
            child.setForeground(0, _colour(RED))
            row.addChild(child)
            child.setFirstColumnSpanned(True)
            row.setExpanded(True)

    def selected(self) -> list[Item]:
        """The selected volumes that can be removed."""
        rows = [self.table.indexOfTopLevelItem(row) for row in self.table.selectedItems()]
        return [self._items[row] for row in rows if row >= 0 and self._items[row].state != "running"]

    def _remove_selected(self) -> None:
        for item in self.selected():
            self.removed.emit(item)

    def _show_removable(self) -> None:
        self.remove.setEnabled(bool(self.selected()))

    def _pick(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Add volumes", "", self._filters)
        if paths:
            self.picked.emit(paths)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802  Qt's name
        keys = (Qt.Key.Key_Delete, Qt.Key.Key_Backspace)
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent) and event.key() in keys:
            self._remove_selected()
            return True
        return super().eventFilter(watched, event)


def info(item: Item) -> str:
    """How far a volume is."""
    if item.state == "running":
        return f"{int(item.fraction * 100)} %"
    if item.state == "done":
        return f"done, {duration(item.result.seconds)}" if item.result else "done already"
    if item.plan and item.plan.blocks_done:
        return f"{100 * item.plan.blocks_done // item.plan.blocks} % done"
    if item.state == "failed":
        return "failed" if item.in_run else "not possible"
    return "waiting" if item.plan else "…"


def reason(item: Item) -> str:
    """Why a volume failed, or cannot be converted; empty if nothing is wrong."""
    return failure_reason(item.error, item.name) if item.state == "failed" and item.error else ""


def _colour(rgb: str) -> QColor:
    return QColor(*map(int, rgb.split(",")))
