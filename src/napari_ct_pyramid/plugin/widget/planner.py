"""Plans in the background: what the widget's fields ask for goes in, the latest answer comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari.qt.threading import FunctionWorker
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.storage.paths import OME_ZARR, any_path, image_name

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.batch import Batch
    from napari_ct_pyramid.conversion.receipt import Receipt
    from napari_ct_pyramid.model.plan import Plan
    from napari_ct_pyramid.model.volume import Volume


_PAUSE_MS = 50  # of no change, before the work begins: as short as keys follow each other when a path is pasted


@dataclass(frozen=True)
class Request:
    """What the fields say. No `output` means the default."""

    source: str
    output: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What came of a request: a plan, or the error that says why there is none.

    `volume` and `output` are there as far as they were found out; `options` are those to convert with. Neither plan
    nor error comes of a request without a source.

    Attributes
    ----------
    resumes : bool
        Whether the plan goes on with an unfinished conversion.
    verifiable : bool
        Whether the output is there already, finished and of this package.
    """

    request: Request
    options: dict[str, Any]
    output: str = ""
    volume: Volume | None = None
    plan: Plan | None = None
    error: Exception | None = None
    resumes: bool = False
    verifiable: bool = False


@dataclass(frozen=True)
class QueueRequest:
    """Several volumes with the same options. Their outputs lie in the `folder`, or beside each if that is empty."""

    sources: tuple[str, ...]
    folder: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class QueueAnswer:
    """What came of it: a batch with a plan, or an error, for each; and an error if they do not go together."""

    request: QueueRequest
    batch: Batch[Receipt] | None = None
    error: Exception | None = None


class Planner(QObject):
    """Answers the latest request, in a thread. At most one is being worked on; those in between are dropped."""

    answered = Signal(object)  # Answer, or QueueAnswer to a QueueRequest

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._request: Request | QueueRequest | None = None
        self._busy = False
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._begin)

    def ask(self, request: Request | QueueRequest) -> None:
        """`answered` follows, unless another request does first."""
        self._request = request
        self._pause.start()

    def forget(self) -> None:
        """Answer nothing more until somebody asks again."""
        self._request = None
        self._pause.stop()

    def _begin(self) -> None:
        if self._busy or self._request is None:
            return
        self._busy = True
        # Not `create_worker`: napari would ask before it closes whether to wait for this.
        worker = FunctionWorker(answer if isinstance(self._request, Request) else answer_queue, self._request)
        worker.returned.connect(self._end)
        worker.start()

    def _end(self, found: Answer | QueueAnswer) -> None:
        self._busy = False
        if found.request == self._request:
            self._request = None
            self.answered.emit(found)
        elif not self._pause.isActive():
            self._begin()


def answer(request: Request) -> Answer:
    """Work a request out. Takes as long as it takes to read a file's header and a few of its rows."""
    options, output, verifiable = dict(request.options), request.output, False
    try:
        # Loading these takes a moment, which the window does not wait for.
        from napari_ct_pyramid.conversion.convert import plan_conversion
        from napari_ct_pyramid.conversion.output import default_output
        from napari_ct_pyramid.omezarr.kind import can_be_verified, is_unfinished

        output = output or str(default_output(request.source))
        verifiable = can_be_verified(any_path(output))
        if not request.source:
            return Answer(request, options, output, verifiable=verifiable)
        planned = plan_conversion(request.source, output, ConversionOptions(**options))
        resumes = planned.blocks_done > 0 or (is_unfinished(any_path(output)) and not planned.options.overwrite)
        return Answer(request, options, output, planned.volume, planned, resumes=resumes, verifiable=verifiable)
    except Exception as error:  # noqa: BLE001  whatever it is, the panel says so
        return Answer(request, options, output, _volume(request.source), error=error, verifiable=verifiable)


def answer_queue(request: QueueRequest) -> QueueAnswer:
    """Work several conversions out. Takes as long as all of them together."""
    batch = None
    try:
        from napari_ct_pyramid.conversion.batch import iter_plan_batch

        for batch in iter_plan_batch(request.sources, request.folder or None, ConversionOptions(**request.options)):  # noqa: B007
            pass
    except Exception as error:  # noqa: BLE001  whatever it is, the panel says so
        return QueueAnswer(request, batch, error)
    return QueueAnswer(request, batch)


def _volume(path: str) -> Volume | None:
    """What a source holds, if it can be read."""
    from napari_ct_pyramid.sources.registry import open_source

    try:
        with open_source(path) as source:
            return source.volume
    except SourceError:
        return None


def free_name(output: str) -> str:
    """A name like `output` that nothing has yet: ``scan.ome.zarr`` becomes ``scan-2.ome.zarr``."""
    path = any_path(output)
    stem, suffix = (image_name(path.name), OME_ZARR) if path.name.endswith(OME_ZARR) else (path.stem, path.suffix)
    number = 2
    while (other := path.with_name(f"{stem}-{number}{suffix}")).exists():
        number += 1
    return str(other)
