"""Levels of a growing volume: what has been written, with zeros or finer levels for the rest."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.downsample import reduce
from napari_ct_pyramid.model.volume import Box
from napari_ct_pyramid.omezarr.growing import GrowingLevel, written


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


def growing(disk: Disk, finer: GrowingLevel | None = None) -> GrowingLevel:
    chunks = (4,) * disk.voxels.ndim
    return GrowingLevel(disk.read, lambda index: index not in disk.missing, chunks, disk.voxels.dtype, finer)


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
    plane = np.zeros((8, 12), "f4")
    assert written(plane, (4, 4, 4)).size == 0
    plane[:4, 4:8] = 5
    plane[0, 4] = 0  # a zero in a written chunk is a voxel like any other
    assert sorted(set(written(plane, (4, 4, 4)).tolist())) == [0, 5]
