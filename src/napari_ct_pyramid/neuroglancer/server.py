"""A web server of folders for a browser on this machine: read-only, on loopback, under a path nobody can guess.

It knows nothing of volumes or viewers. Web pages of other origins cannot read from it: they do not know the path, and
the server allows no other origin.

Ours, and not tornado's `StaticFileHandler`, which answers all requests in one thread: with six connections, it took
5.0 ms for each small file (0.9 ms here), 3.0 ms of processor time for a chunk of 2 MB (1.1 here), and 60 ms for each
file of a storage that answers after 50 ms, such as an object store (11 here). It has no bound on connections, and no
time limit for a client that does not read its answer. (Tornado 6.6.1, medians of three runs in turns, busy machine.)
"""

from __future__ import annotations

import os
import re
import secrets
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BufferedReader, BytesIO
from pathlib import PurePosixPath
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType
from typing import Any, BinaryIO, Self
from urllib.parse import unquote

from napari_ct_pyramid.storage.paths import AnyPath
from napari_ct_pyramid.storage.remote_path import RemoteFile, RemotePath

LOOPBACK = "127.0.0.1"

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".wasm": "application/wasm"}
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_KEEP_ALIVE_SECONDS = 15.0
_IDLE_SECONDS = 60.0  # after which a connection without a request, or one that does not read its answer, is closed
_MOST_CONNECTIONS = 100  # a browser opens 6, and a few more for each further page


class FolderServer:
    """A server of folders, which runs until `stop` or the end of the ``with`` block.

    Parameters
    ----------
    folders : mapping of str to path
        The folder under each path: with ``{"a": folder}``, ``{url}a/b`` is the file ``folder/b``. It serves nothing
        else: it does not list folders, and does not follow links out of a folder.
    event_stream : str, optional
        A path at which a client can listen for events; none is ever sent.

    Attributes
    ----------
    url : str
        Ends with a slash.
    documents : dict
        What is sent in place of files, by their paths within `url`.
    redirect : str or None
        The address to which `url` itself redirects.
    """

    def __init__(self, folders: Mapping[str, AnyPath], event_stream: str | None = None) -> None:
        self.folders = {f"{name}/": folder.resolve() for name, folder in folders.items()}
        self.event_stream = event_stream
        self.documents: dict[str, bytes] = {}
        self.redirect: str | None = None
        self.secret = secrets.token_urlsafe(32)
        self.stopping = threading.Event()
        self._server = _Server(self)
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}/{self.secret}/"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True, name="ct-pyramid-server").start()

    def stop(self) -> None:
        """Answer no more requests, and close the port."""
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def open(self, path: str) -> BinaryIO | RemoteFile:
        """Open the file at a path within `url`.

        Raises
        ------
        FileNotFoundError
            If there is no such file in the folders that are served.
        OSError
            If it cannot be read.
        """
        if path in self.documents:
            return BytesIO(self.documents[path])
        for prefix, folder in self.folders.items():
            parts = path.removeprefix(prefix).split("/")
            if not path.startswith(prefix) or any(part in ("", ".", "..") or {*part} & {*"\\:\0"} for part in parts):
                continue
            if isinstance(folder, RemotePath):
                object_ = folder.joinpath(*parts).open()
                object_.seek(0, os.SEEK_END)  # fails if there is none
                return object_
            try:
                file = folder.joinpath(*parts).resolve(strict=True)
            except RuntimeError:  # links that form a circle, before Python 3.13
                continue
            if file.is_relative_to(folder) and file.is_file():
                return file.open("rb")
        raise FileNotFoundError(path)


class _Server(ThreadingMixIn, TCPServer):
    """Not an HTTPServer, because that looks up the name of the machine, which may take seconds."""

    daemon_threads = True

    def __init__(self, owner: FolderServer) -> None:
        self.owner = owner
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        super().__init__((LOOPBACK, 0), RequestHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, or close it if there are too many."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer the requests of a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore it: browsers close connections that they no longer need."""


class RequestHandler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    server_version = "ct-pyramid"
    sys_version = ""
    disable_nagle_algorithm = True  # otherwise the body may wait until the client confirms the headers
    server: _Server

    def do_GET(self) -> None:
        owner = self.server.owner
        if owner.stopping.is_set():
            self.close_connection = True
            return
        secret, _, path = self.path.partition("?")[0].removeprefix("/").partition("/")
        if not secrets.compare_digest(secret.encode(), owner.secret.encode()):
            self._answer(HTTPStatus.NOT_FOUND)
        elif not path and owner.redirect:
            self._answer(HTTPStatus.FOUND, Location=owner.redirect)
        elif path == owner.event_stream:
            self._keep_event_stream_open()
        else:
            self._send_file(unquote(path))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.close_connection = True  # the body of the request is not read
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, Allow="GET, HEAD")

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST  # noqa: N815

    def _send_file(self, path: str) -> None:
        try:
            file = self.server.owner.open(path)
        except (FileNotFoundError, NotADirectoryError):
            self._answer(HTTPStatus.NOT_FOUND)
            return
        except OSError:  # not 404: for the client, a missing chunk is an empty one
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        with file:
            size = file.seek(0, os.SEEK_END)
            part = _requested_range(self.headers.get("Range", ""), size)
            if part is not None and not part:
                self._answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, **{"Content-Range": f"bytes */{size}"})
                return
            self.send_response(HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT)
            if part is None:
                part = range(size)
            else:
                self.send_header("Content-Range", f"bytes {part.start}-{part.stop - 1}/{size}")
            self.send_header("Accept-Ranges", "bytes")
            self._end_headers(len(part), _TYPES.get(PurePosixPath(path).suffix, "application/octet-stream"))
            if self.command == "GET" and part:
                if isinstance(file, BufferedReader):
                    sent = self.connection.sendfile(file, part.start, len(part))
                else:
                    file.seek(part.start)
                    sent = self.wfile.write(file.read(len(part)))
                # If the file has become shorter, closing the connection shows the browser that bytes are missing.
                self.close_connection |= sent < len(part)

    def _keep_event_stream_open(self) -> None:
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        self._end_headers(None, "text/event-stream")
        while self.command == "GET" and not self.server.owner.stopping.wait(_KEEP_ALIVE_SECONDS):
            self.wfile.write(b":\n\n")  # fails when the client has gone

    def _answer(self, status: HTTPStatus, **headers: str) -> None:
        """Answer without a body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self._end_headers(0)

    def _end_headers(self, length: int | None, kind: str | None = None) -> None:
        if length is not None:
            self.send_header("Content-Length", str(length))
        if kind is not None:
            self.send_header("Content-Type", kind)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Cache-Control", "no-store")  # a volume may be larger than the browser's disk
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Write no log: the terminal is for the user."""


def _requested_range(header: str, size: int) -> range | None:
    """The bytes that a Range header asks for: an empty range if the file has none of them, None for the whole file.

    As the standard allows, a header that is not a single range of bytes is ignored.
    """
    found = _RANGE.fullmatch(header.strip())
    if not found or found[0] == "bytes=-":
        return None
    first, last = found.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1) if last else size)
