"""One S3 server for the tests of this folder: it takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.s3 import S3, serve


@pytest.fixture(scope="package")
def s3() -> Iterator[S3]:
    with serve() as server:
        yield server
