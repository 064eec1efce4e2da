"""Few requests to a web server show the first picture of a volume, and no chunk is fetched twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.neuroglancer.server import FolderServer, RequestHandler
from tests.helpers.screen import PLUGIN, settle

VOXELS = np.random.default_rng(0).integers(0, 999, (64, 256, 256)).astype("u2")


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests to servers of this process."""
    found: list[str] = []
    send = RequestHandler._send_file

    def counted(self: RequestHandler, path: str) -> None:
        found.append(f"{self.command} {path} {self.headers.get('Range')}")
        send(self, path)

    monkeypatch.setattr(RequestHandler, "_send_file", counted)
    return found


@pytest.fixture(params=[{}, {"ome_zarr_version": "0.5"}, {"ome_zarr_version": "0.6"}], ids=str)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    options: dict[str, Any] = request.param
    ct.convert(VOXELS, tmp_path / "scan.ome.zarr", chunks=64, num_levels=3, **options)
    with FolderServer({"files": tmp_path}) as server:
        yield f"{server.url}files/scan.ome.zarr"


def test_the_first_picture(viewer: napari.Viewer, address: str, requests: list[str]) -> None:
    (layer,) = viewer.open(address, plugin=PLUGIN)
    settle(viewer)
    coarse = next(n for n, request in enumerate(requests) if re.search(r"zarr/0/(c/)?\d", request))
    assert coarse < 10  # for the first picture, which is of the coarsest level
    assert len(requests) < 20 if "zarr.json" in requests[1] else len(requests) <= coarse + 16  # a chunk each
    requests.clear()
    np.testing.assert_array_equal(np.asarray(layer.data[0][5]), VOXELS[5])
    assert len(requests) == len(set(requests)) <= 16
    requests.clear()
    np.testing.assert_array_equal(np.asarray(layer.data[0][6:9, 3:200:5]), VOXELS[6:9, 3:200:5])
    requests.clear()
    np.testing.assert_array_equal(np.asarray(layer.data[0][40]), VOXELS[40])
    assert not requests  # it is of chunks that were fetched
