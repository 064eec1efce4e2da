"""Volumes served to Neuroglancer, and links to the public viewer. The client itself is in test_browser.py."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np
import pytest

from napari_ct_pyramid.conversion.api import convert
from napari_ct_pyramid.errors import CONVERT, Advice, RequestError, SourceError, SourceNotFoundError, UnfinishedError
from napari_ct_pyramid.neuroglancer.viewer import Neuroglancer, find_client, public_link
from tests.helpers.command import write_scan
from tests.helpers.neuroglancer import WINDOW, install_client, shader, state_in, uninstall_client
from tests.helpers.omezarr import flat_indices, pyramid_of, write_image, write_unfinished


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return install_client(tmp_path, monkeypatch)


def state_of(*paths: Path) -> dict[str, Any]:
    with Neuroglancer(paths) as shown:
        return state_in(shown.state_url)


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


# --- the view


def test_a_converted_volume_is_in_view_as_a_whole(client: Path, tmp_path: Path) -> None:
    scan = write_scan(tmp_path)  # 6 x 24 x 40, stored as 8 x 24 x 40
    output = tmp_path / "scan.ome.zarr"
    receipt = convert(
        scan, output, chunks=(4, 8, 16), num_levels=3, voxel_size=(2, 0.5, 0.5), unit="micrometer", max_memory="4G"
    )
    with Neuroglancer([output]) as shown:
        state = state_in(shown.state_url)
        source = f"{shown.url}volume/0/|zarr2:"
    assert state["dimensions"] == {"x": [5e-7, "m"], "y": [5e-7, "m"], "z": [2e-6, "m"]}
    assert state["displayDimensions"] == ["x", "y", "z"]
    assert state["position"] == [20, 12, 3]  # centers of voxels; the padding does not count
    # 40 x 24 x 6 voxels are 40 x 24 x 24 of the smallest: 40 wide and 24 high, in panels of 440 x 270
    assert state["crossSectionScale"] == pytest.approx(40 / 440, rel=1e-3)
    assert state["projectionScale"] == pytest.approx(np.hypot(40, np.hypot(24, 24)), rel=1e-3)
    assert state["layout"] == "4panel"
    (layer,) = state["layers"]
    assert (layer["type"], layer["name"], layer["source"]) == ("image", "scan", source)
    assert state["selectedLayer"] == {"layer": "scan", "visible": True}
    start, end = receipt.window
    assert shader(state) == [
        f"#uicontrol invlerp normalized(range=[{start}, {end}], window=[0.0, {24 * 40 * 6 - 1}.0])",
        "void main() {",
        "  emitGrayscale(normalized());",
        "}",
    ]


def test_a_window_is_estimated_for_an_image_without_one(client: Path, tmp_path: Path) -> None:
    levels = pyramid_of(flat_indices((8, 8, 8)) + 1000, 2)
    path = write_image(tmp_path / "a.zarr", levels)
    control = shader(state_of(path))[0]
    low, high = json.loads(control.partition("range=")[2].partition(", window")[0])
    assert 1000 <= low < 1010
    assert 1400 < high <= 1512


def test_volumes_are_served_in_the_order_given(client: Path, tmp_path: Path) -> None:
    paths = [write_image(tmp_path / name, [flat_indices((4, 4, 4))]) for name in ("a.zarr", "b.zarr")]
    sources = [layer["source"].rpartition("/volume/")[2] for layer in state_of(*paths)["layers"]]
    assert sources == ["0/|zarr2:", "1/|zarr2:"]


# --- volumes that it cannot show


def test_a_missing_path(client: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError):
        Neuroglancer([tmp_path / "nothing.zarr"])


def test_a_file_must_be_converted_first(client: Path, tmp_path: Path) -> None:
    scan = write_scan(tmp_path)
    with pytest.raises(SourceError) as caught:
        Neuroglancer([scan])
    assert Advice(CONVERT, str(scan)) in caught.value.message.parts


def test_an_unfinished_output(client: Path, tmp_path: Path) -> None:
    with pytest.raises(UnfinishedError):
        Neuroglancer([write_unfinished(tmp_path / "part.zarr")])


def test_an_image_of_a_type_that_it_cannot_show(client: Path, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", [np.zeros((4, 4, 4), "f8")])
    with pytest.raises(SourceError):
        Neuroglancer([path])
    with pytest.raises(SourceError):
        public_link("https://x.org/a.zarr", path)


def test_volumes_with_different_units(client: Path, tmp_path: Path) -> None:
    paths = [write_image(tmp_path / f"{unit}.zarr", [flat_indices((4, 4, 4))], unit=unit) for unit in (None, "meter")]
    with pytest.raises(RequestError):
        Neuroglancer(paths)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uninstall_client(monkeypatch)
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 4, 4))])
    with pytest.raises(RequestError) as caught:
        Neuroglancer([path])
    assert "pip install 'napari-ct-pyramid[neuroglancer]'" in str(caught.value)


def test_the_client_is_a_folder_of_the_package(client: Path) -> None:
    assert find_client() == client


# --- serving


def test_only_the_client_and_the_volumes_are_served(client: Path, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 4, 4))])
    other = write_image(tmp_path / "b.zarr", [flat_indices((4, 4, 4))])
    with Neuroglancer([path]) as shown:
        page = shown.state_url.partition("#")[0]
        assert page == f"{shown.url}v/view/index.html"
        assert read(page) == read(shown.url) == b"hello"  # `url` redirects to the page
        source = state_in(shown.state_url)["layers"][0]["source"].partition("|")[0]
        assert read(f"{source}0/.zarray") == (path / "0" / ".zarray").read_bytes()
        for elsewhere in ("../b.zarr/.zattrs", "../1/.zattrs", "../../v/.zattrs"):
            with pytest.raises(HTTPError) as caught:
                read(source + elsewhere)
            assert caught.value.code == 404
            caught.value.close()
    assert other.exists()


def test_a_volume_that_was_rewritten(client: Path, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 4, 4))])
    with Neuroglancer([path]) as shown:
        write_image(path, [flat_indices((4, 4, 12))])
        shown.refresh()
        assert state_in(shown.state_url)["position"] == [6, 2, 2]
        with urllib.request.urlopen(shown.url, timeout=30) as answer:
            assert answer.url == shown.state_url


def test_relative_paths_stay_valid_in_another_folder(
    client: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a scan #1 | µ%20.zarr", [flat_indices((4, 4, 4))])
    monkeypatch.chdir(tmp_path)
    with Neuroglancer(["a scan #1 | µ%20.zarr"]) as shown:
        monkeypatch.chdir(client)
        source = state_in(shown.state_url)["layers"][0]["source"].partition("|")[0]
        assert json.loads(read(f"{source}.zattrs"))
        shown.refresh()


@pytest.mark.parametrize(
    ("address", "source", "name"),
    [
        ("https://x.org/data/scan.ome.zarr", "zarr://https://x.org/data/scan.ome.zarr", "scan"),
        ("https://x.org/data/scan.zarr/", "zarr://https://x.org/data/scan.zarr", "scan"),
        ("http://x.org:8080/", "zarr://http://x.org:8080", "x.org:8080"),
        ("https://x.org/a%20b.zarr", "zarr://https://x.org/a%20b.zarr", "a b"),
        ("https://x.org/a b|µ.zarr", "zarr://https://x.org/a%20b%7C%C2%B5.zarr", "a b|µ"),
        ("s3://bucket/scan.ome.zarr", "zarr://s3://bucket/scan.ome.zarr", "scan"),
        ("gs://bucket/scan.ome.zarr", "zarr://gs://bucket/scan.ome.zarr", "scan"),
    ],
)
def test_a_link_needs_neither_the_network_nor_the_package(
    monkeypatch: pytest.MonkeyPatch, address: str, source: str, name: str
) -> None:
    uninstall_client(monkeypatch)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("it connected to the network"))
    link = public_link(address)
    assert link.startswith("https://neuroglancer-demo.appspot.com/#!")
    state = state_in(link)
    (layer,) = state["layers"]
    assert (layer["type"], layer["source"], layer["name"]) == ("image", source, name)
    assert state["layout"] == "4panel"
    assert state["selectedLayer"]["layer"] == name


def test_a_link_with_the_same_volume_on_this_machine_holds_the_whole_view(client: Path, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 8, 8))], omero=WINDOW, unit="millimeter")
    state = state_in(public_link("https://x.org/a.zarr", path))
    here = state_of(path)
    assert state["layers"][0].pop("source") == "zarr://https://x.org/a.zarr"
    assert here["layers"][0].pop("source")
    assert state == here


@pytest.mark.parametrize(
    "address",
    ["", "scan.zarr", "/data/scan.zarr", "file:///scan.zarr", "ftp://x.org/a", "https://", "https:///a.zarr",
     "https://x.org/a?b=c", "https://x.org/a#b", "https://[x", "javascript:alert(1)"],
)  # fmt: skip
def test_addresses_that_the_public_viewer_cannot_read(address: str) -> None:
    with pytest.raises(RequestError) as caught:
        public_link(address)
    assert repr(address) in str(caught.value)
