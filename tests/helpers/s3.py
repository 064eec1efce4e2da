"""An S3 server on this machine, in a process of its own, and what lies in it as another client sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from napari_ct_pyramid.storage.store_access import open_store

# Of this process: several that test at once, each with a server of its own, hold the same locks for the same name.
BUCKET = f"scans-{os.getpid()}"

_SERVER = """
import sys, time
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@dataclass
class S3:
    """The server."""

    endpoint: str
    client: Any
    process: subprocess.Popen[str]

    @property
    def environment(self) -> dict[str, str]:
        """By which a process finds it, and may use it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nowhere",
            "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
        }

    def objects(self, prefix: str) -> dict[str, bytes]:
        """All below a prefix, by what follows it."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
        return {key.removeprefix(f"{prefix}/"): self.get(key) for key in keys}

    def get(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Have it stand still."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    @contextmanager
    def only_its_users(self) -> Iterator[None]:
        """Have it answer nobody: it has no users."""
        self._check_requests_after("0")
        try:
            yield
        finally:
            self._check_requests_after("inf")

    def _check_requests_after(self, number: str) -> None:
        headers = {"Content-Type": "text/plain"}
        ask = urllib.request.Request(f"{self.endpoint}/moto-api/reset-auth", data=number.encode(), headers=headers)
        urllib.request.urlopen(ask).close()


@contextmanager
def serve() -> Iterator[S3]:
    """Have a server, with one bucket, and this process set up for it."""
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("moto.server")
    open_store.cache_clear()  # the stores that this process has used know the address of another server
    server = subprocess.Popen([sys.executable, "-W", "ignore", "-c", _SERVER], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    assert server.stdin
    assert server.stdout
    try:
        s3 = S3(f"http://127.0.0.1:{int(server.stdout.readline())}", None, server)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in s3.environment.items():
                patch.setenv(name, value)
            s3.client = boto3.client("s3")
            s3.client.create_bucket(Bucket=BUCKET)
            yield s3
            s3.client.close()
    finally:
        server.stdin.close()
        server.wait()
        server.stdout.close()
