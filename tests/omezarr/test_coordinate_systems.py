"""OME-Zarr 0.6: coordinate systems and their transformations, read and written."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import napari_ct_pyramid as ct
from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.omezarr.coordinate_systems import as_0_5, from_0_5
from napari_ct_pyramid.omezarr.validation import can_validate, flaw_in
from tests.helpers.omezarr import flat_indices, pyramid_of, write_image, write_json

SPACE = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
ENDS = {"input": {"name": "physical"}, "output": {"name": "world"}}
SCALE = {"type": "scale", "scale": [4.0, 2.0, 3.0]}
MOVE = {"type": "translation", "translation": [1.0, 2.0, 5.0]}
TURN = {"type": "rotation", "rotation": [[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]}
POINTS = np.random.default_rng(1).integers(0, 9, (20, 3))


def image(tmp_path: Path, *more: dict[str, Any], **changes: Any) -> Path:
    """An image of 0.6 with two levels, and transformations from its own coordinate system to others."""
    systems = [{"name": "physical", "axes": SPACE}, {"name": "world", "axes": SPACE}]
    return write_image(
        tmp_path / "a.ome.zarr",
        pyramid_of(flat_indices((8, 8, 8)), 2),
        version="0.6",
        multiscales={"coordinateSystems": systems, "coordinateTransformations": list(more), **changes},
    )


def dataset(path: str, *transformations: dict[str, Any]) -> dict[str, Any]:
    ends = {"input": {"path": path}, "output": {"name": "physical"}}
    one = {"type": "sequence", "transformations": list(transformations), **ends}
    return {"path": path, "coordinateTransformations": [one]}


def apply(transformation: dict[str, Any], point: np.ndarray) -> np.ndarray:
    """The transformation of one point, written down from the specification."""
    match transformation["type"]:
        case "scale":
            return point * transformation["scale"]
        case "translation":
            return point + transformation["translation"]
        case "rotation":
            return np.array([sum(r * p for r, p in zip(row, point, strict=True)) for row in transformation["rotation"]])
        case "affine":
            return np.array(
                [sum(r * p for r, p in zip(row, [*point, 1], strict=True)) for row in transformation["affine"]]
            )
        case "mapAxis":
            return np.array([point[i] for i in transformation["mapAxis"]])
        case "byDimension":
            out = np.full(3, np.nan)
            for item in transformation["transformations"]:
                out[item["output_axes"]] = apply(item["transformation"], point[item["input_axes"]])
            return out
        case "sequence":
            for part in transformation["transformations"]:
                point = apply(part, point)
            return point
    raise AssertionError(transformation)


def placed(pyramid: ct.Pyramid, level: int) -> np.ndarray:
    """Where the reader puts voxels."""
    found = pyramid.levels[level]
    points = POINTS * np.array(found.scale) + found.translation
    matrix = np.array(pyramid.affine.matrix) if pyramid.affine else np.eye(4)
    return points @ matrix[:3, :3].T + matrix[:3, 3]


BY_DIMENSION = {
    "type": "byDimension",
    "transformations": [
        {"input_axes": [2, 0], "output_axes": [0, 1], "transformation": {"type": "scale", "scale": [2.0, 3.0]}},
        {"input_axes": [1], "output_axes": [2], "transformation": {"type": "translation", "translation": [7.0]}},
    ],
}


@pytest.mark.parametrize(
    "parts",
    [
        [SCALE],
        [SCALE, MOVE],
        [MOVE, SCALE],
        [SCALE, {"type": "sequence", "transformations": [MOVE, SCALE]}],
        [SCALE, TURN, MOVE],
        [SCALE, {"type": "affine", "affine": [[1, 0.5, 0, 2], [0, 1, 0, 3], [0.25, 0, 2, 4]]}],
        [{"type": "mapAxis", "mapAxis": [2, 0, 1]}, SCALE, MOVE],
        [SCALE, BY_DIMENSION],
    ],
    ids=lambda parts: " ".join(part["type"] for part in parts),
)
def test_voxels_are_where_the_transformations_of_their_level_put_them(
    tmp_path: Path, parts: list[dict[str, Any]]
) -> None:
    coarser = [{"type": "scale", "scale": [2.0, 2.0, 2.0]}, {"type": "translation", "translation": [0.5, 0.5, 0.5]}]
    levels = [dataset("0", *parts), dataset("1", *coarser, *parts)]
    pyramid = ct.open_pyramid(image(tmp_path, datasets=levels))
    for level, transformations in enumerate([parts, [*coarser, *parts]]):
        whole = {"type": "sequence", "transformations": transformations}
        np.testing.assert_allclose(placed(pyramid, level), [apply(whole, point) for point in POINTS], atol=1e-9)
    assert (pyramid.affine is None) == all(part["type"] in ("scale", "translation", "sequence") for part in parts)


def test_another_system_is_shown_by_an_affine_and_said(tmp_path: Path) -> None:
    pyramid = ct.open_pyramid(image(tmp_path, {**TURN, **ENDS}))
    assert pyramid.affine
    assert pyramid.affine.system == "world"
    np.testing.assert_allclose(placed(pyramid, 0), [apply(TURN, point) for point in POINTS])
    assert pyramid.levels[1].scale == (2, 2, 2)
    assert any("world" in note for note in pyramid.notes)


@pytest.mark.parametrize(
    "more",
    [
        {"type": "displacements", "path": "field"},
        {"type": "affine", "path": "matrix"},
        {"type": "affine", "affine": [[1, 0, 0, 0], [0, 1, 0, 0]]},
        {"type": "of next year"},
    ],
    ids=str,
)
def test_what_cannot_be_shown_is_said(tmp_path: Path, more: dict[str, Any]) -> None:
    pyramid = ct.open_pyramid(image(tmp_path, {**more, **ENDS}))
    assert pyramid.affine is None
    assert any("world" in note for note in pyramid.notes)


def test_voxels_without_a_size_get_that_of_the_next_system(tmp_path: Path) -> None:
    """The example of the specification: https://ngff.openmicroscopy.org/0.6/#array-coordinate-systems-md."""
    array = [{"name": f"dim_{i}", "type": "array"} for i in range(3)]
    systems = [{"name": "world", "axes": SPACE}, {"name": "physical", "axes": array}]
    pyramid = ct.open_pyramid(image(tmp_path, {**SCALE, **ENDS}, coordinateSystems=systems))
    assert pyramid.axes == ("z", "y", "x")
    assert pyramid.units == ("micrometer",) * 3
    assert [level.scale for level in pyramid.levels] == [(4, 2, 3), (8, 4, 6)]
    assert pyramid.affine is None


