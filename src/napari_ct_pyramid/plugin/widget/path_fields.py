"""A field for a path, with a button Browse. It knows nothing of what the path is for."""

from __future__ import annotations

from magicgui.types import FileDialogMode
from magicgui.widgets import FileEdit
from qtpy.QtCore import QEvent, QObject, QRect, Qt
from qtpy.QtGui import QPainter
from qtpy.QtWidgets import QLineEdit, QSizePolicy, QStyle, QStyleOptionFrame


def path_field(name: str, tip: str, placeholder: str, mode: FileDialogMode) -> FileEdit:
    """A field for a path.

    Parameters
    ----------
    name : str
        What the path is, for screen readers.
    tip : str
    placeholder : str
        What an empty field shows.
    mode : FileDialogMode
        Of the dialog behind Browse.
    """
    edit = FileEdit(mode=mode)
    edit.tooltip = tip
    line, button = edit.line_edit.native, edit.choose_btn.native
    line.setAccessibleName(name)
    line.setPlaceholderText(placeholder)
    edit.choose_btn.text = "Browse"
    button.setToolTip(f"Choose: {name.lower()}")
    button.setAccessibleName(f"Browse: {name.lower()}")
    button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
    ElideMiddle(line, tip)
    return edit


class ElideMiddle(QObject):
    """Leaves out the middle of a text that is too long for its line edit, until the user edits it.

    (superqt's QElidingLineEdit puts the shortened text into the field: its signal `textChanged` then carries a path
    that does not exist, and the converter would plan that.)
    """

    def __init__(self, line: QLineEdit, tip: str) -> None:
        super().__init__(line)
        line.installEventFilter(self)
        line.setToolTip(tip)
        line.textChanged.connect(lambda text: line.setToolTip(text or tip))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if event.type() != QEvent.Type.Paint or not isinstance(watched, QLineEdit) or watched.hasFocus():
            return False
        option = QStyleOptionFrame()
        watched.initStyleOption(option)
        style = watched.style()
        contents = style.subElementRect(QStyle.SubElement.SE_LineEditContents, option, watched)
        space: QRect = contents.adjusted(2, 0, -2, 0)
        metrics = watched.fontMetrics()
        if metrics.horizontalAdvance(watched.text()) <= space.width():
            return False
        painter = QPainter(watched)
        style.drawPrimitive(QStyle.PrimitiveElement.PE_PanelLineEdit, option, painter, watched)
        words = metrics.elidedText(watched.text(), Qt.TextElideMode.ElideMiddle, space.width())
        painter.setPen(watched.palette().color(watched.foregroundRole()))
        painter.drawText(space, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, words)
        painter.end()
        return True
