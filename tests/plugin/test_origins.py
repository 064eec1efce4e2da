"""What a conversion of a layer converts: its file, or what the layer is in napari."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array
import napari
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Points

import napari_ct_pyramid as ct
from napari_ct_pyramid.omezarr.reader import open_pyramid
from napari_ct_pyramid.plugin.layers import pyramid_layers, source_layer
from napari_ct_pyramid.plugin.origins import layer_input, layers_showing
from napari_ct_pyramid.sources.inputs import ArrayInput
from tests.helpers.dock import volume, write_tiff
from tests.helpers.omezarr import pyramid_of, write_image

OPTIONS: dict[str, Any] = {"chunks": 16, "num_levels": 2}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tiff(tmp_path / "scan.tif")


@pytest.fixture
def layer(source: Path) -> Any:
    """Of a TIFF with voxels of 0.5 micrometers."""
    return Layer.create(*source_layer(source))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An OME-Zarr with voxels of 2 micrometers."""
    return write_image(tmp_path / "image.ome.zarr", pyramid_of(volume(), 2), voxel_size=2)


def converted(layer: Any, output: Path) -> ct.Pyramid:
    """What a conversion of a layer makes."""
    asked = layer_input(layer)
    ct.convert(asked.source, output, **(OPTIONS | asked.options))
    return open_pyramid(output)


def test_a_layer_that_shows_its_file_is_that_file(layer: Any, source: Path) -> None:
    found = layer_input(layer)
    assert (found.source, found.options) == (str(source), {})
    layer.contrast_limits, layer.name, layer.colormap, layer.visible = (0, 1), "mine", "red", False
    assert layer_input(layer) == found


def test_an_ome_zarr_is_its_finest_level(image: Path, tmp_path: Path) -> None:
    [data] = pyramid_layers(open_pyramid(image))
    layer = Layer.create(*data)
    assert layer_input(layer).source == str(image)
    made = converted(layer, tmp_path / "out")
    assert np.array_equal(np.asarray(made.levels[0].array), volume())
    assert made.levels[0].scale == (2, 2, 2)


def test_a_channel_is_converted_alone(tmp_path: Path) -> None:
    channels = np.stack([volume(1), volume(2)])
    image = write_image(tmp_path / "a.zarr", [channels], axes="czyx", voxel_size=2)
    layers = [Layer.create(*data) for data in pyramid_layers(open_pyramid(image))]
    assert np.array_equal(np.asarray(converted(layers[1], tmp_path / "out").levels[0].array), volume(2))


def test_the_scale_that_was_set_in_napari_is_converted(layer: Any, source: Path, tmp_path: Path) -> None:
    layer.scale, layer.units = (3, 2, 1), ("nm",) * 3
    found = layer_input(layer)
    assert found.source == str(source)
    assert found.options == {"voxel_size": (3, 2, 1), "unit": "nanometer"}
    made = converted(layer, tmp_path / "out")
    assert made.levels[0].scale == (3, 2, 1)
    assert made.units == ("nanometer",) * 3


def test_the_place_that_was_set_in_napari_is_converted(layer: Any, tmp_path: Path) -> None:
    layer.translate = (10, -20, 0.25)
    made = converted(layer, tmp_path / "out")
    assert made.levels[0].translation == (10, -20, 0.25)
    assert made.levels[0].scale == (0.5, 0.5, 0.5)
    assert made.units == ("micrometer",) * 3
    assert np.array_equal(np.asarray(made.levels[0].array), volume())


def test_data_that_were_replaced_are_converted(layer: Any, source: Path, tmp_path: Path) -> None:
    layer.data = [volume(5), volume(5)[::2, ::2, ::2]]
    found = layer_input(layer)
    assert isinstance(found.source, ArrayInput)
    assert found.source.folder == source.parent
    made = converted(layer, tmp_path / "out")
    assert np.array_equal(np.asarray(made.levels[0].array), volume(5))
    assert made.levels[0].scale == (0.5, 0.5, 0.5)


