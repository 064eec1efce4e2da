"""Reading OME-Zarr images (0.4 and 0.5) of this package and of other programs, and refusing anything else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_ct_pyramid.errors import SourceError, SourceNotFoundError, UnfinishedError
from napari_ct_pyramid.omezarr.channels import Channel
from napari_ct_pyramid.omezarr.reader import Pyramid, open_pyramid
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.omezarr import flat_indices, pyramid_of, write_image, write_json, write_unfinished

VERSIONS = ("0.4", "0.5", "0.6")


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit an image's 0.4 metadata."""
    attributes = json.loads((path / ".zattrs").read_text())
    edit(attributes)
    write_json(path / ".zattrs", attributes)


def same_voxels(pyramid: Pyramid, levels: list[np.ndarray]) -> bool:
    return all(
        np.array_equal(np.asarray(level.array), voxels) and level.dtype == voxels.dtype
        for level, voxels in zip(pyramid.levels, levels, strict=True)
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("axes", "shape", "halved"),
    [
        ("yx", (20, 24), (0, 1)),
        ("zyx", (12, 20, 24), (0, 1, 2)),
        ("czyx", (2, 8, 20, 24), (1, 2, 3)),
        ("tczyx", (2, 3, 4, 20, 24), (3, 4)),
    ],
)
def test_two_to_five_axes(
    tmp_path: Path, version: str, axes: str, shape: tuple[int, ...], halved: tuple[int, ...]
) -> None:
    levels = pyramid_of(flat_indices(shape), 3, halved)
    pyramid = open_pyramid(write_image(tmp_path / "a.ome.zarr", levels, version=version, axes=axes, voxel_size=0.5))
    assert pyramid.ome_zarr_version == version
    assert pyramid.axes == tuple(axes)
    assert pyramid.axis_types == tuple({"t": "time", "c": "channel"}.get(a, "space") for a in axes)
    assert pyramid.units == tuple(None if a in "tc" else "micrometer" for a in axes)
    assert [level.path for level in pyramid.levels] == ["0", "1", "2"]
    assert [level.shape for level in pyramid.levels] == [voxels.shape for voxels in levels]
    assert pyramid.levels[2].scale == tuple(2.0 if i in halved else 0.5 for i in range(len(axes)))
    assert pyramid.levels[2].translation == tuple(0.75 if i in halved else 0.0 for i in range(len(axes)))
    assert same_voxels(pyramid, levels)


def test_shards(tmp_path: Path) -> None:
    levels = pyramid_of(flat_indices((32, 32, 32)), 2)
    path = write_image(tmp_path / "a.zarr", levels, version="0.5", chunks=(8, 8, 8), shards=(16, 16, 16))
    pyramid = open_pyramid(path)
    assert pyramid.levels[0].chunks == (8, 8, 8)
    assert same_voxels(pyramid, levels)


def test_names_units_and_channels(tmp_path: Path) -> None:
    omero = {
        "channels": [
            {"label": "a", "color": "FF0000", "active": False, "window": {"min": 0, "max": 9, "start": 1, "end": 5}},
            {"color": "#00FF00", "window": {"start": -1, "end": 1}},
            {"label": "none"},
        ]
    }
    path = write_image(
        tmp_path / "a.zarr", [flat_indices((3, 4, 8, 8))], axes="czyx", omero=omero, multiscales={"name": "scan 7"}
    )
    pyramid = open_pyramid(str(path))
    assert (pyramid.path, pyramid.name) == (path, "scan 7")
    assert pyramid.channels == (
        Channel("a", "FF0000", (0, 9, 1, 5), active=False),
        Channel(None, "00FF00", (-1, 1, -1, 1)),
        Channel("none"),
    )
    assert pyramid.window == (0, 9, 1, 5)
    assert pyramid.compression == "blosc lz4, level 1, bitshuffle"
    assert pyramid.metadata["omero"] == omero


@pytest.mark.parametrize(("folder", "name"), [("a.ome.zarr", "a"), ("b.zarr", "b"), ("c", "c")])
def test_an_image_without_a_name_has_that_of_its_folder(tmp_path: Path, folder: str, name: str) -> None:
    path = write_image(tmp_path / folder, [flat_indices((4, 4))], axes="yx", multiscales={"name": None})
    assert open_pyramid(path).name == name


def test_transformations_of_the_image_are_applied_after_those_of_a_level(tmp_path: Path) -> None:
    path = write_image(
        tmp_path / "a.zarr",
        pyramid_of(flat_indices((8, 8, 8)), 2),
        voxel_size=2,
        multiscales={
            "coordinateTransformations": [
                {"type": "scale", "scale": [10, 1, 1]},
                {"type": "translation", "translation": [5, 0, -1]},
            ]
        },
    )
    first, second = open_pyramid(path).levels
    assert (first.scale, first.translation) == ((20, 2, 2), (5, 0, -1))
    assert (second.scale, second.translation) == ((40, 4, 4), (1 * 10 + 5, 1, 1 - 1))


