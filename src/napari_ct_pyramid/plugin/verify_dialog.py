"""A dialog that verifies the OME-Zarr of a layer, of any program: progress, Cancel, and what was found.

It does not compare with a source: the widget does, for an output of this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_ct_pyramid.conversion.audit.run import iter_audit_steps
from napari_ct_pyramid.errors import sentence
from napari_ct_pyramid.model.formatting import count, duration
from napari_ct_pyramid.storage.paths import AnyPath

from .widget.activity_bar import progress_words
from .widget.worker import StepsWorker, Task
from .wording import wording

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.audit.findings import Audit
    from napari_ct_pyramid.conversion.audit.run import AuditProgress

_MEMORY = "4G"
_SIGNS = {"error": "✗", "warning": "!", "note": "·"}


class VerifyDialog(QDialog):
    """Verifies an OME-Zarr. Closing it cancels.

    Attributes
    ----------
    outcome : Audit or Exception or None
        What it ended with; None while it runs, and if it was cancelled.
    """

    def __init__(self, path: AnyPath, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(f"Verify {path.name}"[:80])
        self.outcome: Audit | Exception | None = None
        self.words = QLabel("Looking at metadata and files…")
        self.words.setWordWrap(True)
        self.bar = QProgressBar()
        self.bar.setRange(0, 0)
        self.found = QListWidget()
        self.found.setWordWrap(True)
        self.found.setVisible(False)
        self.found.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.buttons.rejected.connect(self.close)
        layout = QVBoxLayout(self)
        for widget in (self.words, self.bar, self.found, self.buttons):
            layout.addWidget(widget)
        self.resize(560, 140)
        task = Task(
            f"the verification of {path.name}", path.name, iter_audit_steps, path,
            deep=None, max_memory=_MEMORY, threads=None,
        )  # fmt: skip
        self._worker: Any = create_worker(
            task,
            _worker_class=StepsWorker,
            _ignore_errors=True,
            _start_thread=False,
            _connect={"yielded": self._show_progress, "errored": self._fail, "finished": self._end},
        )
        self._worker.may_continue.set()
        self._worker.start()

    def closeEvent(self, event: Any) -> None:  # noqa: N802
        """Cancel what runs."""
        self._worker.quit()
        super().closeEvent(event)

    def _show_progress(self, progress: AuditProgress) -> None:
        self.bar.setRange(0, 1000)
        self.bar.setValue(int(1000 * progress.fraction))
        self.words.setText(f"Reading the voxels: {progress_words(progress)}")

    def _fail(self, error: Exception) -> None:
        self.outcome = error

    def _end(self) -> None:
        self.outcome = self._worker.result or self.outcome
        self.bar.setVisible(False)
        self.buttons.setStandardButtons(QDialogButtonBox.StandardButton.Close)
        if isinstance(self.outcome, Exception):
            self.words.setText(sentence(self.outcome, wording))
        elif self.outcome:
            self._show(self.outcome)

    def _show(self, audit: Audit) -> None:
        counts = [count(len(audit.having(kind)), kind) for kind in ("error", "warning") if audit.having(kind)]
        read = f"{count(audit.chunks, 'chunk')} decoded" if audit.deep else "metadata and file names only"
        verdict = " and ".join(counts) if counts else "Nothing is wrong"
        self.words.setText(f"{verdict}. OME-Zarr {audit.ome_zarr_version}, {read}, in {duration(audit.seconds)}.")
        for finding in audit.findings:
            self.found.addItem(QListWidgetItem(f"{_SIGNS[finding.severity]}  {finding}"))
        for level in audit.levels:
            text = f"Level {level.level}: {level.method}, largest difference {level.largest_difference:.4g}"
            self.found.addItem(QListWidgetItem(text))
        self.found.setVisible(self.found.count() > 0)
        if not self.found.isHidden():
            self.resize(560, 320)
