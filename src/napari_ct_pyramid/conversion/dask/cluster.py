"""The workers of a Dask cluster: what they can do, and jobs whose parts Dask's scheduler spreads over them.

As many parts are submitted as there are workers. Dask chooses the worker, and has another one do the part when that one
is lost. Not all parts are submitted at once, because Dask assigns tasks that take a resource at once and moves them
only from a worker that has more than its number of threads: when a second worker of 4 threads joined after 0.5 s, it
made none of 8 blocks of 1 s, which took 8.1 s (distributed 2026.8).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from threading import Event
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from napari_ct_pyramid.errors import Advice, ConversionError, RequestError, sentence
from napari_ct_pyramid.model.formatting import format_size
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.version import __version__

from .worker import RESOURCE, Conversion, WorkerInfo, describe_worker, do_part, job_plugin

if TYPE_CHECKING:
    from distributed import Client, Future, Scheduler, SchedulerPlugin

_WAIT_SECONDS = 0.1  # for a part that is done, between two looks at the workers
_ANSWER_SECONDS = 5  # to wait for what a worker has made
_NO_WORKERS_SECONDS = 60  # to wait while there is no worker at all


class Cluster:
    """The workers of a Dask cluster.

    Raises `RequestError` if it has no workers, or some cannot run this package.

    Attributes
    ----------
    workers : dict of str to WorkerInfo
        What each of them can do, by address.
    threads : int
        That every worker has.
    process_memory : int
        Bytes that a worker's process holds without a conversion's buffers, at most.
    """

    def __init__(self, client: Client) -> None:
        if client.asynchronous:
            raise RequestError("The Dask client is asynchronous. Give one that is not: Client(asynchronous=False).")
        self.client = client
        self.workers: dict[str, WorkerInfo] = {}
        for address, answer in client.run(describe_worker, __version__, on_error="return").items():
            if isinstance(answer, WorkerInfo):
                self.workers[address] = answer
            elif not isinstance(answer, OSError):  # of a worker that was lost meanwhile
                raise RequestError(
                    f"Worker {address} cannot run napari-ct-pyramid {__version__} ({sentence(answer).rstrip('.')})."
                    " Install that version in the environment of all workers."
                )
        if not self.workers:
            raise RequestError(f"The Dask cluster at {client.scheduler.address} has no workers. Start some, or wait.")
        self.threads = min(worker.threads for worker in self.workers.values())
        self.process_memory = max(worker.process_memory for worker in self.workers.values())

    def check_memory(self, plan: Plan) -> None:
        """Raise `RequestError` if Dask does not let every worker have what a plan takes."""
        for address, worker in self.workers.items():
            if 0 < worker.memory_limit < plan.peak_memory_bytes:
                raise RequestError(
                    f"Worker {address} is paused by Dask when it holds {format_size(worker.memory_limit)}, and this "
                    f"plan needs {format_size(plan.peak_memory_bytes)}. Lower the budget (",
                    Advice("max_memory"),
                    "), or start workers with more memory (their --memory-limit).",
                )

    @contextmanager
    def prepared(self, conversion: Conversion | None = None) -> Iterator[Job]:
        """Set up all workers, also those that join later, for a job: a conversion, or one that needs nothing.

        Raises `RequestError` if a worker cannot do it. At the end of the `with` block, all workers end the job.
        """
        client, job = self.client, Job(self.client)
        client.subscribe_topic(job.topic, job.hear)
        client.register_plugin(_end_jobs_of_lost_clients(), name="ct-pyramid")
        try:
            try:
                client.register_plugin(job_plugin(job.topic, conversion))
            except OSError:  # of a worker that was lost meanwhile
                pass
            except RuntimeError as error:
                raise RequestError(str(error)) from error
            yield job
        finally:
            job.end()
            client.unsubscribe_topic(job.topic)


class Job:
    """A job that the workers of a cluster are prepared for, and do in parts, one part at a time each.

    Attributes
    ----------
    topic : str
        The topic of Dask's events with which workers report.
    reports : dict
        Of each block, the rows that are read; ``"refused"`` if a worker was.
    workers : set of str
        Those that have done parts.
    peak_memory_bytes : int
        The largest peak resident memory of any of them.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._has_ended = False
        self._running: dict[Future, int] = {}
        self.topic = f"ct-pyramid-{client.id}-{uuid4().hex}"
        self.reports: dict[Any, Any] = {}
        self.workers: set[str] = set()
        self.peak_memory_bytes = 0

    def end(self) -> None:
        """Have all workers end the job, and wait until they have."""
        if not self._has_ended and self._client.status == "running":  # without a client, they end by themselves
            self._has_ended = True
            with suppress(OSError, KeyError):  # a worker was lost meanwhile, or has just joined
                self._client.cancel(list(self._running))
                self._client.unregister_worker_plugin(self.topic)

    def do(self, function: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[tuple[int, Any] | None]:
        """Do all parts.

        Yields
        ------
        (int, result) or None
            The number of a part that is done, and its result, in any order; None every tenth of a second.

        Raises
        ------
        ConversionError
            If a part fails, or the cluster is gone.
        """
        waiting, ended, seen = deque(enumerate(parts)), Event(), time.monotonic()
        made: list[tuple[int, Any] | None] = []
        while True:
            workers = self._count_workers()
            seen = time.monotonic() if workers else seen
            if time.monotonic() > seen + _NO_WORKERS_SECONDS:
                raise ConversionError("The Dask cluster has no workers any more")
            while waiting and len(self._running) < workers:
                number, part = waiting.popleft()
                future = self._client.submit(do_part, function, part, resources={RESOURCE: 1}, pure=False)
                self._running[future] = number
                future.add_done_callback(lambda _: ended.set())
            yield from made or [None]  # only now, so that no worker waits for what is done with it
            if not waiting and not self._running:
                return
            ended.wait(_WAIT_SECONDS)
            ended.clear()
            made = [*self._collect()]

    def _collect(self) -> Iterator[tuple[int, Any]]:
        for future in [future for future in self._running if future.done()]:
            with suppress(OSError):  # the worker was lost, or is silent, before it could hand the part over
                result, worker, peak = _result(future)
                self.workers.add(worker)
                self.peak_memory_bytes = max(self.peak_memory_bytes, peak)
                yield self._running.pop(future), result

    def _count_workers(self) -> int:
        """How many there are. Raises an error if one was refused, or the scheduler is gone."""
        if "refused" in self.reports:
            raise RequestError(self.reports["refused"])
        try:
            return len(self._client.nthreads())
        except OSError as error:
            raise ConversionError("The Dask scheduler does not answer any more") from error

    def hear(self, event: tuple[float, Any]) -> None:
        """Keep a worker's report."""
        about, report = event[1]
        self.reports[about if isinstance(about, str) else tuple(about)] = report


def _result(future: Future) -> Any:
    """What `do_part` returned. Raises `OSError` if its worker is silent, or lost; then another one does the part."""
    from distributed import KilledWorker

    try:
        return future.result(timeout=_ANSWER_SECONDS)
    except CancelledError as error:
        raise ConversionError("The Dask scheduler is gone, or was restarted") from error
    except KilledWorker as error:
        raise ConversionError(
            f"{error.allowed_failures + 1} workers were lost with the same part, the last of them "
            f"{error.last_worker.address}: check that workers have as much memory as the budget"
        ) from error
    except (OSError, ConversionError):
        raise
    except Exception as error:
        raise ConversionError(f"A worker of the Dask cluster cannot do its part: {sentence(error)}") from error


def _end_jobs_of_lost_clients() -> SchedulerPlugin:
    """A plugin with which the scheduler ends the jobs of clients that are gone. One serves all jobs, and stays."""
    from distributed import SchedulerPlugin

    class EndJobs(SchedulerPlugin):  # type: ignore[misc]  # made here: a scheduler may not have this package
        idempotent = True

        def remove_client(self, scheduler: Scheduler, client: str) -> None:
            for topic in [topic for topic in scheduler.worker_plugins if client in topic]:
                scheduler.loop.add_callback(scheduler.unregister_worker_plugin, None, topic)

    return EndJobs()