@pytest.mark.parametrize("axes", [None, ["t", "c", "z", "y", "x"]])
def test_before_0_4_axes_were_names_and_the_scale_was_in_the_shapes(tmp_path: Path, axes: list[str] | None) -> None:
    path = write_image(tmp_path / "a.zarr", pyramid_of(flat_indices((1, 1, 4, 16, 16)), 2, (3, 4)), axes="tczyx")

    def edit(attributes: dict[str, Any]) -> None:
        image = attributes["multiscales"][0]
        image["axes"] = axes
        for dataset in image["datasets"]:
            del dataset["coordinateTransformations"]

    change(path, edit)
    pyramid = open_pyramid(path)
    assert pyramid.axes == ("t", "c", "z", "y", "x")
    assert pyramid.axis_types == ("time", "channel", "space", "space", "space")
    assert [level.scale for level in pyramid.levels] == [(1, 1, 1, 1, 1), (1, 1, 1, 2, 2)]


def test_padding_is_cut_off_at_every_level(tmp_path: Path) -> None:
    whole = flat_indices((13, 16, 16))
    padded = np.pad(whole, ((0, 3), (0, 0), (0, 0)))
    levels = pyramid_of(padded, 3)
    path = write_image(tmp_path / "a.zarr", levels, multiscales={"metadata": {"original_shape": [13, 16, 16]}})
    pyramid = open_pyramid(path)
    assert pyramid.original_shape == (13, 16, 16)
    assert [level.stored_shape[0] for level in pyramid.levels] == [16, 8, 4]
    assert [level.shape[0] for level in pyramid.levels] == [13, 7, 4]
    assert same_voxels(pyramid, [whole, levels[1][:7], levels[2]])
    assert np.array_equal(pyramid.levels[0].array[-1], whole[-1])


@pytest.mark.parametrize("original", [[4, 4], [99, 8, 8], [0, 8, 8], "8x8x8", [4.5, 8, 8], None])
def test_an_original_shape_that_means_something_else_is_ignored(tmp_path: Path, original: Any) -> None:
    voxels = flat_indices((8, 8, 8))
    path = write_image(tmp_path / "a.zarr", [voxels], multiscales={"metadata": {"original_shape": original}})
    pyramid = open_pyramid(path)
    assert pyramid.original_shape is None
    assert same_voxels(pyramid, [voxels])


@pytest.mark.parametrize("version", VERSIONS)
def test_opening_reads_no_voxels(tmp_path: Path, version: str) -> None:
    path = write_image(tmp_path / "a.zarr", pyramid_of(flat_indices((16, 16, 16)), 2), version=version)
    for chunk in (
        p for p in path.rglob("*") if p.is_file() and p.name not in (".zgroup", ".zattrs", ".zarray", "zarr.json")
    ):
        chunk.write_bytes(b"not to be read")
    assert len(open_pyramid(path).levels) == 2


def test_an_unfinished_conversion_is_named_as_such(tmp_path: Path) -> None:
    path = write_unfinished(tmp_path / "scan.ome.zarr", source="scan.tif")
    with pytest.raises(UnfinishedError, match=r"scan\.ome\.zarr is an unfinished .* scan\.tif: 0 of 12"):
        open_pyramid(path)


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="does not exist"):
        open_pyramid(tmp_path / "nothing.zarr")


def plain_array(path: Path) -> None:
    zarr.create_array(path, shape=(4, 4), dtype="u1", zarr_format=2)


def plain_array_v3(path: Path) -> None:
    zarr.create_array(path, shape=(4, 4), dtype="u1", zarr_format=3)


def plain_group(path: Path) -> None:
    zarr.open_group(path, mode="w", zarr_format=2).attrs["a"] = 1


def plain_group_v3(path: Path) -> None:
    zarr.open_group(path, mode="w", zarr_format=3)


def a_file(path: Path) -> None:
    path.write_text("text")


@pytest.mark.parametrize("make", [plain_array, plain_array_v3, plain_group, plain_group_v3, Path.mkdir, a_file])
def test_anything_but_an_image_is_refused(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "a.zarr")
    with pytest.raises(SourceError, match="is not") as caught:
        open_pyramid(tmp_path / "a.zarr")
    assert type(caught.value) is SourceError


@pytest.mark.parametrize(("key", "kind"), [("bioformats2raw.layout", "collection of images"), ("plate", "plate")])
def test_a_collection_of_images_is_named_as_such(tmp_path: Path, key: str, kind: str) -> None:
    zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2).attrs[key] = {"some": 3}
    with pytest.raises(SourceError, match=kind):
        open_pyramid(tmp_path / "a.zarr")


