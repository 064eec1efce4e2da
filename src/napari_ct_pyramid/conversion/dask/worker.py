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
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_ct_pyramid.conversion.buffers import ChunkChecksum, FinishedBlock
from napari_ct_pyramid.conversion.engine import Engine
from napari_ct_pyramid.conversion.identity import differences, fingerprint
from napari_ct_pyramid.conversion.progress import ProgressTracker, follow, run_through
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

RESOURCE = "ct-pyramid-block"
"""What a part of a job takes, and every worker has one of."""


@dataclass(frozen=True)
class Conversion:
    """A conversion, as it is sent to workers: absolute paths, its identity and plan, and a lease to try."""

    source: str
    output: AnyPath
    identity: dict[str, Any]
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
        here = {**self.identity, "size": found.size, "modified": found.modified}
        if different := differences(self.identity, here):
            source.close()
            raise SourceError(f"{self.source} is another file there, which differs in {different}.")
        return source


class WorkerInfo(NamedTuple):
    """A worker: its threads, and bytes: of its process without buffers, and where Dask pauses it or 0."""

    threads: int
    memory_limit: int
    process_memory: int


def describe_worker(version: str, dask_worker: Worker) -> WorkerInfo:
    """Describe the worker that runs this. Raises `RequestError` if it has another version of this package."""
    _check_version(version)
    # `memory_manager` is not documented (distributed 2026.8), but only it has the limit at which a worker pauses.
    memory = dask_worker.memory_manager
    limit = int((memory.memory_limit or 0) * (memory.memory_pause_fraction or 1))
    return WorkerInfo(dask_worker.state.nthreads, limit, process_memory())


def _check_version(expected: str) -> None:
    if expected != __version__:
        raise RequestError(f"It has napari-ct-pyramid {__version__}, and here it is {expected}.")


class OpenJob:
    """A job in a worker. Its source stays open until the job ends, because it may lie in thousands of files.

    Raises `RequestError` if the job is of another version of this package.
    """

    conversion: Conversion | None = None
    source: Source | None = None

    def __init__(self, version: str) -> None:
        _check_version(version)
        self.ended = False
        self.busy = threading.Lock()

    async def begin(self, worker: Worker, packed: bytes) -> None:
        """Open the source, and offer the worker for parts of jobs."""
        from distributed import Status

        await asyncio.to_thread(self._open, packed)
        await worker.set_resources(**{RESOURCE: 1})
        if worker.status is Status.running:
            # The scheduler looks for parts that no worker could do when a worker begins to run, but not when it gets a
            # resource: without this, a part whose only worker was lost would wait for ever (distributed 2026.8).
            worker.status = Status.paused
            worker.status = Status.running

    def _open(self, packed: bytes) -> None:
        with self.busy:
            self.conversion = pickle.loads(packed)
            if self.conversion and not self.ended:
                self.source = self.conversion.open()

    def end(self) -> None:
        """End the job: when this returns, the worker makes no block of it, and never will."""
        self.ended = True
        with self.busy:
            if self.source:
                self.source.close()


def job_plugin(topic: str, conversion: Conversion | None) -> WorkerPlugin:
    """A plugin that sets up every worker for a job, also one that joins later, and ends the job there.

    A worker that cannot do the job reports that, which fails the job. The plugin's class is made here, so that
    cloudpickle sends the class itself: a worker that cannot load a plugin does not start.
    """
    from distributed import WorkerPlugin

    version, packed = __version__, pickle.dumps(conversion)

    class JobPlugin(WorkerPlugin):  # type: ignore[misc]  # Dask is not typed here
        name = topic
        job: OpenJob | None = None

        async def setup(self, worker: Worker) -> None:
            try:
                from napari_ct_pyramid.conversion.dask.worker import OpenJob

                self.job = OpenJob(version)
                await self.job.begin(worker, packed)
                return
            except Exception as error:  # noqa: BLE001  every error is passed on
                said = (
                    f"Worker {worker.address} on {socket.gethostname()} cannot do this: {str(error).rstrip('.')}. All "
                    f"workers must have napari-ct-pyramid {version}, and see source and output by the same path."
                )
            worker.log_event(topic, ["refused", said])
            raise RuntimeError(said)  # outside the handler, so that it has no context to be pickled

        async def teardown(self, worker: Worker) -> None:  # noqa: ARG002  Dask passes it
            if self.job:
                await asyncio.to_thread(self.job.end)

    return JobPlugin()


def do_part(function: Callable[[Any], Any], part: Any) -> tuple[Any, str, int]:
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


def make_block(part: tuple[str, Lease, BlockId, Sequence[ChunkChecksum]]) -> FinishedBlock:
    """Make a block of a job, under a lease, from chunks of an earlier stage or the source.

    Reports the rows that are read so far as Dask events of the job's topic. Raises `Reschedule` if the job has ended
    in this worker.
    """
    from distributed import Reschedule, get_worker

    worker = get_worker()
    topic, lease, block, read_back = part
    job: OpenJob = worker.plugins[topic].job
    made: list[FinishedBlock] = []
    with job.busy:  # another job may have offered this worker while it still opens the source
        if job.ended or not job.conversion or not job.source:
            raise Reschedule
        plan = job.conversion.plan
        tracker, checksums = ProgressTracker(plan, only=block), Checksums(plan)
        for level, index, checksum in read_back:
            checksums.put(level, index, checksum)
        with closing(OmeZarrWriter(job.conversion.output, plan, checksums, lease)) as store:

            def report() -> None:
                if job.ended:  # Dask does not interrupt the thread of a cancelled task
                    raise Reschedule
                worker.log_event(topic, [block, tracker.rows_done])

            engine = Engine(job.source, plan, store, tracker, made.append)
            run_through(follow(engine, report, abandon=store.abandon))
            store.make_safe((level, index) for level, index, _ in made[0].chunks)
    return made[0]
