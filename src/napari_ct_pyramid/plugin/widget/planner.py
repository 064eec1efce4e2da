"""Plans in the background: takes requests, and answers the latest one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari.qt.threading import FunctionWorker
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ct_pyramid.conversion.batch import Batch, iter_plan_batch
from napari_ct_pyramid.conversion.convert import already_made, plan_conversion
from napari_ct_pyramid.conversion.output import default_output
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.errors import CtPyramidError, OutputExistsError
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.omezarr.kind import can_be_verified, is_audited, is_unfinished, kind_of
from napari_ct_pyramid.options import ConversionOptions, VoxelSize
from napari_ct_pyramid.sources.inputs import ArrayInput
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.storage.paths import AnyPath, any_path, image_path

from .disk_watch import Look, look_at

_PAUSE_MS = 50  # planning begins after this time without a change: a pasted path arrives letter by letter


@dataclass(frozen=True)
class PlanRequest:
    """What the form asks for.

    Attributes
    ----------
    source : str or ArrayInput
        A path, or an array. Without a source, the answer only states whether the output is an OME-Zarr.
    output : str
        A path. If empty, the default one.
    options : ConversionOptions
    """

    source: str | ArrayInput
    output: str
    options: ConversionOptions


@dataclass(frozen=True)
class PlanAnswer:
    """What planning found out: a plan, or the error that says why there is none.

    Attributes
    ----------
    request : PlanRequest
    output : str
        The output's path; empty if it is unknown.
    volume : Volume or None
        The volume in the source, if it can be read.
    plan : Plan or None
    error : Exception or None
    resumes : bool
        Whether the plan continues an unfinished conversion.
    verifiable : bool
        Whether the output exists already, is finished, and was made by this package.
    made : bool
        Whether the output is just what the plan would make.
    image : path or None
        The source, or the output if there is no source, where that is an OME-Zarr already.
    is_own : bool
        Whether this package made that image.
    seen : Look or None
        The states of the source and the output before the planning.
    """

    request: PlanRequest
    output: str = ""
    volume: Volume | None = None
    plan: Plan | None = None
    error: Exception | None = None
    resumes: bool = False
    verifiable: bool = False
    made: bool = False
    image: AnyPath | None = None
    is_own: bool = False
    seen: Look | None = None

    @property
    def voxel_size(self) -> VoxelSize | None:
        """As the user asked for it, or as the source states it; None if it is unknown."""
        return self.request.options.voxel_size or (self.volume.voxel_size if self.volume else None)

    @property
    def unit(self) -> str | None:
        """The unit of the voxel size; None if it is unknown."""
        return (self.request.options.unit or (self.volume.unit if self.volume else None)) if self.voxel_size else None


@dataclass(frozen=True)
class BatchRequest:
    """Several volumes with the same options.

    Attributes
    ----------
    sources : tuple of (str or ArrayInput)
    folder : str
        Where the outputs go; if empty, each goes beside its source.
    options : ConversionOptions
    """

    sources: tuple[str | ArrayInput, ...]
    folder: str
    options: ConversionOptions


@dataclass(frozen=True)
class BatchAnswer:
    """What planning found out about several volumes.

    Attributes
    ----------
    request : BatchRequest
    batch : Batch or None
        With a plan, or an error, for each volume.
    error : Exception or None
        Why they cannot be converted together.
    seen : Look or None
        The states of the sources and the outputs before the planning.
    """

    request: BatchRequest
    batch: Batch[Receipt] | None = None
    error: Exception | None = None
    seen: Look | None = None


class Planner(QObject):
    """Answers the latest request, in a thread.

    It works on one request at a time. A later request replaces one that still waits.
    """

    answered = Signal(object)  # PlanAnswer, or BatchAnswer to a BatchRequest

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._request: PlanRequest | BatchRequest | None = None
        self._busy = False
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._begin)

    def ask(self, request: PlanRequest | BatchRequest) -> None:
        """Make a request. `answered` follows, unless another request comes first."""
        self._request = request
        self._pause.start()

    def forget(self) -> None:
        """Answer nothing until the next request."""
        self._request = None
        self._pause.stop()

    def _begin(self) -> None:
        if self._busy or self._request is None:
            return
        self._busy = True
        # With `create_worker`, napari would ask before it closes whether to wait for this.
        worker = FunctionWorker(answer if isinstance(self._request, PlanRequest) else answer_batch, self._request)
        worker.returned.connect(self._end)
        worker.start()

    def _end(self, found: PlanAnswer | BatchAnswer) -> None:
        self._busy = False
        if found.request == self._request:
            self._request = None
            self.answered.emit(found)
        elif not self._pause.isActive():
            self._begin()


def answer(request: PlanRequest) -> PlanAnswer:
    """Plan a conversion. Reads the file's header and a few of its rows."""
    found = PlanAnswer(request, request.output)
    try:
        image = _image(request)
        found = replace(found, image=image, is_own=image is not None and not is_audited(image))
        output = request.output or str(default_output(request.source))
        found = replace(found, output=output, seen=look_at([request.source], [output]))
        found = replace(found, verifiable=can_be_verified(any_path(output)))
        if not request.source:
            return replace(found, verifiable=False)
        try:
            plan = plan_conversion(request.source, output, request.options)
        except OutputExistsError:
            made = already_made(request.source, output, request.options) if found.verifiable else None
            if made is None:
                raise
            return replace(found, volume=made.volume, plan=made, made=True)
        resumes = plan.blocks_done > 0 or (is_unfinished(any_path(output)) and not plan.options.overwrite)
        return replace(found, volume=plan.volume, plan=plan, resumes=resumes)
    except Exception as error:  # noqa: BLE001  the panel shows any error
        return replace(found, volume=_volume(request), error=error)


def answer_batch(request: BatchRequest) -> BatchAnswer:
    """Plan several conversions."""
    found = BatchAnswer(request)
    try:
        for batch in iter_plan_batch(request.sources, request.folder or None, request.options):
            seen = found.seen or look_at(request.sources, [str(item.output) for item in batch.items])
            found = replace(found, batch=batch, seen=seen)
    except Exception as error:  # noqa: BLE001  the panel shows any error
        return replace(found, error=error)
    return found


def _image(request: PlanRequest) -> AnyPath | None:
    """The OME-Zarr that a request names as its source or, without a source, as its output."""
    named = request.source or request.output
    if isinstance(named, ArrayInput) or not named:
        return None
    path = image_path(named)
    return path if kind_of(path) == "image" else None


def _volume(request: PlanRequest) -> Volume | None:
    """The volume in a source, if it can be read."""
    if not request.source:
        return None
    try:
        with open_source(request.source, request.options) as source:
            return source.volume
    except CtPyramidError:
        return None
