"""Levels as arrays to work with: without padding, lazily, in blocks, cropped, and as arrays of other libraries."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import napari_ct_pyramid as ct
from napari_ct_pyramid.calibration import Calibration
from tests.helpers.omezarr import pyramid_of, write_image

SHAPE = (19, 33, 45)


@pytest.fixture(scope="module")
def voxels() -> np.ndarray:
    return np.random.default_rng(6).integers(200, 300, SHAPE).astype("u2")


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory: pytest.TempPathFactory, voxels: np.ndarray) -> ct.Pyramid:
    folder = tmp_path_factory.mktemp("scan")
    tifffile.imwrite(folder / "scan.tif", voxels, photometric="minisblack")
    made = ct.convert(folder / "scan.tif", chunks=8, num_levels=3, edges="pad", voxel_size="0.5um")
    return ct.open_pyramid(made.output)


def test_a_level_is_an_array_without_padding(pyramid: ct.Pyramid, voxels: np.ndarray) -> None:
    first = pyramid.levels[0]
    assert first.shape == first.array.shape == SHAPE
    assert first.stored_shape > SHAPE
    np.testing.assert_array_equal(np.asarray(first), voxels)
    np.testing.assert_array_equal(first[3], voxels[3])
    assert np.mean(first) == voxels.mean()


@pytest.mark.parametrize(
    ("asked", "expected"), [(0.5, 0), (0.1, 0), (0.9, 0), (1, 1), ("1.5 um", 1), ("2000 nm", 2), ("1 mm", 2)]
)
def test_a_level_by_its_voxel_size(pyramid: ct.Pyramid, asked: Any, expected: int) -> None:
    assert pyramid.at(voxel_size=asked) is pyramid.levels[expected]


def test_a_part_has_all_levels_in_their_place(pyramid: ct.Pyramid, voxels: np.ndarray) -> None:
    parts = [
        pyramid.crop("3:9,,20:"),
        pyramid.crop(z=(3, 9), x=(20, None)),
        pyramid.crop(z=(1.5, 4.5), x=(10, None), unit="um"),
        pyramid.crop(z=(-16, -10), x=(-25, None)),
    ]
    for part in parts:
        np.testing.assert_array_equal(np.asarray(part.levels[0]), voxels[3:9, :, 20:])
        np.testing.assert_array_equal(np.asarray(part.levels[1]), np.asarray(pyramid.levels[1])[1:5, :, 10:])
        assert part.levels[0].translation == pytest.approx((1.5, 0, 10))
        assert part.levels[1].translation == pytest.approx((0.25 + 1, 0.25, 0.25 + 10))
    for wrong in ({"crop": "30:40,,"}, {"z": (4, 4)}, {"q": (0, 1)}, {"z": 3}, {"z": (100, 200), "unit": "um"}):
        with pytest.raises(ct.RequestError):
            pyramid.crop(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("overlap", [0, 1, (0, 2, 3)])
@pytest.mark.parametrize("block", [None, (4, None, None), (100, 7, 9)])
def test_blocks_cover_a_level_once(pyramid: ct.Pyramid, voxels: np.ndarray, overlap: Any, block: Any) -> None:
    seen = np.zeros(SHAPE, int)
    halo = (overlap,) * 3 if isinstance(overlap, int) else overlap
    for one in pyramid.levels[0].blocks(overlap=overlap, block=block, threads=2):
        seen[one.box] += 1
        np.testing.assert_array_equal(one.voxels[one.inner], voxels[one.box])
        around = tuple(slice(max(0, s.start - h), s.stop + h) for s, h in zip(one.box, halo, strict=True))
        np.testing.assert_array_equal(one.voxels, voxels[around])
    assert (seen == 1).all()
    sums = pyramid.levels[0].blocks(block=block, function=lambda one: int(one.voxels.sum()))
    assert sum(sums) == voxels.sum()
    with pytest.raises(ct.BudgetError):
        next(pyramid.levels[0].blocks(max_memory="1M"))
    with pytest.raises(ct.RequestError):
        next(pyramid.levels[0].blocks(overlap=(1, 2)))


def test_a_function_streams_into_a_new_image(pyramid: ct.Pyramid, voxels: np.ndarray, tmp_path: Path) -> None:
    from scipy.ndimage import uniform_filter

    expected = uniform_filter(voxels.astype("f4"), 3, mode="nearest")

    def smooth(block: np.ndarray) -> np.ndarray:
        result: np.ndarray = uniform_filter(block.astype("f4"), 3, mode="nearest")
        return result

    level = pyramid.levels[0]
    for block in (None, (5, None, None), (4, 6, 9)):
        made = level.map_blocks(smooth, overlap=1, dtype="f4", block=block)
        np.testing.assert_allclose(np.asarray(made), expected, rtol=1e-5)
    part = pyramid.crop("2:,,").levels[0].map_blocks(smooth, overlap=1, dtype="f4")
    receipt = ct.convert(part, tmp_path / "new.ome.zarr", chunks=8, num_levels=1, edges="pad")
    new = ct.open_pyramid(receipt.output)
    np.testing.assert_allclose(np.asarray(new.levels[0])[2:], expected[4:], rtol=1e-5)
    assert new.levels[0].scale == pytest.approx((0.5, 0.5, 0.5))
    assert new.levels[0].translation == pytest.approx((1, 0, 0))
    assert set(new.units) == {"micrometer"}
    assert ct.stats(part).count == math.prod(part.shape)
    with pytest.raises(ct.RequestError):
        np.asarray(level.map_blocks(lambda block: block[1:]))


def test_dask_and_xarray(pyramid: ct.Pyramid, voxels: np.ndarray) -> None:
    pytest.importorskip("dask.array")
    level = pyramid.levels[0]
    lazy = level.to_dask()
    assert (lazy.shape, lazy.chunksize) == (SHAPE, (8, 8, 8))
    assert float(lazy.mean().compute()) == pytest.approx(voxels.mean())
    pytest.importorskip("xarray")
    array = pyramid.levels[1].to_xarray()
    assert array.dims == ("z", "y", "x")
    assert array.coords["x"].attrs["units"] == "micrometer"
    np.testing.assert_allclose(array.coords["x"], 0.25 + np.arange(array.shape[2]))
    np.testing.assert_array_equal(array.values, np.asarray(pyramid.levels[1]))
    part = pyramid.crop("2:,,4:").levels[0]
    made = ct.convert(part.to_xarray(), pyramid.path.parent / "x.ome.zarr", chunks=8, edges="pad", num_levels=1)
    again = ct.open_pyramid(made.output).levels[0]
    assert (again.scale, again.translation, again.units) == (part.scale, part.translation, part.units)


def test_an_xarray_states_what_its_voxels_stand_for(pyramid: ct.Pyramid, tmp_path: Path) -> None:
    pytest.importorskip("dask.array")
    pytest.importorskip("xarray")
    assert pyramid.levels[0].to_xarray().attrs == {}
    level = replace(pyramid.levels[0], calibration=Calibration(0.5, -1000.0, "HU"))
    array = level.to_xarray()
    assert array.attrs == {"calibration": "0.5 -1000.0 HU"}
    plan = ct.plan(array, tmp_path / "new.ome.zarr", chunks=8, edges="pad")
    assert plan.volume.calibration is None
    assert any("0.5" in note for note in plan.volume.notes)
    plan = ct.plan(array, tmp_path / "new.ome.zarr", chunks=8, edges="pad", calibration=array.attrs["calibration"])
    assert plan.calibration == level.calibration
    plan = ct.plan(array.assign_attrs(calibration="by hand"), tmp_path / "new.ome.zarr", chunks=8, edges="pad")
    assert not plan.volume.notes


def test_a_slice_of_a_level_says_what_it_does_not_keep(pyramid: ct.Pyramid, tmp_path: Path) -> None:
    plan = ct.plan(pyramid.levels[0][2:12], tmp_path / "new.ome.zarr", chunks=8, edges="pad")
    assert plan.volume.voxel_size is None
    assert any("crop" in note for note in plan.volume.notes)


def test_the_overlap_of_a_budget_ends_with_the_level(pyramid: ct.Pyramid) -> None:
    (one,) = pyramid.levels[0].blocks(overlap=1000, block=(None, None, None))
    assert one.voxels.shape == SHAPE


def test_a_level_with_channels_is_not_one_volume(tmp_path: Path) -> None:
    voxels = np.arange(2 * 4 * 5 * 6, dtype="u2").reshape(2, 4, 5, 6)
    pyramid = ct.open_pyramid(write_image(tmp_path / "a.zarr", [voxels], axes="czyx"))
    for options in ({}, {"channel": 1}):
        with pytest.raises(ct.RequestError, match=r"crop\(c="):
            ct.stats(pyramid.levels[0], **options)
    assert ct.stats(pyramid.crop(c=(1, 2))).minimum == voxels[1].min()


@pytest.mark.parametrize("name", ["scan.ome.zarr", "scan.ozx"])
def test_a_level_is_pickled_as_its_path(pyramid: ct.Pyramid, voxels: np.ndarray, name: str) -> None:
    path = pyramid.path.parent / name
    if not path.exists():
        ct.export(pyramid.path, path)
    level = ct.open_pyramid(path).crop("2:,,3:").levels[0]
    mapped = level.map_blocks(np.negative, dtype="i4")
    packed = pickle.dumps((level, level.array, mapped))
    assert len(packed) < 5000
    again, array, negative = pickle.loads(packed)
    assert again == level
    for one in (np.asarray(again), np.asarray(array), np.negative(np.asarray(negative))):
        np.testing.assert_array_equal(one.astype("u2"), voxels[2:, :, 3:])


def test_a_missing_library_names_its_extra(pyramid: ct.Pyramid, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "dask.array", None)
    monkeypatch.setitem(sys.modules, "xarray", None)
    for make in (pyramid.levels[0].to_dask, pyramid.levels[0].to_xarray):
        with pytest.raises(ct.RequestError):
            make()


def test_short_descriptions(pyramid: ct.Pyramid) -> None:
    receipt = ct.convert(pyramid.levels[0], pyramid.path.parent / "again.ome.zarr", chunks=8, edges="pad")
    plan = ct.plan(pyramid.levels[0], pyramid.path.parent / "more.ome.zarr", chunks=8, edges="pad")
    for one in (pyramid, receipt, plan):
        assert len(repr(one)) < 250
        assert one._repr_html_().count("<tr>") == 1 + len(one.levels)


def test_a_notebook_shows_a_bar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys
    from types import SimpleNamespace

    shown: list[str] = []
    shell = type("ZMQInteractiveShell", (), {})
    display = SimpleNamespace(HTML=lambda text: text, display=lambda *_, **__: SimpleNamespace(update=shown.append))
    fake = SimpleNamespace(get_ipython=shell, display=display)
    monkeypatch.setitem(sys.modules, "IPython", fake)
    ct.convert(np.zeros((2, 4, 4), "u1"), tmp_path / "a.ome.zarr", chunks=2, num_levels=1)
    assert "100%" in shown[-1]


def test_an_open_image_and_a_part_of_it_are_sources(pyramid: ct.Pyramid, voxels: np.ndarray, tmp_path: Path) -> None:
    part = pyramid.crop("2:9,,4:")
    assert ct.stats(pyramid).mean == pytest.approx(voxels.mean())
    assert ct.stats(part).mean == pytest.approx(voxels[2:9, :, 4:].mean())
    assert ct.stats(pyramid, level=1).count == math.prod(pyramid.levels[1].shape)
    ct.export(part, tmp_path / "part.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "part.tif"), voxels[2:9, :, 4:])
    made = ct.convert(part, tmp_path / "part.ome.zarr", chunks=8, edges="pad", num_levels=1).output
    assert ct.open_pyramid(made).levels[0].translation == part.levels[0].translation
    with pytest.raises(ct.RequestError):
        ct.export(pyramid, pyramid.path, overwrite=True)


def test_a_part_of_a_part_is_the_part(pyramid: ct.Pyramid) -> None:
    part, expected = pyramid.crop("1:18,3:30,5:45").crop("2:9,1:12,4:33"), pyramid.crop("3:10,4:15,9:38")
    for level, same in zip(part.levels, expected.levels, strict=True):
        np.testing.assert_array_equal(np.asarray(level), np.asarray(same))
        assert level.translation == pytest.approx(same.translation)


def test_a_part_goes_by_the_scales_of_the_levels(tmp_path: Path) -> None:
    finest = np.arange(35**3, dtype="u2").reshape(35, 35, 35)
    path = write_image(tmp_path / "a.zarr", [finest, finest[:34:2, :34:2, :34:2]])
    ct.export(path, tmp_path / "a.tif", level=1, crop="30:35,3:4,34:35")
    part = ct.open_pyramid(path).crop("30:35,3:4,34:35").levels[1]
    np.testing.assert_array_equal(np.asarray(part), tifffile.imread(tmp_path / "a.tif").reshape(part.shape))
    assert part.shape == (2, 1, 1)


def test_the_names_of_the_axes_decide(tmp_path: Path) -> None:
    voxels = np.arange(8 * 10 * 12, dtype="u2").reshape(8, 10, 12)
    image = ct.open_pyramid(write_image(tmp_path / "a.zarr", pyramid_of(voxels, 2, (0,)), axes="xyz"))
    np.testing.assert_array_equal(np.asarray(image.crop("9:12,1:3,4:5").levels[0]), voxels[4:5, 1:3, 9:12])
    image = replace(image, levels=tuple(replace(one, scale=(n, 1, 1)) for n, one in enumerate(image.levels, 1)))
    assert image.at(voxel_size=(1, 1, 2)) is image.levels[1]
    assert image.at(voxel_size=(2, 1, 1)) is image.levels[0]
    flat = ct.open_pyramid(write_image(tmp_path / "flat.zarr", [voxels[0]], axes="yx"))
    np.testing.assert_array_equal(np.asarray(flat.crop(",2:5,3:4").levels[0]), voxels[0, 2:5, 3:4])
    with pytest.raises(ct.RequestError, match="no axis z"):
        flat.crop("2:5,3:4,")


@pytest.mark.parametrize("part", [(1.7, 5.2), ("1", "5"), (float("nan"), 5)])
def test_a_part_in_voxels_takes_whole_numbers(pyramid: ct.Pyramid, part: Any) -> None:
    with pytest.raises(ct.RequestError, match="whole voxels"):
        pyramid.crop(z=part)
    assert pyramid.crop(z=(1.0, np.int64(5))).levels[0].shape[0] == 4


@pytest.mark.parametrize("result", ["f4", "i4", "u8"])
def test_a_result_of_another_kind_needs_its_type(pyramid: ct.Pyramid, voxels: np.ndarray, result: str) -> None:
    level = pyramid.levels[0]
    with pytest.raises(ct.RequestError, match="dtype="):
        np.asarray(level.map_blocks(lambda block: block.astype(result) + 1))
    made = level.map_blocks(lambda block: block.astype(result) + 1, dtype=result)
    np.testing.assert_array_equal(np.asarray(made), voxels.astype(result) + 1)


@pytest.mark.parametrize(("block", "blocks"), [((8, 16, 16), 128), ((1, None, None), 64), ((16, None, None), 4)])
def test_a_conversion_computes_each_block_about_once(tmp_path: Path, block: Any, blocks: int) -> None:
    voxels = np.random.default_rng(0).integers(0, 99, (64, 64, 64), "u1")
    level = ct.open_pyramid(write_image(tmp_path / "a.zarr", [voxels], chunks=(16, 16, 16))).levels[0]
    shapes = []

    def double(block: np.ndarray) -> np.ndarray:
        shapes.append(block.shape)
        block *= 2  # in place, which changes no other block
        return block

    ct.convert(level.map_blocks(double, block=block, overlap=1), tmp_path / "b.ome.zarr", chunks=16, num_levels=1)
    np.testing.assert_array_equal(np.asarray(ct.open_pyramid(tmp_path / "b.ome.zarr").levels[0]), voxels * 2)
    assert blocks < len(shapes) <= blocks + 8  # a few are computed for the plan, and once more at the end


def test_blocks_of_thin_slices_are_read_together(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 99, (40, 9, 10), "u1")
    level = ct.open_pyramid(write_image(tmp_path / "a.zarr", [voxels], chunks=(16, 16, 16))).levels[0]
    read = level.array._read
    boxes: list[Any] = []
    level.array._read = lambda box: (boxes.append(box), read(box))[1]
    for z, one in enumerate(level.blocks(block=(1, None, None), overlap=(1, 0, 0))):
        np.testing.assert_array_equal(one.voxels, voxels[max(0, z - 1) : z + 2])
        np.testing.assert_array_equal(one.voxels[one.inner], voxels[one.box])
    assert (z, len(boxes)) == (39, 3)


def test_what_voxels_stood_for_is_said_to_be_lost(pyramid: ct.Pyramid, tmp_path: Path) -> None:
    level = replace(pyramid.levels[0], calibration=Calibration(2, 1, "HU"))
    for source, notes in ((level, 0), (level.map_blocks(np.negative, dtype="i4"), 1)):
        plan = ct.plan(source, tmp_path / "a.ome.zarr", chunks=8, edges="pad")
        assert sum("stood for" in str(warning) for warning in plan.warnings) == notes


def test_values_that_do_not_fit_the_named_type_are_an_error(pyramid: ct.Pyramid, voxels: np.ndarray) -> None:
    level = pyramid.levels[0]
    for function in (np.negative, lambda block: block * 1.0, lambda block: block * np.nan):
        with pytest.raises(ct.RequestError, match="do not fit in uint8"):
            np.asarray(level.map_blocks(function, dtype="u1"))
    halves = level.map_blocks(lambda block: (block - 200) / 2, dtype="u1")
    np.testing.assert_array_equal(np.asarray(halves), np.rint((voxels - 200) / 2))


@pytest.mark.parametrize(
    "wrong",
    [{"block": 16}, {"block": "16"}, {"block": (1, 2.5, 3)}, {"block": ()}, {"overlap": 1.5}, {"overlap": "1"},
     {"overlap": None}, {"overlap": -1}, {"threads": "x"}, {"threads": 0}, {"max_memory": "much"}],
)  # fmt: skip
def test_odd_arguments_of_blocks_are_named(pyramid: ct.Pyramid, wrong: dict[str, Any]) -> None:
    with pytest.raises(ct.RequestError):
        next(pyramid.levels[0].blocks(**wrong))
    assert next(pyramid.levels[0].blocks(overlap=np.int64(1), block=np.array([4, 5, 6]))).inner[0] == slice(0, 4)


def test_types_that_voxels_cannot_have_are_named(pyramid: ct.Pyramid) -> None:
    level = pyramid.levels[0]
    with pytest.raises(ct.RequestError, match="nothing"):
        level.map_blocks(np.negative, dtype="nothing")
    with pytest.raises(ct.RequestError, match="complex"):
        np.asarray(level.map_blocks(lambda block: block * 1j, dtype="f4"))


def test_blocks_keep_channels_apart(tmp_path: Path) -> None:
    voxels = (np.arange(3)[:, None, None, None] * 10 + np.random.default_rng(1).integers(0, 9, (3, 8, 9, 10))).astype(
        "u2"
    )
    path = write_image(tmp_path / "a.zarr", [voxels], axes="czyx", chunks=(2, 4, 4, 4))
    level = ct.open_pyramid(path).levels[0]
    shapes = {one.voxels.shape for one in level.blocks(overlap=1)}
    assert shapes == {(1, 8, 9, 10)}
    made = level.map_blocks(lambda block: np.full_like(block, block.max()), overlap=2)
    np.testing.assert_array_equal(np.asarray(made).max((1, 2, 3)), voxels.max((1, 2, 3)))
    assert made.chunks[0] == 1


@pytest.mark.parametrize(
    ("scale", "units", "size", "place", "unit"),
    [((1, 1, 1), (None,) * 3, None, (2, 0, 1), None), ((3, 2, 1), (None,) * 3, (3, 2, 1), (6, 0, 1), None),
     ((1, 500, 1), ("micrometer", "nm", "um"), (1, 0.5, 1), (2, 0, 1), "micrometer"),
     ((1, 1, 2), ("um", None, None), None, (0, 0, 0), None)],
)  # fmt: skip
def test_a_level_is_where_its_image_is(
    tmp_path: Path, scale: Any, units: Any, size: Any, place: Any, unit: str | None
) -> None:
    image = ct.open_pyramid(write_image(tmp_path / "a.zarr", [np.zeros((5, 6, 7), "u1")]))
    level = replace(image.levels[0], scale=scale, units=units, translation=(0, 0, 0))
    part = replace(image, levels=(level,), units=units).crop("2:,,1:")
    for source in (part, part.levels[0], part.levels[0].map_blocks(np.negative)):
        volume = ct.plan_export(source, tmp_path / "a.tif").volume
        assert (volume.voxel_size, volume.unit) == (size, unit)
        assert volume.translation == place


def test_time_is_not_taken_for_z(tmp_path: Path) -> None:
    voxels = np.zeros((4, 5, 6), "u1")
    level = replace(ct.open_pyramid(write_image(tmp_path / "a.zarr", [voxels])).levels[0], axes=("t", "y", "x"))
    level = replace(level, axis_types=("time", "space", "space"))
    for source in (level, level.map_blocks(np.negative)):
        with pytest.raises(ct.RequestError, match="not one of space"):
            ct.export(source, tmp_path / "a.tif")


def test_a_level_keeps_what_its_voxels_mean(tmp_path: Path, voxels: np.ndarray) -> None:
    made = ct.convert(voxels, tmp_path / "a.ome.zarr", chunks=8, num_levels=1, dtype="uint8", window=(200, 300))
    pyramid = ct.open_pyramid(made.output)
    ct.convert(pyramid.levels[0], tmp_path / "b.ome.zarr", chunks=8, num_levels=1)
    assert pyramid.rescale is not None
    assert ct.open_pyramid(tmp_path / "b.ome.zarr").rescale == pyramid.rescale
    labels = replace(pyramid.levels[0], is_labels=True)
    for source in (labels, labels.map_blocks(lambda block: block)):
        with pytest.raises(ct.CtPyramidError, match="label"):
            ct.plan(source, tmp_path / "c.ome.zarr", chunks=8, num_levels=2, method="mean")
