"""The state of a view: layers, axes, position and zoom; and the volumes that Neuroglancer cannot show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_ct_pyramid.errors import VIEW, Advice, RequestError, SourceError
from napari_ct_pyramid.neuroglancer.state import check_supported, data_format, view_state
from napari_ct_pyramid.omezarr.reader import open_pyramid
from napari_ct_pyramid.units import UNITS
from tests.helpers.neuroglancer import WINDOW, shader
from tests.helpers.omezarr import flat_indices, write_image


def state_of(*paths: Path) -> dict[str, Any]:
    """The view of images, each at an address that ends in its number and its format."""
    volumes = []
    for number, path in enumerate(paths):
        pyramid = open_pyramid(path)
        check_supported(pyramid)
        volumes.append((pyramid, f"http://there/{number}/|{data_format(pyramid)}:"))
    return view_state(volumes)


def problem_of(path: Path) -> SourceError:
    """Why an image cannot be shown, which advises to view it in napari."""
    with pytest.raises(SourceError) as caught:
        check_supported(open_pyramid(path))
    assert Advice(VIEW, str(path)) in caught.value.message.parts
    return caught.value


@pytest.mark.parametrize(
    ("unit", "scale", "base"),
    [
        ("micrometer", 1e-6, "m"),
        ("nanometer", 1e-9, "m"),
        ("angstrom", 1e-10, "m"),
        ("centimeter", 1e-2, "m"),
        ("decameter", 10, "m"),
        ("inch", 0.0254, "m"),
        ("mile", 1609.34, "m"),  # Neuroglancer's mile, not the exact one
        (None, 1, ""),
    ],
)
def test_units(tmp_path: Path, unit: str | None, scale: float, base: str) -> None:
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 6, 8))], unit=unit, voxel_size=3)
    dimensions = state_of(path)["dimensions"]
    assert list(dimensions) == ["x", "y", "z"]
    for voxel, called in dimensions.values():
        assert (voxel, called) == (pytest.approx(3 * scale), base)


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_of_a_conversion_is_known(tmp_path: Path, unit: str) -> None:
    path = write_image(tmp_path / "a.zarr", [flat_indices((2, 2, 2))], unit=unit)
    assert state_of(path)["dimensions"]["z"] == [pytest.approx(UNITS[unit], rel=1e-5), "m"]


def test_a_volume_may_start_anywhere(tmp_path: Path) -> None:
    moved = [{"type": "translation", "translation": [100, 0, -3]}]
    path = write_image(
        tmp_path / "a.zarr", [flat_indices((4, 7, 8))], voxel_size=2, multiscales={"coordinateTransformations": moved}
    )
    # In voxels of 2: voxel 0 along z has its center at 50.
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
def test_the_display_window_is_the_range_of_the_slider(
    tmp_path: Path, dtype: str, omero: dict[str, Any], control: str
) -> None:
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 4, 4), dtype)], omero=omero)
    assert shader(state_of(path))[0] == f"#uicontrol invlerp normalized{control}"


def test_images_with_shards(tmp_path: Path) -> None:
    path = write_image(
        tmp_path / "a.zarr", [flat_indices((16, 16, 16))], version="0.5", chunks=(8, 8, 8), shards=(16, 16, 16)
    )
    assert state_of(path)["layers"][0]["source"].endswith("/0/|zarr3:")


def test_images_with_two_axes(tmp_path: Path) -> None:
    flat = state_of(write_image(tmp_path / "b.zarr", [flat_indices((8, 16))], axes="yx"))
    assert flat["layout"] == "xy"
    assert flat["displayDimensions"] == ["x", "y"]
    assert flat["position"] == [8, 4]


def test_channels_and_times(tmp_path: Path) -> None:
    channels = [WINDOW["channels"][0] | {"color": "FF0000", "label": "bone"}, {"color": "FFFFFF", "active": False}]
    path = write_image(
        tmp_path / "a.zarr",
        [flat_indices((5, 2, 4, 8, 8))],
        axes="tczyx",
        omero={"channels": channels},
        unit="nanometer",
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


def test_several_volumes_in_one_view(tmp_path: Path) -> None:
    first = write_image(tmp_path / "a.zarr", [flat_indices((4, 8, 8))], voxel_size=2, unit="micrometer")
    second = write_image(tmp_path / "b.zarr", [flat_indices((4, 8, 8))], voxel_size=8000, unit="nanometer")
    state = state_of(first, second)
    assert [layer["name"] for layer in state["layers"]] == ["volume", "volume 2"]
    assert [layer["opacity"] for layer in state["layers"]] == [1, 0.5]  # both are equally visible
    assert [layer["source"] for layer in state["layers"]] == ["http://there/0/|zarr2:", "http://there/1/|zarr2:"]
    assert [voxel for voxel, _ in state["dimensions"].values()] == pytest.approx([2e-6] * 3)
    # Along x the first reaches from -0.5 to 7.5 of its voxels, the second from -2 to 30: whole voxels, -2.5 to 30.5.
    assert state["position"] == [14, 14, 6]
    assert state["crossSectionScale"] == pytest.approx(33 / 270, rel=1e-3)


def test_volumes_with_different_units_need_different_views(tmp_path: Path) -> None:
    first = write_image(tmp_path / "a.zarr", [flat_indices((4, 8, 8))], unit=None)
    second = write_image(tmp_path / "b.zarr", [flat_indices((4, 8, 8))], unit="nanometer")
    with pytest.raises(RequestError) as caught:
        state_of(first, second)
    assert "axis x" in str(caught.value)


@pytest.mark.parametrize("dtype", ["f8", "f2", "i8", "?"])
def test_types_that_it_cannot_show(tmp_path: Path, dtype: str) -> None:
    problem = problem_of(write_image(tmp_path / "a.zarr", [np.zeros((4, 4, 4), dtype)]))
    assert np.dtype(dtype).name in str(problem)
    assert "float32" in str(problem)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "f4", ">u2", ">f4"])
def test_types_that_it_can_show(tmp_path: Path, dtype: str) -> None:
    state_of(write_image(tmp_path / "a.zarr", [np.ones((4, 4, 4), dtype)]))


def test_a_unit_that_it_does_not_know(tmp_path: Path) -> None:
    assert "'furlong'" in str(problem_of(write_image(tmp_path / "odd.zarr", [flat_indices((4, 4, 4))], unit="furlong")))


def test_a_channel_without_a_color(tmp_path: Path) -> None:
    plain = write_image(tmp_path / "plain.zarr", [flat_indices((4, 4, 4))], omero={"channels": [{"label": "a"}]})
    assert "color" in str(problem_of(plain))


def test_a_version_that_it_does_not_read(tmp_path: Path) -> None:
    old = write_image(tmp_path / "old.zarr", [flat_indices((4, 4, 4))], multiscales={"version": "0.3"})
    attributes = json.loads((old / ".zattrs").read_text())
    attributes["multiscales"][0]["version"] = "0.3"
    (old / ".zattrs").write_text(json.dumps(attributes))
    assert "OME-Zarr 0.3" in str(problem_of(old))
