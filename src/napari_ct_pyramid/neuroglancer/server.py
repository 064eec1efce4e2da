"""Lends folders to a browser on this machine: read-only, on loopback only, under a path that nobody can guess.

It knows nothing of volumes or viewers. Other people's web pages cannot read from it: they do not know the path, and no
other origin is ever allowed.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import PurePosixPath
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType
from typing import Any, BinaryIO, Self
from urllib.parse import unquote

from napari_ct_pyramid.storage.object_store import RemoteFile, RemotePath
from napari_ct_pyramid.storage.paths import AnyPath

LOOPBACK = "127.0.0.1"

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".wasm": "application/wasm"}
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_SIGN_OF_LIFE = 15.0  # seconds


class FolderServer:
    """A server of folders, until `stop` or, as a context manager, until the end of the block.

    Parameters
    ----------
    folders : mapping of str to path
        What lies under which path: with ``{"a": folder}``, ``{url}a/b`` is the file ``folder/b``. Nothing else is
        served: neither a list of what is in a folder, nor what a link in it leads to outside.
    silent : str, optional
        A path with an event stream on which nothing ever happens.

    Attributes
    ----------
    url : str
        Ends with a slash.
    front : str or None
        Where `url` itself leads to.
    """

    def __init__(self, folders: Mapping[str, AnyPath], silent: str | None = None) -> None:
        self.folders = {f"{name}/": folder.resolve() for name, folder in folders.items()}
        self.silent = silent
        self.front: str | None = None
        self.secret = secrets.token_urlsafe(32)
        self.stopping = threading.Event()
        self._server = _Server(self)
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}/{self.secret}/"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True, name="ct-pyramid-server").start()

    def stop(self) -> None:
        """Answer no request any more, and close the port."""
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
            If there is none, or none that is to be had here.
        OSError
            If it cannot be read.
        """
        for prefix, folder in self.folders.items():
            parts = path.removeprefix(prefix).split("/")
            if not path.startswith(prefix) or any(part in ("", ".", "..") or {*part} & {*"\\:\0"} for part in parts):
                continue
            if isinstance(folder, RemotePath):
                object_ = folder.joinpath(*parts).open()
                object_.seek(0, os.SEEK_END)  # to learn that it is there, and its size
                return object_
            try:
                file = folder.joinpath(*parts).resolve(strict=True)
            except RuntimeError:  # links that lead in a circle, before Python 3.13
                continue
            if file.is_relative_to(folder) and file.is_file():
                return file.open("rb")
        raise FileNotFoundError(path)


class _Server(ThreadingMixIn, TCPServer):
    """Not an HTTPServer, as that one asks for the name of the machine, which may take seconds."""

    daemon_threads = True

    def __init__(self, owner: FolderServer) -> None:
        self.owner = owner
        super().__init__((LOOPBACK, 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: browsers hang up on what they do not need any more."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "ct-pyramid"
    sys_version = ""
    disable_nagle_algorithm = True  # or the body of an answer may wait for a word on its head
    server: _Server

    def do_GET(self) -> None:
        owner = self.server.owner
        if owner.stopping.is_set():
            self.close_connection = True
            return
        secret, _, path = self.path.partition("?")[0].removeprefix("/").partition("/")
        if not secrets.compare_digest(secret.encode(), owner.secret.encode()):
            self._answer(HTTPStatus.NOT_FOUND)
        elif not path and owner.front:
            self._answer(HTTPStatus.FOUND, Location=owner.front)
        elif path == owner.silent:
            self._stay_silent()
        else:
            self._give(unquote(path))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.close_connection = True  # what came with the request is left unread
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, Allow="GET, HEAD")

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST  # noqa: N815

    def _give(self, path: str) -> None:
        try:
            file = self.server.owner.open(path)
        except (FileNotFoundError, NotADirectoryError):
            self._answer(HTTPStatus.NOT_FOUND)
            return
        except OSError:  # which is not the same: a chunk that is not found counts as empty
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        with file:
            size = file.seek(0, os.SEEK_END)
            part = _asked_for(self.headers.get("Range", ""), size)
            if part is not None and not part:
                self._answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, **{"Content-Range": f"bytes */{size}"})
                return
            self.send_response(HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT)
            if part is None:
                part = range(size)
            else:
                self.send_header("Content-Range", f"bytes {part.start}-{part.stop - 1}/{size}")
            self.send_header("Accept-Ranges", "bytes")
            self._end_head(len(part), _TYPES.get(PurePosixPath(path).suffix, "application/octet-stream"))
            if self.command == "GET" and part:
                if isinstance(file, RemoteFile):
                    file.seek(part.start)
                    sent = self.wfile.write(file.read(len(part)))
                else:
                    sent = self.connection.sendfile(file, part.start, len(part))
                self.close_connection |= sent < len(part)  # it was cut short meanwhile: let the browser know

    def _stay_silent(self) -> None:
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        self._end_head(None, "text/event-stream")
        while self.command == "GET" and not self.server.owner.stopping.wait(_SIGN_OF_LIFE):
            self.wfile.write(b":\n\n")  # fails once nobody listens

    def _answer(self, status: HTTPStatus, **headers: str) -> None:
        """Answer without a body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self._end_head(0)

    def _end_head(self, length: int | None, kind: str | None = None) -> None:
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
        """Nothing: the terminal is for people."""


def _asked_for(header: str, size: int) -> range | None:
    """The bytes that a Range header asks for; an empty range if there are none, None if it asks for all.

    As the standard allows, what is no single range of bytes counts as no header.
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
