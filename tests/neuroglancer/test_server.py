"""The server for Neuroglancer: only for this machine, only these folders, read-only."""

from __future__ import annotations

import http.client
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from napari_ct_pyramid.neuroglancer.server import FolderServer, RequestHandler

DIGITS = b"0123456789"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to serve, next to files that must not be served."""
    folder = tmp_path / "scan.zarr"
    (folder / "0" / "1").mkdir(parents=True)
    (folder / "0" / "1" / "2").write_bytes(DIGITS)
    (folder / ".zattrs").write_text("{}")
    (folder / "empty").touch()
    (folder / "index.html").write_text("hello")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "scan.zarr-not").mkdir()
    (tmp_path / "scan.zarr-not" / "secret").write_text("secret")
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[FolderServer]:
    with FolderServer({"volume/0": folder}) as server:
        yield server


def request(
    server: FolderServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Request a path below the server's address: status, body and headers of the answer."""
    return request_path(server, urlsplit(server.url).path + path, method, **headers)


def request_path(
    server: FolderServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """The same for any path, which is sent as it is."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def test_files_are_served(server: FolderServer) -> None:
    status, body, headers = request(server, "volume/0/0/1/2")
    assert (status, body) == (200, DIGITS)
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Cache-Control"] == "no-store"
    assert request(server, "volume/0/.zattrs?some=thing")[:2] == (200, b"{}")
    assert request(server, "volume/0/%2Ezattrs")[:2] == (200, b"{}")
    assert request(server, "volume/0/empty")[:2] == (200, b"")
    assert request(server, "volume/0/index.html")[2]["Content-Type"] == "text/html"


@pytest.mark.parametrize(
    ("requested", "status", "body", "content_range"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-30", 206, DIGITS, "bytes 0-9/10"),
        ("bytes=8-30", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=-0", 416, b"", "bytes */10"),
        ("bytes=5-4", 200, DIGITS, None),
        ("bytes=-", 200, DIGITS, None),
        ("bytes=1-2,4-5", 200, DIGITS, None),
        ("lines=1-2", 200, DIGITS, None),
        (f"bytes={'9' * 5000}-", 200, DIGITS, None),
    ],
)
def test_ranges(server: FolderServer, requested: str, status: int, body: bytes, content_range: str | None) -> None:
    answer = request(server, "volume/0/0/1/2", Range=requested)
    assert answer[:2] == (status, body)
    assert answer[2]["Content-Range"] == content_range


def test_head_requests(server: FolderServer) -> None:
    status, body, headers = request(server, "volume/0/0/1/2", "HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", "10")


def test_many_requests_over_one_connection(server: FolderServer) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    for path, expected in [("0/1/2", DIGITS), ("nothing", b""), ("0/1/2", DIGITS)]:
        connection.request("GET", f"{urlsplit(server.url).path}volume/0/{path}")
        answer = connection.getresponse()
        assert not answer.will_close
        assert answer.read() == expected
    connection.close()


def test_it_listens_on_loopback_only(server: FolderServer) -> None:
    port = urlsplit(server.url).port
    listening = [c.laddr.ip for c in psutil.Process().net_connections("tcp") if c.laddr.port == port and not c.raddr]
    assert listening == ["127.0.0.1"]
    if sys.platform == "linux":  # where all of 127.0.0.0/8 is this machine
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=30)


def test_its_path_cannot_be_guessed(server: FolderServer, folder: Path) -> None:
    secret = urlsplit(server.url).path.strip("/")
    assert re.fullmatch(r"[\w-]{43}", secret)  # 256 bits
    with FolderServer({"volume/0": folder}) as another:
        assert secret not in another.url
    for wrong in ("", "x", secret[:-1], secret + "x", secret.swapcase(), "%00", f"{secret}%2f"):
        path = "/" + f"{wrong}/volume/0/.zattrs".lstrip("/")
        assert request_path(server, path)[:2] == (404, b"")
    assert request_path(server, f"http://elsewhere/{secret}/volume/0/.zattrs")[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "volume/0/../secret",
        "volume/0/../../secret",
        "volume/0/%2e%2e/secret",
        "volume/0/..%2fsecret",
        "volume/0/0/../../secret",
        "volume/0/../scan.zarr-not/secret",
        "volume/0/..\\secret",
        "volume/0-not/secret",
        "volume/../secret",
        "../secret",
        "volume/0//etc/passwd",
        "volume/0//0/1/2",
        "volume/0/./.zattrs",
        "volume/0/C:/secret",
        "volume/0/.zattrs%00",
        "volume/0/.zattrs/",
        "volume/0/.zattrs/x",
        "volume/0/0",
        "volume/0/0/",
        "volume/0/",
        "volume/0",
        "volume/1/.zattrs",
        "volume/",
        "",
        "nothing",
    ],
)
def test_nothing_else_is_served(server: FolderServer, path: str) -> None:
    assert request(server, path)[:2] == (404, b"")


def test_malformed_requests(server: FolderServer) -> None:
    assert request(server, "volume/0/" + "x" * 5000)[0] in (404, 500)
    assert request(server, "x" * 100_000)[0] == 414
    for malformed, answer in [
        (b"GET /\xc3\xa9\xff/ HTTP/1.0\r\n\r\n", b"HTTP/1.1 404 "),
        (b"GET //// HTTP/1.0\r\n\r\n", b"HTTP/1.1 404 "),
        (b"GET * HTTP/1.0\r\n\r\n", b"HTTP/1.1 404 "),
    ]:
        with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=30) as connection:
            connection.sendall(malformed)
            assert connection.recv(1000).startswith(answer)
    assert request(server, "volume/0/.zattrs")[0] == 200


@pytest.mark.skipif(sys.platform == "win32", reason="few users may make links there")
def test_links_that_point_outside_are_not_served(server: FolderServer, folder: Path) -> None:
    (folder / "file").symlink_to(folder.parent / "secret")
    (folder / "folder").symlink_to(folder.parent)
    (folder / "circle").symlink_to(folder / "circle")
    (folder / "inside").symlink_to(folder / ".zattrs")
    for path in ("file", "folder/secret", "circle"):
        assert request(server, f"volume/0/{path}")[0] in (404, 500)
        assert request(server, f"volume/0/{path}")[1] == b""
    assert request(server, "volume/0/inside")[:2] == (200, b"{}")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "MKCOL", "MOVE"])
def test_it_only_reads(server: FolderServer, folder: Path, method: str) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for path in ("volume/0/.zattrs", "volume/0/new", ""):
        status, _, headers = request(server, path, method)
        assert status in (405, 501)
        assert headers["Connection"] == "close"
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_pages_of_other_origins_cannot_read(server: FolderServer) -> None:
    for method in ("GET", "OPTIONS"):
        headers = request(server, "volume/0/.zattrs", method, Origin="https://example.org")[2]
        assert not [name for name in headers if name.lower().startswith("access-control")]
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a file that cannot be read")
def test_an_unreadable_file_is_not_reported_as_missing(
    server: FolderServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", fail)
    assert request(server, "volume/0/0/1/2")[:2] == (500, b"")


def test_a_file_that_becomes_shorter_while_it_is_sent(server: FolderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "sendfile", lambda self, file, offset, count: self.send(file.read(count - 1)))
    with pytest.raises(http.client.IncompleteRead):
        request(server, "volume/0/0/1/2")


def test_the_redirect_and_the_event_stream(folder: Path) -> None:
    with FolderServer({"volume/0": folder}, event_stream="events/view") as server:
        server.redirect = "there#!{}"
        status, body, headers = request(server, "")
        assert (status, body, headers["Location"]) == (302, b"", "there#!{}")
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
        connection.request("GET", urlsplit(server.url).path + "events/view?c=1")
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
        assert request(server, "volume/0/.zattrs")[0] == 200  # while a client listens
        server.stopping.set()
        assert answer.read() == b""
        connection.close()


def test_an_idle_connection_is_closed(server: FolderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RequestHandler, "timeout", 0.1)
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=30) as connection:
        try:
            connection.sendall(b"GET /")  # and no more of it
            answer = connection.recv(1)
        except ConnectionError:  # it was closed before this was sent or read
            answer = b""
    assert answer == b""


def test_too_many_connections_are_closed_and_later_ones_are_answered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_ct_pyramid.neuroglancer.server._MOST_CONNECTIONS", 3)
    with FolderServer({"volume/0": folder}) as server:
        address = ("127.0.0.1", urlsplit(server.url).port or 0)
        held = [socket.create_connection(address, timeout=30) for _ in range(3)]
        with socket.create_connection(address, timeout=30) as fourth:
            assert fourth.recv(1) == b""
        for connection in held:
            connection.close()
        deadline = time.monotonic() + 30
        while True:  # the server notices a closed connection a moment later
            try:
                assert request(server, "volume/0/.zattrs")[0] == 200
                break
            except ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.05)


def test_a_stopped_server_does_not_answer(folder: Path) -> None:
    server = FolderServer({"volume/0": folder})
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    path = urlsplit(server.url).path + "volume/0/.zattrs"
    connection.request("GET", path)
    assert connection.getresponse().read() == b"{}"
    server.stop()
    connection.request("GET", path)  # over the open connection
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        connection.getresponse()
    connection.close()
    with pytest.raises(ConnectionError):
        request(server, "volume/0/.zattrs")


def test_it_prints_nothing(server: FolderServer, capfd: pytest.CaptureFixture[str]) -> None:
    request(server, "volume/0/.zattrs")
    request(server, "nothing")
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0)) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
    request(server, "nothing", "POST")
    assert tuple(capfd.readouterr()) == ("", "")
