"""What runs in the process of a Dask worker: it describes itself, checks what it can access, and makes blocks.

A worker gets paths and numbers only, and makes a block with the same engine as any process. When it reports a block,
the block is safely on disk. `one_block_at_a_time` keeps it within the memory budget, which is that of its process.
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
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.storage.lease import Lease
from napari_ct_pyramid.storage.paths import AnyPath

if TYPE_CHECKING:
    from distributed import Worker, WorkerPlugin

T = TypeVar("T")

RESOURCE = "ct-pyramid-block"
"""What a task that makes a block takes, and every worker has one of."""

_REPORT_SECONDS = 0.25


def one_block_at_a_time() -> WorkerPlugin:
    """A plugin that gives every worker, also one that joins later, one unit of `RESOURCE`.

    It does nothing else, because it stays on the cluster when a client is killed. Its class is made here, so that
    cloudpickle sends the class itself: a worker that cannot load a plugin does not start.
    """
    from distributed import WorkerPlugin

    resource = RESOURCE

    class OneBlockAtATime(WorkerPlugin):  # type: ignore[misc]  # Dask is not typed here
        name = resource
        idempotent = True

        async def setup(self, worker: Worker) -> None:
            await worker.set_resources(**{resource: 1})

    return OneBlockAtATime()


@dataclass(frozen=True)
class ClusterJob:
    """A conversion, as it is sent to workers: its unique id, absolute paths, and the source's size and time."""

    id: str
    source: str
    size: int
    modified: str
    output: AnyPath
    plan: Plan


@dataclass(frozen=True)
class WorkerInfo:
    """A worker: the version of this package, its threads, and bytes: of its process, and where Dask pauses it or 0."""

    version: str
    host: str
    threads: int
    memory_limit: int
    process_memory: int


@dataclass(frozen=True)
class Done:
    """A block that is made, by which worker, and the peak resident memory (bytes) of its process so far."""

    block: FinishedBlock
    worker: str
    peak_memory_bytes: int


class WorkerError(Exception):
    """What went wrong on a worker, in a sentence. Not every error can be sent to another process.

    Its arguments are the worker's address, the sentence, and the level and index of a chunk that could not be read back
    or None.
    """


class WorkerState:
    """What this process works on: the open sources by the id of their job, the job now, and those that have ended."""

    def __init__(self) -> None:
        self.job = ""
        self.ended: set[str] = set()
        self.sources: dict[str, Source] = {}
        self.opening = threading.Lock()


state = WorkerState()


def describe_worker(dask_worker: Worker) -> WorkerInfo:
    """Describe the worker that runs this."""
    # `memory_manager` is not documented (distributed 2026.8), but only it has the limit at which a worker pauses.
    memory = dask_worker.memory_manager
    limit = int((memory.memory_limit or 0) * (memory.memory_pause_fraction or 1))
    return WorkerInfo(__version__, socket.gethostname(), dask_worker.state.nthreads, limit, process_memory())


def check_access(job: ClusterJob, lease: Lease, dask_worker: Worker) -> None:
    """Make sure that this worker can read a job's source and, under a lease, write to its output."""

    def check() -> None:
        _open(job)
        try:
            lease.check()
        except OSError as error:
            raise RequestError(f"It does not see the output {job.output}.") from error
        try:
            lease.try_writing()
        except OSError as error:
            raise RequestError(f"It cannot write to the output {job.output}: {error.strerror or error}.") from error

    _with_sendable_errors(dask_worker.address, check)


def make_block(job: ClusterJob, lease: Lease, block: BlockId, read_back: Sequence[ChunkChecksum], topic: str) -> Done:
    """Make a block, under a lease, from chunks of an earlier stage or the source.

    Reports the rows that are read so far as Dask events of a topic: pairs of block and rows. Raises `Reschedule` when
    the block was cancelled, the client is gone, or this worker is closing.
    """
    from distributed import Reschedule, Status, get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def check_wanted() -> None:
        # Dask does not interrupt the thread of a cancelled task. Only the worker's own table of tasks shows that the
        # task was cancelled (distributed 2026.8).
        task = worker.state.tasks.get(key)
        leaving = worker.status in (Status.closing, Status.closed, Status.failed)
        if job.id in state.ended or leaving or task is None or task.state != "executing":
            raise Reschedule

    def report(rows: int) -> None:
        check_wanted()
        worker.log_event(topic, (block, rows))

    state.job = job.id
    try:
        check_wanted()
        made = _with_sendable_errors(worker.address, lambda: _make(job, lease, block, read_back, report))
        return Done(made, worker.address, peak_resident_memory())
    except Reschedule:
        _close(job.id)  # the client may be gone, and never call `end_job`
        raise
    finally:
        state.job = ""


async def end_job(job_id: str) -> None:
    """End a job: when this returns, this process makes no block of it, and never will."""
    state.ended.add(job_id)
    while state.job == job_id:
        await asyncio.sleep(0.02)
    _close(job_id)


def _with_sendable_errors(address: str, work: Callable[[], T]) -> T:
    from distributed import Reschedule

    try:
        return work()
    except Reschedule:
        raise
    except Exception as error:  # noqa: BLE001  every error is passed on
        lost = (error.level, error.index) if isinstance(error, LostChunkError) else None
        found = WorkerError(address, sentence(error), lost)
    raise found  # outside the handler, so that it has no context to be pickled


def _make(
    job: ClusterJob, lease: Lease, block: BlockId, read_back: Sequence[ChunkChecksum], report: Callable[[int], None]
) -> FinishedBlock:
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
                report(rows)
    return made[0]


def _open(job: ClusterJob) -> Source:
    """The job's source. It stays open until the job ends, because it may lie in thousands of files."""
    with state.opening:
        if job.id in state.sources:
            return state.sources[job.id]
        source = open_source(job.source, job.plan.options)
        found = fingerprint(source, 0)
        if (found.size, found.modified) != (job.size, job.modified):
            source.close()
            raise SourceError(
                f"{job.source} is another file there: it has {found.size:,} bytes and was changed at {found.modified}, "
                f"where {job.size:,} and {job.modified} were expected."
            )
        state.sources[job.id] = source
        return source


def _close(job_id: str) -> None:
    source = state.sources.pop(job_id, None)
    if source:
        source.close()
