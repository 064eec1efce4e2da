"""What Neuroglancer is told to show, how it is served, and the command. The client itself is in tests/browser."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
import webbrowser
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote

import numpy as np
import pytest

from napari_ct_pyramid.cli.main import main
from napari_ct_pyramid.conversion.api import convert
from napari_ct_pyramid.errors import RequestError, SourceError, SourceNotFoundError, UnfinishedError
from napari_ct_pyramid.neuroglancer import viewer as neuroglancer
from napari_ct_pyramid.neuroglancer.viewer import Neuroglancer, open_browser, public_link
from tests.helpers.command import command_after, write_scan
from tests.helpers.omezarr import coordinates, pyramid_of, write_image, write_unfinished

WINDOW = {"channels": [{"color": "FFFFFF", "window": {"min": -1, "max": 300, "start": 10, "end": 200}}]}


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of the real client: a page that says hello."""
    package = tmp_path / "site-packages" / "neuroglancer"
    folder = package / "static" / "client"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("hello")
    spec = ModuleSpec("neuroglancer", None, is_package=True)
    spec.submodule_search_locations = [str(package)]
    monkeypatch.setattr(neuroglancer, "find_spec", lambda name: spec if name == "neuroglancer" else None)
    return folder


@pytest.fixture
def no_browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What was to be opened in a browser, which none is."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: bool(opened.append(url)) or True)
    monkeypatch.setenv("DISPLAY", ":0")
    return opened


def state_in(url: str) -> dict[str, Any]:
    """The state that an address holds."""
    _, start, fragment = url.partition("#!")
    assert start
    assert fragment.isascii()
    assert not {*' "<>\\^`{|}'} & {*fragment}  # or it would break where people paste it
    state: dict[str, Any] = json.loads(unquote(fragment))
    return state


def state_of(*paths: Path) -> dict[str, Any]:
    with Neuroglancer(paths) as shown:
        return state_in(shown.state_url)


def shader(state: dict[str, Any], layer: int = 0) -> list[str]:
    return str(state["layers"][layer]["shader"]).splitlines()


# --- the view


def test_the_whole_of_a_conversion_is_in_view(client: Path, tmp_path: Path) -> None:
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
    assert state["position"] == [20, 12, 3]  # centres of voxels; the padding does not count
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


@pytest.mark.parametrize(
    ("unit", "scale", "base"),
    [
        ("micrometer", 1e-6, "m"),
        ("nanometer", 1e-9, "m"),
        ("angstrom", 1e-10, "m"),
        ("centimeter", 1e-2, "m"),
        ("inch", 0.0254, "m"),
        (None, 1, ""),
    ],
)
def test_units(client: Path, tmp_path: Path, unit: str | None, scale: float, base: str) -> None:
    path = write_image(tmp_path / "a.zarr", [coordinates((4, 6, 8))], unit=unit, voxel_size=3)
    dimensions = state_of(path)["dimensions"]
    assert list(dimensions) == ["x", "y", "z"]
    for voxel, called in dimensions.values():
        assert (voxel, called) == (pytest.approx(3 * scale), base)


def test_every_unit_of_a_conversion_is_known() -> None:
    from napari_ct_pyramid.neuroglancer.state import _UNITS
    from napari_ct_pyramid.options import UNITS

    assert set(UNITS) <= set(_UNITS)


def test_a_volume_may_begin_anywhere(client: Path, tmp_path: Path) -> None:
    moved = [{"type": "translation", "translation": [100, 0, -3]}]
    path = write_image(
        tmp_path / "a.zarr", [coordinates((4, 7, 8))], voxel_size=2, multiscales={"coordinateTransformations": moved}
    )
    # In voxels of 2: voxel 0 along z has its centre at 50.
    assert state_of(path)["position"] == [-1.5 + 4, 3, 50 + 2]


@pytest.mark.parametrize(
    ("dtype", "omero", "control"),
    [
        ("u1", WINDOW, "(range=[10, 200], window=[-1, 300])"),
        ("f4", WINDOW, "(range=[10.0, 200.0], window=[-1.0, 300.0])"),
        (
            "f4",
            {"channels": [{"color": "FFFFFF", "window": {"min": 0, "max": 1, "start": 1e-7, "end": 2}}]},
            "(range=[1e-07, 2.0], window=[0.0, 2.0])",
        ),
        ("u2", {"channels": [{"color": "FFFFFF", "window": {"min": 3, "max": 3, "start": 3, "end": 3}}]}, ""),
    ],
)
def test_the_window_is_the_range_of_the_slider(
    client: Path, tmp_path: Path, dtype: str, omero: dict[str, Any], control: str
) -> None:
    path = write_image(tmp_path / "a.zarr", [coordinates((4, 4, 4), dtype)], omero=omero)
    assert shader(state_of(path))[0] == f"#uicontrol invlerp normalized{control}"


