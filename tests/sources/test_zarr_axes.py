"""OME-Zarr sources: the types of axes decide what is read, and its place, channel and units are kept or told."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import napari_ct_pyramid as ct
from napari_ct_pyramid.errors import Advice, RequestError, SeveralVolumesError
from napari_ct_pyramid.options import SourceOptions
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.examples import FEW
from tests.helpers.omezarr import write_image
from tests.helpers.sources import read_whole
from tests.helpers.tiffs import coordinates

SIZES = {"t": 3, "c": 2, "z": 5, "y": 6, "x": 7}


def written(folder: Path, axes: str, **options: Any) -> tuple[Path, np.ndarray]:
    volume = coordinates((1, 1, int(np.prod([SIZES[a] for a in axes]))), "uint16").reshape([SIZES[a] for a in axes])
    return write_image(folder / "v.ome.zarr", [volume], axes=axes, **options), volume


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["czyx", "tzyx", "tczyx", "zcyx", "zyxc", "ctzyx"])
def test_a_channel_and_a_time_point_are_chosen(tmp_path: Path, axes: str, version: str) -> None:
    path, volume = written(tmp_path, axes, version=version)
    with pytest.raises(ct.SeveralVolumesError) as caught:
        open_source(path)
    assert (caught.value.channels, caught.value.times) == (2 if "c" in axes else 1, 3 if "t" in axes else 1)
    for c in range(caught.value.channels):
        for t in range(caught.value.times):
            asked = {name: n for name, n in (("channel", c), ("time", t)) if name[0] in axes}
            expected = volume[tuple({"c": c, "t": t}.get(axis, slice(None)) for axis in axes)]
            with open_source(path, SourceOptions(**asked)) as source:
                np.testing.assert_array_equal(read_whole(source), expected)


def test_what_is_chosen_must_be_there(tmp_path: Path) -> None:
    path, _ = written(tmp_path, "czyx")
    for asked, name in (({"channel": 2}, "channel"), ({"channel": 0, "time": 1}, "time")):
        with pytest.raises(RequestError) as caught:
            open_source(path, SourceOptions(**asked))
        assert Advice(name) in caught.value.message.parts
    np.save(tmp_path / "v.npy", np.zeros((3, 4, 5), "u1"))
    with pytest.raises(RequestError):
        open_source(tmp_path / "v.npy", SourceOptions(channel=1))
    with open_source(tmp_path / "v.npy", SourceOptions(channel=0, time=0)) as source:
        assert source.volume.shape == (3, 4, 5)


@pytest.mark.parametrize("axes", ["tyx", "cyx", "tcyx"])
def test_time_or_channels_are_not_taken_for_slices(tmp_path: Path, axes: str) -> None:
    path, volume = written(tmp_path, axes)
    with pytest.raises(ct.SourceError) as caught:
        open_source(path)
    if axes == "tcyx":
        return
    advised = str(caught.value).rpartition(": ")[2]
    with open_source(advised) as source:  # for metadata that are wrong
        np.testing.assert_array_equal(read_whole(source), volume)


def test_a_chosen_channel_is_converted_and_verified(tmp_path: Path) -> None:
    path, volume = written(tmp_path, "tczyx")
    output = tmp_path / "out.ome.zarr"
    ct.convert(path, output, chunks=4, num_levels=1, channel=1, time=2)
    np.testing.assert_array_equal(ct.open_pyramid(output).levels[0].array[:], volume[2, 1])
    assert ct.verify(output, path).sound
    with pytest.raises(ct.OutputExistsError):
        ct.convert(path, output, chunks=4, num_levels=1, channel=0, time=2)


def test_channel_name_colour_and_place_are_kept(tmp_path: Path) -> None:
    transformations = [
        {"type": "scale", "scale": [1, 2, 0.5, 0.5]},
        {"type": "translation", "translation": [0, 10, -3, 4.25]},
    ]
    channels = [{"label": "air", "color": "FF0000"}, {"label": "bone", "color": "00FF80"}]
    path, _ = written(
        tmp_path,
        "czyx",
        unit="micrometer",
        multiscales={"datasets": [{"path": "0", "coordinateTransformations": transformations}]},
        omero={"channels": channels},
    )
    receipt = ct.convert(path, tmp_path / "o.ome.zarr", chunks=2, num_levels=2, channel=1, crop=",2:6,1:7", edges="pad")
    pyramid = ct.open_pyramid(receipt.output)
    assert (pyramid.channels[0].label, pyramid.channels[0].color) == ("bone", "00FF80")
    first, second = pyramid.levels
    assert (first.scale, first.translation) == ((2, 0.5, 0.5), (10, -2, 4.75))
    assert (second.scale, second.translation) == ((4, 1, 1), (11, -1.75, 5))
    assert pyramid.units == ("micrometer",) * 3


UNITS: dict[str, tuple[list[str | None], tuple[float, ...] | None, str | None, bool]] = {
    "symbols": (["um", "µm", "microns"], (2, 0.5, 0.5), "micrometer", False),
    "mixed": (["millimeter", "micrometer", "micrometer"], (2, 0.0005, 0.0005), "millimeter", False),
    "unknown": (["voxel"] * 3, (2, 0.5, 0.5), None, True),
    "not of length": (["second"] * 3, (2, 0.5, 0.5), None, True),
    "in part": (["micrometer", None, "micrometer"], None, None, True),
    "none": ([None] * 3, (2, 0.5, 0.5), None, False),
}


@pytest.mark.parametrize("name", UNITS)
def test_units_are_understood_or_told(tmp_path: Path, name: str) -> None:
    units, size, unit, told = UNITS[name]
    axes = [{"name": a, "type": "space"} | ({"unit": u} if u else {}) for a, u in zip("zyx", units, strict=True)]
    transformations = [
        {"type": "scale", "scale": [2, 0.5, 0.5]},
        {"type": "translation", "translation": [4, 1, 1.5]},
    ]
    dataset = {"path": "0", "coordinateTransformations": transformations}
    path, _ = written(tmp_path, "zyx", multiscales={"axes": axes, "datasets": [dataset]})
    with open_source(path) as source:
        volume = source.volume
    assert (volume.voxel_size, volume.unit, bool(volume.notes)) == (size, unit, told)
    np.testing.assert_allclose(volume.translation, np.multiply(size, (2, 2, 3)) if size else (0, 0, 0))
    output = ct.convert(path, tmp_path / "out.ome.zarr", chunks=4, num_levels=1).output
    assert ct.verify(output, path).sound


SCALES = st.lists(
    st.sampled_from([1, 0.5, 0, -2, float("nan"), float("inf"), 1e300, "x", None]), min_size=2, max_size=4
)


@settings(FEW, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scale=SCALES,
    translation=SCALES,
    units=st.lists(st.sampled_from(["um", "mm", "voxel", "", None, 3, "second"]), min_size=3, max_size=3),
    types=st.lists(st.sampled_from(["space", "time", "channel", "custom", None]), min_size=3, max_size=3),
    names=st.permutations(["z", "y", "x"]),
)
def test_metadata_of_any_kind_give_a_volume_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, scale: Any, translation: Any, units: Any, types: Any, names: Any
) -> None:
    folder = tmp_path_factory.mktemp("z")
    axes = [{"name": name, "type": kind, "unit": unit} for name, kind, unit in zip(names, types, units, strict=True)]
    transformations = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translation}]
    dataset = {"path": "0", "coordinateTransformations": transformations}
    path, volume = written(folder, "zyx", multiscales={"axes": axes, "datasets": [dataset]})
    said = ""
    try:
        source = open_source(path)
    except ct.SourceError as error:
        said = str(error)
    assert "\n" not in said
    assert "could not be read as" not in said  # as an unforeseen error is worded
    if said:
        return
    with source:
        assert np.isfinite([*(source.volume.voxel_size or ()), *source.volume.translation]).all()
        assert min(source.volume.voxel_size or [1]) > 0
        turned = volume.transpose([names.index(axis) for axis in "zyx"])
        np.testing.assert_array_equal(read_whole(source), turned)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("axes", ["zyx", "xyz", "yxz", "tzyx", "zcyx", "xyzct"])
def test_an_array_goes_by_the_names_of_its_axes(tmp_path: Path, axes: str, zarr_format: Literal[2, 3]) -> None:
    """As xarray writes them: in Zarr v2 into an attribute."""
    shape = [SIZES[axis] for axis in axes]
    voxels = np.arange(np.prod(shape), dtype="u2").reshape(shape)
    names = [{"c": "channel", "t": "time", "x": "X"}.get(axis, axis) for axis in axes]
    group = zarr.open_group(tmp_path / "v.zarr", mode="w", zarr_format=zarr_format)
    array = group.create_array(
        "v", shape=shape, dtype="u2", chunks=(4,) * len(axes), dimension_names=names if zarr_format == 3 else None
    )
    array[...] = voxels
    if zarr_format == 2:
        array.attrs["_ARRAY_DIMENSIONS"] = names
    group.create_array("x", shape=(7,), dtype="f4")
    expected = voxels.transpose([axes.index(axis) for axis in "tczyx" if axis in axes])
    choice = {name: 1 for axis, name in {"t": "time", "c": "channel"}.items() if axis in axes}
    for _ in choice:
        expected = expected[1]
    if choice:
        with pytest.raises(SeveralVolumesError):
            open_source(tmp_path / "v.zarr")
    with open_source(tmp_path / "v.zarr", SourceOptions(**choice)) as source:
        np.testing.assert_array_equal(read_whole(source), expected)


def test_an_array_with_other_axes_is_taken_for_z_y_x_and_that_is_said(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "v.zarr", shape=(5, 6, 7), dtype="u2", dimension_names=["time", "y", "x"])
    with open_source(tmp_path / "v.zarr") as source:
        assert source.volume.shape == (5, 6, 7)
        assert len(source.volume.notes) == 1
