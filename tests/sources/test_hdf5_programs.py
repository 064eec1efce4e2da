"""HDF5 files of programs and facilities: which dataset is the volume, its channel, its voxel size, its padding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.options import SourceOptions
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.sources import INTEGERS, SHAPE, VOLUME, read_whole


@pytest.mark.parametrize("signal", ["recon", b"recon"])
def test_nexus_states_the_dataset_to_show(tmp_path: Path, signal: Any) -> None:
    path = tmp_path / "scan.nxs"
    with h5py.File(path, "w") as file:
        file["entry/data/recon"], file["entry/data/other"], file["raw"] = VOLUME, VOLUME + 1, VOLUME + 2
        file.attrs["default"], file["entry"].attrs["default"] = "entry", "data"
        file["entry/data"].attrs["signal"] = signal
    with open_source(path) as source:
        np.testing.assert_array_equal(read_whole(source), VOLUME)
        assert ["/entry/data/recon" in note for note in source.volume.notes] == [True]
    with open_source(f"{path}::raw") as source:
        np.testing.assert_array_equal(read_whole(source), VOLUME + 2)
    with h5py.File(path, "a") as file:
        file["entry/data"].attrs["signal"] = "lost"
    with pytest.raises(ct.SourceError, match="3 datasets"):
        open_source(path)


def test_nexus_that_points_in_a_circle_or_at_nothing(tmp_path: Path) -> None:
    path = tmp_path / "scan.nxs"
    with h5py.File(path, "w") as file:
        file["a/v"] = VOLUME
        file["a/a"] = h5py.SoftLink("/a")
        file.attrs["default"] = file["a"].attrs["default"] = "a"
    with open_source(path) as source:
        np.testing.assert_array_equal(read_whole(source), VOLUME)


@pytest.mark.parametrize(
    ("labels", "chunks"),
    [
        ("tczyx", None), ("tczyx", (1, 1, 4, 8, 8)), ("czyx", (2, 4, 8, 8)), ("zcyx", None), ("zyxc", None),
        ("zyxc", (4, 8, 8, 1)), ("xyzct", None), ("xyz", (4, 4, 4)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("by", ["dimension labels", "dimension scales", "axistags"])
def test_labelled_axes_are_chosen_from(tmp_path: Path, labels: str, chunks: Any, by: str) -> None:
    sizes = {"t": 3, "c": 2, "z": 5, "y": 9, "x": 11}
    data = np.arange(np.prod([sizes[a] for a in labels]), dtype="u4").reshape([sizes[a] for a in labels])
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("v", data=data, chunks=chunks, compression="gzip" if chunks else None)
        if by == "axistags":
            file["v"].attrs["axistags"] = json.dumps({"axes": [{"key": axis, "typeFlags": 2} for axis in labels]})
        for number, label in enumerate(labels):
            if by == "dimension labels":
                file["v"].dims[number].label = label
            elif by == "dimension scales":  # as NetCDF names its axes
                file[label] = np.arange(sizes[label])
                file["v"].dims[number].attach_scale(file[label])
    several = {*labels} & {*"tc"}
    if several:
        with pytest.raises(ct.SeveralVolumesError) as caught:
            open_source(path)
        assert (caught.value.channels, caught.value.times) == (2 if "c" in labels else 1, 3 if "t" in labels else 1)
    for c in range(2 if "c" in labels else 1):
        for t in range(3 if "t" in labels else 1):
            place = tuple({"c": c, "t": t}.get(axis, slice(None)) for axis in labels)
            order = [axis for axis in labels if axis in "zyx"]
            expected = data[place].transpose([order.index(axis) for axis in "zyx"])
            asked = {name: n for name, n in (("channel", c), ("time", t)) if name[0] in labels}
            with open_source(path, SourceOptions(**asked)) as source:
                np.testing.assert_array_equal(read_whole(source), expected)


def test_labels_of_time_are_not_slices(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        file["v"] = VOLUME
        for number, label in enumerate("tyx"):
            file["v"].dims[number].label = label
    with pytest.raises(ct.SourceError, match="time, y, x"):
        open_source(path)


def imaris(path: Path, channels: int = 2, times: int = 1) -> list[list[np.ndarray]]:
    """A file as Imaris writes it: datasets padded to whole chunks, and texts as arrays of letters."""

    def text(value: object) -> np.ndarray:
        return np.array([letter.encode() for letter in str(value)], "S1")

    volumes = [[INTEGERS + 1000 * c + 10_000 * t for c in range(channels)] for t in range(times)]
    padded = (16, 32, 32)
    with h5py.File(path, "w") as file:
        for t, c in np.ndindex(times, channels):
            group = file.create_group(f"DataSet/ResolutionLevel 0/TimePoint {t}/Channel {c}")
            stored = np.zeros(padded, "u2")
            stored[tuple(slice(n) for n in SHAPE)] = volumes[t][c]
            group.create_dataset("Data", data=stored, chunks=(8, 16, 16), compression="gzip")
            for axis, n in zip("ZYX", SHAPE, strict=True):
                group.attrs[f"ImageSize{axis}"] = text(n)
            file[f"DataSet/ResolutionLevel 1/TimePoint {t}/Channel {c}/Data"] = np.zeros((8, 16, 16), "u2")
        image = file.create_group("DataSetInfo/Image")
        for number, (n, size, low) in enumerate(zip(SHAPE[::-1], (0.5, 0.5, 2), (-1, 0, 10), strict=True)):
            image.attrs[f"ExtMin{number}"] = text(low)
            image.attrs[f"ExtMax{number}"] = text(low + n * size)
        image.attrs["Unit"] = text("um")
        for c in range(channels):
            about = file.create_group(f"DataSetInfo/Channel {c}")
            about.attrs["Name"], about.attrs["Color"] = text(f"dye {c}"), text("1.000 0.500 0.000")
    return volumes


def test_imaris_is_read_without_its_padding(tmp_path: Path) -> None:
    volumes = imaris(tmp_path / "scan.ims", times=2)
    with pytest.raises(ct.SeveralVolumesError) as caught:
        open_source(tmp_path / "scan.ims")
    assert (caught.value.channels, caught.value.times) == (2, 2)
    for t, c in np.ndindex(2, 2):
        named = f"{tmp_path / 'scan.ims'}::DataSet/ResolutionLevel 0/TimePoint {t}/Channel {c}/Data"
        for given, options in ((tmp_path / "scan.ims", SourceOptions(channel=c, time=t)), (named, None)):
            with open_source(given, options) as source:
                np.testing.assert_array_equal(read_whole(source), volumes[t][c])
                volume = source.volume
                assert (volume.voxel_size, volume.unit) == ((2, 0.5, 0.5), "micrometer")
                assert volume.translation == (11, 0.25, -0.75)
                assert (volume.channel, volume.color) == (f"dye {c}", "FF8000")
    with pytest.raises(RequestError):
        open_source(tmp_path / "scan.ims", SourceOptions(channel=2, time=0))


@pytest.mark.parametrize("chunks", [None, (4, 8, 8)])
def test_bigdataviewer_stores_uint16_as_int16(tmp_path: Path, chunks: Any) -> None:
    volumes = [INTEGERS, (INTEGERS + 60_000).astype("u2")]
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        for setup, volume in enumerate(volumes):
            file[f"s{setup:02}/resolutions"] = np.array([[1, 1, 1], [2, 2, 2]], "f8")
            cells = file.create_dataset(f"t00000/s{setup:02}/0/cells", SHAPE, "i2", chunks=chunks)
            cells[...] = volume.view("i2")
            file[f"t00000/s{setup:02}/1/cells"] = np.zeros((5, 11, 9), "i2")
    setups = "".join(
        f"<ViewSetup><id>{setup}</id><name>side {setup}</name><voxelSize><unit>µm</unit><size>0.5 0.5 2.0</size>"
        "</voxelSize></ViewSetup>"
        for setup in range(2)
    )
    (tmp_path / "scan.xml").write_text(
        f"<SpimData><SequenceDescription><ViewSetups>{setups}</ViewSetups></SequenceDescription></SpimData>",
        encoding="utf-8",
    )
    for setup, volume in enumerate(volumes):
        named = f"{tmp_path / 'scan.h5'}::t00000/s{setup:02}/0/cells"
        for given, options in ((tmp_path / "scan.h5", SourceOptions(channel=setup)), (named, None)):
            with open_source(given, options) as source:
                np.testing.assert_array_equal(read_whole(source), volume)
                assert source.volume.dtype == np.dtype("u2")
                assert (source.volume.voxel_size, source.volume.unit) == ((2, 0.5, 0.5), "micrometer")
                assert source.volume.channel == f"side {setup}"
                assert ["uint16" in note for note in source.volume.notes] == [True]


PLACES: dict[str, tuple[str, Any, dict[str, str], tuple[float, ...], str | None]] = {
    "Data Exchange": (
        "measurement/instrument/detection_system/objective/resolution", 0.65, {"units": "micron"}, (0.65,) * 3,
        "micrometer",
    ),
    "nabu": ("rec/configuration/processing_options/reconstruction/voxel_size_cm", 6.5e-5, {}, (6.5e-5,) * 3,
             "centimeter"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_the_voxel_size_in_the_usual_place_of_a_facility(tmp_path: Path, name: str) -> None:
    place, value, attributes, size, unit = PLACES[name]
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["rec/results/data"], file[place] = VOLUME, value
        file[place].attrs.update(attributes)
        file["measurement/instrument/detector/pixel_size"] = 6.5  # of the camera: larger by the magnification
    with open_source(tmp_path / "scan.h5") as source:
        assert (source.volume.voxel_size, source.volume.unit) == (size, unit)


@pytest.mark.parametrize("lost", ["", "z"])
def test_a_pixel_size_for_each_axis(tmp_path: Path, lost: str) -> None:
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["v"] = VOLUME
        file["v"].attrs.update({f"pixel_size_{a}": s for a, s in (("z", 2.0), ("y", 0.5), ("x", 0.5)) if a != lost})
        file["v"].attrs.update({f"pixel_size_{a}_units": "um" for a in "zyx"})
    with open_source(tmp_path / "scan.h5") as source:
        expected = (None, None) if lost else ((2, 0.5, 0.5), "micrometer")
        assert (source.volume.voxel_size, source.volume.unit) == expected
