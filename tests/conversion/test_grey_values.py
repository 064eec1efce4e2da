"""What becomes of the voxels: methods, factors, edges and types, each whole way against numpy on whole arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.cli import main as cli
from napari_ct_pyramid.conversion.receipt import read_receipt
from napari_ct_pyramid.errors import Advice
from tests.helpers.pyramids import FUNCTIONS, check, is_intact, pyramid_of, scales_of
from tests.helpers.scans import small_blocks, write_scan

LABELS = np.random.default_rng(8).integers(0, 4, (21, 40, 48)).astype("u2")
GREYS = np.random.default_rng(9).normal(0.5, 0.2, (21, 40, 48)).astype("f4")
CHUNKS = (5, 8, 12)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)


class TestMethod:
    @pytest.mark.parametrize("method", FUNCTIONS)
    @pytest.mark.parametrize("voxels", [LABELS, GREYS.round(1)], ids=["u2", "f4"])
    def test_every_level_is_made_from_the_one_before(self, tmp_path: Path, method: str, voxels: np.ndarray) -> None:
        if method == "mode" and voxels.dtype.kind == "f":
            voxels = LABELS.astype("f4")
        source = write_scan(tmp_path, voxels)
        output = ct.convert(source, chunks=CHUNKS, num_levels=4, method=method).output
        check(output, pyramid_of(voxels, [(2, 2, 2)] * 3, method))
        scales = scales_of(output)
        assert scales["type"] == method
        assert scales["metadata"]["method"].startswith("2x2x2 ")
        assert scales["metadata"]["method"].endswith(method)
        assert is_intact(output, source)

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


class TestDownsample:
    @pytest.mark.parametrize("factors", [(1, 2, 2), (2, 1, 2), (1, 1, 2), (2, 2, 1), (2, 1, 1)])
    def test_only_some_axes_are_halved(self, tmp_path: Path, factors: tuple[int, int, int]) -> None:
        source = write_scan(tmp_path, GREYS)
        options: dict[str, Any] = {"chunks": CHUNKS, "num_levels": 4, "voxel_size": 0.5}
        output = ct.convert(source, **options, downsample=factors).output
        check(output, pyramid_of(GREYS, [factors] * 3))
        transformations = [d["coordinateTransformations"] for d in scales_of(output)["datasets"]]
        for k, (scale, translation) in enumerate(transformations):
            assert scale["scale"] == [0.5 * f**k for f in factors]
            assert translation["translation"] == [0.5 * (f**k - 1) / 2 for f in factors]
        assert is_intact(output, source)

    @pytest.mark.parametrize(
        ("voxel_size", "steps"),
        [
            ((1, 1, 1), [(2, 2, 2), (2, 2, 2), (2, 2, 2)]),
            (None, [(2, 2, 2), (2, 2, 2), (2, 2, 2)]),
            ((1.9, 1, 1), [(2, 2, 2), (2, 2, 2), (2, 2, 2)]),
            ((2, 0.5, 0.5), [(1, 2, 2), (1, 2, 2), (2, 2, 2)]),
            ((3, 1, 1), [(1, 2, 2), (2, 2, 2), (2, 2, 2)]),
            ((0.3, 0.3 * 2 / 3, 0.1), [(1, 1, 2), (2, 2, 2), (2, 2, 2)]),
            ((4, 2, 1), [(1, 1, 2), (1, 2, 2), (2, 2, 2)]),
        ],
    )
    def test_auto_halves_the_finer_axes_until_voxels_are_isotropic(
        self, tmp_path: Path, voxel_size: Any, steps: list[tuple[int, int, int]]
    ) -> None:
        source = write_scan(tmp_path, LABELS)
        options: dict[str, Any] = {"chunks": CHUNKS, "num_levels": 4, "voxel_size": voxel_size, "method": "mode"}
        output = ct.convert(source, **options, downsample="auto").output
        check(output, pyramid_of(LABELS, steps, "mode"))
        scales = scales_of(output)
        size = np.array(voxel_size or (1, 1, 1))
        for dataset, factors in zip(scales["datasets"], np.cumprod([(1, 1, 1), *steps], axis=0), strict=True):
            scale, translation = dataset["coordinateTransformations"]
            np.testing.assert_allclose(scale["scale"], size * factors)
            np.testing.assert_allclose(translation["translation"], size * (factors - 1) / 2)
        found = [level.array.shape for level in ct.open_pyramid(output).levels]
        totals = np.cumprod([(1, 1, 1), *steps], axis=0)
        assert found == [tuple(-(-n // f) for n, f in zip(LABELS.shape, total, strict=True)) for total in totals]
        assert is_intact(output, source)

    def test_automatic_levels_end_where_the_axes_that_are_halved_are_short(self, tmp_path: Path) -> None:
        source = write_scan(tmp_path, np.zeros((3, 1200, 600), "u1"))
        assert len(ct.plan(source, chunks=CHUNKS, downsample="1 2 2").levels) == 3
        assert len(ct.plan(source, chunks=CHUNKS, downsample="1 1 2").levels) == 2
        assert len(ct.plan(source, chunks=CHUNKS, downsample="2 1 1").levels) == 1

    def test_damage_is_found_and_repaired(self, tmp_path: Path) -> None:
        source = write_scan(tmp_path, GREYS)
        output = ct.convert(source, chunks=CHUNKS, num_levels=4, voxel_size=(3, 1, 1), downsample="auto").output
        path = output / "2" / "1" / "0" / "0"
        before = path.read_bytes()
        for damaged in (output / "0" / "3" / "4" / "1", path):
            damaged.unlink()
        found = ct.verify(output, source, repair=True)
        assert [(p.level, p.chunk) for p in found.problems] == [(0, (3, 4, 1)), (2, (1, 0, 0))]
        assert path.read_bytes() == before
        assert is_intact(output, source)


class TestEdges:
    ODD = GREYS[:, :37, :45]

    def test_any_size_can_be_padded_and_readers_cut_the_padding_off(self, tmp_path: Path) -> None:
        source = write_scan(tmp_path, self.ODD)
        output = ct.convert(source, chunks=CHUNKS, num_levels=4, edges="pad").output
        levels = pyramid_of(self.ODD, [(2, 2, 2)] * 3)
        check(output, levels)
        assert scales_of(output)["metadata"]["original_shape"] == [21, 37, 45]
        for k, level in enumerate(ct.open_pyramid(output).levels):
            z, y, x = (-(-n // 2**k) for n in self.ODD.shape)
            np.testing.assert_allclose(np.asarray(level.array), levels[k][:z, :y, :x], rtol=1e-5, atol=1e-6)
        assert is_intact(output, source)

    @pytest.mark.parametrize("dtype", ["u2", "f4"])
    def test_padding_is_kept_out_of_the_window(self, tmp_path: Path, dtype: str) -> None:
        voxels = np.random.default_rng(1).integers(500, 600, (9, 17, 33)).astype(dtype)
        receipt = ct.convert(write_scan(tmp_path, voxels), chunks=(4, 8, 8), num_levels=3, edges="pad")
        assert (receipt.minimum, receipt.maximum) == (voxels.min(), voxels.max())
        assert 500 <= receipt.window[0] < receipt.window[1] < 600
        assert receipt.bytes_read == voxels.nbytes

    @pytest.mark.parametrize("shape", [(2, 3, 1), (3, 1027, 5), (2, 513, 1)])
    @pytest.mark.parametrize("downsample", ["2 2 2", "auto", "1 1 2"])
    def test_automatic_levels_never_fail(self, tmp_path: Path, shape: tuple[int, int, int], downsample: str) -> None:
        source = write_scan(tmp_path, np.ones(shape, "u1"))
        receipt = ct.convert(source, chunks=(8, 64, 64), edges="pad", downsample=downsample, voxel_size=(9, 1, 1))
        assert ct.open_pyramid(receipt.output).levels[0].array.shape == shape
        assert is_intact(receipt.output, source)

    def test_an_error_of_strict_edges_names_the_alternatives(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source = write_scan(tmp_path, self.ODD)
        with pytest.raises(ct.LevelsError, match="1") as caught:
            ct.plan(source, chunks=CHUNKS, num_levels=2)
        assert (caught.value.most, caught.value.paddable) == (1, True)
        assert {Advice("num_levels", 1), Advice("edges", "pad")} <= set(caught.value.message.parts)
        with pytest.raises(ct.LevelsError, match="7") as caught:
            ct.plan(source, chunks=CHUNKS, num_levels=1000, edges="pad")
        assert (caught.value.most, caught.value.paddable) == (7, False)
        assert Advice("num_levels", 7) in caught.value.message.parts
        assert len(ct.plan(source, chunks=CHUNKS, num_levels=7, edges="pad").levels) == 7
        assert cli.main(["convert", str(source), "-c", "8 8 8", "-l", "2", "--edges", "pad", "--dry-run"]) == 0
        assert "padded with 1 row and 1 column of zeros" in capsys.readouterr().out

    def test_the_ledger_counts_wider_rows(self, tmp_path: Path) -> None:
        odd, even = (write_scan(tmp_path, GREYS[:, :, :n]) for n in (45, 48))
        assert odd == even  # one file: the second is there now
        wide = ct.plan(even, chunks=CHUNKS, num_levels=3, threads=1).peak_memory_bytes
        write_scan(tmp_path, self.ODD)
        assert ct.plan(odd, chunks=CHUNKS, num_levels=3, edges="pad", threads=1).peak_memory_bytes > wide
