"""The phantom: the same every time, of any size, and written as plain pages."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_ct_pyramid.sources.phantom import VOXEL_SIZE, sample_slices, write_sample
from napari_ct_pyramid.sources.registry import open_source

SHAPE = (12, 64, 80)


def test_is_written_as_plain_pages_with_a_voxel_size(tmp_path: Path) -> None:
    path = write_sample(tmp_path / "core.tif", SHAPE)
    with tifffile.TiffFile(path) as tif:
        assert tif.is_bigtiff
        assert len(tif.pages) == SHAPE[0]
        assert not tif.is_imagej
    with open_source(path) as source:
        volume = source.volume
        out = np.empty(SHAPE, "float32")
        source.read(0, SHAPE[0], 0, SHAPE[1], out)
    assert (volume.shape, volume.dtype, volume.compression) == (SHAPE, np.float32, "none")
    assert volume.format == "BigTIFF, one page a slice"
    assert (volume.voxel_size, volume.unit) == ((VOXEL_SIZE,) * 3, "micrometer")
    np.testing.assert_array_equal(out, np.stack(list(sample_slices(SHAPE))))


def test_the_usual_size(tmp_path: Path) -> None:
    with open_source(write_sample(tmp_path / "core.tif")) as source:
        assert source.volume.shape == (128, 256, 256)


def test_is_the_same_every_time_and_another_with_another_seed(tmp_path: Path) -> None:
    first, again, other = (
        write_sample(tmp_path / f"{k}.tif", SHAPE, seed=seed).read_bytes() for k, seed in enumerate((3, 3, 4))
    )
    assert first == again
    assert first != other


def test_grey_values_are_like_those_of_a_scan() -> None:
    """Air around, a core within, pores darker and steel brighter than it, and noise everywhere."""
    volume = np.stack(list(sample_slices((48, 96, 96))))
    y, x = np.ogrid[:96, :96]
    far = np.hypot(y - 47.5, x - 47.5)
    air, core = volume[:, far > 46], volume[:, far < 42]
    assert abs(float(air.mean())) < 0.02
    assert 0.01 < air.std() < 0.1
    assert 0.4 < np.median(core) < 0.6
    assert 0.001 < (core < 0.2).mean() < 0.2
    assert 0.001 < (core > 1.0).mean() < 0.2
    assert 0.05 < ((core > 0.6) & (core < 1.0)).mean() < 0.6
    alike = np.corrcoef(air[0], air[1])[0, 1]  # rings are the same in all slices, noise is not
    assert 0.05 < alike < 0.6


def test_slices_are_made_one_at_a_time() -> None:
    """Of thousands of slices, only those are made that are asked for."""
    slices = sample_slices((500, 100, 100))
    assert [plane.shape for plane in itertools.islice(slices, 2)] == [(100, 100)] * 2


@pytest.mark.parametrize("shape", [(2, 1, 1), (3, 16, 16), (4, 5, 300), (40, 8, 8)])
def test_any_shape(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    path = write_sample(tmp_path / "core.tif", shape)
    volume = tifffile.imread(path)
    assert volume.shape == shape
    assert np.isfinite(volume).all()
