"""Has the workers of a Dask cluster do the parts of a job that only reads, each worker one part at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from napari_ct_pyramid.errors import ConversionError, sentence

from .client import Cluster
from .worker import WorkerError

P = TypeVar("P")
R = TypeVar("R")

_SECONDS = 0.25  # between two looks at the workers
_ANSWER_SECONDS = 10  # to wait for what a worker has made
_LOSSES = 4  # workers lost with the same part: then the part itself may be the cause


def run_parts(cluster: Cluster, function: Callable[[P], R], parts: Sequence[P]) -> Iterator[tuple[int, R] | None]:
    """Do all parts. Where a worker is lost, another does its part.

    Yields
    ------
    (int, result) or None
        The number of a part that is done, and its result, in any order; None every quarter of a second.

    Raises
    ------
    ConversionError
        If a part fails, or the cluster is gone.
    """
    from distributed import KilledWorker

    client = cluster.client
    waiting = deque(enumerate(parts))
    running: dict[Any, tuple[int, P, str]] = {}
    ended: SimpleQueue[Any] = SimpleQueue()
    losses = [0] * len(parts)
    try:
        while waiting or running:
            there = cluster.addresses()
            cluster.add(there - set(cluster.workers))
            busy = {worker for _, _, worker in running.values()}
            for worker in sorted(there - busy):
                if waiting:
                    number, part = waiting.popleft()
                    future = client.submit(_sendable, function, part, workers=[worker], pure=False)
                    running[future] = (number, part, worker)
                    future.add_done_callback(ended.put)
            if not there and not running:
                raise ConversionError("The Dask cluster has no workers any more")
            try:
                ended.get(timeout=_SECONDS)
            except Empty:
                yield None
            for future in [future for future in running if future.done() or running[future][2] not in there]:
                number, part, worker = running.pop(future)
                if done := _result(future):
                    yield number, done[0]
                    continue
                error = future.exception() if future.status == "error" else None
                if error and not isinstance(error, KilledWorker):
                    text = error.args[1] if isinstance(error, WorkerError) else sentence(error)
                    raise ConversionError(f"{cluster.name(worker)}: {text}") from error
                future.cancel()
                losses[number] += 1
                if losses[number] == _LOSSES:
                    raise ConversionError(
                        f"{cluster.name(worker)} was lost, as {_LOSSES - 1} others with the same part"
                    )
                waiting.appendleft((number, part))
    finally:
        client.cancel(list(running))


def _result(future: Any) -> tuple[Any] | None:
    """What a part gave, in a tuple; None where its worker was lost, or is silent, before it could hand that over."""
    if future.status == "finished":
        with suppress(OSError, TimeoutError):
            return (future.result(timeout=_ANSWER_SECONDS),)
    return None


def _sendable(function: Callable[[P], R], part: P) -> R:
    """Do a part. Not every error can be sent to another process, but its sentence can."""
    try:
        return function(part)
    except Exception as error:  # noqa: BLE001  every error is passed on
        text = sentence(error)
    raise WorkerError("", text, None)  # outside of the handler, so that it has no context to be pickled
