"""Has Dask's scheduler spread the blocks of a plan over its workers, and follows what they report.

As many blocks are submitted as there are workers. Dask chooses the worker, and has another one make the block when that
one is lost. Not all blocks are submitted at once, because Dask assigns tasks that take a resource at once and moves
them only from a worker that has more than its number of threads: when a second worker of 4 threads joined after 0.5 s,
it made none of 8 blocks of 1 s, which took 8.1 s (distributed 2026.8).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from napari_ct_pyramid.conversion.background import BackgroundRunner, Stopped
from napari_ct_pyramid.conversion.buffers import FinishedBlock
from napari_ct_pyramid.conversion.progress import ProgressTracker
from napari_ct_pyramid.errors import ConversionError, CtPyramidError, sentence
from napari_ct_pyramid.model.blocks import BlockId, Region, Stage
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.omezarr.checksums import Checksums
from napari_ct_pyramid.omezarr.writer import LostChunkError
from napari_ct_pyramid.storage.lease import Lease
from napari_ct_pyramid.storage.lock import Hold
from napari_ct_pyramid.storage.paths import AnyPath, PathLike, any_path

from .client import Cluster
from .worker import RESOURCE, ClusterJob, Done, WorkerError, make_block, one_block_at_a_time

if TYPE_CHECKING:
    from distributed import Future

_EVENT_SECONDS = 0.1  # to wait for an event
_LOOK_SECONDS = 0.5  # between two looks at which workers there are
_ANSWER_SECONDS = 5  # to wait for what a worker has made
_NO_WORKERS_SECONDS = 60  # to wait while there is no worker at all


@dataclass(eq=False)
class _Task:
    """A block that a worker makes, and how many rows it has read for that."""

    stage: Stage
    region: Region
    future: Future
    rows: int = 0


def make_scheduler(
    cluster: Cluster, src: PathLike, output: AnyPath, plan: Plan, identity: dict[str, Any], held: Hold
) -> BlockScheduler:
    """A scheduler for one conversion."""
    source = str(any_path(src).absolute())
    job = ClusterJob(uuid4().hex, source, identity["size"], identity["modified"], output.absolute(), plan)
    return BlockScheduler(cluster, job, held)


class BlockScheduler(BackgroundRunner):
    """Has the workers of a cluster make the blocks of a job, while the lock of its output is held.

    To be used in a `with` statement, which raises `RequestError` if a worker cannot access source or output.
    `workers_used` are the workers that have made blocks, and `peak_memory_bytes` is the largest peak resident memory of
    any of them.
    """

    def __init__(self, cluster: Cluster, job: ClusterJob, held: Hold) -> None:
        super().__init__(job.plan, "ct-pyramid-scheduler")
        self._cluster, self._job, self._held = cluster, job, held
        self._topic = f"ct-pyramid-{job.id}"
        self._events: SimpleQueue[tuple[BlockId, int | None]] = SimpleQueue()
        self._tasks: dict[BlockId, _Task] = {}
        self._workers: set[str] = set()
        self._looked = self._seen = 0.0
        self.workers_used: set[str] = set()
        self.peak_memory_bytes = 0

    def __enter__(self) -> Self:
        client = self._cluster.client
        client.subscribe_topic(self._topic, lambda event: self._events.put(event[1]))
        try:
            client.register_plugin(one_block_at_a_time())
            with self._held.trial() as lease:
                self._lease = lease.for_others()
                self._look()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._cluster.client.unsubscribe_topic(self._topic)

    def assign(
        self,
        tracker: ProgressTracker,
        checksums: Checksums,
        lease: Lease,
        on_finished: Callable[[FinishedBlock], None],
    ) -> Self:
        """Set which blocks to make: those that a tracker knows, which counts them, and under which lease.

        `on_finished` is called with each block that is safely on disk. The block counts as done when the call returns.
        """
        self._tracker, self._checksums, self._on_finished = tracker, checksums, on_finished
        self._lease = lease.for_others()
        return self

    def stop(self) -> None:
        """Have the workers stop after the rows and chunks that they now read and write, and wait until then."""
        super().stop()
        if self._has_started:
            self._end()

    def _end(self) -> None:
        if self._cluster.client.status == "running":  # workers without a scheduler end by themselves
            with suppress(OSError, CtPyramidError):
                self._cluster.client.cancel([task.future for task in self._tasks.values()])
                self._cluster.end_job(self._job.id)

    def _run_stage(self, number: int, stage: Stage) -> None:
        waiting = deque(self._tracker.blocks_to_do(number))
        made: list[FinishedBlock] = []
        while waiting or self._tasks or made:
            if self._stop.is_set():
                raise Stopped
            while waiting and len(self._tasks) < len(self._workers):
                n, region = waiting.popleft()
                self._submit((number, n), stage, region)
            for block in made:  # only now, so that no worker waits for this process's disk
                self._on_finished(block)
                self._tracker.count_block(block.statistics)
            if time.monotonic() > self._looked + _LOOK_SECONDS:
                self._look()
            made = list(self._finished())

    def _look(self) -> None:
        """Find the workers there are, and make sure that the new ones can do the job."""
        there = self._cluster.addresses()
        self._cluster.add(there - self._cluster.workers.keys())
        self._cluster.check_access(self._job, self._lease, there - self._workers)
        self._workers = there
        self._looked = time.monotonic()
        if there or not self._seen:
            self._seen = self._looked
        if self._looked > self._seen + _NO_WORKERS_SECONDS:
            raise ConversionError("The Dask cluster has no workers any more")

    def _submit(self, block: BlockId, stage: Stage, region: Region) -> None:
        read_back = [(*chunk, self._checksums.get(*chunk)) for chunk in self._plan.chunks_read_for(block)]
        future = self._cluster.client.submit(
            make_block,
            *(self._job, self._lease, block, read_back, self._topic),
            key=f"{self._topic}-{block[0]}-{block[1]}",
            resources={RESOURCE: 1},
            pure=False,
        )
        self._tasks[block] = _Task(stage, region, future)
        self._watch(block, future)

    def _watch(self, block: BlockId, future: Future) -> None:
        """Have the next end of a task put into the events."""
        future.add_done_callback(lambda _: self._events.put((block, None)))

    def _finished(self) -> Iterator[FinishedBlock]:
        """Wait a moment for events, and count the rows that workers report. Yields the blocks that are made."""
        with suppress(Empty):
            event = self._events.get(timeout=_EVENT_SECONDS)
            while True:
                block, rows = tuple(event[0]), event[1]
                if block in self._tasks and rows is not None:
                    self._count(self._tasks[block], rows)
                elif block in self._tasks and not (done := self._outcome(self._tasks[block].future)):
                    self._watch(block, self._tasks[block].future)
                    return
                elif block in self._tasks:
                    assert done
                    task = self._tasks.pop(block)
                    self._count(task, self._tracker.rows_of(task.stage, task.region))
                    self.workers_used.add(done.worker)
                    self.peak_memory_bytes = max(self.peak_memory_bytes, done.peak_memory_bytes)
                    yield done.block
                event = self._events.get_nowait()

    def _count(self, task: _Task, rows: int) -> None:
        """Set how many rows are read for a task."""
        self._tracker.count_rows(task.stage, rows - task.rows)
        task.rows = rows

    def _outcome(self, future: Future) -> Done | None:
        """What a worker has made; None where it was lost before it could hand that over, so that it is made again."""
        if future.status == "cancelled":
            raise ConversionError("The Dask scheduler is gone, or was restarted")
        try:
            done: Done = future.result(timeout=_ANSWER_SECONDS)
        except (OSError, TimeoutError):
            return None
        except Exception as error:
            raise self._explained(error) from error
        return done

    def _explained(self, error: Exception) -> ConversionError:
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            return ConversionError(
                f"{error.allowed_failures + 1} workers were lost with the same block, the last of them "
                f"{error.last_worker.address}: check that workers have as much memory as the budget"
            )
        if not isinstance(error, WorkerError):
            return ConversionError(f"A worker of the Dask cluster cannot make a block: {sentence(error)}")
        address, text, lost = error.args
        said = f"{self._cluster.name(address)}: {text}"
        return LostChunkError(said, *lost) if lost else ConversionError(said)
