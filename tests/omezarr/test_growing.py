"""Levels of a growing volume: what has been written, with zeros or finer levels for the rest."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.downsample import reduce
from napari_ct_pyramid.model.volume import Box
from napari_ct_pyramid.omezarr.growing import GrowingLevel, read_ahead, written


class Disk:
    """An array of chunks of 4. Some chunks are missing or only half written."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.voxels = np.zeros(shape, "u1")
        self.half_written: set[tuple[int, ...]] = set()
        self.missing: set[tuple[int, ...]] = set()
        self.reads: list[Box] = []

    def read(self, box: Box) -> np.ndarray:
        self.reads.append(box)
        touched = np.zeros(self.voxels.shape, bool)
        touched[box] = True
        for index in self.half_written:
            if touched[tuple(slice(4 * i, 4 * i + 4) for i in index)].any():
                raise SourceError("is cut short")
        return self.voxels[box].copy()


def box(*parts: tuple[int, int]) -> Box:
    return tuple(slice(start, stop, 1) for start, stop in parts)


def growing(disk: Disk, finer: GrowingLevel | None = None, *, nan: bool = False) -> GrowingLevel:
    chunks = (4,) * disk.voxels.ndim
    return GrowingLevel(disk.read, lambda index: index not in disk.missing, chunks, disk.voxels.dtype, finer, nan=nan)


def test_boxes_are_read_again_only_when_renewed() -> None:
    disk = Disk((8, 8))
    level = growing(disk)
    assert not level.read(box((0, 8), (0, 8))).any()
    disk.voxels[:4] = 7
    assert not level.read(box((0, 8), (0, 8))).any()
    assert len(disk.reads) == 1
    level.renew()
    assert np.array_equal(level.read(box((0, 8), (0, 8))), disk.voxels)
    assert len(disk.reads) == 2
    assert (level.read_now(box((0, 4), (0, 8))) == 7).all()


def test_only_the_last_boxes_are_renewed() -> None:
    disk = Disk((8, 8))
    level = growing(disk)
    for row in range(8):
        level.read(box((row, row + 1), (0, 8)))
    disk.reads.clear()
    level.renew()
    assert [b[0].start for b in disk.reads] == [6, 7]


def test_half_written_chunks_are_zeros() -> None:
    disk = Disk((8, 10))
    disk.voxels[...] = np.arange(80).reshape(8, 10)
    disk.half_written = {(0, 1)}
    expected = disk.voxels.copy()
    expected[:4, 4:8] = 0
    level = growing(disk)
    assert np.array_equal(level.read(box((0, 8), (0, 10))), expected)
    assert np.array_equal(level.read(box((1, 6), (3, 9))), expected[1:6, 3:9])
    assert np.array_equal(level.read((slice(1, 7, 3), slice(0, 10, 2))), expected[1:7:3, ::2])
    disk.half_written.clear()
    level.renew()
    assert np.array_equal(level.read((slice(1, 7, 3), slice(0, 10, 2))), disk.voxels[1:7:3, ::2])


def test_missing_chunks_are_made_from_finer_levels() -> None:
    disks = [Disk((16, 16, 16)), Disk((8, 8, 8)), Disk((4, 4, 4))]
    disks[0].voxels[...] = np.random.default_rng(0).integers(0, 255, (16, 16, 16))
    for fine, coarse in itertools.pairwise(disks):
        reduce(fine.voxels, coarse.voxels)
    truth = [disk.voxels.copy() for disk in disks]
    finest = growing(disks[0])
    middle = growing(disks[1], finest)
    coarsest = growing(disks[2], middle)
    # The coarsest level is missing. The next one lacks a chunk, which the finest level has.
    disks[2].missing = {(0, 0, 0)}
    disks[1].missing = {(0, 1, 0)}
    disks[2].voxels[...] = disks[1].voxels[:4, 4:, :4] = 0
    for level, disk, whole in ((coarsest, disks[2], truth[2]), (middle, disks[1], truth[1])):
        for wanted in (box((1, 2), (0, 4), (0, 4)), box((0, 4), (0, 4), (0, 4)), box((0, 3), (1, 4), (2, 3))):
            assert np.array_equal(level.read(wanted), disk.voxels[wanted])  # at once, without the missing chunks
            level.renew()
            assert np.array_equal(level.read(wanted), whole[wanted])


