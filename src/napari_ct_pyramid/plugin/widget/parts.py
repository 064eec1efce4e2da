"""Small parts of the window that Qt does not have. They know nothing of volumes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from qtpy.QtCore import QEvent, QObject, QSize, Qt, Signal
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel, QFlowLayout

from napari_ct_pyramid.model.formatting import shorten

# Colours that are legible on napari's dark theme and on its light one.
RED, AMBER, GREEN, BLUE, GREY = "224, 67, 59", "199, 113, 26", "67, 160, 84", "84, 125, 214", "128, 128, 128"
FAINT = "136, 138, 142"

_LONGEST_WORD = 40
_DOCK_WIDTH = 270  # that the column asks for, in pixels; the canvas gets the rest

BAR_STYLE = (
    f"QProgressBar {{ background-color: rgba({GREY}, 60); border: 0px; border-radius: 2px; padding: 0px; }}"
    f"QProgressBar::chunk {{ background-color: rgb({BLUE}); border-radius: 2px; }}"
)


@contextmanager
def painted_once(widget: QWidget) -> Iterator[None]:
    """Paint a widget once, after many changes.

    Otherwise Qt paints each change of a progress bar at once, and with it the whole window, since that holds a canvas.
    """
    widget.setUpdatesEnabled(False)
    try:
        yield
    finally:
        widget.setUpdatesEnabled(True)


class Quiet:
    """Whether the program itself is changing fields: `with quiet():` around it. True within."""

    def __init__(self) -> None:
        self._depth = 0

    def __bool__(self) -> bool:
        return self._depth > 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1


def text_label(words: str = "") -> QLabel:
    """A label that breaks its lines. Its text can be selected."""
    label = QLabel(words)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setMinimumWidth(1)  # otherwise one long word sets the width of the window
    return label


def same_width(widgets: Iterable[QWidget]) -> None:
    """Make widgets as wide as the widest of them. They must have their style, so be shown."""
    widgets = list(widgets)
    width = max(widget.sizeHint().width() for widget in widgets)
    for widget in widgets:
        widget.setMinimumWidth(width)


def fitting(words: str) -> str:
    """The same text. Words that are too long for a line (paths) lose their middle."""
    return re.sub(rf"\S{{{_LONGEST_WORD + 1},}}", lambda long: shorten(long[0], _LONGEST_WORD), words)


class Box(QFrame):
    """A coloured box with some text, and buttons for what the user can do about it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("box")
        self.words = text_label()
        self._row = QFlowLayout()
        self._row.setContentsMargins(4, 2, 0, 0)  # below the words, which napari's style indents
        self._row.setHorizontalSpacing(6)
        self._row.setVerticalSpacing(4)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 6, 8, 6)
        layout.setSpacing(4)
        layout.addWidget(self.words)
        layout.addLayout(self._row)
        self.hide()

    @property
    def buttons(self) -> list[QPushButton]:
        """The buttons that it shows now."""
        items = [self._row.itemAt(i) for i in range(self._row.count())]
        return [widget for item in items if item and isinstance(widget := item.widget(), QPushButton)]

    def show_words(
        self, kind: str, words: str, buttons: Sequence[tuple[str, Callable[[], object]]] = (), tip: str = ""
    ) -> None:
        """Show text as an ``"error"``, a ``"warning"`` or a ``"success"``, and more text in a tooltip."""
        colour = {"error": RED, "warning": AMBER, "success": GREEN}[kind]
        self.setStyleSheet(
            f"#box {{ background-color: rgba({colour}, 38); border: 0px; border-left: 3px solid rgb({colour}); }}"
            "#box > QLabel { background: transparent; }"
        )
        self.words.setText(fitting(words))
        self.words.setToolTip(tip or words)
        for button in self.buttons:
            self._row.removeWidget(button)
            button.hide()
            button.deleteLater()
        for name, press in buttons:
            button = QPushButton(name, self)
            button.setAccessibleName(name)
            button.clicked.connect(lambda _checked=False, press=press: press())
            self._row.addWidget(button)
        self.show()


