"""Does small tasks in several threads, as many as the memory budget allows."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from napari_ct_pyramid.conversion.progress import PROGRESS_SECONDS
from napari_ct_pyramid.errors import Advice, BudgetError
from napari_ct_pyramid.model.formatting import format_size
from napari_ct_pyramid.model.memory import process_memory
from napari_ct_pyramid.options import ConversionOptions, available_cores

Task = Callable[[], None]


def threads_within(limits: ConversionOptions, bytes_of_task: int, kept: int = 0, instead: str = "") -> int:
    """How many tasks may run at a time.

    Parameters
    ----------
    limits : ConversionOptions
        With the memory budget and the number of threads.
    bytes_of_task : int
        The most memory that a task takes.
    kept : int
        Bytes that stay in memory meanwhile.
    instead : str
        What to do if the budget cannot be larger.

    Raises
    ------
    BudgetError
        If the memory budget does not allow a single one.
    """
    assert isinstance(limits.max_memory, int)
    process = process_memory()
    free = limits.max_memory - process - kept
    if bytes_of_task > free:
        smallest = process + kept + bytes_of_task
        raise BudgetError(
            f"To read the chunks takes {format_size(smallest)} of memory, which is more than the budget. Give more (",
            Advice("max_memory", smallest), f"){instead}.",
            smallest=smallest, process=process,
        )  # fmt: skip
    return max(1, min(limits.threads or available_cores(), free // max(bytes_of_task, 1)))


def spread(tasks: Iterator[Task], threads: int, name: str = "ct-pyramid-audit") -> Generator[None, None, None]:
    """Do tasks in several threads, and yield at least every `PROGRESS_SECONDS`. Closing it stops after those begun."""
    pending: set[Future[None]] = set()
    shown = time.monotonic()
    with ThreadPoolExecutor(threads, name) as pool:
        try:
            more = True
            while pending or more:
                while more and len(pending) < 2 * threads:
                    task = next(tasks, None)
                    more = task is not None
                    if task is not None:
                        pending.add(pool.submit(task))
                done, pending = wait(pending, PROGRESS_SECONDS / 2, FIRST_COMPLETED)
                for one in done:
                    one.result()
                if time.monotonic() - shown >= PROGRESS_SECONDS / 2:
                    shown = time.monotonic()
                    yield
        finally:
            for one in pending:
                one.cancel()
