"""Opens object stores and web servers with obstore: addresses, credentials, time limits, and errors in plain words.

obstore (https://developmentseed.org/obstore) retries, pools connections and sends large objects in parts. It is faster
than fsspec with s3fs, and imported at once: see benchmarks/README.md.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from functools import cache
from threading import Thread, current_thread, main_thread
from typing import Any, TypeVar
from urllib.parse import urlsplit

from napari_ct_pyramid.errors import RequestError

T = TypeVar("T")

PART_BYTES = 8 * 2**20
"""A large object is sent in parts of this size. S3 takes at most 10,000 parts, each of at least 5 MiB."""

ANSWER_SECONDS = 100
"""The longest wait for an answer of a store, or for more of one. The time for sending a part is included."""

_RETRIES = 5  # after 503 and 500, and connections that break or cannot be made: with pauses, about 3 seconds in all
_RETRY_SHARE = 0.6  # of ANSWER_SECONDS, in which requests are tried again: a silent store is not waited for twice

WEB = ("http", "https")
_S3 = ("s3", "s3a")
_GOOGLE = ("gs", "gcs")
_AZURE = ("az", "azure", "abfs", "abfss", "adl")
WITH_BUCKETS = (*_S3, *_GOOGLE, *_AZURE)
"""The schemes of the stores whose buckets must exist before an output can be made."""


@cache
def open_store(scheme: str, bucket: str) -> Any:
    """The store of obstore for a bucket, for a web server, or in memory.

    Raises
    ------
    RequestError
        If the scheme is not known, or obstore is not installed.
    """
    if scheme not in (*WEB, *WITH_BUCKETS, "memory"):
        raise RequestError(f"{scheme}:// is not a known kind of object store. Try s3://, gs:// or az://.")
    try:
        from obstore import store as stores

        if scheme == "memory":
            return stores.MemoryStore()
        how: dict[str, Any] = {
            "client_options": {"allow_http": True, "timeout": "1d", "read_timeout": f"{ANSWER_SECONDS}s"},
            "retry_config": {
                "max_retries": _RETRIES,
                "retry_timeout": timedelta(seconds=_RETRY_SHARE * ANSWER_SECONDS),
            },
        }
        if scheme in _S3:
            from .aws import aws_settings, certificates

            how["client_options"] |= certificates()
            return stores.S3Store(bucket, **how, **aws_settings(bucket))
    except ImportError as error:
        raise RequestError(
            f"A package for {scheme}:// is not installed: pip install 'napari-ct-pyramid[cloud]'."
        ) from error
    if scheme in _GOOGLE:
        return stores.GCSStore(bucket, **how)
    if scheme in _AZURE and "@" not in bucket:
        return stores.AzureStore(bucket, **how)
    url: Any = f"{scheme}://{bucket}"
    return stores.HTTPStore(url, **how) if scheme in WEB else stores.AzureStore.from_url(url, **how)


def wait_for(work: Callable[[], T]) -> T:
    """Call a function of obstore, which returns only when the store has answered. Ctrl-C ends the wait."""
    if current_thread() is not main_thread():
        return work()
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001  raised again in the main thread
            done.set_exception(error)

    Thread(target=run, daemon=True, name="ct-pyramid-request").start()
    return done.result()


def as_os_error(error: Exception, url: str) -> OSError:
    """An error of obstore as an `OSError` with a short reason."""
    text, _, details = str(error).partition("\n\nDebug source:")
    if isinstance(error, FileNotFoundError) or "404 Not Found" in text:
        return FileNotFoundError(errno.ENOENT, _message(text) or "there is no such object", url)
    kind = type(error).__name__
    if kind == "AlreadyExistsError":
        return FileExistsError(errno.EEXIST, "there is such an object already", url)
    if kind in ("PermissionDeniedError", "UnauthenticatedError") or "403 Forbidden" in text:
        return PermissionError(errno.EACCES, _message(text) or "permission denied", url)
    return OSError(errno.EIO, _reason(text, details), url)


def _reason(text: str, details: str) -> str:
    if said := _message(text):
        return said
    if status := re.search(r"status code: (\d+ [\w ]+)", text):
        return f"the store answers {status[1].strip()}"
    if "configured region" in text:
        return "the bucket is in another region than AWS_DEFAULT_REGION or ~/.aws/config states"
    if "Account must be specified" in text:
        return "AZURE_STORAGE_ACCOUNT_NAME is not set"
    if "kind: Timeout" in details or "TimedOut" in details:
        return "no answer came in time"
    if "kind: Connect" in details:
        asked = re.search(r"performing \w+ (\S+)", text)
        return f"no connection to {urlsplit(asked[1]).netloc}" if asked else "no connection"
    if "HTTP error" in text:
        return "the connection broke"
    lines = re.sub(r"^Generic \w+ error: ", "", text).splitlines()
    return lines[0].rstrip(".") if lines else "unknown error"


def _message(text: str) -> str:
    """What S3, Google or Azure say in their answer."""
    found = re.search(r"<Message>([^<]+)", text)
    return found[1].strip().splitlines()[0].rstrip(".") if found else ""
