"""Connects to a Dask cluster, or starts one on this machine.

It changes two things for the whole process, and restores both: the levels of Dask's logs (a lost worker is reported by
this package itself) and the signal mask (`_ignoring_interrupts`).
"""

from __future__ import annotations

import logging
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ct_pyramid.errors import RequestError, sentence
from napari_ct_pyramid.options import available_cores

if TYPE_CHECKING:
    from distributed import Client as Client  # noqa: PLC0414  other modules import it from here


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
    scheduler.
    """
    if not find_spec("distributed"):
        raise RequestError("A cluster needs Dask. Install it: pip install 'napari-ct-pyramid[dask]'")
    from distributed.utils import silence_logging_cmgr

    with ExitStack() as stack:
        for logger in _LOGGERS:
            stack.enter_context(silence_logging_cmgr(logging.CRITICAL, logger))
        client = stack.enter_context(_local_client(stack) if address == LOCAL else _connect_to(address))
        with suppress(TimeoutError):  # `Cluster` raises the error
            client.wait_for_workers(1, timeout=_FIRST_WORKER_SECONDS)
        yield client


def _connect_to(address: str) -> Client:
    from distributed import Client

    is_file = Path(address).is_file()
    if not is_file and not re.search(r"://|:\d+$", address):
        raise RequestError(
            f"{address!r} is not a Dask scheduler. Give an address such as tcp://host:8786, a scheduler file that "
            f"exists, or {LOCAL} for processes of this machine."
        )
    try:
        where = {"scheduler_file" if is_file else "address": address}
        return Client(**where, timeout=CONNECT_SECONDS, set_as_default=False)
    except Exception as error:  # addresses and files can be wrong in many ways
        raise RequestError(
            f"No Dask scheduler answers at {address} ({sentence(error).rstrip('.')}). Check that it is running, and "
            "that this machine can reach it."
        ) from error


def _local_client(stack: ExitStack) -> Client:
    """Start worker processes, one for each core. They use the loopback interface only, with certificates."""
    import dask
    from distributed import Client, LocalCluster

    nothing: dict[str, Any] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
    with dask.config.set(nothing), _ignoring_interrupts():
        cluster = LocalCluster(
            n_workers=available_cores(),
            threads_per_worker=1,
            memory_limit=0,  # the conversion keeps to its own budget
            host="127.0.0.1",
            security=True,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # otherwise it takes a fixed port
            silence_logs=logging.CRITICAL,
        )
    return Client(stack.enter_context(cluster), set_as_default=False)


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Have processes that are started meanwhile ignore Ctrl-C, which is for this process: it ends them in order.

    They inherit the signal mask of the thread that starts them. Dask has no option for this (distributed 2026.8).
    """
    with ExitStack() as stack:
        if hasattr(signal, "pthread_sigmask"):
            resource_tracker.ensure_running()  # if it started later, it would unblock the signals (Python 3.13)
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
        yield
