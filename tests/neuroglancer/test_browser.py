"""Neuroglancer in a browser: what it shows of a volume, and what it requests from the server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_ct_pyramid.conversion.api import convert
from napari_ct_pyramid.neuroglancer.server import RequestHandler
from napari_ct_pyramid.neuroglancer.state import fragment
from napari_ct_pyramid.neuroglancer.viewer import Neuroglancer, public_link
from napari_ct_pyramid.omezarr.reader import open_pyramid
from tests.helpers.chromium import FOUND, Page, chromium, until
from tests.helpers.omezarr import pyramid_of, write_image

pytestmark = pytest.mark.skipif(FOUND is None, reason="there is no Chromium")

SIZE = (1200, 800)
SHAPE = (45, 64, 96)  # z, y, x; a conversion to three levels adds three slices
BLOCK = 16
VOXEL = (2.0, 1.0, 1.0)  # micrometers


def blocks(dtype: str) -> np.ndarray:
    """A volume of blocks with one value each, which look the same on every level."""
    z, y, x = (index // BLOCK for index in np.indices(SHAPE))
    return (1000 + 10 * (x + 6 * y + 24 * z)).astype(dtype)


@dataclass
class Visit:
    """Volumes shown in the client.

    Attributes
    ----------
    page : Page
        The page that shows them.
    requests : list of (str, int)
        The paths that were requested from the server, with the status of each answer.
    """

    page: Page
    shown: Neuroglancer
    requests: list[tuple[str, int]] = field(default_factory=list)

    def go(self, url: str) -> None:
        """Load a page again, and wait until it shows everything."""
        self.page.go("about:blank")
        self.requests.clear()
        self.page.events.clear()
        self.page.go(url)
        until(lambda: self.page.run("document.readyState === 'complete' && 'viewer' in window"))
        until(lambda: self.page.run("viewer.layerManager.managedLayers.length > 0 && viewer.isReady()"))

    def go_with(self, **changes: Any) -> None:
        """Show the same volumes with a changed state."""
        self.go(self.shown.state_url.partition("#")[0] + fragment({**self.state, **changes}))

    @property
    def state(self) -> dict[str, Any]:
        """The current state of the viewer."""
        state: dict[str, Any] = self.page.run("JSON.parse(JSON.stringify(viewer.state.toJSON()))")
        return state

    def panels(self) -> dict[str, tuple[int, int, int, int]]:
        """Left, top, width and height of each panel on the screen."""
        names = ("xy", "xz", "3d", "yz")  # left to right, top to bottom
        find = "[...document.querySelectorAll('.neuroglancer-rendered-data-panel')].map(p => p.getBoundingClientRect())"
        found = self.page.run(f"{find}.map(r => [r.left, r.top, r.width, r.height].map(Math.round))")
        return dict(zip(names, sorted(map(tuple, found), key=lambda r: (r[1], r[0])), strict=True))

    def chunks(self) -> list[tuple[str, int]]:
        """The requests for voxels: level and status."""
        found = [(re.fullmatch(r"volume/\d+/(\d+)/(?:c/)?\d+/\d+/\d+", path), status) for path, status in self.requests]
        return [(match[1], status) for match, status in found if match]

    def errors(self) -> list[Any]:
        """Errors in the page, requests to other servers, and requests that failed."""
        found: list[Any] = [e for e in self.page.events if e["method"] == "Runtime.exceptionThrown"]
        for event in self.page.events:
            if event["method"] == "Network.requestWillBeSent":
                url = event["params"]["request"]["url"]
                if not url.startswith((self.shown.url, "data:", "blob:")) and not url.endswith("/favicon.ico"):
                    found.append(url)
        # The client looks for the metadata of both Zarr formats.
        return found + [
            a
            for a in self.requests
            if a[1] not in (200, 206, 302) and not re.search(r"/(\.zattrs|\.zarray|zarr\.json)$", a[0])
        ]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile"), SIZE) as page:
        # The client draws the text of the scale bar and then the bar on a canvas, and shows that as a texture.
        page.before_each_page("""
            window.bars = {};
            const canvas = CanvasRenderingContext2D.prototype, {fillText, fillRect} = canvas;
            canvas.fillText = function(text, ...rest) { this.lastText = text; fillText.call(this, text, ...rest); };
            canvas.fillRect = function(x, y, width, height) {
                if (this.lastText) window.bars[this.lastText] = width;
                fillRect.call(this, x, y, width, height);
            };
        """)
        yield page


@pytest.fixture
def visit(page: Page, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Opens volumes in the client."""
    served: list[Neuroglancer] = []

    def open_volumes(*paths: Path) -> Visit:
        served.append(Neuroglancer(paths))
        visit = Visit(page, served[0])

        def note(handler: Any, code: Any = "-", size: Any = "-") -> None:
            _, secret, path = f"{handler.path.partition('?')[0]}/".split("/", 2)
            if secret in visit.shown.url and handler.command == "GET":  # not the icon that browsers look for
                visit.requests.append((path.rstrip("/"), int(code)))

        monkeypatch.setattr(RequestHandler, "log_request", note)
        visit.go(visit.shown.url)
        return visit

    yield open_volumes
    page.go("about:blank")
    for one in served:
        one.stop()