class Fold(QWidget):
    """Content that can be folded away: its name, and a line that sums it up, stay in sight.

    (superqt's QCollapsible has no second text, its head is a button with a background as if it did something, and
    its arrow is black on napari's dark theme, too.)
    """

    toggled = Signal(bool)

    def __init__(self, name: str, content: QWidget, tip: str) -> None:
        super().__init__()
        self.content = content
        self.button = QToolButton()
        self.button.setText(f" {name}")
        self.button.setCheckable(True)
        self.button.setAutoRaise(True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setAccessibleName(name)
        self.summary = QElidingLabel()
        self.summary.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.summary.setEllipsesWidth(8)  # napari's style indents it
        self.summary.setStyleSheet(f"color: rgb({FAINT});")
        for part in (self.button, self.summary):
            part.setToolTip(tip)
        head = QHBoxLayout()
        head.setSpacing(6)
        head.addWidget(self.button)
        head.addWidget(self.summary, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(head)
        layout.addWidget(content)
        self.button.toggled.connect(self._unfold)
        self.summary.installEventFilter(self)
        self._unfold(False)

    def _unfold(self, shown: bool) -> None:
        self.content.setVisible(shown)
        self.button.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        self.toggled.emit(shown)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if event.type() == QEvent.Type.MouseButtonRelease:
            self.button.click()
        return super().eventFilter(watched, event)


class Meter(QWidget):
    """A part of a whole: a name, some text, and a thin bar."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.words = QLabel()
        self.words.setMinimumWidth(1)
        self.words.setAlignment(Qt.AlignmentFlag.AlignRight)
        self._bar = QProgressBar()
        self._bar.setRange(0, 1000)
        self._bar.setTextVisible(False)
        self._bar.setFixedHeight(5)
        self._bar.setStyleSheet(BAR_STYLE)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(2)
        layout.setColumnStretch(1, 1)
        layout.addWidget(QLabel(name), 0, 0)
        layout.addWidget(self.words, 0, 1)
        layout.addWidget(self._bar, 1, 0, 1, 2)

    def show_part(self, part: float, whole: float | None, words: str, tip: str = "") -> None:
        """Show `part` of `whole`, in any unit; None if the whole is unknown."""
        self.words.setText(words)
        self._bar.setVisible(whole is not None)
        if whole is not None:
            self._bar.setValue(round(1000 * min(1.0, part / whole)) if whole else 1000)
        self.setToolTip("\n".join(filter(None, [words, tip])))


class ScrollColumn(QScrollArea):
    """A column that is as high as its content, and scrolls if the window is too low for that."""

    def __init__(self, column: QWidget) -> None:
        super().__init__()
        self.setWidget(column)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        column.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802  Qt's name
        if watched is self.widget() and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)

    def resizeEvent(self, event: QEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self.updateGeometry()  # lines break elsewhere, so the height changes

    def sizeHint(self) -> QSize:  # noqa: N802
        column = self.widget()
        hint = column.sizeHint()
        width = self.viewport().width() if self.isVisible() else hint.width()
        height = column.layout().heightForWidth(width) if column.layout().hasHeightForWidth() else hint.height()
        width = min(hint.width(), _DOCK_WIDTH) + self.verticalScrollBar().sizeHint().width()
        return QSize(max(width, self.minimumSizeHint().width()), height + 2)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        return QSize(self.widget().minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width(), 80)


class NoWheel(QObject):
    """Keeps the mouse wheel from changing a field while it scrolls the column, unless the field has the focus."""

    def __init__(self, field: QWidget) -> None:
        super().__init__(field)
        field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        field.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False


class FileDrops(QObject):
    """Accepts files that are dropped anywhere on a widget."""

    dropped = Signal(list)  # of paths

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        widget.setAcceptDrops(True)
        for line in widget.findChildren(QLineEdit):
            line.setAcceptDrops(False)  # it would insert the path as text
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: ARG002, N802
        if event.type() == QEvent.Type.DragEnter and isinstance(event, QDragEnterEvent):
            if any(url.isLocalFile() for url in event.mimeData().urls()):
                event.acceptProposedAction()
                return True
        elif event.type() == QEvent.Type.Drop and isinstance(event, QDropEvent):
            files = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
            if files:
                event.acceptProposedAction()
                self.dropped.emit(files)
                return True
        return False
