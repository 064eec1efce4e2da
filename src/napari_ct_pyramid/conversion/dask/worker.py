"""What runs in the process of a Dask worker: it describes itself, checks what it can access, and makes blocks.

A worker gets paths and numbers only, and makes a block with the same engine as any process. The memory budget is that
of its process, so it makes one block at a time. When it reports a block, the block is safely on disk.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from napari_ct_pyramid.conversion.buffers import ChunkChecksum, FinishedBlock
from napari_ct_pyramid.conversion.engine import Engine
from napari_ct_pyramid.conversion.identity import fingerprint
from napari_ct_pyramid.conversion.progress import ProgressTracker, follow
from napari_ct_pyramid.errors import RequestError, SourceError, sentence
from napari_ct_pyramid.model.blocks import BlockId
from napari_ct_pyramid.model.memory import peak_resident_memory, process_memory
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.version import __version__
from napari_ct_pyramid.omezarr.checksums import Checksums
from napari_ct_pyramid.omezarr.writer import LostChunkError, OmeZarrWriter
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.storage.lease import Lease
from napari_ct_pyramid.storage.paths import AnyPath

if TYPE_CHECKING:
    from distributed import Worker


T = TypeVar("T")

_REPORT_SECONDS = 0.25


@dataclass(frozen=True)
class ClusterJob:
    """A conversion, as it is sent to workers.

    Attributes
    ----------
    id : str
        Unique.
    source : str
        Absolute path, or URL, which must be the same for all workers.
    size, modified
        Of the source; see `Fingerprint`.
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
    """What a conversion has to know of a worker.

    Attributes
    ----------
    version : str
        Of this package.
    host : str
    threads : int
        That Dask gives it.
    memory_limit : int
        Bytes at which Dask pauses it; 0 where there is no such limit.
    process_memory : int
        Bytes that its process holds without a conversion's buffers.
    """

    version: str
    host: str
    threads: int
    memory_limit: int
    process_memory: int


@dataclass(frozen=True)
class Done:
    """A block that a worker has made, and the peak resident memory (bytes) of its process so far."""

    block: FinishedBlock
    peak_memory_bytes: int


class CancelledBlockError(Exception):
    """This worker need not make the block any more."""


class WorkerError(Exception):
    """What went wrong on a worker, in a sentence. Not every error can be pickled and sent to another process.

    Attributes
    ----------
    lost : (int, Triple) or None
        Level and index of the chunk that could not be read back; None if something else went wrong.
    """

    def __init__(self, text: str, lost: tuple[int, Triple] | None = None) -> None:
        super().__init__(text, lost)
        self.lost = lost

    def __str__(self) -> str:
        return str(self.args[0])


class WorkerState:
    """What this process works on.

    Attributes
    ----------
    busy : threading.Lock
        Held while a block is made.
    job : str
        Id of the job whose block is being made; empty if none is.
    ended : set of str
        Ids of jobs that have ended.
    sources : dict of str to Source
        Open sources, by the id of their job.
    """

    def __init__(self) -> None:
        self.busy = threading.Lock()
        self.job = ""
        self.ended: set[str] = set()
        self.sources: dict[str, Source] = {}


state = WorkerState()


def describe_worker(dask_worker: Worker) -> WorkerInfo:
    """Describe the worker that runs this."""
    # `memory_manager` is not documented (distributed 2026.8), but only it has the limit at which a worker pauses.
    memory = dask_worker.memory_manager
    pause = memory.memory_pause_fraction or 1
    return WorkerInfo(
        version=__version__,
        host=socket.gethostname(),
        threads=dask_worker.state.nthreads,
        memory_limit=int((memory.memory_limit or 0) * pause),
        process_memory=process_memory(),
    )


def check_access(job: ClusterJob, lease: Lease) -> None:
    """Make sure that this worker can read the source, and write to the output.

    Parameters
    ----------
    job : ClusterJob
    lease : Lease
        Of the output, or for a trial at its place.

    Raises
    ------
    WorkerError
        If it cannot.
    """
    _with_sendable_errors(lambda: _check_access(job, lease))


