"""Has the workers of a Dask cluster make the blocks of a plan, each worker one at a time.

This module decides which worker makes which block, because the memory budget is that of a process: Dask's scheduler
would give four blocks to a worker with four threads. Where a worker is lost, another makes its block; workers that join
later get blocks, too.
"""

from __future__ import annotations

import time
from collections import Counter, deque
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
from .worker import CancelledBlockError, ClusterJob, Done, WorkerError, make_block

if TYPE_CHECKING:
    from distributed import Future


_EVENT_SECONDS = 0.1  # to wait for an event
_LOOK_SECONDS = 0.5  # between two looks at which workers are lost, or new
_ANSWER_SECONDS = 5  # to wait for what a worker has made
_NO_WORKERS_SECONDS = 60  # to wait while there is no worker at all
_LOSSES = 4  # workers lost with the same block: then the block itself may be the cause


@dataclass(frozen=True)
class _WaitingBlock:
    id: BlockId
    stage: Stage
    region: Region


@dataclass(eq=False)
class _Task:
    """A block that a worker makes, and how many rows it has read for that."""

    block: _WaitingBlock
    worker: str
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
    """Has the workers of a cluster make the blocks of a job. To be used in a `with` statement.

    Parameters
    ----------
    cluster : Cluster
    job : ClusterJob
    held : Hold
        The lock of the output.

    Attributes
    ----------
    workers_used : set of str
        The workers that have made blocks.
    peak_memory_bytes : int
        The largest peak resident memory of any of them.

    Raises
    ------
    RequestError
        On entering, if a worker cannot access source or output.
    """

    def __init__(self, cluster: Cluster, job: ClusterJob, held: Hold) -> None:
        super().__init__(job.plan, "ct-pyramid-scheduler")
        self._cluster = cluster
        self._job = job
        self._held = held
        self._topic = f"ct-pyramid-{job.id}"
        self._events: SimpleQueue[_Task | tuple[BlockId, int]] = SimpleQueue()
        self._tasks: dict[str, _Task] = {}
        self._losses: Counter[BlockId] = Counter()
        self._ready: set[str] = set()
        self._looked = self._seen = 0.0
        self.workers_used: set[str] = set()
        self.peak_memory_bytes = 0

    def __enter__(self) -> Self:
        self._cluster.client.subscribe_topic(self._topic, lambda event: self._events.put(event[1]))
        try:
            with self._held.trial() as lease:
                self._lease = lease.for_others()
                self._add(self._cluster.addresses())
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
        """Set which blocks to make.

        Parameters
        ----------
        tracker : ProgressTracker
            Knows the blocks that are to be made; what is done is counted in it.
        checksums : Checksums
            Of the chunks of the blocks that are done.
        lease : Lease
            Under which the workers write.
        on_finished : callable
            Called with each block that is safely on disk. The block counts as done when the call returns.
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
        client = self._cluster.client
        if client.status != "running":
            return  # workers without a scheduler end by themselves
        with suppress(OSError, CtPyramidError):
            client.cancel([task.future for task in self._tasks.values()])
            self._cluster.end_job(self._job.id)

    def _run_stage(self, number: int, stage: Stage) -> None:
        waiting = deque(_WaitingBlock((number, n), stage, region) for n, region in self._tracker.blocks_to_do(number))
        made: list[FinishedBlock] = []
        while waiting or self._tasks or made:
            if self._stop.is_set():
                raise Stopped
            waiting.extendleft(self._update_workers())
            for worker in self._ready - self._tasks.keys():
                if waiting:
                    self._submit(waiting.popleft(), worker)
            for block in made:  # only now, so that no worker waits for this process's disk
                self._on_finished(block)
                self._tracker.count_block(block.statistics)
            made = []
            for task in self._ended_tasks():
                done = self._outcome(task)
                if done:
                    made.append(done)
                else:
                    waiting.appendleft(task.block)

    def _update_workers(self) -> Iterator[_WaitingBlock]:
        """Find new workers and lost ones. Yields the blocks of those that are lost."""
        now = time.monotonic()
        if now < self._looked + _LOOK_SECONDS:
            return
        there = self._cluster.addresses()
        self._add(there - self._ready)
        self._ready &= there
        for worker in self._tasks.keys() - there:
            task = self._tasks.pop(worker)
            self._lose(task)
            yield task.block
        self._looked = now
        if there or not self._seen:
            self._seen = now
        if now > self._seen + _NO_WORKERS_SECONDS:
            raise ConversionError("The Dask cluster has no workers any more")

    def _add(self, workers: set[str]) -> None:
        """Add workers, once it is certain that they can do the job."""
        self._cluster.add(workers)
        self._cluster.check_access(self._job, self._lease, workers)
        self._ready |= workers

    def _submit(self, block: _WaitingBlock, worker: str) -> None:
        future = self._cluster.client.submit(
            make_block,
            self._job,
            self._lease,
            block.id,
            [(*chunk, self._checksums.get(*chunk)) for chunk in self._plan.chunks_read_for(block.id)],
            self._topic,
            key=f"{self._topic}-{block.id[0]}-{block.id[1]}-{self._losses[block.id]}",
            workers=[worker],
            pure=False,
        )
        task = self._tasks[worker] = _Task(block, worker, future)
        future.add_done_callback(lambda _: self._events.put(task))

    def _ended_tasks(self) -> Iterator[_Task]:
        """Wait a moment for events, and count the rows that workers report. Yields the tasks that have ended."""
        with suppress(Empty):
            event = self._events.get(timeout=_EVENT_SECONDS)
            while True:
                if not isinstance(event, _Task):
                    block, rows = event
                    for task in self._tasks.values():
                        if task.block.id == tuple(block):
                            self._count(task, rows)
                elif self._tasks.get(event.worker) is event:
                    del self._tasks[event.worker]
                    yield event
                event = self._events.get_nowait()

    def _count(self, task: _Task, rows: int) -> None:
        """Set how many rows are read for a task."""
        self._tracker.count_rows(task.block.stage, rows - task.rows)
        task.rows = rows

    def _outcome(self, task: _Task) -> FinishedBlock | None:
        """The block of a task that has ended; None where it was lost with its worker."""
        from distributed import KilledWorker

        status = task.future.status
        with suppress(OSError):  # the worker is gone, and its result with it
            if status == "finished":
                done: Done = task.future.result(timeout=_ANSWER_SECONDS)
                self._count(task, self._tracker.rows_of(task.block.stage, task.block.region))
                self.workers_used.add(task.worker)
                self.peak_memory_bytes = max(self.peak_memory_bytes, done.peak_memory_bytes)
                return done.block
            if status == "error":
                error = task.future.exception(timeout=_ANSWER_SECONDS)
                if error and not isinstance(error, (CancelledBlockError, KilledWorker)):
                    raise self._explained(task.worker, error) from error
        if status == "cancelled":
            raise ConversionError("The Dask scheduler is gone, or was restarted")
        self._lose(task)
        return None

    def _explained(self, worker: str, error: BaseException) -> ConversionError:
        if isinstance(error, WorkerError) and error.lost:
            return LostChunkError(f"{self._cluster.name(worker)}: {error}", *error.lost)
        text = error if isinstance(error, WorkerError) else sentence(error)
        return ConversionError(f"{self._cluster.name(worker)}: {text}")

    def _lose(self, task: _Task) -> None:
        task.future.cancel()
        self._count(task, 0)
        self._losses[task.block.id] += 1
        if self._losses[task.block.id] == _LOSSES:
            raise ConversionError(
                f"{self._cluster.name(task.worker)} was lost. It is the {_LOSSES}th worker that was lost with the "
                "same block: check that workers have as much memory as the budget"
            )
