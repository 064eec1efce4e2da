"""What becomes of the voxels: methods, factors, edges and types, each whole way against numpy on whole arrays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import ome_zarr_models
import pytest
import tifffile
import yaozarrs
import zarr
from skimage.measure import block_reduce

import napari_ct_pyramid as ct
from napari_ct_pyramid import cli
from napari_ct_pyramid.receipt import read_receipt
from tests.scans import small_blocks

LABELS = np.random.default_rng(8).integers(0, 4, (21, 40, 48)).astype("u2")
GREYS = np.random.default_rng(9).normal(0.5, 0.2, (21, 40, 48)).astype("f4")
CHUNKS = (5, 8, 12)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)


def write_scan(folder: Path, voxels: np.ndarray) -> Path:
    path = folder / "scan.tif"
    tifffile.imwrite(path, voxels, photometric="minisblack", metadata=None)
    return path


def most_frequent(blocks: np.ndarray, axis: tuple[int, ...]) -> np.ndarray:
    """As block_reduce wants it: the axes of the blocks are the last ones."""
    flat = blocks.reshape(*blocks.shape[: -len(axis)], -1)
    return np.apply_along_axis(lambda values: np.bincount(values.astype(int)).argmax(), -1, flat)


FUNCTIONS: dict[str, Any] = {
    "mean": np.mean, "median": np.median, "min": np.min, "max": np.max, "mode": most_frequent,
    "stride": lambda blocks, axis: blocks[..., 0, 0, 0],
}  # fmt: skip


def pyramid_of(level: np.ndarray, factors: list[tuple[int, int, int]], method: str = "mean") -> list[np.ndarray]:
    """All levels, each from the whole of the one before; the volume padded with zeros as far as it takes."""
    total = np.prod(factors, axis=0, dtype=int)
    levels = [np.pad(level, [(0, -n % f) for n, f in zip(level.shape, total, strict=True)])]
    for step in factors:
        wide = levels[-1].astype("f8")
        found = block_reduce(wide, step, FUNCTIONS[method])
        levels.append((found if level.dtype.kind == "f" else np.rint(found)).astype(level.dtype))
    return levels


def check(output: Path, expected: list[np.ndarray]) -> None:
    group = zarr.open_group(output, mode="r")
    assert len(ct.open_pyramid(output).levels) == len(expected)
    for k, level in enumerate(expected):
        found = group[str(k)][:]
        assert (found.shape, found.dtype) == (level.shape, level.dtype)
        if k and level.dtype.kind == "f":
            np.testing.assert_allclose(found, level, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(found, level)


def scales_of(output: Path) -> dict[str, Any]:
    """The multiscales metadata, once strict validators agree with all of it."""
    assert type(ome_zarr_models.open_ome_zarr(zarr.open_group(output, mode="r"))).__name__ == "Image"
    yaozarrs.validate_zarr_store(str(output))
    scales: dict[str, Any] = json.loads((output / ".zattrs").read_text())["multiscales"][0]
    return scales


def sound(output: Path, source: Path) -> bool:
    return not ct.verify(output).problems and not ct.verify(output, source).problems


class TestMethod:
    @pytest.mark.parametrize("method", FUNCTIONS)
    @pytest.mark.parametrize("voxels", [LABELS, GREYS.round(1)], ids=["u2", "f4"])
    def test_every_level_is_made_so_of_the_one_before(self, tmp_path: Path, method: str, voxels: np.ndarray) -> None:
        if method == "mode" and voxels.dtype.kind == "f":
            voxels = LABELS.astype("f4")
        source = write_scan(tmp_path, voxels)
        output = ct.convert(source, chunks=CHUNKS, num_levels=4, method=method).output
        check(output, pyramid_of(voxels, [(2, 2, 2)] * 3, method))
        scales = scales_of(output)
        assert scales["type"] == method
        assert scales["metadata"]["method"].startswith("2x2x2 ")
        assert scales["metadata"]["method"].endswith(method)
        assert sound(output, source)

    def test_the_first_of_some_voxels_stays_where_it_was(self, tmp_path: Path) -> None:
        options: dict[str, Any] = {"chunks": CHUNKS, "num_levels": 3, "voxel_size": 3}
        output = ct.convert(write_scan(tmp_path, GREYS), **options, method="stride").output
        datasets = scales_of(output)["datasets"]
        assert [d["coordinateTransformations"][1]["translation"] for d in datasets] == [[0, 0, 0]] * 3
        assert [d["coordinateTransformations"][0]["scale"][0] for d in datasets] == [3, 6, 12]

    def test_another_method_is_another_conversion(self, tmp_path: Path) -> None:
        source = write_scan(tmp_path, LABELS)
        steps = ct.iter_convert(source, chunks=CHUNKS, num_levels=2, method="mode")
        output = next(steps).output
        steps.close()
        with pytest.raises(ct.OutputExistsError, match=r"the method \(was mode, is mean\)"):
            ct.convert(source, chunks=CHUNKS, num_levels=2)
        ct.convert(source, chunks=CHUNKS, num_levels=2, method="mode")
        receipt = read_receipt(output)
        assert receipt is not None
        assert receipt["options"]["method"] == "mode"

    def test_on_the_command_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source = str(write_scan(tmp_path, LABELS))
        assert cli.main(["convert", source, "-c", "8", "8", "8", "--method", "max", "--dry-run", "-l", "2"]) == 0
        assert "2x2x2 local max" in capsys.readouterr().out
        assert cli.main(["convert", source, "-c", "8", "8", "8", "--method", "best"]) == 2
        assert "'best' is not a method. Try one of mean, median, mode" in capsys.readouterr().err