def test_a_window_is_found_where_none_is_given(client: Path, tmp_path: Path) -> None:
    levels = pyramid_of(coordinates((8, 8, 8)) + 1000, 2)
    path = write_image(tmp_path / "a.zarr", levels)
    control = shader(state_of(path))[0]
    low, high = json.loads(control.partition("range=")[2].partition(", window")[0])
    assert 1000 <= low < 1010
    assert 1400 < high <= 1512


def test_shards_and_flat_images(client: Path, tmp_path: Path) -> None:
    path = write_image(
        tmp_path / "a.zarr", [coordinates((16, 16, 16))], version="0.5", chunks=(8, 8, 8), shards=(16, 16, 16)
    )
    assert state_of(path)["layers"][0]["source"].endswith("/volume/0/|zarr3:")
    flat = state_of(write_image(tmp_path / "b.zarr", [coordinates((8, 16))], axes="yx"))
    assert flat["layout"] == "xy"
    assert flat["displayDimensions"] == ["x", "y"]
    assert flat["position"] == [8, 4]


def test_channels_and_times(client: Path, tmp_path: Path) -> None:
    colours = [WINDOW["channels"][0] | {"color": "FF0000", "label": "bone"}, {"color": "FFFFFF", "active": False}]
    path = write_image(
        tmp_path / "a.zarr", [coordinates((5, 2, 4, 8, 8))], axes="tczyx", omero={"channels": colours}, unit="nanometer"
    )
    state = state_of(path)
    assert list(state["dimensions"]) == ["x", "y", "z", "t"]
    assert state["displayDimensions"] == ["x", "y", "z"]
    assert state["position"] == [4, 4, 2, 0]
    bone, other = state["layers"]
    assert [bone["name"], other["name"]] == ["bone", "volume 1"]
    assert [layer["localPosition"] for layer in (bone, other)] == [[0], [1]]
    assert bone["localDimensions"] == {"c'": [1, ""]}
    assert all(layer["blend"] == "additive" and layer["opacity"] == 1 for layer in (bone, other))
    assert 'color(default="#ff0000")' in bone["shader"]
    assert "emitGrayscale" in other["shader"]
    assert "visible" not in bone
    assert other["visible"] is False


def test_several_volumes_in_one_view(client: Path, tmp_path: Path) -> None:
    first = write_image(tmp_path / "a.zarr", [coordinates((4, 8, 8))], voxel_size=2, unit="micrometer")
    second = write_image(tmp_path / "b.zarr", [coordinates((4, 8, 8))], voxel_size=8000, unit="nanometer")
    state = state_of(first, second)
    assert [layer["name"] for layer in state["layers"]] == ["volume", "volume 2"]
    assert [layer["opacity"] for layer in state["layers"]] == [1, 0.5]  # each shows as much as the other
    assert [layer["source"].rpartition("/volume/")[2] for layer in state["layers"]] == ["0/|zarr2:", "1/|zarr2:"]
    assert [voxel for voxel, _ in state["dimensions"].values()] == pytest.approx([2e-6] * 3)
    # Along x the one reaches from -0.5 to 7.5 of its voxels, the other from -2 to 30: whole voxels from -2.5 to 30.5.
    assert state["position"] == [14, 14, 6]
    assert state["crossSectionScale"] == pytest.approx(33 / 270, rel=1e-3)


def test_volumes_that_do_not_go_together(client: Path, tmp_path: Path) -> None:
    first = write_image(tmp_path / "a.zarr", [coordinates((4, 8, 8))], unit=None)
    second = write_image(tmp_path / "b.zarr", [coordinates((4, 8, 8))], unit="nanometer")
    with pytest.raises(RequestError, match=r"axis x is in no unit or m\. Open them one at a time"):
        Neuroglancer([first, second])


# --- what it cannot show


