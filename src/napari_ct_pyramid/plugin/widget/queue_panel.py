"""The list of several volumes: how each is, how large, and a cross to take it off.

It shows entries, and does not know what is done with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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

from napari_ct_pyramid.model.formatting import count, duration, format_size
from napari_ct_pyramid.storage.paths import any_path

from .parts import BLUE, GREEN, RED
from .plan_panel import error_words
from .queue import Entry

if TYPE_CHECKING:
    from .queue import Entry


_ROWS = 6  # in sight at once
_PAD, _MARK, _CROSS, _GAP = 7, 12, 20, 8  # pixels
_FAINT = 150  # of 255


class QueueView(QWidget):
    """Several volumes, instead of the field for one."""

    removed = Signal(object)  # Entry
    picked = Signal(list)  # of paths, to be added
    cleared = Signal()

    def __init__(self, filters: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._filters = filters
        self.head = QLabel()
        self.add = QPushButton("Add…")
        self.add.setToolTip("Add volumes. They can also be dropped here.")
        self.clear = QPushButton("Clear")
        self.clear.setToolTip("Take all off the list. No file is deleted.")
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

    def show_entries(self, entries: Sequence[Entry]) -> None:
        """Show the volumes as they are now."""
        size = sum(entry.size for entry in entries)
        self.head.setText(" · ".join([count(len(entries), "volume"), *([format_size(size)] if size else [])]))
        self.list.show_entries(entries)

    def set_busy(self, busy: bool) -> None:
        """Whether something is under way."""
        self.clear.setEnabled(not busy)

    def show_progress(self) -> None:
        """What runs has made some."""
        self.list.viewport().update()

    def _pick(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Add volumes", "", self._filters)
        if paths:
            self.picked.emit(paths)


class _Entries(QAbstractListModel):
    def __init__(self) -> None:
        super().__init__()
        self.entries: list[Entry] = []

    def rowCount(self, _parent: QModelIndex | None = None) -> int:  # noqa: N802
        return len(self.entries)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        entry = self.entries[index.row()]
        if role == Qt.ItemDataRole.UserRole:
            return entry
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"{entry.name}: {entry.state}, {info(entry)}"
        if role == Qt.ItemDataRole.ToolTipRole:
            return "\n\n".join(filter(None, [entry.source, why(entry)]))
        return None


class _List(QListView):
    removed = Signal(object)  # Entry

    def __init__(self) -> None:
        super().__init__()
        self._entries = _Entries()
        self.setModel(self._entries)
        row = _Row(self)
        self.setItemDelegate(row)
        row.crossed.connect(self.removed)
        self.setMouseTracking(True)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def show_entries(self, entries: Sequence[Entry]) -> None:
        model = self._entries
        if list(entries) != model.entries:
            model.beginResetModel()
            model.entries = list(entries)
            model.endResetModel()
        elif entries:
            self.scheduleDelayedItemsLayout()  # rows of what failed are higher
        heights = [self.sizeHintForRow(row) for row in range(len(entries))]
        usual = _line(self) + _PAD
        self.setFixedHeight(min(sum(heights), round((_ROWS + 0.5) * usual)) + 2 * self.frameWidth() + 4)
        running = next((row for row, entry in enumerate(entries) if entry.state == "running"), None)
        if running is not None:
            self.scrollTo(model.index(running))
        self.viewport().update()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        index = self.currentIndex()
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and index.isValid():
            entry = index.data(Qt.ItemDataRole.UserRole)
            if _removable(entry):
                self.removed.emit(entry)
        else:
            super().keyPressEvent(event)


class _Row(QStyledItemDelegate):
    """Draws a row: mark, name, size or time, cross; and below, why it failed."""

    crossed = Signal(object)  # Entry

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:  # noqa: N802
        lines = 2 if why(index.data(Qt.ItemDataRole.UserRole)) else 1
        return QSize(80, lines * _line(option.widget) + _PAD)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        entry: Entry = index.data(Qt.ItemDataRole.UserRole)
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
        centre = QPointF(line.left() + _PAD + _MARK / 2, line.center().y() + 0.5)
        _draw_mark(painter, centre, entry, faint)
        cross = _cross_rect(option.rect, view)
        if _removable(entry):
            painter.setPen(QPen(faint, 1.4))
            arm = QRectF(cross).adjusted(7, 7, -7, -7)
            painter.drawLine(arm.topLeft(), arm.bottomRight())
            painter.drawLine(arm.topRight(), arm.bottomLeft())
        left, right = line.left() + _PAD + _MARK + _GAP, cross.left() - 2
        said = info(entry)
        width = metrics.horizontalAdvance(said)
        painter.setPen(faint)
        centred = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRect(right - width, line.top(), width, line.height()), centred, said)
        room = right - width - _GAP - left
        painter.setPen(faint if entry.state == "done" else ink)
        name = metrics.elidedText(entry.name, Qt.TextElideMode.ElideMiddle, room)
        painter.drawText(QRect(left, line.top(), room, line.height()), centred, name)
        if words := why(entry):
            room = cross.right() - left
            painter.setPen(_colour(RED))
            words = metrics.elidedText(words, Qt.TextElideMode.ElideRight, room)
            painter.drawText(QRect(left, line.bottom() + 1, room, line.height()), centred, words)
        painter.restore()

    def editorEvent(  # noqa: N802
        self, event: QEvent, model: Any, option: QStyleOptionViewItem, index: QModelIndex
    ) -> bool:
        if event.type() == QEvent.Type.MouseButtonRelease:
            entry = index.data(Qt.ItemDataRole.UserRole)
            if _removable(entry) and _cross_rect(option.rect, option.widget).contains(event.pos()):
                self.crossed.emit(entry)
                return True
        return super().editorEvent(event, model, option, index)

    def helpEvent(  # noqa: N802
        self, event: Any, view: Any, option: QStyleOptionViewItem, index: QModelIndex
    ) -> bool:
        crosses = index.isValid() and _removable(index.data(Qt.ItemDataRole.UserRole))
        if crosses and _cross_rect(option.rect, option.widget).contains(event.pos()):
            QToolTip.showText(event.globalPos(), "Take it off the list", view)
            return True
        return super().helpEvent(event, view, option, index)


def info(entry: Entry) -> str:
    """A word or two on a volume, for the end of its row."""
    if entry.state == "running":
        return f"{int(entry.fraction * 100)} %"
    if entry.state == "done":
        return duration(entry.result.seconds) if entry.result else "done already"
    if entry.plan and entry.plan.blocks_done:
        return f"{100 * entry.plan.blocks_done // entry.plan.blocks} % done"
    if entry.state == "failed":
        return "failed" if entry.in_run else ""
    return format_size(entry.size) if entry.plan else "…"


def why(entry: Entry) -> str:
    """Why a volume failed, or cannot be converted; empty where all is well."""
    if entry.state != "failed" or not entry.error:
        return ""
    return error_words(entry.error).replace(entry.source, entry.name).removeprefix(f"{entry.name} ")


def _removable(entry: Entry) -> bool:
    return entry.state != "running"


def _line(view: QWidget) -> int:
    """Height of a line of text, with some air."""
    return view.fontMetrics().height() + 4


def _cross_rect(row: QRect, view: QWidget) -> QRect:
    return QRect(row.right() - _CROSS - 1, row.top() + (_PAD // 2) + (_line(view) - _CROSS) // 2, _CROSS, _CROSS)


def _colour(rgb: str) -> QColor:
    return QColor(*map(int, rgb.split(",")))


def _draw_mark(painter: QPainter, centre: QPointF, entry: Entry, faint: QColor) -> None:
    """A ring for what waits, a pie for what runs, a tick for what is done, an exclamation mark for what failed."""
    half = _MARK / 2
    box = QRectF(centre.x() - half, centre.y() - half, _MARK, _MARK).adjusted(1, 1, -1, -1)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    if entry.state == "waiting":
        painter.setPen(QPen(faint, 1.4))
        painter.drawEllipse(box)
    elif entry.state == "running":
        painter.setPen(QPen(_colour(BLUE), 1.4))
        painter.drawEllipse(box)
        painter.setBrush(_colour(BLUE))
        painter.drawPie(box, 90 * 16, -int(entry.fraction * 360 * 16))
    else:
        done = entry.state == "done"
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


_LISTED, _LISTED_IN_TIP = 3, 40  # of what failed


def summary(run: Sequence[Entry]) -> tuple[str, str, str]:
    """The kind of box ("error", "warning", "success"), its words, and more of them for a tip."""
    made = [entry for entry in run if entry.state == "done"]
    failed = [entry for entry in run if entry.state == "failed"]
    waiting = [entry for entry in run if entry.state == "waiting"]
    seconds = sum(entry.result.seconds for entry in made if entry.result)
    lines = [f"Made {len(made)} of {count(len(run), 'volume')}" + (f" in {duration(seconds)}." if made else ".")]
    reasons = [f"{entry.name}: {why(entry)}" for entry in failed]
    lines += reasons[:_LISTED]
    if len(reasons) > _LISTED:
        lines.append(f"{len(reasons) - _LISTED} more failed.")
    if waiting:
        begun = [any_path(entry.output).name for entry in waiting if entry.progress]
        left = f" {begun[0]} is unfinished; Convert goes on with it." if begun else ""
        lines.append(f"Cancelled: {count(len(waiting), 'volume')} still to do.{left}")
    kind = "error" if failed else "warning" if waiting else "success"
    return kind, "\n".join(lines), "\n".join(reasons[:_LISTED_IN_TIP])
