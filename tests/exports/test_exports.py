"""Exports of levels and parts, read by programs that are not ours, against numpy."""

from __future__ import annotations

import itertools
import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
import tifffile
import zarr

import napari_ct_pyramid as ct
from napari_ct_pyramid.exports import cells
from napari_ct_pyramid.model.memory import PROCESS_BYTES
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.command import command
from tests.helpers.omezarr import flat_indices, pyramid_of, write_image
from tests.helpers.scans import write_scan

SHAPE = (23, 37, 45)
SIZE = (1.3, 0.65, 0.5)
DTYPES = ("float16", "float32", "float64", "uint8", "uint16", "uint32", "int8", "int16", "int32")
ENDINGS = (".tif", ".ome.tif", "", ".mhd", ".mha", ".nrrd", ".ome.zarr", ".ozx")


def voxels(dtype: str = "uint16", shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return (np.random.default_rng(7).normal(size=shape) * 40 + 60).astype(dtype)


def pyramid(folder: Path, array: np.ndarray, **options: Any) -> Path:
    """An OME-Zarr whose levels are all padded, along each axis."""
    asked = {"chunks": 8, "num_levels": 3, "edges": "pad", "voxel_size": SIZE, "unit": "um"}
    ct.convert(write_scan(folder, array), **asked | options)
    return folder / "scan.ome.zarr"


def read(path: Path) -> np.ndarray:
    """The voxels of an output."""
    if path.suffix in (".zarr", ".ozx"):
        store: Any = zarr.storage.ZipStore(path, mode="r") if path.suffix == ".ozx" else path
        group = zarr.open_group(store, mode="r")
        level: Any = group["0"]
        attributes: Any = group.attrs.get("ome", group.attrs)
        z, y, x = attributes["multiscales"][0]["metadata"]["original_shape"]
        return np.asarray(level[:z, :y, :x])
    if path.is_dir():
        return tifffile.imread(sorted(path.iterdir()))
    if path.suffix == ".tif":
        return tifffile.imread(path)
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))


def exact(array: np.ndarray, path: Path) -> np.ndarray:
    """As the kind of output holds it: not all hold float16."""
    holds_half = path.suffix in ("", ".zarr", ".ozx") or (path.suffix == ".tif" and not path.name.endswith(".ome.tif"))
    return array if holds_half or array.dtype != "f2" else array.astype("f4")


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_voxels_of_every_type_are_the_same_in_every_kind(tmp_path: Path, dtype: str) -> None:
    array = voxels(dtype)
    source = pyramid(tmp_path, array)
    for ending in ENDINGS:
        output = tmp_path / f"out{ending}"
        made = ct.export(source, output, threads=2)
        expected = exact(array, output)
        found = read(output)
        assert (found.dtype, made.dtype, made.shape) == (expected.dtype, expected.dtype, SHAPE), ending
        assert np.array_equal(found, expected), ending
        if not ending.endswith("zarr"):
            files = [*output.iterdir()] if ending == "" else [*tmp_path.glob(f"out{ending}"), *tmp_path.glob("out.raw")]
            assert (made.files, made.bytes_written) == (len(files), sum(file.stat().st_size for file in files))
            (tmp_path / "out.raw").unlink(missing_ok=True)
        if not output.is_dir():
            output.unlink()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


CROPS = ("", "3:20,,", "4:5,36:37,44:45", ":-3,2:-1,9:30", "22:,1:2,:1")


