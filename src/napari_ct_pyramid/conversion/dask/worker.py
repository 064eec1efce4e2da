"""One block, made by a worker of a Dask cluster: all of this but its names runs in the worker's process.

A worker is told by paths and numbers alone what to make, and makes it as any process would: by the engine, within
the budget, which is why it makes one block at a time. What it has made is safely on disk when it says so.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from napari_ct_pyramid.conversion.buffers import FinishedBlock
from napari_ct_pyramid.conversion.engine import Engine
from napari_ct_pyramid.conversion.identity import fingerprint
from napari_ct_pyramid.conversion.output import CLUSTER_MARKER
from napari_ct_pyramid.conversion.progress import ProgressTracker
from napari_ct_pyramid.errors import RequestError, SourceError, sentence
from napari_ct_pyramid.model.memory import peak_resident_memory, process_memory
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.version import __version__
from napari_ct_pyramid.omezarr.journal import BlockId
from napari_ct_pyramid.omezarr.writer import Store
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.storage.local import replace_file
from napari_ct_pyramid.storage.paths import AnyPath

if TYPE_CHECKING:
    from distributed import Worker


T = TypeVar("T")

_REPORT_SECONDS = 0.25


@dataclass(frozen=True)
class ClusterJob:
    """A conversion, as workers are told of it.

    Attributes
    ----------
    id : str
        That no other has.
    source : str
        Where it lies, from the root of what all see.
    size, modified
        By which the source is known again; see `Fingerprint`.
    output : path
    plan : Plan
    """

    id: str
    source: str
    size: int
    modified: str
    output: AnyPath
    plan: Plan


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker says of itself.

    Attributes
    ----------
    version : str
        Of this package.
    host : str
    threads : int
        That Dask has given it.
    memory_limit : int
        Bytes at which Dask lets it do nothing more; 0 where there is no such limit.
    process_memory : int
        Bytes that its process will hold without a conversion's buffers.
    """

    version: str
    host: str
    threads: int
    memory_limit: int
    process_memory: int


@dataclass(frozen=True)
class Done:
    """A block that a worker has made, and the most memory (bytes) that its process has held so far."""

    made: FinishedBlock
    peak_memory_bytes: int


class CancelledBlockError(Exception):
    """The block is not wanted any more, at least not from this worker."""


class WorkerError(Exception):
    """What went wrong on a worker, in a sentence: not every error can be sent from one process to another."""


class WorkerState:
    """What this process has its hands on."""

    def __init__(self) -> None:
        self.busy = threading.Lock()
        self.job = ""  # of the block that is being made
        self.ended: set[str] = set()
        self.sources: dict[str, Source] = {}


state = WorkerState()


def describe_worker(dask_worker: Worker) -> WorkerInfo:
    """What a worker is asked first."""
    memory = dask_worker.memory_manager
    pause = memory.memory_pause_fraction or 1
    return WorkerInfo(
        version=__version__,
        host=socket.gethostname(),
        threads=dask_worker.state.nthreads,
        memory_limit=int((memory.memory_limit or 0) * pause),
        process_memory=process_memory(),
    )


def check_access(job: ClusterJob) -> None:
    """Make sure that this worker sees source and output, and may write there.

    Raises
    ------
    WorkerError
        If not.
    """
    _in_words(lambda: _check_access(job))


def _check_access(job: ClusterJob) -> None:
    _open(job)
    try:
        seen = (job.output / CLUSTER_MARKER).read_text(encoding="utf-8")
    except OSError:
        seen = ""
    if seen != job.id:
        raise RequestError(f"It does not see the output {job.output}.")
    trial = job.output / f"{CLUSTER_MARKER}-{uuid4().hex}"
    try:
        replace_file(trial, b"")
        trial.unlink()
    except OSError as error:
        raise RequestError(f"It cannot write to the output {job.output}: {error.strerror or error}.") from error


def make_block(job: ClusterJob, block: BlockId, topic: str) -> Done:
    """Make a block of a job. What is read is reported to a topic of Dask's, as pairs of block and rows.

    Raises
    ------
    CancelledBlockError
        If nobody wants it any more: it was cancelled, or whoever asked for it is gone, or this worker is closing.
    WorkerError
        If it cannot be made.
    """
    from distributed import Status, get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        leaving = worker.status in (Status.closing, Status.closed, Status.failed)
        return job.id not in state.ended and not leaving and task is not None and task.state == "executing"

    def report(rows: int) -> None:
        worker.log_event(topic, (block, rows))

    while not state.busy.acquire(timeout=_REPORT_SECONDS):
        if not wanted():
            raise CancelledBlockError
    try:
        state.job = job.id
        made = _in_words(lambda: _make(job, block, wanted, report))
        return Done(made, peak_resident_memory())
    except CancelledBlockError:
        _close(job.id)  # whoever asked for it may be gone, and never say that it has ended
        raise
    finally:
        state.job = ""
        state.busy.release()


async def end_job(job_id: str) -> None:
    """Have done with a job: when this returns, this process makes no block of it, and never will."""
    state.ended.add(job_id)
    while state.job == job_id:
        await asyncio.sleep(0.02)
    _close(job_id)


def _in_words(work: Callable[[], T]) -> T:
    try:
        return work()
    except CancelledBlockError:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, it is told
        said = sentence(error)
    raise WorkerError(said)  # here, where it has no other error with it


def _make(job: ClusterJob, block: BlockId, wanted: Callable[[], bool], report: Callable[[int], None]) -> FinishedBlock:
    if not wanted():
        raise CancelledBlockError
    source = _open(job)
    tracker = ProgressTracker(job.plan, only=block)
    found: list[FinishedBlock] = []
    with closing(Store(job.output, job.plan)) as store:

        def keep(made: FinishedBlock) -> None:
            store.make_safe((level, index) for level, index, _ in made.chunks)
            found.append(made)

        engine = Engine(source, job.plan, store, tracker, keep)
        engine.start()
        try:
            while not engine.wait(_REPORT_SECONDS):
                if not wanted():
                    raise CancelledBlockError
                report(tracker.rows_done)
        except BaseException:
            store.abandon()
            raise
        finally:
            engine.stop()
    return found[0]


def _open(job: ClusterJob) -> Source:
    """The job's source, which stays open until the job ends: it may lie in thousands of files."""
    source = state.sources.get(job.id)
    if source:
        return source
    options = job.plan.options
    source = open_source(job.source, axes=options.axes, crop=options.crop)
    found = fingerprint(source.files, 0)
    if (found.size, found.modified) != (job.size, job.modified):
        source.close()
        raise SourceError(
            f"{job.source} is another file there: it has {found.size:,} bytes and was changed at {found.modified}, "
            f"where {job.size:,} and {job.modified} were expected."
        )
    return state.sources.setdefault(job.id, source)


def _close(job_id: str) -> None:
    source = state.sources.pop(job_id, None)
    if source:
        source.close()
