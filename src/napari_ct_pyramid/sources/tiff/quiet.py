"""Keeps what tifffile logs from the user."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress what tifffile logs in this thread: this package checks such damage itself, or it does not matter.

    tifffile (seen in 2026.3.3) logs damage that it tolerates, and has no setting against it. The whole process shares
    its logger, so a filter drops only the records of this thread.
    """
    thread = threading.get_ident()
    logger = logging.getLogger("tifffile")

    def from_others(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger.addFilter(from_others)
    try:
        yield
    finally:
        logger.removeFilter(from_others)
