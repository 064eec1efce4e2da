"""The list of several volumes: the state of each, its size, and a cross to remove it.

It shows the items of a batch, and does not know what happens to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QAbstractListModel, QEvent, QModelIndex, QPointF, QRect, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QListView,
    QPushButton,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from napari_ct_pyramid.conversion.batch import BatchItem
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.model.formatting import count, duration, format_size

from .parts import BLUE, GREEN, RED
from .summaries import failure_reason

Item = BatchItem[Receipt]

_ROWS = 6  # visible at the same time
_PAD, _SYMBOL, _CROSS, _GAP = 7, 12, 20, 8  # pixels
_FAINT = 150  # of 255


class QueuePanel(QWidget):
    """Several volumes, in place of the field for one."""

    removed = Signal(object)  # Item
    picked = Signal(list)  # of paths, to be added
    cleared = Signal()

    def __init__(self, filters: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._filters = filters
        self.head = QLabel()
        self.add = QPushButton("Add…")
        self.add.setToolTip("Add volumes. They can also be dropped here.")
        self.clear = QPushButton("Clear")
        self.clear.setToolTip("Remove all volumes from the list. No file is deleted.")
        self.list = _List()
        top = QHBoxLayout()
        top.addWidget(QLabel("Source"))
        top.addWidget(self.head, 1)
        top.addWidget(self.add)
        top.addWidget(self.clear)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(top)
        layout.addWidget(self.list)
        self.add.clicked.connect(self._pick)
        self.clear.clicked.connect(lambda: self.cleared.emit())
        self.list.removed.connect(self.removed)

    def show_items(self, items: Sequence[Item]) -> None:
        """Show the volumes as they are now."""
        size = sum(item.size for item in items)
        self.head.setText(" · ".join([count(len(items), "volume"), *([format_size(size)] if size else [])]))
        self.list.show_items(items)

    def set_busy(self, busy: bool) -> None:
        """Enable or disable the buttons for a running job."""
        self.clear.setEnabled(not busy)

    def show_progress(self, items: Sequence[Item]) -> None:
        """Show the progress of the running item, if nothing else has changed."""
        self.list.show_progress(items)

    def _pick(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Add volumes", "", self._filters)
        if paths:
            self.picked.emit(paths)


class _ItemModel(QAbstractListModel):
    def __init__(self) -> None:
        super().__init__()
        self.items: list[Item] = []

    def rowCount(self, _parent: QModelIndex | None = None) -> int:  # noqa: N802
        return len(self.items)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        item = self.items[index.row()]
        if role == Qt.ItemDataRole.UserRole:
            return item
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"{item.name.name}: {item.state}, {info(item)}"
        if role == Qt.ItemDataRole.ToolTipRole:
            return "\n\n".join(filter(None, [str(item.source), reason(item)]))
        return None


class _List(QListView):
    removed = Signal(object)  # Item

    def __init__(self) -> None:
        super().__init__()
        self._items = _ItemModel()
        self.setModel(self._items)
        row = _Row(self)
        self.setItemDelegate(row)
        row.crossed.connect(self.removed)
        self.setMouseTracking(True)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def show_items(self, items: Sequence[Item]) -> None:
        model = self._items
        if [item.name for item in items] != [item.name for item in model.items]:
            model.beginResetModel()
            model.items = list(items)
            model.endResetModel()
        elif items:
            model.items = list(items)
            self.scheduleDelayedItemsLayout()  # rows with an error are higher
        heights = [self.sizeHintForRow(row) for row in range(len(items))]
        usual = _line(self) + _PAD
        self.setFixedHeight(min(sum(heights), round((_ROWS + 0.5) * usual)) + 2 * self.frameWidth() + 4)
        running = next((row for row, item in enumerate(items) if item.state == "running"), None)
        if running is not None:
            self.scrollTo(model.index(running))
        self.viewport().update()

    def show_progress(self, items: Sequence[Item]) -> None:
        self._items.items = list(items)
        self.viewport().update()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        index = self.currentIndex()
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and index.isValid():
            item = index.data(Qt.ItemDataRole.UserRole)
            if _removable(item):
                self.removed.emit(item)
        else:
            super().keyPressEvent(event)


class _Row(QStyledItemDelegate):
    """Draws a row: symbol of the state, name, size or time, cross; and below, the error."""

    crossed = Signal(object)  # Item

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:  # noqa: N802
        lines = 2 if reason(index.data(Qt.ItemDataRole.UserRole)) else 1
        return QSize(80, lines * _line(option.widget) + _PAD)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        item: Item = index.data(Qt.ItemDataRole.UserRole)
        view, metrics = option.widget, option.fontMetrics
        ink = view.palette().color(view.foregroundRole())
        faint = QColor(ink)
        faint.setAlpha(_FAINT)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if option.state & QStyle.StateFlag.State_MouseOver:
            veil = QColor(ink)
            veil.setAlpha(16)
            painter.fillRect(option.rect, veil)
        line = QRect(option.rect.left(), option.rect.top() + _PAD // 2, option.rect.width(), _line(view))
        centre = QPointF(line.left() + _PAD + _SYMBOL / 2, line.center().y() + 0.5)
        _draw_symbol(painter, centre, item, faint)
        cross = _cross_rect(option.rect, view)
        if _removable(item):
            painter.setPen(QPen(faint, 1.4))
            arm = QRectF(cross).adjusted(7, 7, -7, -7)
            painter.drawLine(arm.topLeft(), arm.bottomRight())
            painter.drawLine(arm.topRight(), arm.bottomLeft())
        left, right = line.left() + _PAD + _SYMBOL + _GAP, cross.left() - 2
        words = info(item)
        width = metrics.horizontalAdvance(words)
        painter.setPen(faint)
        centred = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRect(right - width, line.top(), width, line.height()), centred, words)
        free = right - width - _GAP - left
        painter.setPen(faint if item.state == "done" else ink)
        name = metrics.elidedText(item.name.name, Qt.TextElideMode.ElideMiddle, free)
        painter.drawText(QRect(left, line.top(), free, line.height()), centred, name)
        if words := reason(item):
            free = cross.right() - left
            painter.setPen(_colour(RED))
            words = metrics.elidedText(words, Qt.TextElideMode.ElideRight, free)
            painter.drawText(QRect(left, line.bottom() + 1, free, line.height()), centred, words)
        painter.restore()

    def editorEvent(  # noqa: N802
        self, event: QEvent, model: Any, option: QStyleOptionViewItem, index: QModelIndex
    ) -> bool:
        if event.type() == QEvent.Type.MouseButtonRelease:
            item = index.data(Qt.ItemDataRole.UserRole)
            if _removable(item) and _cross_rect(option.rect, option.widget).contains(event.pos()):
                self.crossed.emit(item)
                return True
        return super().editorEvent(event, model, option, index)

    def helpEvent(  # noqa: N802
        self, event: Any, view: Any, option: QStyleOptionViewItem, index: QModelIndex
    ) -> bool:
        crosses = index.isValid() and _removable(index.data(Qt.ItemDataRole.UserRole))
        if crosses and _cross_rect(option.rect, option.widget).contains(event.pos()):
            QToolTip.showText(event.globalPos(), "Remove it from the list", view)
            return True
        return super().helpEvent(event, view, option, index)


def info(item: Item) -> str:
    """The size, time or part done of a volume, for the end of its row."""
    if item.state == "running":
        return f"{int(item.fraction * 100)} %"
    if item.state == "done":
        return duration(item.result.seconds) if item.result else "done already"
    if item.plan and item.plan.blocks_done:
        return f"{100 * item.plan.blocks_done // item.plan.blocks} % done"
    if item.state == "failed":
        return "failed" if item.in_run else ""
    return format_size(item.size) if item.plan else "…"


def reason(item: Item) -> str:
    """Why a volume failed, or cannot be converted; empty if nothing is wrong."""
    return failure_reason(item.error, item.name) if item.state == "failed" and item.error else ""


def _removable(item: Item) -> bool:
    return item.state != "running"


def _line(view: QWidget) -> int:
    """Height of a line of text, with some space."""
    return view.fontMetrics().height() + 4


def _cross_rect(row: QRect, view: QWidget) -> QRect:
    return QRect(row.right() - _CROSS - 1, row.top() + (_PAD // 2) + (_line(view) - _CROSS) // 2, _CROSS, _CROSS)


def _colour(rgb: str) -> QColor:
    return QColor(*map(int, rgb.split(",")))


def _draw_symbol(painter: QPainter, centre: QPointF, item: Item, faint: QColor) -> None:
    """A ring: waiting. A pie: running. A tick: done. An exclamation mark: failed."""
    half = _SYMBOL / 2
    box = QRectF(centre.x() - half, centre.y() - half, _SYMBOL, _SYMBOL).adjusted(1, 1, -1, -1)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    if item.state == "waiting":
        painter.setPen(QPen(faint, 1.4))
        painter.drawEllipse(box)
    elif item.state == "running":
        painter.setPen(QPen(_colour(BLUE), 1.4))
        painter.drawEllipse(box)
        painter.setBrush(_colour(BLUE))
        painter.drawPie(box, 90 * 16, -int(item.fraction * 360 * 16))
    else:
        done = item.state == "done"
        painter.setPen(QPen(_colour(GREEN if done else RED), 2))
        if done:
            corners = [box.left(), 0.55], [box.center().x() - 1, 0.9], [box.right(), 0.15]
            painter.drawPolyline(QPolygonF([QPointF(x, box.top() + y * box.height()) for x, y in corners]))
        else:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(_colour(RED))
            painter.drawEllipse(box.adjusted(-1, -1, 1, 1))
            painter.setPen(QPen(QColor("white"), 1.6))
            painter.drawLine(QPointF(centre.x(), box.top() + 2), QPointF(centre.x(), centre.y() + 1))
            painter.drawPoint(QPointF(centre.x(), box.bottom() - 2))