@pytest.mark.parametrize("dtype", ["f8", "f2", "i8", "?"])
def test_types_that_it_cannot_show(client: Path, tmp_path: Path, dtype: str, no_browser: list[str]) -> None:
    path = write_image(tmp_path / "a.zarr", [np.zeros((4, 4, 4), dtype)])
    name = np.dtype(dtype).name
    with pytest.raises(SourceError, match=rf"{name} voxels, which Neuroglancer cannot show.*float32.*ct-pyramid view"):
        Neuroglancer([path])
    assert main(["neuroglancer", str(path)]) == 2
    assert not no_browser


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "f4", ">u2", ">f4"])
def test_types_that_it_can_show(client: Path, tmp_path: Path, dtype: str) -> None:
    state_of(write_image(tmp_path / "a.zarr", [np.ones((4, 4, 4), dtype)]))


def test_what_is_no_volume_for_it(client: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError):
        Neuroglancer([tmp_path / "nothing.zarr"])
    with pytest.raises(SourceError, match=r"a file.*ct-pyramid convert .*scan\.tif -c"):
        Neuroglancer([write_scan(tmp_path)])
    with pytest.raises(UnfinishedError):
        Neuroglancer([write_unfinished(tmp_path / "part.zarr")])
    odd = write_image(tmp_path / "odd.zarr", [coordinates((4, 4, 4))], unit="furlong")
    with pytest.raises(SourceError, match="'furlong', a unit that Neuroglancer does not know"):
        Neuroglancer([odd])
    plain = write_image(tmp_path / "plain.zarr", [coordinates((4, 4, 4))], omero={"channels": [{"label": "a"}]})
    with pytest.raises(SourceError, match="a channel without its colour"):
        Neuroglancer([plain])
    old = write_image(tmp_path / "old.zarr", [coordinates((4, 4, 4))], multiscales={"version": "0.3"})
    attributes = json.loads((old / ".zattrs").read_text())
    attributes["multiscales"][0]["version"] = "0.3"
    (old / ".zattrs").write_text(json.dumps(attributes))
    with pytest.raises(SourceError, match=r"OME-Zarr 0\.3, and Neuroglancer reads 0\.4 and 0\.5"):
        Neuroglancer([old])


