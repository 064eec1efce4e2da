"""Has the blocks of a plan made by the workers of a Dask cluster, each of which makes one at a time.

Who makes what is decided here and not by Dask's scheduler, because the budget is a process's: Dask would give a worker
of four threads four blocks. The block of a worker that is gone is given to another; one that comes later is used.
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

from napari_ct_pyramid.conversion.buffers import FinishedBlock
from napari_ct_pyramid.conversion.engine import BackgroundRunner, Stopped
from napari_ct_pyramid.conversion.output import CLUSTER_MARKER
from napari_ct_pyramid.conversion.progress import ProgressTracker
from napari_ct_pyramid.errors import ConversionError, CtPyramidError, sentence
from napari_ct_pyramid.model.blocks import Region, Stage
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.omezarr.journal import BlockId
from napari_ct_pyramid.storage.local import replace_file
from napari_ct_pyramid.storage.paths import AnyPath, PathLike, any_path

from .client import Cluster
from .worker import CancelledBlockError, ClusterJob, Done, WorkerError, make_block

if TYPE_CHECKING:
    from distributed import Future


_LISTEN_SECONDS = 0.1
_LOOK_SECONDS = 0.5  # for workers that are gone, or new
_ANSWER_SECONDS = 5  # of a worker that has made a block
_PATIENCE_SECONDS = 60  # without any worker
_LOSSES = 4  # of one block, each with the worker that had it: it may be the block that ends them


@dataclass(frozen=True)
class _Block:
    id: BlockId
    stage: Stage
    region: Region


@dataclass(eq=False)
class _Task:
    """A block in the hands of a worker, who has told of so many rows."""

    block: _Block
    worker: str
    future: Future
    rows: int = 0


def make_scheduler(
    cluster: Cluster, src: PathLike, output: AnyPath, plan: Plan, identity: dict[str, Any]
) -> BlockScheduler:
    """Those who are to do a conversion."""
    source = str(any_path(src).absolute())
    job = ClusterJob(uuid4().hex, source, identity["size"], identity["modified"], output.absolute(), plan)
    return BlockScheduler(cluster, job)


class BlockScheduler(BackgroundRunner):
    """The workers of a cluster, told of a job. To be used in a `with` statement.

    Parameters
    ----------
    cluster : Cluster
    job : ClusterJob

    Attributes
    ----------
    workers_used : set of str
        The workers that have made blocks.
    peak_memory_bytes : int
        The most resident memory of any of them.

    Raises
    ------
    RequestError
        On entering, if a worker does not see source or output.
    """

    def __init__(self, cluster: Cluster, job: ClusterJob) -> None:
        super().__init__(job.plan, "ct-pyramid-scheduler")
        self._cluster = cluster
        self._job = job
        self._topic = f"ct-pyramid-{job.id}"
        self._news: SimpleQueue[_Task | tuple[BlockId, int]] = SimpleQueue()
        self._tasks: dict[str, _Task] = {}
        self._losses: Counter[BlockId] = Counter()
        self._ready: set[str] = set()
        self._looked = self._seen = 0.0
        self.workers_used: set[str] = set()
        self.peak_memory_bytes = 0

    def __enter__(self) -> Self:
        self._cluster.client.subscribe_topic(self._topic, lambda event: self._news.put(event[1]))
        try:
            replace_file(self._job.output / CLUSTER_MARKER, self._job.id.encode())
            self._tell(self._cluster.addresses())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._cluster.client.unsubscribe_topic(self._topic)
        with suppress(OSError):
            (self._job.output / CLUSTER_MARKER).unlink(missing_ok=True)

    def assign(self, tracker: ProgressTracker, keep: Callable[[FinishedBlock], None]) -> Self:
        """Say what is to be done.

        Parameters
        ----------
        tracker : ProgressTracker
            The blocks; it is kept up to date.
        keep : callable
            Called with every block that is safely on disk; once it returns, the block is done.
        """
        self._tracker, self._keep = tracker, keep
        return self

    def stop(self) -> None:
        """Have the workers end as soon as the rows and chunks now in hand are done, and wait for that."""
        super().stop()
        if self._begun:
            self._end()

    def _end(self) -> None:
        client = self._cluster.client
        if client.status != "running":
            return  # nobody is there to be asked; workers whose scheduler is gone end by themselves
        with suppress(OSError, CtPyramidError):
            client.cancel([task.future for task in self._tasks.values()])
            self._cluster.end_job(self._job.id)

    def _run_stage(self, number: int, stage: Stage) -> None:
        waiting = deque(_Block((number, n), stage, region) for n, region in self._tracker.todo(number))
        made: list[FinishedBlock] = []
        while waiting or self._tasks or made:
            if self._stop.is_set():
                raise Stopped
            waiting.extendleft(self._look_around())
            for worker in self._ready - self._tasks.keys():
                if waiting:
                    self._hand(waiting.popleft(), worker)
            for block in made:  # only then: nobody is to wait for a disk
                self._keep(block)
                self._tracker.count_block(block.statistics)
            made = []
            for task in self._listen():
                done = self._outcome(task)
                if done:
                    made.append(done)
                else:
                    waiting.appendleft(task.block)

    def _look_around(self) -> Iterator[_Block]:
        """See who is there. Gives the blocks of those who are not any more."""
        now = time.monotonic()
        if now < self._looked + _LOOK_SECONDS:
            return
        there = self._cluster.addresses()
        self._tell(there - self._ready)
        self._ready &= there
        for worker in self._tasks.keys() - there:
            task = self._tasks.pop(worker)
            self._lose(task)
            yield task.block
        self._looked = now
        if there or not self._seen:
            self._seen = now
        if now > self._seen + _PATIENCE_SECONDS:
            raise ConversionError("The Dask cluster has no workers any more")

    def _tell(self, workers: set[str]) -> None:
        """Have workers join."""
        self._cluster.meet(workers)
        self._cluster.check_access(self._job, workers)
        self._ready |= workers

    def _hand(self, block: _Block, worker: str) -> None:
        future = self._cluster.client.submit(
            make_block,
            self._job,
            block.id,
            self._topic,
            key=f"{self._topic}-{block.id[0]}-{block.id[1]}-{self._losses[block.id]}",
            workers=[worker],
            pure=False,
        )
        task = self._tasks[worker] = _Task(block, worker, future)
        future.add_done_callback(lambda _: self._news.put(task))

    def _listen(self) -> Iterator[_Task]:
        """Hear what workers report. Gives tasks that have ended."""
        with suppress(Empty):
            news = self._news.get(timeout=_LISTEN_SECONDS)
            while True:
                if not isinstance(news, _Task):
                    block, rows = news
                    for task in self._tasks.values():
                        if task.block.id == tuple(block):
                            self._count(task, rows)
                elif self._tasks.get(news.worker) is news:
                    del self._tasks[news.worker]
                    yield news
                news = self._news.get_nowait()

    def _count(self, task: _Task, rows: int) -> None:
        """Rows that were read for a task, in all."""
        self._tracker.count_rows(task.block.stage, rows - task.rows)
        task.rows = rows

    def _outcome(self, task: _Task) -> FinishedBlock | None:
        """What became of a task that has ended; None where it is lost with its worker."""
        from distributed import KilledWorker

        status = task.future.status
        with suppress(OSError):  # the worker is gone, and what it has to say with it
            if status == "finished":
                done: Done = task.future.result(timeout=_ANSWER_SECONDS)
                self._count(task, self._tracker.rows_of(task.block.stage, task.block.region))
                self.workers_used.add(task.worker)
                self.peak_memory_bytes = max(self.peak_memory_bytes, done.peak_memory_bytes)
                return done.made
            if status == "error":
                error = task.future.exception(timeout=_ANSWER_SECONDS)
                if error and not isinstance(error, (CancelledBlockError, KilledWorker)):
                    said = error if isinstance(error, WorkerError) else sentence(error)
                    raise ConversionError(f"{self._cluster.name(task.worker)}: {said}") from error
        if status == "cancelled":
            raise ConversionError("The Dask scheduler is gone, or was restarted")
        self._lose(task)
        return None

    def _lose(self, task: _Task) -> None:
        task.future.cancel()
        self._count(task, 0)
        self._losses[task.block.id] += 1
        if self._losses[task.block.id] == _LOSSES:
            raise ConversionError(
                f"{self._cluster.name(task.worker)} was lost, the {_LOSSES}th with the same block: see whether workers "
                "have as much memory as the budget"
            )
