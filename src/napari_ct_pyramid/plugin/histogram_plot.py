"""A histogram in the colors of the window, with the layer's contrast window and a threshold."""

from __future__ import annotations

import math

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPalette, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

_MARK = QColor(225, 110, 70)
_COLUMNS = 200


class HistogramPlot(QWidget):
    """Bars whose height is the logarithm of the number of voxels, so that rare values are seen, too."""

    def __init__(self) -> None:
        super().__init__()
        self._heights = np.zeros(0)
        self._range = (0.0, 1.0)
        self._window: tuple[float, float] | None = None
        self._threshold: float | None = None
        self.setMinimumHeight(110)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setToolTip("Numbers of voxels, logarithmic. Shaded: outside of the layer's contrast. Line: the threshold.")

    def show_counts(self, edges: np.ndarray, counts: np.ndarray) -> None:
        """Show a histogram."""
        step = max(1, math.ceil(counts.size / _COLUMNS))
        sums = np.add.reduceat(counts, np.arange(0, counts.size, step)) if counts.size else counts
        most = math.log1p(int(sums.max())) if sums.size and sums.max() else 1.0
        self._heights = np.log1p(sums) / most
        self._range = (float(edges[0]), float(edges[-1])) if counts.size else (0.0, 1.0)
        self.update()

    def show_window(self, window: tuple[float, float] | None) -> None:
        """Show the contrast window of a layer."""
        self._window = window
        self.update()

    def show_threshold(self, value: float | None) -> None:
        """Show a threshold."""
        self._threshold = value
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802  of Qt
        return QSize(260, 140)

    def paintEvent(self, event: object) -> None:  # noqa: N802, ARG002  of Qt
        """Paint it."""
        painter = QPainter(self)
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        line = self.fontMetrics().height()
        area = QRectF(2, 4, self.width() - 4, self.height() - line - 8)
        bars = QColor(ink)
        bars.setAlpha(150)
        width = area.width() / max(1, self._heights.size)
        for i, height in enumerate(self._heights):
            if height:
                tall = max(1.0, height * area.height())
                painter.fillRect(QRectF(area.left() + i * width, area.bottom() - tall, max(1.0, width), tall), bars)
        shade = QColor(ink)
        shade.setAlpha(40)
        if self._window:
            low, high = (self._x(value, area) for value in self._window)
            painter.fillRect(QRectF(area.left(), area.top(), low - area.left(), area.height()), shade)
            painter.fillRect(QRectF(high, area.top(), area.right() - high, area.height()), shade)
        painter.setPen(QPen(ink))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        below = QRectF(2, area.bottom() + 2, area.width(), line)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, f"{self._range[0]:.4g}")
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, f"{self._range[1]:.4g}")
        if self._threshold is not None and self._range[0] <= self._threshold <= self._range[1]:
            x = self._x(self._threshold, area)
            painter.setPen(QPen(_MARK, 2))
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        painter.end()

    def _x(self, value: float, area: QRectF) -> float:
        low, high = self._range
        share = (value - low) / (high - low) if high > low else 0.5
        return float(area.left() + min(1.0, max(0.0, share)) * area.width())
