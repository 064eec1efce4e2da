"""Object stores: credentials as users have them, and stores that are busy, break connections or do not answer."""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.errors import CtPyramidError
from napari_ct_pyramid.neuroglancer.server import FolderServer
from napari_ct_pyramid.storage import aws
from napari_ct_pyramid.storage.remote_path import RemotePath
from napari_ct_pyramid.storage.store_access import open_store, wait_for
from tests.helpers.omezarr import write_image
from tests.helpers.s3 import BUCKET, S3

pytest.importorskip("obstore")


@pytest.fixture(autouse=True)
def _new_stores() -> Iterator[None]:
    open_store.cache_clear()
    yield
    open_store.cache_clear()


class TestSettings:
    def test_a_profile_in_files(self, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
            monkeypatch.delenv(name)
        config, credentials = tmp_path / "config", tmp_path / "credentials"
        config.write_text(f"[profile beamline]\nregion = us-east-1\nendpoint_url = {s3.endpoint}\n")
        credentials.write_text("[beamline]\naws_access_key_id = me\naws_secret_access_key = secret\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
        monkeypatch.setenv("AWS_PROFILE", "beamline")
        assert aws.aws_settings(BUCKET)["credential_provider"]()["access_key_id"] == "me"
        RemotePath(f"s3://{BUCKET}/profile").write_bytes(b"from a profile")
        assert s3.get("profile") == b"from a profile"

    def test_nobody_is_known(self, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        s3.client.put_object(Bucket=BUCKET, Key="public", Body=b"for all", ACL="public-read")
        s3.put("private", b"not for all")
        assert RemotePath(f"s3://{BUCKET}/public").read_bytes() == b"for all"
        with pytest.raises(PermissionError):
            RemotePath(f"s3://{BUCKET}/private").read_bytes()

    def test_the_region_of_a_bucket(self, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
        s3.client.create_bucket(Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        monkeypatch.setattr(aws, "_AWS", s3.endpoint)
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        assert aws.aws_settings("far") == {"region": "eu-central-1"}
        assert aws.aws_settings("no-such-bucket") == {}

    def test_a_file_of_certificates_that_is_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "none.pem"))
        with pytest.raises(ct.RequestError, match=r"none\.pem"):
            RemotePath("s3://bucket/object").exists()


class _Faulty(BaseHTTPRequestHandler):
    """Answers the first requests with faults."""

    faults: list[str]
    asked: list[str]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append(self.command)
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "cut":
            self.close_connection = True
            return
        status, body = (503, b"<Error><Message>Please slow down.</Message></Error>") if fault else (200, b"0123456789")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Thu, 01 Oct 2026 12:00:00 GMT")
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def faulty(monkeypatch: pytest.MonkeyPatch, *faults: str) -> Iterator[list[str]]:
    """A store whose first requests fail; the requests that it got."""
    asked: list[str] = []
    handler = type("Handler", (_Faulty,), {"faults": list(faults), "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("fault", ["busy", "cut"])
def test_what_fails_is_tried_again_but_not_for_ever(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    path = RemotePath("s3://bucket/object")
    with faulty(monkeypatch, fault, fault) as asked:
        assert path.read_bytes() == b"0123456789"
        assert len(asked) == 3
    open_store.cache_clear()
    with faulty(monkeypatch, fault, fault) as asked:
        path.write_bytes(b"data")
        assert len(asked) == 3
    open_store.cache_clear()
    with faulty(monkeypatch, *[fault] * 100) as asked:
        with pytest.raises(OSError, match=r"slow down|connection") as caught:
            path.write_bytes(b"data")
        assert len(asked) < 10
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(path))


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="there is no such function")
def test_ctrl_c_ends_the_wait_for_an_answer() -> None:
    answer, main = threading.Event(), threading.main_thread().ident
    assert main is not None
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            wait_for(lambda: (signal.pthread_kill(main, signal.SIGINT), answer.wait()))
    finally:
        signal.signal(signal.SIGINT, before)
        answer.set()


def test_names_with_every_character(s3: S3) -> None:
    folder = RemotePath(f"s3://{BUCKET}/names")
    names = ["ü b", "sc[1]*?", "%41", "x#y", "~{}", ".hidden"]
    for name in names:
        (folder / name / "0").write_bytes(name.encode())
    assert {path.name for path in folder.iterdir()} == set(names)
    assert {str(path): size for path, size in folder.below()} == {
        str(folder / name / "0"): len(name.encode()) for name in names
    }
    folder.remove([folder / name / "0" for name in names[:4]])
    assert set(s3.objects("names")) == {"~{}/0", ".hidden/0"}
    with pytest.raises(FileNotFoundError):
        (folder / names[0] / "0").stat()


def test_a_large_object_is_sent_in_parts(s3: S3) -> None:
    data = np.random.default_rng(0).integers(0, 256, 20_000_000, "u1").tobytes()
    path = RemotePath(f"s3://{BUCKET}/large")
    path.write_bytes(data)
    assert s3.get("large") == data
    assert path.read_range(12_345_678, 12_345_690) == data[12_345_678:12_345_690]
    assert path.read_end(7) == data[-7:]
    assert path.stat().st_size == len(data)


def test_an_ome_zarr_on_a_web_server(tmp_path: Path) -> None:
    voxels = np.arange(16 * 20 * 24, dtype="u2").reshape(16, 20, 24)
    write_image(tmp_path / "a b.ome.zarr", [voxels])
    with FolderServer({"files": tmp_path}) as server:
        url = f"{server.url}files/a%20b.ome.zarr"
        made = ct.convert(url, tmp_path / "made.ome.zarr", chunks=16).output
        np.testing.assert_array_equal(np.asarray(ct.open_pyramid(made).levels[0].array), voxels)
        np.testing.assert_array_equal(np.asarray(ct.open_pyramid(url).levels[0].array), voxels)
        for wrong in ("files/none.ome.zarr", "files"):
            with pytest.raises(CtPyramidError):
                ct.open_pyramid(f"{server.url}{wrong}")
        with pytest.raises(ct.RequestError):
            ct.convert(voxels, f"{server.url}files/new.ome.zarr", chunks=16)