def test_the_form_of_the_drafts_is_read(tmp_path: Path) -> None:
    own = {"type": "scale", "scale": [4, 2, 3], "input": "0", "output": "physical"}
    levels = [{"path": "0", "coordinateTransformations": [own]}]
    assert ct.open_pyramid(image(tmp_path, datasets=levels)).levels[0].scale == (4, 2, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"datasets": [dataset("0", {"type": "displacements", "path": "field"})]},
        {"coordinateSystems": [{"name": "another", "axes": SPACE}]},
        {"coordinateSystems": []},
        {"datasets": [dataset("0", {"type": "affine", "affine": [[1, 0, 0, 0]] * 3})]},
    ],
)
def test_levels_without_a_place_are_errors(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(SourceError):
        ct.open_pyramid(image(tmp_path, **changes))


@pytest.mark.parametrize("version", ["0.7", "0.10", "1.0.dev1"])
def test_a_newer_version_is_named_and_declined(tmp_path: Path, version: str) -> None:
    path = write_image(tmp_path / "a.zarr", [flat_indices((4, 4, 4))], version="0.5")
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["ome"]["version"] = version
    write_json(path / "zarr.json", document)
    with pytest.raises(SourceError, match=version.replace(".", r"\.")):
        ct.open_pyramid(path)


def test_0_5_and_0_6_are_the_same_metadata_in_two_forms(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", pyramid_of(flat_indices((8, 8, 8)), 2), version="0.5")
    old = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    new = from_0_5(old)
    assert "axes" not in new
    assert as_0_5(new, lambda _: None) == (old, None)


def test_a_conversion_writes_0_6(tmp_path: Path) -> None:
    voxels = flat_indices((8, 16, 16))
    made = {}
    for version in ("0.5", "0.6"):
        path = tmp_path / f"{version}.ome.zarr"
        ct.convert(voxels, path, chunks=8, ome_zarr_version=version, num_levels=2, voxel_size="2 1 1 um")  # type: ignore[arg-type]
        made[version] = ct.open_pyramid(path)
        assert made[version].ome_zarr_version == version
    path = tmp_path / "0.6.ome.zarr"
    assert ct.verify(path, voxels).problems == ()
    assert made["0.5"].levels == made["0.6"].levels  # without voxels
    assert made["0.5"].units == made["0.6"].units
    image = zarr.open_group(path, mode="r").attrs["ome"]["multiscales"][0]  # type: ignore[index, call-overload]
    assert image["coordinateSystems"][0]["axes"] == SPACE
    assert flaw_in(path, "0.6") is None
    if find_spec("ngff_zarr"):
        import ngff_zarr

        images = ngff_zarr.from_ngff_zarr(str(path)).images
        assert [one.scale for one in images] == [dict(zip("zyx", s, strict=True)) for s in [(2, 1, 1), (4, 2, 2)]]
        np.testing.assert_array_equal(np.asarray(images[0].data), voxels)


@pytest.mark.skipif(not can_validate("0.6"), reason="this ome-zarr-models does not know OME-Zarr 0.6")
def test_ome_zarr_models_finds_a_flaw(tmp_path: Path) -> None:
    assert flaw_in(image(tmp_path), "0.6") is None
    assert flaw_in(image(tmp_path, coordinateSystems=[]), "0.6")
