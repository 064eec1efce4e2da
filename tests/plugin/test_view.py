"""`ct-pyramid view`: napari with one volume, or a picture of its window."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from qtpy.QtGui import QImage

from napari_ct_pyramid.errors import Advice, RequestError, SourceError, SourceNotFoundError
from napari_ct_pyramid.plugin.view import view
from napari_ct_pyramid.sources.phantom import write_sample
from tests.helpers.omezarr import write_image
from tests.helpers.s3 import BUCKET, serve

SHOWN = {"channels": [{"window": {"min": 0, "max": 255, "start": 0, "end": 255}}]}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_image(tmp_path / "a.ome.zarr", [np.full((4, 40, 40), 90, "u1")], omero=SHOWN)


@pytest.mark.usefixtures("qapp")
def test_a_picture_of_the_window(tmp_path: Path, image: Path) -> None:
    view(image, screenshot=tmp_path / "window.png")
    picture = QImage(str(tmp_path / "window.png"))
    assert picture.width() > 800
    # The image is in the middle of the canvas, which is right of the controls.
    colours = [picture.pixelColor(picture.width() * 2 // 3, y) for y in (picture.height() // 3, picture.height() // 2)]
    assert {(c.red(), c.green(), c.blue()) for c in colours} == {(90, 90, 90)}
    assert napari.current_viewer() is None


@pytest.mark.usefixtures("qapp")
@pytest.mark.parametrize("kind", ["ome-zarr", "tiff"])
def test_a_window_until_it_is_closed(tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    shown: list[Any] = []

    def run() -> None:
        viewer = napari.current_viewer()
        assert viewer is not None
        shown.extend(layer.source.path for layer in viewer.layers)
        viewer.close()

    monkeypatch.setattr(napari, "run", run)
    path = image if kind == "ome-zarr" else write_sample(tmp_path / "a.tif", (8, 32, 32))
    view(path)
    assert shown == [str(path)]


def no_window(*_args: object, **_keywords: object) -> None:
    raise AssertionError("a window was opened")


def test_a_volume_that_cannot_be_read_opens_no_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(napari, "Viewer", no_window)
    with pytest.raises(SourceNotFoundError):
        view(tmp_path / "nothing.tif")
    (tmp_path / "text.tif").write_text("text")
    with pytest.raises(SourceError, match=r"text\.tif"):
        view(tmp_path / "text.tif")
    with pytest.raises(SourceError, match=tmp_path.name):
        view(tmp_path)


def test_a_picture_that_cannot_be_saved_opens_no_window(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(napari, "Viewer", no_window)
    with pytest.raises(RequestError) as caught:
        view(image, screenshot=tmp_path / "nothing" / "a.png")
    assert str(tmp_path / "nothing") in str(caught.value)


def test_without_a_display_the_error_names_the_screenshot_option(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(napari, "Viewer", no_window)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(RequestError) as caught:
        view(image)
    assert Advice("screenshot") in caught.value.message.parts


@pytest.mark.usefixtures("qapp")
@pytest.mark.parametrize("ending", [".ozx", ".zarr.zip"])
def test_an_archive_in_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    levels = [np.arange(8 * 40 * 40, dtype="u2").reshape(8, 40, 40)]
    folder = write_image(tmp_path / "a.ome.zarr", levels)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder).as_posix())
    seen: list[Any] = []

    def run() -> None:
        viewer = napari.current_viewer()
        assert viewer is not None
        seen.extend((layer.source.path, np.asarray(layer.data[0])) for layer in viewer.layers)
        viewer.close()

    monkeypatch.setattr(napari, "run", run)
    with serve() as s3:
        s3.put(f"a{ending}", (tmp_path / "a.zip").read_bytes())
        url = f"s3://{BUCKET}/a{ending}"
        view(url, screenshot=tmp_path / "window.png")
        assert QImage(str(tmp_path / "window.png")).width() > 800
        view(url)
    ((path, voxels),) = seen
    assert path == url
    assert np.array_equal(voxels, levels[0])