@pytest.fixture(params=["0.4", "0.5"])
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The blocks as OME-Zarr: converted, and as another program may write them, with shards."""
    path = tmp_path / "blocks.ome.zarr"
    if request.param != "0.5":
        tifffile.imwrite(tmp_path / "blocks.tif", blocks("u2"), photometric="minisblack")
        asked = {"voxel_size": VOXEL, "unit": "micrometer", "ome_zarr_version": request.param}
        convert(tmp_path / "blocks.tif", path, chunks=(16, 16, 16), num_levels=3, **asked)
        return path
    padded = np.pad(blocks("f4"), ((0, 3), (0, 0), (0, 0)))
    window = {"min": 1000, "max": 1710, "start": 1100, "end": 1600}
    write_image(
        path,
        pyramid_of(padded, 3),
        version="0.5",
        chunks=(8, 8, 8),
        shards=(16, 32, 32),
        omero={"channels": [{"window": window}]},
        multiscales={
            "metadata": {"original_shape": list(SHAPE)},
            "coordinateTransformations": [{"type": "scale", "scale": list(VOXEL)}],
        },
    )
    return path


def expected_greys(volume: Path) -> np.ndarray:
    """The grey on the screen for each voxel."""
    pyramid = open_pyramid(volume)
    assert pyramid.window
    _, _, start, end = pyramid.window
    return np.clip((blocks("f4") - start) / (end - start), 0, 1) * 255


def check_sections(visit: Visit, volume: Path) -> int:
    """Check the grey in the middle of each block in the sections; return the number of blocks."""
    picture = visit.page.picture().astype(float)
    greys = expected_greys(volume)
    state = visit.state
    at = dict(zip("xyz", state["position"], strict=True))
    pixels = {axis: voxel / state["crossSectionScale"] for axis, voxel in zip("zyx", VOXEL, strict=True)}  # a voxel
    sizes = dict(zip("zyx", SHAPE, strict=True))
    count = 0
    for name, (across, down, along) in {"xy": "xyz", "xz": "xzy", "yz": "zyx"}.items():
        left, top, width, height = visit.panels()[name]
        for a in range(BLOCK // 2, sizes[across], BLOCK):
            for d in range(BLOCK // 2, sizes[down], BLOCK):
                # In the section yz, z grows to the left.
                x = left + width / 2 + (a - at[across]) * pixels[across] * (-1 if name == "yz" else 1)
                y = top + height / 2 + (d - at[down]) * pixels[down]
                voxel = {across: a, down: d, along: round(at[along])}
                grey = greys[voxel["z"], voxel["y"], voxel["x"]]
                seen = picture[round(y), round(x)]
                assert seen == pytest.approx([grey] * 3, abs=2), (name, voxel)
                count += 1
    return count


def check_zoom(there: Visit) -> None:
    """The whole volume is in view, and not smaller than necessary."""
    state = there.state
    z, y, x = (size * voxel / state["crossSectionScale"] for size, voxel in zip(SHAPE, VOXEL, strict=True))
    for name, (across, down) in {"xy": (x, y), "xz": (x, z), "yz": (z, y)}.items():
        _, _, width, height = there.panels()[name]
        assert width / 4 < across < width or height / 4 < down < height
        assert across < width
        assert down < height


def check_scale_bar(there: Visit) -> None:
    """The length that the scale bar states is the length that it has."""
    (text, drawn), *others = there.page.run("Object.entries(window.bars)")
    assert not others
    number, unit = re.fullmatch(r"([\d.]+) (\S+)", text).groups()
    length = float(number) * {"nm": 1e-9, "µm": 1e-6, "mm": 1e-3}[unit]
    assert length == pytest.approx(drawn * there.state["crossSectionScale"] * 1e-6, rel=0.01)
    # The bar is the only thing that is pure white in the corner of the first panel.
    left, top, _, height = there.panels()["xy"]
    corner = there.page.picture()[top + height - 30 : top + height, left : left + 150].min(axis=2)
    white = (corner == 255).sum(axis=1)
    assert white.max() == pytest.approx(drawn, abs=1)


@pytest.mark.parametrize("volume", ["0.4", "0.5", "0.6"], indirect=True)
def test_the_first_view(volume: Path, visit: Any) -> None:
    there: Visit = visit(volume)
    assert check_sections(there, volume) == 6 * 4 + 6 * 3 + 4 * 3
    check_zoom(there)
    check_scale_bar(there)
    state = there.state
    assert {axis: unit for axis, (_, unit) in state["dimensions"].items()} == dict.fromkeys("xyz", "m")
    assert [voxel for voxel, _ in state["dimensions"].values()] == pytest.approx([1e-6, 1e-6, 2e-6])
    assert state["position"] == [48, 32, 22]
    assert state["layout"] == "4panel"
    assert there.page.run("document.querySelector('.neuroglancer-invlerp-widget-bounds') !== null")
    chunks = there.chunks()
    # Only the needed part of a shard is read.
    assert {status for _, status in chunks} == {200 if open_pyramid(volume).ome_zarr_version == "0.4" else 206}
    assert "0" in {level for level, _ in chunks}
    assert not there.errors()


def test_it_uses_coarse_levels_when_zoomed_out(volume: Path, visit: Any) -> None:
    there: Visit = visit(volume)
    there.go_with(crossSectionScale=4, projectionScale=2000, showAxisLines=False, showDefaultAnnotations=False)
    levels = there.chunks()
    assert "2" in {level for level, _ in levels}
    assert "0" not in {level for level, _ in levels}
    check_sections(there, volume)
    assert not there.errors()


def test_a_link_made_without_the_volume_shows_it(volume: Path, visit: Any) -> None:
    there: Visit = visit(volume)
    link = public_link(f"{there.shown.url}volume/0")
    there.go(there.shown.state_url.partition("#")[0] + "#" + link.partition("#")[2])
    dimensions = there.state["dimensions"]
    assert {axis: voxel for axis, (voxel, unit) in dimensions.items() if unit == "m"} == pytest.approx(
        {"x": 1e-6, "y": 1e-6, "z": 2e-6}
    )
    assert there.chunks()
    assert {status for _, status in there.chunks()} <= {200, 206}
    assert not there.errors()


def test_channels_are_added(tmp_path: Path, visit: Any) -> None:
    voxels = np.zeros((2, 32, 32, 32), "u1")
    voxels[0] = 100
    voxels[1, :, :, :16] = 40
    voxels[1, :, :, 16:] = 200
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    channels = [{"color": "FF0000", "window": window}, {"color": "00FF00", "window": window}]
    there: Visit = visit(
        write_image(tmp_path / "a.zarr", [voxels], axes="czyx", chunks=(1, 16, 16, 16), omero={"channels": channels})
    )
    left, top, width, height = there.panels()["xy"]
    row = there.page.picture()[top + height // 2 - 20, left : left + width].astype(int)
    assert row[width // 2 - 40].tolist() == pytest.approx([100, 40, 0], abs=2)
    assert row[width // 2 + 40].tolist() == pytest.approx([100, 200, 0], abs=2)
    assert not there.errors()


def test_volumes_with_different_voxel_sizes_are_in_place(tmp_path: Path, visit: Any) -> None:
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    omero = {"channels": [{"color": "FFFFFF", "window": window}]}
    more: dict[str, Any] = {"unit": "nanometer", "omero": omero, "chunks": (16, 16, 16)}
    small = write_image(tmp_path / "a.zarr", [np.full((32, 32, 32), 200, "u1")], voxel_size=10, **more)
    large = write_image(tmp_path / "b.zarr", [np.full((32, 32, 32), 100, "u1")], voxel_size=20, **more)
    there: Visit = visit(small, large)
    state = there.state
    left, top, width, height = there.panels()["xy"]
    row = there.page.picture()[top + height // 2 - 20, left : left + width, 1].astype(int)

    def grey_at(nanometers: float) -> int:
        return int(row[round(width / 2 + (nanometers / 10 - state["position"][0]) / state["crossSectionScale"])])

    assert grey_at(150) == pytest.approx((200 + 100) / 2, abs=3)  # both, mixed equally
    assert grey_at(500) in (pytest.approx(50, abs=3), pytest.approx(100, abs=3))  # only the large one
    assert grey_at(-40) == 0
    assert grey_at(660) == 0
    assert not there.errors()