def test_without_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], no_browser: list[str]
) -> None:
    monkeypatch.setattr(neuroglancer, "find_spec", lambda name: None)
    path = write_image(tmp_path / "a.zarr", [coordinates((4, 4, 4))])
    assert main(["neuroglancer", str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "pip install 'napari-ct-pyramid[neuroglancer]'" in said.err
    assert not no_browser


# --- serving


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


def test_the_client_and_the_volumes_are_served_and_nothing_else(client: Path, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", [coordinates((4, 4, 4))])
    other = write_image(tmp_path / "b.zarr", [coordinates((4, 4, 4))])
    with Neuroglancer([path]) as shown:
        page = shown.state_url.partition("#")[0]
        assert page == f"{shown.url}v/view/index.html"
        assert read(page) == read(shown.url) == b"hello"  # which `url` leads to
        source = state_in(shown.state_url)["layers"][0]["source"].partition("|")[0]
        assert read(f"{source}0/.zarray") == (path / "0" / ".zarray").read_bytes()
        for elsewhere in ("../b.zarr/.zattrs", "../1/.zattrs", "../../v/.zattrs"):
            with pytest.raises(HTTPError, match="404"):
                read(source + elsewhere)
    assert other.exists()


def test_a_volume_that_was_made_anew(client: Path, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", [coordinates((4, 4, 4))])
    with Neuroglancer([path]) as shown:
        write_image(path, [coordinates((4, 4, 12))])
        shown.renew()
        assert state_in(shown.state_url)["position"] == [6, 2, 2]
        with urllib.request.urlopen(shown.url, timeout=30) as answer:
            assert answer.url == shown.state_url


def test_paths_are_found_from_wherever(client: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a scan #1 | µ%20.zarr", [coordinates((4, 4, 4))])
    monkeypatch.chdir(tmp_path)
    with Neuroglancer(["a scan #1 | µ%20.zarr"]) as shown:
        monkeypatch.chdir(client)
        source = state_in(shown.state_url)["layers"][0]["source"].partition("|")[0]
        assert json.loads(read(f"{source}.zattrs"))
        shown.renew()


def test_the_browser(no_browser: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_browser("http://there")
    assert no_browser == ["http://there"]
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert not open_browser("http://there")  # where there is no display, lynx might come up
    assert no_browser == ["http://there"]


# --- the command


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to a process there")
@pytest.mark.parametrize("flags", [[], ["--no-browser"]])
def test_it_serves_until_ctrl_c(client: Path, tmp_path: Path, flags: list[str]) -> None:
    path = write_image(tmp_path / "a.zarr", [coordinates((4, 4, 4))])
    prelude = (
        "import webbrowser, pathlib\nfrom napari_ct_pyramid.neuroglancer import viewer as neuroglancer\n"
        f"neuroglancer._find_client = lambda: pathlib.Path({str(client)!r})\n"
        "neuroglancer.open_browser = lambda url: print('opened', url, flush=True) or True\n"
    )
    with subprocess.Popen(
        command_after(prelude, "neuroglancer", path, *flags),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        url, second = (process.stdout.readline().rstrip("\n") for _ in range(2))
        assert url.startswith("http://127.0.0.1:")
        if flags:
            assert state_in(second)["layers"][0]["name"] == "volume"
            assert second.startswith(url)
        else:
            assert second == f"opened {url}"
        assert "until Ctrl-C" in process.stderr.readline()
        assert read(url) == b"hello"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "")
    with pytest.raises(OSError, match="refused"):
        read(url)


def test_without_a_browser_it_says_so(
    client: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_ct_pyramid.cli.neuroglancer.open_browser", lambda url: False)
    monkeypatch.setattr("time.sleep", interrupt)
    path = write_image(tmp_path / "a.zarr", [coordinates((4, 4, 4))])
    assert main(["neuroglancer", str(path)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("http://127.0.0.1:")
    assert said.out.count("\n") == 1
    assert "No browser could be opened" in said.err


def test_nothing_to_look_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["neuroglancer"]) == 2
    assert "name an OME-Zarr" in capsys.readouterr().err


# --- links to the public viewer


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
    monkeypatch.setattr(neuroglancer, "find_spec", lambda name: None)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("it asked the network"))
    link = public_link(address)
    assert link.startswith("https://neuroglancer-demo.appspot.com/#!")
    state = state_in(link)
    (layer,) = state["layers"]
    assert (layer["type"], layer["source"], layer["name"]) == ("image", source, name)
    assert state["layout"] == "4panel"
    assert state["selectedLayer"]["layer"] == name


def test_a_link_with_the_same_volume_at_hand_is_a_whole_view(
    client: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_image(tmp_path / "a.zarr", [coordinates((4, 8, 8))], omero=WINDOW, unit="millimeter")
    state = state_in(public_link("https://x.org/a.zarr", path))
    here = state_of(path)
    assert state["layers"][0].pop("source") == "zarr://https://x.org/a.zarr"
    assert here["layers"][0].pop("source")
    assert state == here
    assert main(["neuroglancer", "--link", "https://x.org/a.zarr", str(path)]) == 0
    said = capsys.readouterr()
    assert said.out == public_link("https://x.org/a.zarr", path) + "\n"
    assert said.err == ""


def test_links_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], no_browser: list[str]) -> None:
    assert main(["neuroglancer", "--link", "http://x.org/a.zarr"]) == 0
    said = capsys.readouterr()
    assert said.out == public_link("http://x.org/a.zarr") + "\n"
    assert "Name the same OME-Zarr on this machine, too" in said.err
    assert "Warning: the public viewer is an https page" in said.err
    assert main(["neuroglancer", "--link", "https://x.org/a.zarr", "a.zarr", "b.zarr"]) == 2
    assert "name one PATH at most" in capsys.readouterr().err
    path = write_image(tmp_path / "a.zarr", [np.zeros((4, 4, 4), "f8")])
    assert main(["neuroglancer", "--link", "https://x.org/a.zarr", str(path)]) == 2
    assert "float64" in capsys.readouterr().err
    assert not no_browser


@pytest.mark.parametrize(
    "address",
    ["", "scan.zarr", "/data/scan.zarr", "file:///scan.zarr", "ftp://x.org/a", "https://", "https:///a.zarr",
     "https://x.org/a?b=c", "https://x.org/a#b", "https://[x", "javascript:alert(1)"],
)  # fmt: skip
def test_what_is_no_address(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["neuroglancer", "--link", address]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "is no address of an OME-Zarr" in said.err
