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
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from napari_ct_pyramid.errors import Advice, ConversionError, RequestError, sentence
from napari_ct_pyramid.model.formatting import format_size
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.version import __version__

from .worker import RESOURCE, Conversion, WorkerInfo, describe_worker, do_part, job_plugin

if TYPE_CHECKING:
    from distributed import Client, Future

P = TypeVar("P")

_WAIT_SECONDS = 0.1  # for a part that is done, between two looks at the workers
_ANSWER_SECONDS = 5  # to wait for what a worker has made
_NO_WORKERS_SECONDS = 60  # to wait while there is no worker at all


class Cluster:
    """The workers of a Dask cluster, and what they can do, by address.

    Raises `RequestError` if it has no workers, or some cannot run this package.
    """

    def __init__(self, client: Client) -> None:
        if client.asynchronous:
            raise RequestError(
                "The Dask client is asynchronous. Give one that is not: Client(..., asynchronous=False)."
            )
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
            raise RequestError(
                f"The Dask cluster at {client.scheduler.address} has no workers yet. Wait until it has some, or start "
                "some."
            )

    @property
    def threads(self) -> int:
        """Threads that every worker has."""
        return min(worker.threads for worker in self.workers.values())

    @property
    def process_memory(self) -> int:
        """Bytes that a worker's process holds without a conversion's buffers, at most."""
        return max(worker.process_memory for worker in self.workers.values())

    def check_memory(self, plan: Plan) -> None:
        """Raise `RequestError` if Dask does not let every worker have what a plan takes."""
        limits = {address: worker.memory_limit for address, worker in self.workers.items() if worker.memory_limit}
        address = min(limits, key=lambda each: limits[each], default="")
        if address and limits[address] < plan.peak_memory_bytes:
            raise RequestError(
                f"Worker {address} is paused by Dask when it holds {format_size(limits[address])}, and this plan "
                f"needs {format_size(plan.peak_memory_bytes)}. Lower the budget (",
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
        try:
            try:
                client.register_plugin(job_plugin(job.topic, conversion))
            except OSError:  # of a worker that was lost meanwhile
                pass
            except RuntimeError as error:
                raise _refusal(str(error)) from error
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
        self.topic = f"ct-pyramid-{uuid4().hex}"
        self.reports: dict[Any, Any] = {}
        self.workers: set[str] = set()
        self.peak_memory_bytes = 0

    def end(self) -> None:
        """Have all workers end the job, and wait until they have."""
        if not self._has_ended and self._client.status == "running":  # without a scheduler, workers end by themselves
            self._has_ended = True
            with suppress(OSError):  # a worker was lost meanwhile
                self._client.cancel(list(self._running))
                self._client.unregister_worker_plugin(self.topic)

    def do(self, function: Callable[[P], Any], parts: Iterable[P]) -> Iterator[tuple[int, Any] | None]:
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
        waiting, made = deque(enumerate(parts)), list[tuple[int, Any]]()
        ended: SimpleQueue[Future] = SimpleQueue()
        workers, seen = self._count_workers(), time.monotonic()
        while True:
            while waiting and len(self._running) < workers:
                number, part = waiting.popleft()
                future = self._client.submit(do_part, function, part, resources={RESOURCE: 1}, pure=False)
                self._running[future] = number
                future.add_done_callback(ended.put)
            yield from made  # only now, so that no worker waits for what is done with it
            if not waiting and not self._running:
                return
            with suppress(Empty):
                ended.get(timeout=_WAIT_SECONDS)
            made = list(self._collect())
            workers = self._count_workers()
            seen = time.monotonic() if workers else seen
            if time.monotonic() > seen + _NO_WORKERS_SECONDS:
                raise ConversionError("The Dask cluster has no workers any more")
            if not made:
                yield None

    def _collect(self) -> Iterator[tuple[int, Any]]:
        for future in [future for future in self._running if future.done()]:
            if done := self._result(future):
                result, worker, peak = done
                self.workers.add(worker)
                self.peak_memory_bytes = max(self.peak_memory_bytes, peak)
                yield self._running.pop(future), result

    def _result(self, future: Future) -> tuple[Any, str, int] | None:
        """What a worker has made; None where it was lost, or is silent, before it could hand that over."""
        from distributed import KilledWorker

        try:
            done: tuple[Any, str, int] = future.result(timeout=_ANSWER_SECONDS)
        except (OSError, TimeoutError):
            return None
        except CancelledError as error:
            raise ConversionError("The Dask scheduler is gone, or was restarted") from error
        except KilledWorker as error:
            raise ConversionError(
                f"{error.allowed_failures + 1} workers were lost with the same part, the last of them "
                f"{error.last_worker.address}: check that workers have as much memory as the budget"
            ) from error
        except ConversionError:
            raise
        except Exception as error:
            raise ConversionError(f"A worker of the Dask cluster cannot do its part: {sentence(error)}") from error
        return done

    def _count_workers(self) -> int:
        """How many there are. Raises an error if one was refused, or the scheduler is gone."""
        if "refused" in self.reports:
            raise _refusal(self.reports["refused"])
        try:
            return len(self._client.nthreads())
        except OSError as error:
            raise ConversionError("The Dask scheduler does not answer any more") from error

    def hear(self, event: tuple[float, Any]) -> None:
        """Keep a worker's report."""
        about, report = event[1]
        self.reports[about if isinstance(about, str) else tuple(about)] = report


def _refusal(said: str) -> RequestError:
    return RequestError(
        f"{said.rstrip('.')}. All workers must have napari-ct-pyramid {__version__}, and see source and output by the "
        "same path."
    )
