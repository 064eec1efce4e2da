"""The levels of a TIFF before it is converted: their voxels, and how little of the file they read."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_ct_pyramid.sources import lazy_levels
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.sources.lazy_levels import SourceArray, source_levels
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.omezarr import flat_indices

SHAPE = (12, 70, 50)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "compressed strips": {"compression": "zlib", "rowsperstrip": 16},
    "compressed, one strip": {"compression": "lzw", "rowsperstrip": 70},
    "tiles": {"tile": (32, 32), "compression": "zlib"},
    "big-endian": {"byteorder": ">"},
}


@pytest.fixture(params=KINDS)
def source(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Source]:
    tifffile.imwrite(tmp_path / "a.tif", flat_indices(SHAPE), photometric="minisblack", **KINDS[request.param])
    with open_source(tmp_path / "a.tif") as source:
        yield source


class Spy:
    """Notes what is read from a source."""

    def __init__(self, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads: list[tuple[int, int, int, int]] = []
        read = source.read

        def note(z0: int, z1: int, y0: int, y1: int, out: np.ndarray) -> None:
            self.reads.append((z0, z1, y0, y1))
            read(z0, z1, y0, y1, out)

        monkeypatch.setattr(source, "read", note)

    @property
    def rows(self) -> int:
        return sum((z1 - z0) * (y1 - y0) for z0, z1, y0, y1 in self.reads)


@pytest.mark.parametrize(
    "key",
    [
        np.s_[5],
        np.s_[5, 10:33, 7:20],
        np.s_[-1, ::3, 5::4],
        np.s_[:, 20],
        np.s_[:, 3:60, 49],
        np.s_[2:9, 17:18],
        np.s_[::5, 1:70:7, ::-1],
        np.s_[...],
    ],
)
def test_any_part_of_the_volume(source: Source, key: Any) -> None:
    whole = SourceArray(source)
    assert np.array_equal(np.asarray(whole[key]), flat_indices(SHAPE)[key])


def test_a_small_volume_has_one_level(source: Source) -> None:
    (level,) = source_levels(source)
    assert level.shape == SHAPE


def test_a_large_volume_has_a_sample_that_fits_in_3d(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_levels, "SAMPLE_BYTES", 6_000)
    spy = Spy(source, monkeypatch)
    whole, sample = source_levels(source)
    assert not spy.reads
    assert sample.nbytes <= 6_000
    assert whole.shape == SHAPE
    step = 4  # 3 x 18 x 13 voxels are the most that fit
    assert np.array_equal(np.asarray(sample), flat_indices(SHAPE)[::step, ::step, ::step])
    assert sample.shape == (3, 18, 13)


def test_what_was_sampled_is_kept(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_levels, "SAMPLE_BYTES", 6_000)
    spy = Spy(source, monkeypatch)
    sample = source_levels(source)[-1]
    assert np.array_equal(sample[1], flat_indices(SHAPE)[4, ::4, ::4])
    assert {z0 for z0, *_ in spy.reads} == {4}
    first = len(spy.reads)
    assert np.array_equal(sample[1, 3:9], flat_indices(SHAPE)[4, ::4, ::4][3:9])
    assert len(spy.reads) == first
    sample[1][...] = 0  # the viewer may change what it was given
    assert np.array_equal(sample[1], flat_indices(SHAPE)[4, ::4, ::4])


@pytest.mark.parametrize(("limit", "value"), [("SAMPLE_READ_BYTES", 50 * 4 * 70 * 2), ("SAMPLE_READS", 40)])
def test_sampling_a_volume_reads_a_bounded_part_of_it(
    source: Source, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(lazy_levels, "SAMPLE_BYTES", 6_000)
    monkeypatch.setattr(lazy_levels, limit, value)
    spy = Spy(source, monkeypatch)
    sample = source_levels(source)[-1]
    voxels = np.asarray(sample)
    assert (spy.rows * 50 * 4 if limit == "SAMPLE_READ_BYTES" else len(spy.reads)) <= value
    slices = -(-12 // len(voxels))
    assert np.array_equal(voxels, flat_indices(SHAPE)[::slices, ::4, ::4])


def test_a_slice_reads_its_page_and_a_cut_along_y_its_rows(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SourceArray(source)
    spy = Spy(source, monkeypatch)
    whole[7]
    assert {z0 for z0, *_ in spy.reads} == {7}
    assert spy.rows == 70
    assert whole.bytes_read_for([1, 2]) == 70 * 50 * 4
    spy.reads.clear()
    whole[:, 33]
    assert spy.rows == 12
    assert whole.bytes_read_for([0, 2]) == 12 * source.volume.row_step * 50 * 4
    assert whole.bytes_read_for([0, 1]) == whole.nbytes


def test_very_large_pages_have_a_level_for_the_screen(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_levels, "SAMPLE_BYTES", 6_000)
    monkeypatch.setattr(lazy_levels, "LARGEST_PAGE", 40)
    levels = source_levels(source)
    assert [level.shape for level in levels] == [(12, 70, 50), (12, 35, 25), (3, 18, 13)]
    assert np.array_equal(levels[1][5], flat_indices(SHAPE)[5, ::2, ::2])


def test_the_file_is_closed_when_no_array_needs_it_any_more(source: Source) -> None:
    plane = SourceArray(source)[3:5]
    gc.collect()
    assert np.asarray(plane).shape == (2, 70, 50)
    del plane
    gc.collect()
    with pytest.raises(ValueError, match="closed"):
        source.read(0, 1, 0, 70, np.empty((1, 70, 50), "f4"))
