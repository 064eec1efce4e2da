"""A Dask cluster: connects to one, or starts one on this machine, and checks that its workers can do a conversion.

It changes two things for the whole process, and restores both: Dask's log levels (`_quiet_logs`) and the signal mask
(`_ignoring_interrupts`).
"""

from __future__ import annotations

import logging
import re
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ct_pyramid.errors import Advice, ConversionError, RequestError, sentence
from napari_ct_pyramid.model.formatting import format_size
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.version import __version__
from napari_ct_pyramid.options import available_cores
from napari_ct_pyramid.storage.lease import Lease

from .worker import ClusterJob, WorkerError, WorkerInfo, check_access, describe_worker, end_job

if TYPE_CHECKING:
    from distributed import Client as Client  # noqa: PLC0414  other modules import it from here
    from distributed import LocalCluster


LOCAL = "local"
"""Stands for the address of a scheduler: start worker processes on this machine."""

CONNECT_SECONDS = 5
"""To wait until a scheduler answers."""

_FIRST_WORKER_SECONDS = 10
_LOGGERS = ("distributed", "distributed.client", "tornado.application")


@contextmanager
def connect(address: str) -> Iterator[Client]:
    """Connect to a cluster that has workers; yields a `distributed.Client`.

    The address is that of a scheduler (``tcp://host:8786``), the path of a scheduler file, or `LOCAL`: one worker
    process for each core of this machine, which ends with the `with` block. Raises `RequestError` if there is no such
    scheduler, or it has no workers.
    """
    if not find_spec("distributed"):
        raise RequestError("A cluster needs Dask. Install it: pip install 'napari-ct-pyramid[dask]'")
    with _quiet_logs():
        if address == LOCAL:
            from distributed import Client

            with _start_local() as cluster, Client(cluster, set_as_default=False) as client:
                yield client
            return
        with _connect_to(address) as client:
            try:
                client.wait_for_workers(1, timeout=_FIRST_WORKER_SECONDS)
            except TimeoutError:
                raise _no_workers(client) from None
            yield client