def image(attributes: dict[str, Any]) -> Any:
    return attributes["multiscales"][0]


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no levels": (lambda a: image(a).update(datasets=[]), "index out of range"),
    "no path": (lambda a: image(a)["datasets"][0].pop("path"), "'path' is missing"),
    "six axes": (lambda a: image(a).update(axes=list("abcdef")), "6 axes"),
    "two axes": (lambda a: image(a).update(axes=list("yx")), "has 3 axes, and 2 are named"),
    "affine": (lambda a: image(a).update(coordinateTransformations=[{"type": "affine"}]), "'affine' cannot be read"),
    "no list": (lambda a: a.update(multiscales="yes"), "metadata is broken"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_metadata_is_one_clear_error(tmp_path: Path, kind: str) -> None:
    edit, said = BROKEN[kind]
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 4, 4))])
    change(path, edit)
    with pytest.raises(SourceError, match=said) as caught:
        open_pyramid(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_level(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", pyramid_of(flat_indices((8, 8, 8)), 2))
    shutil.rmtree(path / "1")
    with pytest.raises(SourceError, match=r"1 is not a Zarr array"):
        open_pyramid(path)


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize("text", ["{", "[]", DEEP])
def test_metadata_that_are_not_a_json_object(tmp_path: Path, text: str) -> None:
    path = write_image(tmp_path / "a.zarr", [flat_indices((8, 8, 8))])
    (path / ".zattrs").write_text(text)
    with pytest.raises(SourceError, match=r"\.zattrs cannot be read"):
        open_pyramid(path)


@pytest.mark.parametrize("attributes", [[1], "text", {"ome": []}, {"ome": "text"}, None, 5])
def test_attributes_that_are_no_object(tmp_path: Path, attributes: Any) -> None:
    (tmp_path / "zarr.json").write_text(
        json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}), encoding="utf-8"
    )
    with pytest.raises(SourceError):
        open_pyramid(tmp_path)


@pytest.mark.parametrize("wrong", [{"chunks": [0, 4, 4]}, {"shape": [-4, 4, 4]}, {"shape": "abc"}, {"chunks": None}])
def test_sizes_of_an_array_that_cannot_be(tmp_path: Path, wrong: dict[str, Any]) -> None:
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 4, 4))])
    file = path / "0" / ".zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | wrong), encoding="utf-8")
    with pytest.raises(SourceError):
        open_pyramid(path)


@pytest.mark.parametrize(
    "scale",
    [[1, 1], [1, 1, 1, 1], ["a", 1, 1], [0, 1, 1], [1, float("nan"), 1], [1, 1, float("inf")], [], "2", None, 7],
)
def test_a_scale_that_cannot_be_used_is_ignored_with_a_note(tmp_path: Path, scale: Any) -> None:
    path = write_image(tmp_path / "a.zarr", pyramid_of(flat_indices((4, 4, 4)), 2), voxel_size=3)
    change(path, lambda a: image(a)["datasets"][0]["coordinateTransformations"][0].update(scale=scale))
    pyramid = open_pyramid(path)
    assert not pyramid.scale_is_valid
    assert pyramid.levels[0].scale == (1, 1, 1)
    assert len(pyramid.notes) == 1
    with open_source(path) as source:
        assert source.volume.voxel_size is None


def test_a_negative_scale_is_the_size_of_a_voxel_with_a_note(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 4, 4))])
    change(path, lambda a: image(a)["datasets"][0]["coordinateTransformations"][0].update(scale=[-2, 3, 4]))
    pyramid = open_pyramid(path)
    assert pyramid.scale_is_valid
    assert pyramid.levels[0].scale == (2, 3, 4)
    assert len(pyramid.notes) == 1


@pytest.mark.parametrize("translation", [[1, 1], [float("nan"), 0, 0], ["a", 0, 0], None])
def test_a_translation_that_cannot_be_used_is_ignored_with_a_note(tmp_path: Path, translation: Any) -> None:
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 4, 4))])
    change(path, lambda a: image(a)["datasets"][0]["coordinateTransformations"][1].update(translation=translation))
    pyramid = open_pyramid(path)
    assert pyramid.scale_is_valid
    assert pyramid.levels[0].translation == (0, 0, 0)
    assert len(pyramid.notes) == 1


@pytest.mark.parametrize(
    ("stated", "name"),
    [("/", "a"), ("", "a"), (None, "a"), ({}, "a"), (True, "a"), ("  ", "a"), (7, "7"), ("x\ny\x1b[31m", "x y [31m")],
)
def test_a_name_that_is_none_is_that_of_the_folder(tmp_path: Path, stated: Any, name: str) -> None:
    path = write_image(tmp_path / "a.ome.zarr", [flat_indices((4, 4))], axes="yx", multiscales={"name": stated})
    assert open_pyramid(path).name == name
