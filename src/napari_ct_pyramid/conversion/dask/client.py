"""A Dask cluster: finds one, or starts one on this machine, and finds out whether its workers can do the work."""

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

from .worker import ClusterJob, WorkerError, WorkerInfo, check_access, describe_worker, end_job

if TYPE_CHECKING:
    from distributed import Client as Client  # noqa: PLC0414  others have it from here
    from distributed import LocalCluster


LOCAL = "local"
"""For a scheduler's address: processes of this machine."""

_CONNECT_SECONDS = 5
_FIRST_WORKER_SECONDS = 10


@contextmanager
def connect(address: str) -> Iterator[Client]:
    """A client of a cluster, which has workers.

    Parameters
    ----------
    address : str
        Of its scheduler (``tcp://host:8786``), or the path of a scheduler file, or `LOCAL`: one process for each core
        of this machine, for as long as the client is there.

    Raises
    ------
    RequestError
        If there is no such scheduler, or it has no workers.
    """
    if not find_spec("distributed"):
        raise RequestError("A cluster takes Dask. To get it: pip install 'napari-ct-pyramid[dask]'")
    from distributed import Client

    for name in ("distributed", "distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what is to be said is said here
    if address == LOCAL:
        with _start_local() as cluster, Client(cluster, set_as_default=False) as client:
            yield client
        return
    where: dict[str, Any] = {"address": address}
    if Path(address).is_file():
        where = {"scheduler_file": address}
    elif not re.search(r"://|:\d+$", address):
        raise RequestError(
            f"{address!r} is no Dask scheduler: it takes an address such as tcp://host:8786, a scheduler file that is "
            f"there, or {LOCAL} for processes of this machine."
        )
    try:
        client = Client(**where, timeout=_CONNECT_SECONDS, set_as_default=False)
    except Exception as error:  # addresses and files can be wrong in many ways
        raise RequestError(
            f"There is no Dask scheduler to be reached at {address} ({_said(error)}). Look whether it "
            "is running, and reachable from here."
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_FIRST_WORKER_SECONDS)
        except TimeoutError:
            raise _no_workers(client) from None
        yield client


def _start_local() -> LocalCluster:
    """Worker processes, one for each core; they talk by way of loopback only, and understand nobody else."""
    import dask
    from distributed import LocalCluster

    nothing: dict[str, Any] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
    with dask.config.set(nothing), _deaf_to_interrupts():
        return LocalCluster(
            n_workers=available_cores(),
            threads_per_worker=1,
            memory_limit=0,  # the budget is ours to keep
            host="127.0.0.1",
            security=True,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # or it takes a port that others may have
            silence_logs=logging.CRITICAL,
        )


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Ctrl-C is for this process alone, which ends those that it starts; they have this from the thread that does."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # when it is begun later, it undoes this
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Cluster:
    """The workers of a Dask cluster, which have been asked what they can do.

    Parameters
    ----------
    client : distributed.Client

    Attributes
    ----------
    client : distributed.Client
    workers : dict of str to WorkerInfo
        All that were met so far, by address.

    Raises
    ------
    RequestError
        If it has no workers, or some cannot do the work.
    """

    def __init__(self, client: Client) -> None:
        if client.asynchronous:
            raise RequestError("The Dask client is asynchronous. Give one that is not: Client(...) without that.")
        self.client = client
        self.workers: dict[str, WorkerInfo] = {}
        self.meet(self.addresses())
        if not self.workers:
            raise _no_workers(client)

    @property
    def threads(self) -> int:
        """That every worker has."""
        return min(worker.threads for worker in self.workers.values())

    @property
    def process_memory(self) -> int:
        """What any worker's process will hold without a conversion's buffers, at most; in bytes."""
        return max(worker.process_memory for worker in self.workers.values())

    def addresses(self) -> set[str]:
        """Of the workers that there are now.

        Raises
        ------
        ConversionError
            If the scheduler is gone.
        """
        try:
            return set(self.client.nthreads())
        except OSError as error:
            raise ConversionError("The Dask scheduler cannot be reached any more") from error

    def name(self, address: str) -> str:
        """What to call a worker."""
        met = self.workers.get(address)
        return f"Worker {address} on {met.host}" if met else f"Worker {address}"

    def meet(self, addresses: Iterable[str]) -> None:
        """Ask workers what they can do.

        Raises
        ------
        RequestError
            If one cannot do anything: this package is missing there, or is another version.
        """
        for address, answer in self._ask(describe_worker, addresses).items():
            if isinstance(answer, Exception):
                raise RequestError(
                    f"{self.name(address)} cannot run napari-ct-pyramid {__version__} ({_said(answer)})."
                    " Install just that version in the environment of all workers."
                ) from answer
            if answer.version != __version__:
                raise RequestError(
                    f"Worker {address} on {answer.host} has napari-ct-pyramid {answer.version}, and here it is "
                    f"{__version__}. Install the same version in the environment of all workers."
                )
            self.workers[address] = answer

    def check_memory(self, plan: Plan) -> None:
        """Make sure that Dask lets every worker have what a plan takes.

        Raises
        ------
        RequestError
            If it does not.
        """
        limits = {address: worker.memory_limit for address, worker in self.workers.items() if worker.memory_limit}
        address = min(limits, key=lambda each: limits[each], default="")
        if address and limits[address] < plan.peak_memory_bytes:
            raise RequestError(
                f"{self.name(address)} is paused by Dask when it holds {format_size(limits[address])}, and this plan "
                f"takes {format_size(plan.peak_memory_bytes)}. Lower the budget (",
                Advice("max_memory"),
                "), or start workers with more memory (their --memory-limit).",
            )

    def check_access(self, job: ClusterJob, addresses: Iterable[str]) -> None:
        """Make sure that workers see what a job is about.

        Raises
        ------
        RequestError
            If one does not.
        """
        for address, answer in self._ask(check_access, addresses, job).items():
            if isinstance(answer, Exception):
                raise RequestError(
                    f"{self.name(address)} cannot do this: {_said(answer)}. Source and output must lie "
                    "where all workers see them, by the same path."
                ) from answer

    def end_job(self, job_id: str) -> None:
        """Wait until no worker does anything for a job any more."""
        self._ask(end_job, self.addresses(), job_id)

    def _ask(self, function: Any, addresses: Iterable[str], *args: Any) -> dict[str, Any]:
        """What each of some workers answers, or the error; nothing from those that are gone."""
        asked = sorted(addresses)
        answers = self.client.run(function, *args, workers=asked, on_error="return") if asked else {}
        return {address: answer for address, answer in answers.items() if not isinstance(answer, OSError)}


def _said(error: Exception) -> str:
    """What it says, to be a part of a sentence."""
    said = str(error) if isinstance(error, WorkerError) else sentence(error)
    return said.rstrip(".")


def _no_workers(client: Client) -> RequestError:
    return RequestError(
        f"The Dask cluster at {client.scheduler.address} has no workers yet. Wait until it has, or start some."
    )
