"""What runs in the process of a Dask worker: it is set up for a job, and does the parts of the job one at a time.

A worker gets paths and numbers only, and makes a block with the same engine as any process. When it hands a block over,
the block is safely on disk. The resource that a part takes keeps the worker within the budget, which is that of its
process.
"""

from __future__ import annotations

import asyncio
import pickle
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
from napari_ct_pyramid.errors import ConversionError, RequestError, SourceError, sentence
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

P = TypeVar("P")
R = TypeVar("R")

RESOURCE = "ct-pyramid-block"
"""What a part of a job takes, and every worker has one of."""

_REPORT_SECONDS = 0.25


@dataclass(frozen=True)
class Conversion:
    """A conversion, as it is sent to workers: absolute paths, the source's size and time, and a lease to try."""

    source: str
    size: int
    modified: str
    output: AnyPath
    plan: Plan
    trial: Lease

    def open(self) -> Source:
        """Open the source. Raises an error if this process cannot read it, or cannot write to the output."""
        try:
            self.trial.check()
        except OSError as error:
            raise RequestError(f"It does not see the output {self.output}.") from error
        try:
            self.trial.try_writing()
        except OSError as error:
            raise RequestError(f"It cannot write to the output {self.output}: {error.strerror or error}.") from error
        source = open_source(self.source, self.plan.options)
        found = fingerprint(source, 0)
        if (found.size, found.modified) != (self.size, self.modified):
            source.close()
            raise SourceError(
                f"{self.source} is another file there: it has {found.size:,} bytes and was changed at "
                f"{found.modified}, where {self.size:,} and {self.modified} were expected."
            )
        return source


@dataclass(frozen=True)
class WorkerInfo:
    """A worker: its threads, and bytes: of its process without buffers, and where Dask pauses it or 0."""

    threads: int
    memory_limit: int
    process_memory: int


class OpenJob:
    """A job in a worker. Its source stays open until the job ends, because it may lie in thousands of files."""

    def __init__(self, conversion: Conversion | None) -> None:
        self.conversion = conversion
        self.source = conversion and conversion.open()
        self.ended = False
        self.busy = threading.Lock()

    def end(self) -> None:
        """End the job: when this returns, the worker makes no block of it, and never will."""
        self.ended = True
        with self.busy:
            self.close()

    def close(self) -> None:
        """Close the source."""
        self.ended = True
        if self.source:
            self.source.close()


def job_plugin(topic: str, conversion: Conversion | None) -> WorkerPlugin:
    """A plugin that sets up every worker for a job, also one that joins later, and ends the job there.

    A worker that cannot do the job gets no resource, and so no part of it. The plugin's class is made here, so that
    cloudpickle sends the class itself: a worker that cannot load a plugin does not start.
    """
    from distributed import WorkerPlugin

    version, packed = __version__, pickle.dumps(conversion)

    class JobPlugin(WorkerPlugin):  # type: ignore[misc]  # Dask is not typed here
        name = topic
        job: OpenJob | None = None

        async def setup(self, worker: Worker) -> None:
            try:
                from napari_ct_pyramid.conversion.dask.worker import begin_job

                self.job = await begin_job(worker, version, packed)
                return
            except Exception as error:  # noqa: BLE001  every error is passed on
                said = f"Worker {worker.address} on {socket.gethostname()} cannot do this: {error}"
            worker.log_event(topic, ["refused", said])
            raise RuntimeError(said)  # outside the handler, so that it has no context to be pickled

        async def teardown(self, worker: Worker) -> None:  # noqa: ARG002  Dask passes it
            if self.job:
                await asyncio.to_thread(self.job.end)

    return JobPlugin()


async def begin_job(worker: Worker, version: str, packed: bytes) -> OpenJob:
    """Set up a worker for a job of this version of the package."""
    from distributed import Status

    _check_version(version)
    job = await asyncio.to_thread(lambda: OpenJob(pickle.loads(packed)))
    await worker.set_resources(**{RESOURCE: 1})
    if worker.status is Status.running:
        # The scheduler looks for parts that no worker could do when a worker begins to run, but not when it gets a
        # resource: without this, a part whose only worker was lost would wait for ever (distributed 2026.8).
        worker.status = Status.paused
        worker.status = Status.running
    return job


def _check_version(expected: str) -> None:
    if expected != __version__:
        raise RequestError(f"It has napari-ct-pyramid {__version__}, and here it is {expected}.")


def describe_worker(version: str, dask_worker: Worker) -> WorkerInfo:
    """Describe the worker that runs this. Raises `RequestError` if it has another version of this package."""
    _check_version(version)
    # `memory_manager` is not documented (distributed 2026.8), but only it has the limit at which a worker pauses.
    memory = dask_worker.memory_manager
    limit = int((memory.memory_limit or 0) * (memory.memory_pause_fraction or 1))
    return WorkerInfo(dask_worker.state.nthreads, limit, process_memory())


def do_part(function: Callable[[P], R], part: P) -> tuple[R, str, int]:
    """Do a part of a job: its result, by which worker, and the peak resident memory (bytes) of the process so far.

    An error becomes one that names the worker, because not every error can be sent to another process.
    """
    from distributed import Reschedule, get_worker

    worker = get_worker()
    try:
        return function(part), worker.address, peak_resident_memory()
    except Reschedule:
        raise
    except Exception as error:  # noqa: BLE001
        said = f"Worker {worker.address} on {socket.gethostname()}: {sentence(error)}"
        found = ConversionError(said)
        if isinstance(error, LostChunkError):
            found = LostChunkError(said, error.level, error.index)
    raise found  # outside the handler, too


def make_block(topic: str, part: tuple[Lease, BlockId, Sequence[ChunkChecksum]]) -> FinishedBlock:
    """Make a block, under a lease, from chunks of an earlier stage or the source.

    Reports the rows that are read so far as Dask events of the job's topic. Raises `Reschedule` when the block was
    cancelled, the job has ended, or the client is gone.
    """
    from distributed import Reschedule, get_worker

    worker = get_worker()
    key, job = worker.get_current_task(), worker.plugins[topic].job
    lease, block, read_back = part

    def report(rows: int) -> None:
        # Dask does not interrupt the thread of a cancelled task. Only the worker's own table of tasks shows that the
        # task was cancelled (distributed 2026.8).
        task = worker.state.tasks.get(key)
        if job.ended or task is None or task.state != "executing":
            raise Reschedule
        worker.log_event(topic, [block, rows])

    with job.busy:
        try:
            report(0)
            return _make(job, lease, block, read_back, report)
        except Reschedule:
            job.close()  # the client may be gone, and never end the job
            raise


def _make(
    job: OpenJob, lease: Lease, block: BlockId, read_back: Sequence[ChunkChecksum], report: Callable[[int], None]
) -> FinishedBlock:
    assert job.conversion
    assert job.source
    plan = job.conversion.plan
    tracker, checksums = ProgressTracker(plan, only=block), Checksums(plan)
    for level, index, checksum in read_back:
        checksums.put(level, index, checksum)
    made: list[FinishedBlock] = []
    with closing(OmeZarrWriter(job.conversion.output, plan, checksums, lease)) as store:

        def make_safe(finished: FinishedBlock) -> None:
            store.make_safe((level, index) for level, index, _ in finished.chunks)
            made.append(finished)

        engine = Engine(job.source, plan, store, tracker, make_safe)
        steps = follow(engine, lambda: tracker.rows_done, abandon=store.abandon, seconds=_REPORT_SECONDS)
        with closing(steps):
            for rows in steps:
                report(rows)
    return made[0]
