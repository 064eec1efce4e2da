"""Opens the file system of fsspec for an object store: its settings and time limits.

fsspec (https://filesystem-spec.readthedocs.io) finds credentials in the same places as other programs.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from threading import Thread
from typing import Any

from napari_ct_pyramid.errors import RequestError

PART_BYTES = 8 * 2**20
"""A large object is sent in parts of this size. S3 takes at most 10,000 parts, each of at least 5 MiB."""

ANSWER_SECONDS = 100
"""The longest wait for an answer of a store, without the time for sending or receiving the data."""

SLOWEST_BYTES_PER_SECOND = 100_000
"""A transfer that is slower than this fails."""

_EXTRAS = {"s3": "s3", "s3a": "s3", "http": "http", "https": "http"}  # extras of this package, by scheme
# fsspec and the library below it both retry. With these numbers, a store that does not answer fails in about 2 minutes.
_TRIES = 2
_SETTINGS: dict[str, dict[str, Any]] = {
    "s3": {
        "max_concurrency": 1,
        "config_kwargs": {"retries": {"mode": "standard", "total_max_attempts": 3}, "connect_timeout": 5},
    }
}
_SETTINGS["s3a"] = _SETTINGS["s3"]


def time_limit(size: int) -> float:
    """The seconds after which a request that sends or receives `size` bytes fails."""
    return ANSWER_SECONDS + size / SLOWEST_BYTES_PER_SECOND


def run_in_time(work: Callable[[], object], size: int) -> None:
    """Call a function that sends `size` bytes.

    Raises
    ------
    TimeoutError
        If it takes longer than `time_limit`. The call then continues in a thread of its own.
    """
    done: Future[None] = Future()

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  raised again in the thread that waits
            done.set_exception(error)
        else:
            done.set_result(None)

    Thread(target=run, daemon=True, name="ct-pyramid-send").start()
    done.result(time_limit(size))


@cache
def file_system(scheme: str) -> Any:
    """The file system of fsspec for a scheme, such as ``s3``.

    Raises
    ------
    RequestError
        If fsspec does not know the scheme, or a package is missing.
    """
    try:
        import fsspec
        from fsspec.asyn import get_loop

        # fsspec runs all requests of the process in one event loop. When a connection breaks, the request that waits
        # for it raises, and the loop also logs "Future exception was never retrieved" with a traceback for the rest.
        # Seen in fsspec 2026.9, which has no setting to prevent that. Only fsspec uses this loop.
        get_loop().set_exception_handler(lambda *_: None)
        found = fsspec.filesystem(scheme, **_settings(scheme))
        if scheme in _SETTINGS:
            found.retries = _TRIES
        return found
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        how = f"pip install 'napari-ct-pyramid[{extra}]'" if extra else f"{str(error).splitlines()[0].rstrip('.')}"
        raise RequestError(f"A package for {scheme}:// is not installed: {how}.") from error
    except ValueError as error:
        raise RequestError(f"{scheme}:// is not a known kind of object store. Try s3://, gs:// or az://.") from error


def key_of(url: str) -> str:
    """The name of a URL in its file system: ``bucket/scan.ome.zarr`` for ``s3://bucket/scan.ome.zarr``."""
    file_system(url.partition("://")[0])  # raises a RequestError if a package is missing
    from fsspec.core import strip_protocol

    key: str = strip_protocol(url)
    return key


def _settings(scheme: str) -> dict[str, Any]:
    """The settings of this package, unless the user's configuration of fsspec has its own. Listings are not cached."""
    from fsspec.config import conf

    users = conf.get(scheme, {})
    ours = {key: value for key, value in _SETTINGS.get(scheme, {}).items() if key not in users}
    return {**ours, "use_listings_cache": False}