ARRAYS = {
    "numpy": lambda path: volume(),
    "dask": lambda path: dask.array.from_array(volume(), chunks=20),
    "zarr": lambda path: zarr.create_array(path / "a.zarr", data=volume(), chunks=(20, 20, 20)),
    "multiscale": lambda path: [volume(), volume()[::2, ::2, ::2]],
    "surplus axis": lambda path: volume()[None],
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_layers_in_memory(tmp_path: Path, kind: str) -> None:
    data = ARRAYS[kind](tmp_path)
    ndim = 4 if kind == "surplus axis" else 3
    scale, translate = (9.0, 2.0, 1.5, 1.5)[-ndim:], (9.0, 30.0, 0.0, -2.0)[-ndim:]
    layer = Image(data, scale=scale, translate=translate, units=("micrometer",) * ndim, name="in memory")
    made = converted(layer, tmp_path / "out")
    assert np.array_equal(np.asarray(made.levels[0].array), volume())
    assert made.levels[0].scale == (2, 1.5, 1.5)
    assert made.levels[0].translation == (30, 0, -2)
    assert made.units == ("micrometer",) * 3
    assert "in memory" in str(layer_input(layer).source)


def test_an_array_is_not_copied() -> None:
    array = volume()
    source = layer_input(Image(array)).source
    assert isinstance(source, ArrayInput)
    assert source.data is array


def test_units_of_a_layer_are_made_one(tmp_path: Path) -> None:
    layer = Image(volume(), scale=(0.002, 1, 500), translate=(0.1, 3, 0), units=("mm", "um", "nm"))
    made = converted(layer, tmp_path / "out")
    assert made.units == ("millimeter",) * 3
    assert np.allclose(made.levels[0].scale, (0.002, 0.001, 0.0005))
    assert np.allclose(made.levels[0].translation, (0.1, 0.003, 0))


def test_pixels_are_an_unknown_voxel_size() -> None:
    source = layer_input(Image(volume())).source
    assert isinstance(source, ArrayInput)
    assert (source.voxel_size, source.unit) == (None, None)
    source = layer_input(Image(volume(), scale=(2, 1, 1))).source
    assert isinstance(source, ArrayInput)
    assert (source.voxel_size, source.unit) == ((2, 1, 1), None)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_labels_are_converted_as_labels_also_after_painting(tmp_path: Path, dtype: str) -> None:
    labels = np.zeros((20, 32, 48), dtype)
    labels[2:9, 5:20, 7:40] = 3
    layer = Labels(labels, scale=(2, 1, 1), units=("um",) * 3, name="pores")
    layer.data_setitem((np.array([15]), np.array([30]), np.array([40])), 7)
    made = converted(layer, tmp_path / "out")
    assert made.is_labels
    found = np.asarray(made.levels[0].array)
    assert np.array_equal(found, layer.data)
    assert found[15, 30, 40] == 7
    [(data, settings, kind)] = pyramid_layers(made)
    assert kind == "labels"
    again = layer_input(Layer.create(data, settings, kind))
    assert again.options == {"method": "mode"}
    assert again.source == str(tmp_path / "out")


TURNED = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
WRONG = {
    "points": lambda: Points(np.zeros((2, 3))),
    "colours": lambda: Image(np.zeros((4, 8, 8, 3), "u1"), rgb=True),
    "a picture": lambda: Image(np.zeros((8, 8))),
    "a time series": lambda: Image(np.zeros((2, 4, 8, 8))),
    "rotated": lambda: Image(np.zeros((4, 8, 8)), rotate=30),
    "sheared": lambda: Image(np.zeros((4, 8, 8)), shear=[0, 1, 0]),
    "an affine": lambda: Image(np.zeros((4, 8, 8)), affine=np.diag([1, 1, 2, 1])),
    "mirrored": lambda: Image(np.zeros((4, 8, 8)), scale=(1, -1, 1)),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_volume_is_refused_in_a_sentence(kind: str) -> None:
    with pytest.raises(ct.SourceError) as caught:
        layer_input(WRONG[kind]())
    assert "\n" not in str(caught.value)


def test_an_output_cannot_replace_the_ome_zarr_that_a_layer_reads(image: Path) -> None:
    [data] = pyramid_layers(open_pyramid(image))
    layer = Layer.create(*data)
    layer.translate = (5, 5, 5)  # now it is an array that is read from the image
    asked = layer_input(layer)
    assert isinstance(asked.source, ArrayInput)
    with pytest.raises(ct.RequestError):
        ct.convert(asked.source, image, **OPTIONS, overwrite=True)


def test_the_layers_of_a_source(layer: Any, source: Path) -> None:
    viewer: napari.components.ViewerModel = ViewerModel()
    array = volume(1)
    memory, other = Image(array), Image(volume(2))
    viewer.layers.extend([layer, memory, other, Points(np.zeros((1, 3)))])
    assert list(layers_showing(viewer, str(source))) == [layer]
    assert list(layers_showing(viewer, source)) == [layer]
    assert list(layers_showing(viewer, layer_input(memory).source)) == [memory]
    assert list(layers_showing(viewer, source.with_name("no.tif"))) == []
    layer.data = [array, array[::2, ::2, ::2]]  # it shows other voxels now
    assert list(layers_showing(viewer, layer_input(memory).source)) == [layer, memory]