def test_a_stopped_level_caches_nothing_and_raises_errors() -> None:
    disk = Disk((8, 8))
    level = growing(disk)
    level.read(box((0, 8), (0, 8)))
    level.stop()
    disk.voxels[...] = 3
    assert (level.read(box((0, 8), (0, 8))) == 3).all()
    level.renew()
    disk.half_written = {(0, 0)}
    with pytest.raises(SourceError):
        level.read(box((0, 8), (0, 8)))


def test_only_written_chunks_give_the_contrast() -> None:
    plane = np.full((80, 120), np.nan, "f4")
    assert written(plane).size == 0
    plane[:40, 40:80] = 5
    plane[:40, 43::4] = np.where(np.isnan(plane[:40, 43::4]), np.nan, 0)  # a zero is a voxel like any other
    sample = written(plane)
    assert set(sample.tolist()) == {0, 5}
    assert 0.2 < (sample == 0).mean() < 0.3  # every fourth voxel would be of one kind


def test_voxels_that_are_not_written_are_nan_whatever_the_box_and_its_steps() -> None:
    disk = Disk((9, 11))
    disk.voxels[...] = np.arange(99).reshape(9, 11)
    disk.missing = {(0, 1), (2, 2), (1, 0)}
    disk.half_written = {(2, 0)}
    level = growing(disk, nan=True)
    assert level.dtype == np.float32
    expected = disk.voxels.astype("f4")
    for z, y in (*disk.missing, *disk.half_written):
        expected[4 * z : 4 * z + 4, 4 * y : 4 * y + 4] = np.nan
    for z, y in itertools.product(range(9), range(11)):
        for step in (1, 2, 3, 5):
            for wanted in (
                (slice(z, 9, step), slice(y, 11, 1)),
                (slice(z, min(z + 3, 9), 1), slice(y, min(y + 6, 11), step)),
            ):
                found = level.read_now(wanted)
                assert found.dtype == np.float32
                assert np.array_equal(found, expected[wanted], equal_nan=True), wanted


def test_means_of_integers_are_rounded_as_on_disk() -> None:
    fine, coarse = Disk((8, 8, 8)), Disk((4, 4, 4))
    fine.voxels[...] = np.random.default_rng(1).integers(0, 255, (8, 8, 8))
    reduce(fine.voxels, coarse.voxels)
    coarse.missing = {(0, 0, 0)}
    level = growing(coarse, growing(fine, nan=True), nan=True)
    whole = box((0, 4), (0, 4), (0, 4))
    assert np.isnan(level.read(whole)).all()
    level.renew()
    assert np.array_equal(level.read(whole), coarse.voxels)
    fine.missing = {(0, 0, 1)}
    level.renew()
    expected = coarse.voxels.astype("f4")
    expected[:2, :2, 2:] = np.nan
    assert np.array_equal(level.read(whole), expected, equal_nan=True)


def test_boxes_that_were_read_ahead_are_not_read_again_until_forgotten() -> None:
    disk = Disk((8, 8))
    level = growing(disk)
    boxes = [box((0, 8), (0, 4)), box((1, 2), (0, 8))]
    for one in boxes:
        level.read(one)
    assert level.kept_boxes == boxes
    disk.voxels[...] = 3
    read, forget = read_ahead(disk.read, level.kept_boxes)
    disk.voxels[...] = 4
    assert [int(read(one).max()) for one in (*boxes, box((2, 3), (0, 8)))] == [3, 3, 4]
    forget()
    assert [int(read(one).max()) for one in boxes] == [4, 4]
