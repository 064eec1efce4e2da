"""`ct-pyramid neuroglancer`: shows volumes in the browser, and prints links to the public viewer."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from napari_ct_pyramid.cli.main import main
from napari_ct_pyramid.neuroglancer.viewer import public_link
from tests.helpers.command import command_after
from tests.helpers.neuroglancer import WINDOW, install_client, state_in, uninstall_client
from tests.helpers.omezarr import flat_indices, write_image


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return install_client(tmp_path, monkeypatch)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were opened in a browser. No browser starts."""
    opened: list[str] = []

    def note(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr("napari_ct_pyramid.neuroglancer.browser.open_browser", note)
    return opened


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to a process there")
@pytest.mark.parametrize("flags", [[], ["--no-browser"]])
def test_it_serves_until_ctrl_c(client: Path, tmp_path: Path, flags: list[str]) -> None:
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 4, 4))])
    prelude = (
        "import pathlib\n"
        "from napari_ct_pyramid.neuroglancer import browser, viewer\n"
        f"viewer.find_client = lambda: pathlib.Path({str(client)!r})\n"
        "browser.open_browser = lambda url: print('opened', url, flush=True) or True\n"
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
        assert "Ctrl-C" in process.stderr.readline()
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert answer.read() == b"hello"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
        assert (process.returncode, out, err) == (0, "", "")
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=30)


def test_without_a_browser_it_prints_the_address(
    client: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_ct_pyramid.neuroglancer.browser.open_browser", lambda url: False)
    monkeypatch.setattr("time.sleep", interrupt)
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 4, 4))])
    assert main(["neuroglancer", str(path)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("http://127.0.0.1:")
    assert printed.out.count("\n") == 1
    assert len(printed.err.splitlines()) == 2  # no browser; and that Ctrl-C ends it


def test_a_path_must_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["neuroglancer"]) == 2
    assert "OME-Zarr" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", ["f8", "f2", "i8", "?"])
def test_types_that_it_cannot_show(
    client: Path, tmp_path: Path, dtype: str, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_image(tmp_path / "a.zarr", [np.zeros((4, 4, 4), dtype)])
    assert main(["neuroglancer", str(path)]) == 2
    assert f"ct-pyramid view {path}" in capsys.readouterr().err
    assert not opened


def test_a_file_must_be_converted_first(
    client: Path, tmp_path: Path, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scan.tif"
    path.touch()
    assert main(["neuroglancer", str(path)]) == 2
    assert f"ct-pyramid convert {path} -c visualization" in capsys.readouterr().err
    assert not opened


def test_without_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], opened: list[str]
) -> None:
    uninstall_client(monkeypatch)
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 4, 4))])
    assert main(["neuroglancer", str(path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "pip install 'napari-ct-pyramid[neuroglancer]'" in printed.err
    assert not opened


def test_a_link_for_a_volume_that_is_also_on_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 8, 8))], omero=WINDOW, unit="millimeter")
    assert main(["neuroglancer", "--link", "https://x.org/a.zarr", str(path)]) == 0
    assert tuple(capsys.readouterr()) == (public_link("https://x.org/a.zarr", path) + "\n", "")


def test_links(tmp_path: Path, capsys: pytest.CaptureFixture[str], opened: list[str]) -> None:
    assert main(["neuroglancer", "--link", "http://x.org/a.zarr"]) == 0
    printed = capsys.readouterr()
    assert printed.out == public_link("http://x.org/a.zarr") + "\n"
    hint, warning = printed.err.splitlines()
    assert "this machine" in hint
    assert warning.startswith("Warning")
    assert "https" in warning
    assert main(["neuroglancer", "--link", "https://x.org/a.zarr", "a.zarr", "b.zarr"]) == 2
    assert "--link" in capsys.readouterr().err
    path = write_image(tmp_path / "a.zarr", [np.zeros((4, 4, 4), "f8")])
    assert main(["neuroglancer", "--link", "https://x.org/a.zarr", str(path)]) == 2
    assert "float64" in capsys.readouterr().err
    assert not opened


@pytest.mark.parametrize("address", ["", "scan.zarr", "file:///scan.zarr", "https://x.org/a?b=c", "https://[x"])
def test_addresses_that_the_public_viewer_cannot_read(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["neuroglancer", "--link", address]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert repr(address) in printed.err