def _connect_to(address: str) -> Client:
    from distributed import Client

    where: dict[str, Any] = {"address": address}
    if Path(address).is_file():
        where = {"scheduler_file": address}
    elif not re.search(r"://|:\d+$", address):
        raise RequestError(
            f"{address!r} is not a Dask scheduler. Give an address such as tcp://host:8786, a scheduler file that "
            f"exists, or {LOCAL} for processes of this machine."
        )
    try:
        return Client(**where, timeout=CONNECT_SECONDS, set_as_default=False)
    except Exception as error:  # addresses and files can be wrong in many ways
        raise RequestError(
            f"No Dask scheduler answers at {address} ({_text(error)}). Check that it is running, and that this "
            "machine can reach it."
        ) from error


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Keep Dask from logging what this package reports itself, such as a lost worker.

    Dask has no way to quiet one client (distributed 2026.8): its loggers are those of the process.
    """
    before = {logger: logger.level for logger in map(logging.getLogger, _LOGGERS)}
    for logger in before:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)


def _start_local() -> LocalCluster:
    """Start worker processes, one for each core. They use the loopback interface only, with certificates."""
    import dask
    from distributed import LocalCluster

    nothing: dict[str, Any] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
    with dask.config.set(nothing), _ignoring_interrupts():
        return LocalCluster(
            n_workers=available_cores(),
            threads_per_worker=1,
            memory_limit=0,  # the conversion keeps to its own budget
            host="127.0.0.1",
            security=True,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # otherwise it takes a fixed port
            silence_logs=logging.CRITICAL,
        )


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Have processes that are started meanwhile ignore Ctrl-C, which is for this process: it ends them in order.

    They inherit the signal mask of the thread that starts them. Dask has no option for this (distributed 2026.8).
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # if it started later, it would unblock the signals (Python 3.13)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Cluster:
    """The workers of a Dask cluster, by address, as far as they were asked what they can do.

    Raises `RequestError` if it has no workers, or some cannot run this package.
    """

    def __init__(self, client: Client) -> None:
        if client.asynchronous:
            raise RequestError(
                "The Dask client is asynchronous. Give one that is not: Client(..., asynchronous=False)."
            )
        self.client = client
        self.workers: dict[str, WorkerInfo] = {}
        self.add(self.addresses())
        if not self.workers:
            raise _no_workers(client)

    @property
    def threads(self) -> int:
        """Threads that every worker has."""
        return min(worker.threads for worker in self.workers.values())

    @property
    def process_memory(self) -> int:
        """Bytes that a worker's process holds without a conversion's buffers, at most."""
        return max(worker.process_memory for worker in self.workers.values())

    def addresses(self) -> set[str]:
        """Of the workers that there are now. Raises `ConversionError` if the scheduler is gone."""
        try:
            return set(self.client.nthreads())
        except OSError as error:
            raise ConversionError("The Dask scheduler does not answer any more") from error

    def name(self, address: str) -> str:
        """The name of a worker in messages, with its host where that is known."""
        worker = self.workers.get(address)
        return f"Worker {address} on {worker.host}" if worker else f"Worker {address}"

    def add(self, addresses: Iterable[str]) -> None:
        """Ask workers what they can do. Raises `RequestError` if this package, or this version, is missing there."""
        for address, answer in self._ask(describe_worker, addresses).items():
            if isinstance(answer, Exception):
                raise RequestError(
                    f"{self.name(address)} cannot run napari-ct-pyramid {__version__} ({_text(answer)})."
                    " Install that version in the environment of all workers."
                ) from answer
            if answer.version != __version__:
                raise RequestError(
                    f"Worker {address} on {answer.host} has napari-ct-pyramid {answer.version}, and here it is "
                    f"{__version__}. Install the same version in the environment of all workers."
                )
            self.workers[address] = answer

    def check_memory(self, plan: Plan) -> None:
        """Raise `RequestError` if Dask does not let every worker have what a plan takes."""
        limits = {address: worker.memory_limit for address, worker in self.workers.items() if worker.memory_limit}
        address = min(limits, key=lambda each: limits[each], default="")
        if address and limits[address] < plan.peak_memory_bytes:
            raise RequestError(
                f"{self.name(address)} is paused by Dask when it holds {format_size(limits[address])}, and this plan "
                f"needs {format_size(plan.peak_memory_bytes)}. Lower the budget (",
                Advice("max_memory"),
                "), or start workers with more memory (their --memory-limit).",
            )

    def check_access(self, job: ClusterJob, lease: Lease, addresses: Iterable[str]) -> None:
        """Raise `RequestError` if a worker cannot read the source of a job, or write to its output."""
        for address, answer in self._ask(check_access, addresses, job, lease).items():
            if isinstance(answer, Exception):
                raise RequestError(
                    f"{self.name(address)} cannot do this: {_text(answer)}. All workers must see source and "
                    "output, by the same path."
                ) from answer

    def end_job(self, job_id: str) -> None:
        """Have all workers end a job, and wait until they have."""
        self._ask(end_job, self.addresses(), job_id)

    def _ask(self, function: Any, addresses: Iterable[str], *args: Any) -> dict[str, Any]:
        """What a function returns on each of some workers, or its error. Workers that are gone are left out."""
        asked = sorted(addresses)
        answers = self.client.run(function, *args, workers=asked, on_error="return") if asked else {}
        return {address: answer for address, answer in answers.items() if not isinstance(answer, OSError)}


def _text(error: Exception) -> str:
    """An error's message as a part of a sentence."""
    text = error.args[1] if isinstance(error, WorkerError) else sentence(error)
    return text.rstrip(".")


def _no_workers(client: Client) -> RequestError:
    return RequestError(
        f"The Dask cluster at {client.scheduler.address} has no workers yet. Wait until it has some, or start some."
    )