def _check_access(job: ClusterJob, lease: Lease) -> None:
    _open(job)
    try:
        lease.check()
    except OSError as error:
        raise RequestError(f"It does not see the output {job.output}.") from error
    try:
        lease.try_writing()
    except OSError as error:
        raise RequestError(f"It cannot write to the output {job.output}: {error.strerror or error}.") from error


def make_block(job: ClusterJob, lease: Lease, block: BlockId, read_back: Sequence[ChunkChecksum], topic: str) -> Done:
    """Make a block of a job. Reports how many rows are read so far as Dask events: pairs of block and rows.

    Parameters
    ----------
    job : ClusterJob
    lease : Lease
        Under which the block is written.
    block : BlockId
    read_back : sequence of (int, tuple of int, Checksum)
        The chunks of an earlier stage from which the block is made.
    topic : str
        Of the events.

    Raises
    ------
    CancelledBlockError
        If the block was cancelled, the client is gone, or this worker is closing.
    WorkerError
        If the block cannot be made.
    """
    from distributed import Status, get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def is_wanted() -> bool:
        # Dask does not interrupt the thread of a cancelled task. Only the worker's own table of tasks shows that the
        # task was cancelled (distributed 2026.8).
        task = worker.state.tasks.get(key)
        leaving = worker.status in (Status.closing, Status.closed, Status.failed)
        return job.id not in state.ended and not leaving and task is not None and task.state == "executing"

    def report(rows: int) -> None:
        worker.log_event(topic, (block, rows))

    while not state.busy.acquire(timeout=_REPORT_SECONDS):
        if not is_wanted():
            raise CancelledBlockError
    try:
        state.job = job.id
        made = _with_sendable_errors(lambda: _make(job, lease, block, read_back, is_wanted, report))
        return Done(made, peak_resident_memory())
    except CancelledBlockError:
        _close(job.id)  # the client may be gone, and never call `end_job`
        raise
    finally:
        state.job = ""
        state.busy.release()


async def end_job(job_id: str) -> None:
    """End a job: when this returns, this process makes no block of it, and never will."""
    state.ended.add(job_id)
    while state.job == job_id:
        await asyncio.sleep(0.02)
    _close(job_id)


def _with_sendable_errors(work: Callable[[], T]) -> T:
    try:
        return work()
    except CancelledBlockError:
        raise
    except Exception as error:  # noqa: BLE001  every error is passed on
        text = sentence(error)
        lost = (error.level, error.index) if isinstance(error, LostChunkError) else None
    raise WorkerError(text, lost)  # outside the handler, so that it has no context to be pickled


def _make(
    job: ClusterJob,
    lease: Lease,
    block: BlockId,
    read_back: Sequence[ChunkChecksum],
    is_wanted: Callable[[], bool],
    report: Callable[[int], None],
) -> FinishedBlock:
    if not is_wanted():
        raise CancelledBlockError
    source = _open(job)
    tracker = ProgressTracker(job.plan, only=block)
    checksums = Checksums(job.plan)
    for level, index, checksum in read_back:
        checksums.put(level, index, checksum)
    made: list[FinishedBlock] = []
    with closing(OmeZarrWriter(job.output, job.plan, checksums, lease)) as store:

        def make_safe(finished: FinishedBlock) -> None:
            store.make_safe((level, index) for level, index, _ in finished.chunks)
            made.append(finished)

        engine = Engine(source, job.plan, store, tracker, make_safe)
        steps = follow(engine, lambda: tracker.rows_done, abandon=store.abandon, seconds=_REPORT_SECONDS)
        with closing(steps):
            for rows in steps:
                if not is_wanted():
                    raise CancelledBlockError
                report(rows)
    return made[0]


def _open(job: ClusterJob) -> Source:
    """The job's source. It stays open until the job ends, because it may lie in thousands of files."""
    source = state.sources.get(job.id)
    if source:
        return source
    options = job.plan.options
    source = open_source(job.source, options)
    found = fingerprint(source, 0)
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
