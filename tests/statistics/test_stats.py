"""Statistics of volumes, against NumPy and scikit-image on the whole array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.filters import threshold_otsu

import napari_ct_pyramid as ct
from napari_ct_pyramid.model.otsu import otsu_threshold
from napari_ct_pyramid.statistics.picture import draw_histogram

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"]


def check(voxels: np.ndarray, found: ct.VolumeStatistics) -> None:
    """All numbers are those of NumPy."""
    finite = voxels[np.isfinite(voxels)].astype("f8")
    assert found.count == finite.size
    assert found.nans == np.isnan(voxels).sum()
    assert found.infinities == np.isinf(voxels).sum()
    if not finite.size:
        assert found.minimum is found.maximum is found.mean is found.std is found.above is None
        return
    scale = max(1e-300, float(np.abs(finite).max()))
    assert (found.minimum, found.maximum) == (finite.min(), finite.max())
    assert found.mean == pytest.approx((finite / finite.size).sum(), rel=1e-12, abs=1e-12 * scale)
    if scale < 1e150:  # above that, squares overflow in NumPy, too
        assert found.std == pytest.approx(finite.std(), rel=1e-9, abs=1e-9 * scale)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = np.percentile(finite, list(found.percentiles))
    if np.isfinite(expected).all():
        tolerance = 2e-6 if voxels.dtype == np.float64 else 1e-12
        np.testing.assert_allclose(list(found.percentiles.values()), expected, rtol=tolerance, atol=tolerance * scale)
    assert found.counts.sum() == finite.size
    if np.isfinite(found.edges[-1] - found.edges[0]) and (np.diff(found.edges) > 0).all():
        np.testing.assert_array_equal(found.counts, np.histogram(finite, found.edges)[0])
    if found.threshold is not None:
        assert found.above == (finite > found.threshold).mean()


def awkward(dtype: str) -> st.SearchStrategy[np.ndarray]:
    # Differences of larger numbers overflow in NumPy, too.
    elements = st.floats(-1e150, 1e150) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0]) if dtype == "f8" else None
    return arrays.arrays(dtype, st.tuples(*[st.integers(1, 6)] * 3), elements=elements)


@given(
    st.sampled_from(DTYPES).flatmap(awkward),
    st.integers(1, 3),
)
@settings(deadline=None)
def test_of_any_array_they_are_those_of_numpy(voxels: np.ndarray, threads: int) -> None:
    check(voxels, ct.stats(voxels, threads=threads, bins=7))


@pytest.mark.parametrize("dtype", DTYPES)
def test_of_a_scan_they_are_those_of_numpy_and_scikit_image(dtype: str) -> None:
    rng = np.random.default_rng(3)
    voxels = rng.normal(60, 7, (21, 33, 47))
    voxels[7:15, 10:20] += 40
    scan = np.clip(voxels, 0, 127).astype(dtype)
    found = ct.stats(scan, per_slice=True)
    check(scan, found)
    counts, edges = np.histogram(scan.astype("f8"), 256)
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_array_equal(found.edges, edges)
    by_value = dtype in ("u1", "i1", "u2", "i2")
    assert found.threshold == threshold_otsu(scan if by_value else scan.astype("f8"))
    slices = found.slices
    assert slices is not None
    exact = scan.astype("f8")
    np.testing.assert_allclose(slices.mean, exact.mean(axis=(1, 2)), rtol=1e-12)
    np.testing.assert_allclose(slices.std, exact.std(axis=(1, 2)), rtol=1e-9)
    np.testing.assert_array_equal(slices.minimum, exact.min(axis=(1, 2)))
    np.testing.assert_array_equal(slices.above, (exact > found.threshold).mean(axis=(1, 2)))
    assert len(found.to_csv().splitlines()) == 1 + len(scan)
    assert found.to_json()["slices"][3]["z"] == 3


@given(st.lists(st.integers(0, 50), min_size=2, max_size=40))
def test_otsu_is_that_of_scikit_image(counts: list[int]) -> None:
    values = np.linspace(-3, 9, len(counts))
    found = otsu_threshold(np.array(counts), values)
    if sum(count > 0 for count in counts) < 2:
        assert found is None
    else:
        assert found == pytest.approx(threshold_otsu(hist=(np.array(counts), values)))


@pytest.mark.parametrize("dtype", ["u2", "f4"])
@pytest.mark.parametrize("limit", [-1e9, 0, 49.5, 50, 1e9])
def test_voxels_above_a_given_threshold(dtype: str, limit: float) -> None:
    voxels = np.random.default_rng(1).integers(0, 100, (3, 4, 50)).astype(dtype)
    assert ct.stats(voxels, threshold=limit).above == (voxels > limit).mean()


def test_a_threshold_between_two_floats_counts_exactly() -> None:
    voxels = np.full((2, 3, 4), 0.1, "f4")
    assert ct.stats(voxels, threshold=0.1).above == 1  # float32 0.1 is above 0.1
    assert ct.stats(voxels, threshold=float(np.float32(0.1))).above == 0


def test_tiles_of_a_small_budget_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voxels = np.random.default_rng(5).normal(0, 1, (30, 40, 50)).astype("f4")
    monkeypatch.setattr("napari_ct_pyramid.model.tiles._TILE_BYTES", 1000)
    found = ct.stats(voxels, per_slice=True, threads=3)
    check(voxels, found)
    assert found.slices
    np.testing.assert_allclose(found.slices.mean, voxels.mean(axis=(1, 2), dtype="f8"), rtol=1e-9, atol=1e-12)
    assert ct.stats(voxels, per_slice=True, threads=1).to_csv() == found.to_csv()
    with pytest.raises(ct.BudgetError) as error:
        ct.stats(voxels, max_memory="1M")
    assert ct.stats(voxels, max_memory=error.value.smallest).count == voxels.size


def test_levels_crops_and_padding(tmp_path: Path) -> None:
    voxels = np.random.default_rng(6).integers(200, 300, (19, 33, 45)).astype("u2")
    tifffile.imwrite(tmp_path / "scan.tif", voxels, photometric="minisblack")
    output = ct.convert(tmp_path / "scan.tif", chunks=16, num_levels=2, edges="pad").output
    check(voxels, ct.stats(output))
    check(voxels[3:9, :12, 20:], ct.stats(output, crop="3:9,:12,20:"))
    level = np.asarray(ct.open_pyramid(output).levels[1].array)
    check(level, ct.stats(output, level=1))
    check(level[2:4], ct.stats(output, level=1, crop="4:8,,"))
    part = ct.open_pyramid(output).crop("3:9,,")
    check(level[1:5], ct.stats(part, level=1))
    check(level[2:3], ct.stats(part, level=1, crop="1:2,,"))
    found = ct.stats(output, crop="3:9,,", per_slice=True)
    assert found.slices
    assert found.slices.z.tolist() == [3, 4, 5, 6, 7, 8]
    for options, numbers in (({"crop": "-3:,,"}, [16, 17, 18]), ({"level": 1, "crop": "10:14,,"}, [5, 6])):
        found = ct.stats(output, per_slice=True, **options)
        assert found.slices
        assert found.slices.z.tolist() == numbers
    with pytest.raises(ct.RequestError):
        ct.stats(output, level=2)


def test_grey_values_are_offered_and_given(tmp_path: Path) -> None:
    voxels = np.random.default_rng(7).integers(0, 100, (4, 16, 16)).astype("u2")
    tifffile.imwrite(tmp_path / "scan.tif", voxels, photometric="minisblack")
    output = ct.convert(tmp_path / "scan.tif", chunks=8, num_levels=1, calibration=(0.5, -10, "HU")).output
    stored = ct.stats(output)
    assert stored.mean == voxels.mean()
    assert stored.calibration
    assert any("grey values" in note for note in stored.notes)
    grey = ct.stats(output, grey_values=True)
    assert grey.mean == pytest.approx(voxels.mean() * 0.5 - 10)
    assert grey.calibration is None


@pytest.mark.parametrize("asked", [{"bins": 0}, {"threshold": "much"}, {"level": -1}, {"crop": "1:2"}, {"bins": 10**9}])
def test_wrong_requests(asked: dict[str, Any]) -> None:
    with pytest.raises(ct.RequestError):
        ct.stats(np.zeros((2, 3, 4), "u1"), **asked)


def test_closing_the_generator_cancels() -> None:
    steps = ct.iter_stats(np.zeros((4, 5, 6), "f4"))
    next(steps)
    steps.close()


def test_a_picture_shows_bars_and_the_threshold(tmp_path: Path) -> None:
    from PIL import Image

    voxels = np.random.default_rng(8).normal(0, 1, (5, 20, 20)).astype("f4")
    draw_histogram(ct.stats(voxels), tmp_path / "a.png")
    image = np.asarray(Image.open(tmp_path / "a.png"))
    assert (image == (0x44, 0x77, 0xAA)).all(axis=2).sum() > 1000
    assert (image == (0xCC, 0x33, 0x11)).all(axis=2).any()
    draw_histogram(ct.stats(np.full((1, 2, 3), np.nan, "f4")), tmp_path / "b.png")
    draw_histogram(ct.stats(np.full((1, 2, 3), 7, "u1")), tmp_path / "c.png")


def test_workers_of_a_cluster_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_ct_pyramid.model.tiles._TILE_BYTES", 3000)  # many parts
    distributed = pytest.importorskip("distributed")
    voxels = np.random.default_rng(9).normal(5, 2, (20, 30, 40)).astype("f4")
    scan = tmp_path / "scan.tif"
    tifffile.imwrite(scan, voxels, photometric="minisblack")
    ports: dict[str, Any] = {"dashboard_address": None, "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}}
    with (
        distributed.LocalCluster(n_workers=2, processes=False, **ports) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        found = ct.stats(scan, client=client, per_slice=True)
        with pytest.raises(ct.RequestError):
            ct.stats(voxels, client=client)
        steps = ct.iter_stats(scan, client=client)
        next(steps)
        scan.unlink()
        with pytest.raises(ct.ConversionError):
            list(steps)
    check(voxels, found)
    assert found.slices
    np.testing.assert_allclose(found.slices.mean, voxels.mean(axis=(1, 2), dtype="f8"), rtol=1e-9)


@pytest.mark.parametrize("values", [[1.7e308, -1.7e308], [1.7e308] * 2, [5e-324, 0], [-1.7e308, 0, 3, np.inf]])
def test_numbers_at_the_limits_of_a_type_are_no_error(values: list[float]) -> None:
    found = ct.stats(np.array(values).reshape(1, 1, -1))
    finite = [value for value in values if np.isfinite(value)]
    assert (found.minimum, found.maximum) == (min(finite), max(finite))
    assert found.counts.sum() == len(finite)


def test_wide_integers_are_counted_as_floats(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(-(2**40), 2**40, (2, 3, 4))
    np.save(tmp_path / "labels.npy", labels)
    found = ct.stats(tmp_path / "labels.npy")
    check(labels.astype("f8"), found)
    assert any("int64" in note for note in found.notes)