@pytest.mark.parametrize("ending", [".tif", "", ".mhd", ".nrrd", ".ome.zarr"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_crop_at_every_level_has_all_voxels_with_a_share_in_it(
    tmp_path: Path, level: int, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "CELL_BYTES", 3000)
    monkeypatch.setattr(cells, "_UNIT_BYTES", 700)
    source = pyramid(tmp_path, voxels())
    opened = ct.open_pyramid(source).levels[level]
    whole, step = np.asarray(opened.array), 2**level
    for number, crop in enumerate(CROPS):
        parts = [slice(*(int(end) if end else None for end in part.split(":"))) if part else slice(None)
                 for part in (crop or ",,").split(",")]  # fmt: skip
        bounds = [part.indices(n)[:2] for part, n in zip(parts, SHAPE, strict=True)]
        inside = tuple(slice(a // step, math.ceil(b / step)) for a, b in bounds)
        output = tmp_path / f"crop{number}{ending}"
        made = ct.export(source, output, level=level, crop=crop)
        assert made.shape == whole[inside].shape
        assert np.array_equal(read(output).reshape(made.shape), whole[inside]), crop
        assert made.voxel_size == tuple(n * step for n in SIZE)
        first = [t + s.start * n for t, s, n in zip(opened.translation, inside, opened.scale, strict=True)]
        if ending in (".mhd", ".nrrd"):
            image = SimpleITK.ReadImage(output)
            assert np.allclose(image.GetOrigin()[::-1], np.array(first) / 1000, rtol=1e-12)
            assert np.allclose(image.GetSpacing()[::-1], np.array(opened.scale) / 1000, rtol=1e-12)
        if ending == ".ome.zarr":
            attribute: Any = zarr.open_group(output, mode="r").attrs["multiscales"]
            finest = attribute[0]["datasets"][0]["coordinateTransformations"]
            stated = {one["type"]: one[one["type"]] for one in finest}
            assert np.allclose(stated.get("translation", (0, 0, 0)), first, rtol=1e-12)
            assert tuple(stated["scale"]) == opened.scale


def test_one_file_is_an_archive_as_rfc_9_has_it(tmp_path: Path) -> None:
    source = pyramid(tmp_path, voxels())
    ct.export(source, tmp_path / "part.ozx", level=1, crop="4:,,")
    with zipfile.ZipFile(tmp_path / "part.ozx") as archive:
        assert archive.testzip() is None
        members = archive.infolist()
        assert json.loads(archive.comment)["ome"]["version"] == "0.5"
    names = [member.filename for member in members]
    assert names[:2] == ["zarr.json", "0/zarr.json"]
    assert not [name for name in names[2:] if name.endswith("zarr.json") or name.startswith(".")]
    assert {member.compress_type for member in members} == {zipfile.ZIP_STORED}
    image: Any = zarr.open_group(zarr.storage.ZipStore(tmp_path / "part.ozx"), mode="r").attrs["ome"]
    scale, translation = image["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert scale["scale"] == [2.6, 1.3, 1.0]
    assert translation["translation"][0] == pytest.approx(2 * 2.6 + 0.65)
    assert image["multiscales"][0]["name"] == "part"


def test_levels_of_other_programs_may_be_rounded_down_and_have_channels(tmp_path: Path) -> None:
    levels = pyramid_of(flat_indices((2, 21, 13, 15), "uint16"), 2, axes=(1, 2, 3))
    levels[1] = levels[1][:, :10, :6, :7]
    write_image(tmp_path / "image.zarr", levels, axes="czyx")
    ct.export(tmp_path / "image.zarr", tmp_path / "part.tif", level=1, channel=1, crop="3:7,,14:15")
    assert np.array_equal(tifffile.imread(tmp_path / "part.tif"), levels[1][1, 1:4, :, 6:7])
    with pytest.raises(ct.RequestError):
        ct.export(tmp_path / "image.zarr", tmp_path / "no.tif", level=2, channel=1)
    with pytest.raises(ct.SeveralVolumesError):
        ct.export(tmp_path / "image.zarr", tmp_path / "no.tif", level=1)
    assert {path.name for path in tmp_path.iterdir()} == {"image.zarr", "part.tif"}


def test_axes_crop_and_level_together(tmp_path: Path) -> None:
    source = pyramid(tmp_path, voxels())
    whole = np.asarray(ct.open_pyramid(source).levels[1].array)
    ct.export(source, tmp_path / "out.nrrd", level=1, axes="xzy", crop="4:9,3:,:-2")
    turned = whole.transpose(1, 2, 0)  # the first axis is x, the second is z, the third is y
    assert np.array_equal(read(tmp_path / "out.nrrd"), turned[2:5, 1:, :11])
    spacing = SimpleITK.ReadImage(tmp_path / "out.nrrd").GetSpacing()
    assert np.allclose(spacing, np.array([SIZE[0], SIZE[2], SIZE[1]]) * 2 / 1000)


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize(
    ("axes", "crop"), [("zyx", None), ("zyx", "3:9,,-5:"), ("zyx", ":1,1:2,7:"), ("xzy", "3:4,1:6,")]
)
def test_a_part_of_an_open_image_is_exported_at_every_level(
    tmp_path: Path, level: int, axes: str, crop: str | None
) -> None:
    image = ct.open_pyramid(pyramid(tmp_path, voxels()))
    z, y, x = (slice(3, 20), slice(5, 12), slice(7, 30))  # each begins within a voxel of the coarser levels
    part = image.crop("3:20,5:12,7:30")
    made = ct.export(part, tmp_path / "part.nrrd", level=level, axes=axes, crop=crop)
    # The same voxels of the finest level in the whole image, whose export is tested above.
    order = tuple(axes.index(axis) for axis in "zyx")
    ranges = [range(part.start, part.stop) for part in (z, y, x)]
    asked = [slice(*(int(end) if end else None for end in one.split(":"))) if one else slice(None)
             for one in (crop or ",,").split(",")]  # fmt: skip
    for axis, one in zip(order, asked, strict=True):
        ranges[axis] = ranges[axis][one]
    turned = [ranges[axis] for axis in order]
    there = ",".join(f"{one.start}:{one.stop}" for one in turned)
    ct.export(image.path, tmp_path / "whole.nrrd", level=level, axes=axes, crop=there)
    assert np.array_equal(read(tmp_path / "part.nrrd"), read(tmp_path / "whole.nrrd"))
    images = [SimpleITK.ReadImage(tmp_path / name) for name in ("part.nrrd", "whole.nrrd")]
    assert np.allclose(images[0].GetOrigin(), images[1].GetOrigin(), rtol=1e-9)
    assert np.allclose(images[0].GetSpacing(), images[1].GetSpacing(), rtol=1e-9)
    assert made.voxel_size == pytest.approx([SIZE[axis] * 2**level for axis in order])
    with pytest.raises(ct.RequestError, match="3 levels"):
        ct.export(part, tmp_path / "no.nrrd", level=3)


def test_a_part_without_a_voxel_size_has_none_at_a_coarser_level_either(tmp_path: Path) -> None:
    write_image(tmp_path / "image.zarr", pyramid_of(voxels(), 2), unit=None)
    made = ct.export(ct.open_pyramid(tmp_path / "image.zarr").crop("3:,,"), tmp_path / "part.nrrd", level=1)
    assert made.voxel_size is None


def test_any_source_of_a_conversion_can_be_exported(tmp_path: Path) -> None:
    array = voxels("float32")
    source = write_scan(tmp_path, array)
    ct.export(source, tmp_path / "a.mhd", crop="2:,,")
    ct.export(tmp_path / "a.mhd", tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), array[2:])
    ct.export(array[::2], tmp_path / "c.nrrd")
    assert np.array_equal(read(tmp_path / "c.nrrd"), array[::2])
    with pytest.raises(ct.RequestError):
        ct.export(source, tmp_path / "d.tif", level=1)


def test_imagej_knows_slices_sizes_unit_and_grey_values(tmp_path: Path) -> None:
    from PIL import Image

    source = pyramid(tmp_path, voxels(), calibration="0.5 -10 mg/cm³")
    ct.export(source, tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as image:
        assert image.n_frames == SHAPE[0]
        lines = dict(line.split("=") for line in image.tag_v2[270].splitlines())
        resolution = image.tag_v2[282], image.tag_v2[283], image.tag_v2[296]
        image.seek(5)
        assert np.array_equal(np.asarray(image), voxels()[5])
    assert lines.items() >= {"images": "23", "slices": "23", "spacing": "1.3", "unit": "\\u00B5m"}.items()
    assert lines.items() >= {"cf": "0", "c0": "-10.0", "c1": "0.5", "vunit": "mg/cm\\u00B3"}.items()
    assert np.allclose(resolution, (1 / 0.5, 1 / 0.65, 1), rtol=1e-6)


def test_imagej_counts_signed_voxels_from_the_lowest(tmp_path: Path) -> None:
    source = pyramid(tmp_path, voxels("int16", (3, 4, 5)), calibration="0.5 -10")
    ct.export(source, tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as tif:
        lines = dict(line.split("=") for line in tif.pages.first.description.splitlines())
    assert lines.items() >= {"cf": "0", "c0": "-16394.0", "c1": "0.5", "vunit": "Gray Value"}.items()


def test_voxel_sizes_and_units_are_read_back(tmp_path: Path) -> None:
    sizes = 1300, 700, 650
    source = pyramid(tmp_path, voxels(), voxel_size=sizes, unit="nm")
    for ending, unit, factor in [(".tif", "nanometer", 1), (".ome.tif", "nanometer", 1), ("", "nanometer", 1),
                                 (".nrrd", "millimeter", 1e-6), (".mhd", "millimeter", 1e-6)]:  # fmt: skip
        ct.export(source, tmp_path / f"out{ending}")
        with open_source(tmp_path / f"out{ending}") as opened:
            assert opened.volume.voxel_size == pytest.approx([size * factor for size in sizes], rel=1e-9), ending
            assert opened.volume.unit == unit, ending
    with tifffile.TiffFile(tmp_path / "out.ome.tif") as tif:
        xml = str(tif.ome_metadata)
    for axis, size in zip("ZYX", sizes, strict=True):
        assert f'PhysicalSize{axis}="{size}.0" PhysicalSize{axis}Unit="nm"' in xml


@pytest.mark.parametrize("size", [1e-10, 1e10])
def test_a_tiff_leaves_out_a_size_that_it_has_no_numbers_for(tmp_path: Path, size: float) -> None:
    source = pyramid(tmp_path, voxels(shape=(3, 4, 5)), voxel_size=(size,) * 3, unit="m")
    ct.export(source, tmp_path / "out.tif")
    with open_source(tmp_path / "out.tif") as opened:
        assert opened.volume.voxel_size is None


def test_an_unknown_voxel_size_stays_unknown(tmp_path: Path) -> None:
    source = write_scan(tmp_path, voxels())
    for ending in (".tif", ".ome.tif", "", ".mhd", ".ome.zarr"):
        ct.export(source, tmp_path / f"out{ending}")
        with open_source(tmp_path / f"out{ending}") as opened:
            assert opened.volume.voxel_size is None, ending


def test_grey_values_undo_a_rescaling_and_apply_a_calibration(tmp_path: Path) -> None:
    greys = voxels("float32")
    source = pyramid(tmp_path, greys, dtype="uint16", window=(-200, 300))
    stored = np.asarray(ct.open_pyramid(source).levels[0].array)
    ct.export(source, tmp_path / "stored.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "stored.tif"), stored)
    ct.export(source, tmp_path / "greys.tif", grey_values=True)
    back = tifffile.imread(tmp_path / "greys.tif")
    assert back.dtype == "f4"
    assert np.abs(back - greys).max() <= 500 / 65535 / 2 * 1.001
    plan = ct.plan_export(source, tmp_path / "again.ome.zarr", grey_values=True, level=1)
    assert plan.calibration is None
    ct.export(source, tmp_path / "again.ome.zarr", grey_values=True, level=1)
    again = ct.open_pyramid(tmp_path / "again.ome.zarr")
    assert again.calibration is None
    expected = np.asarray(ct.open_pyramid(source).levels[1].array) * (500 / 65535) - 200
    assert np.allclose(np.asarray(again.levels[0].array), expected, atol=1e-4)


def test_grey_values_of_integers_are_integers_again_unless_calibrated(tmp_path: Path) -> None:
    array = voxels("int16")
    source = pyramid(tmp_path, array, dtype="uint8", window=(int(array.min()), int(array.min()) + 255))
    ct.export(source, tmp_path / "a.nrrd", grey_values=True)
    expected = np.clip(array, None, array.min() + 255)
    assert np.array_equal(read(tmp_path / "a.nrrd"), expected)
    assert read(tmp_path / "a.nrrd").dtype == "i2"
    (tmp_path / "hu").mkdir()
    source = pyramid(tmp_path / "hu", array, calibration="0.25 -7 HU")
    ct.export(source, tmp_path / "b.nrrd", grey_values=True)
    assert np.array_equal(read(tmp_path / "b.nrrd"), array.astype("f4") * 0.25 - 7)
    plain = ct.plan_export(write_scan(tmp_path, array), tmp_path / "c.nrrd", grey_values=True)
    assert (plain.dtype, len(plain.warnings)) == (np.int16, 1)


@pytest.mark.parametrize("ending", [".mhd", ".nrrd", ".ome.tif", ".tif"])
def test_a_calibration_is_stated(tmp_path: Path, ending: str) -> None:
    source = pyramid(tmp_path, voxels("int16"), calibration="0.25 -7 HU", voxel_size="1um")
    plan, output = ct.plan_export(source, tmp_path / f"a{ending}"), tmp_path / f"a{ending}"
    assert any("grey = stored" in str(warning) for warning in plan.warnings) == (ending != ".tif")
    ct.export(source, output)
    text = output.read_bytes().decode("latin-1")
    if ending == ".ome.tif":
        assert all(f'<M K="{key}">{value}</M>' in text for key, value in [("slope", 0.25), ("intercept", -7.0)])
    elif ending != ".tif":
        assert np.array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(output)), voxels("int16"))
        with open_source(output) as opened:
            assert opened.volume.calibration is not None
            assert opened.volume.calibration.slope == 0.25
            assert opened.volume.calibration.intercept == -7
    if ending == ".nrrd":
        assert SimpleITK.ReadImage(output).GetMetaData("calibration") == "0.25 -7.0 HU"


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint32", "float64", "float32"])
def test_types_that_imagej_lacks_are_named(tmp_path: Path, dtype: str) -> None:
    for ending, expected in ((".tif", dtype in ("int8", "uint32", "float64")), (".mhd", False)):
        warnings = ct.plan_export(voxels(dtype), tmp_path / f"a{ending}").warnings
        assert any("ImageJ" in str(warning) for warning in warnings) == expected


def test_a_window_applies_to_what_is_exported(tmp_path: Path) -> None:
    greys = voxels("float32")
    source = pyramid(tmp_path, greys)
    made = ct.export(source, tmp_path / "out.tif", dtype="uint8", window=(0, 100), crop="5:,,")
    found = tifffile.imread(tmp_path / "out.tif")
    assert np.array_equal(found, np.rint(np.clip(greys[5:].astype("f8"), 0, 100) * 2.55))
    assert made.clipped == int(((greys[5:] < 0) | (greys[5:] > 100)).sum())
    with tifffile.TiffFile(tmp_path / "out.tif") as tif:
        assert f"c1={100 / 255!r}" in tif.pages.first.description


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 3), (130, 1, 2)])
def test_volumes_of_few_voxels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = voxels(shape=shape)
    for ending in (".tif", ".ome.tif", ".mhd", ".nrrd"):
        ct.export(array, tmp_path / f"out{ending}")
        assert np.array_equal(read(tmp_path / f"out{ending}").reshape(shape), array), ending


def test_a_tiff_above_4_gb_is_a_bigtiff_whose_pages_lie_one_after_another(tmp_path: Path) -> None:
    from napari_ct_pyramid.exports.facts import Facts
    from napari_ct_pyramid.exports.tiff import begin_tiff

    shape = (1100, 1024, 2048)  # 4.6 GB, of which nothing is stored
    facts = Facts("scan", shape, np.dtype("u2"), None, None, (0.0, 0.0, 0.0), None)
    offset = begin_tiff(tmp_path / "big.tif", facts)
    with tifffile.TiffFile(tmp_path / "big.tif") as tif:
        assert tif.is_bigtiff
        places = [page.dataoffsets for page in tif.pages]
    assert places == [(offset + k * 1024 * 2048 * 2,) for k in range(1100)]


def test_every_cut_covers_each_voxel_once() -> None:
    from napari_ct_pyramid.model.volume import Volume

    for grain, start, size in itertools.product(
        [(1, 1, 1), (1, 4, 13), (4, 4, 4), (5, 3, 7)], [(0, 0, 0), (3, 2, 1)], [10_000, 200_000_000]
    ):
        starts = tuple(s % g for s, g in zip(start, grain, strict=True))
        volume = Volume("v", (9, 11, 13), np.dtype("u2"), "", granularity=grain, granularity_start=starts)  # type: ignore[arg-type]
        for budget in range(20_000, 60_000, 1500):
            try:
                cut = cells.make_cells(volume, np.dtype("f4"), 3, budget + size, 0)
            except ct.BudgetError:
                continue
            assert sum(n for _, n in cut.ledger) <= budget + size
            seen = np.zeros(volume.shape, int)
            for box in cut.boxes(volume.shape):
                inside = np.zeros(volume.shape, int)
                for unit in cut.units(box):
                    inside[unit] += 1
                assert inside[box].min() == inside.max() == inside[box].max() == 1
                assert inside.sum() == inside[box].size
                seen[box] += 1
            assert seen.min() == seen.max() == 1


def test_a_process_takes_no_more_memory_than_the_smallest_budget_allows(tmp_path: Path) -> None:
    array = np.zeros((64, 128, 512), "f4")
    array[::7, ::5] = np.arange(512)
    source, output = tmp_path / "scan.ome.zarr", tmp_path / "out.tif"
    ct.convert(write_scan(tmp_path, array), source, chunks="64 64 64", num_levels=1)
    with pytest.raises(ct.BudgetError) as caught:
        ct.export(source, output, max_memory="10M", threads=2)
    budget = caught.value.smallest - caught.value.process + PROCESS_BYTES
    made = command("export", source, output, "--max-memory", budget, "--threads", 2, "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["peak_memory_bytes"] <= budget
    assert budget - PROCESS_BYTES < 64 * 64 * 512 * 4 * 4  # less than two rows of chunks
    assert np.array_equal(tifffile.imread(output), array)


if os.name == "posix":

    def test_slices_are_readable_by_whoever_may_read_other_files(tmp_path: Path) -> None:
        ct.export(voxels(), tmp_path / "slices")
        (tmp_path / "other").write_bytes(b"")
        modes = {path.stat().st_mode for path in (tmp_path / "slices").iterdir()}
        assert modes == {(tmp_path / "other").stat().st_mode}
