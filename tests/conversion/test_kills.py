"""Killed right before any change of a file, a conversion, an overwriting, a batch or a repair loses nothing.

Whenever it is killed, what is there is the old volume, an unfinished one, or the new one; and the same call, repeated,
makes the new one.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.storage.lock import beside, lock_file
from tests.helpers.kills import Killer
from tests.helpers.scans import pyramid_files, write_scan

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="takes processes that start at once")

OPTIONS: dict[str, Any] = {"chunks": [4, 8, 8], "num_levels": 2, "threads": 1}
OLD_OPTIONS: dict[str, Any] = {"chunks": [4, 4, 8], "num_levels": 1, "threads": 1}
RNG = np.random.default_rng(11)
VOXELS = RNG.integers(0, 60_000, (8, 16, 16), dtype="u2")
OLD_VOXELS = RNG.integers(0, 60_000, (8, 16, 16), dtype="u2")
MOMENTS = int(os.environ.get("KILL_MOMENTS", "25"))  # 1000: all there are, which takes minutes


class Place:
    """A source, its output, and what the output should be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "place"
        self.folder.mkdir()
        self.killer = Killer(self.folder, folder / "report")
        self.output = self.folder / "scan.ome.zarr"
        self.scan = write_scan(self.folder, OLD_VOXELS)
        ct.convert(self.scan, **OLD_OPTIONS)
        self.old = pyramid_files(self.output)
        shutil.copytree(self.output, folder / "old")
        self._old = folder / "old"
        shutil.rmtree(self.output)
        self.scan = write_scan(self.folder, VOXELS)
        ct.convert(self.scan, **OPTIONS)
        self.new = pyramid_files(self.output)

    def clear(self) -> None:
        shutil.rmtree(self.output, ignore_errors=True)
        for ending in ("old", "new", "trial"):
            shutil.rmtree(beside(self.output, ending), ignore_errors=True)
        lock_file(self.output).unlink(missing_ok=True)

    def put_old(self) -> None:
        self.clear()
        shutil.copytree(self._old, self.output)

    def check_state(self, *, old_may_be_there: bool) -> None:
        """What a reader finds is the old volume or the new one, completely, or no volume at all."""
        try:
            level = ct.open_pyramid(self.output).levels[0]
        except ct.SourceError:
            return
        found = pyramid_files(self.output)
        if np.array_equal(level.array[:], VOXELS):
            assert found == self.new
        else:
            assert old_may_be_there
            assert found == self.old

    def check_made(self) -> None:
        assert pyramid_files(self.output) == self.new
        assert ct.verify(self.output, self.scan).problems == ()
        assert sorted(path.name for path in self.folder.iterdir()) == ["scan.ome.zarr", "scan.tif"]
        assert sorted(path.name for path in (self.output / ".ct-pyramid").iterdir()) == [
            "journal.jsonl",
            "receipt.json",
        ]


@pytest.fixture
def place(in_memory: Path) -> Iterator[Place]:
    place = Place(in_memory)
    with place.killer:
        yield place


def moments(changes: int | None, times: Callable[[int], int]) -> range:
    """The changes before which to kill it, evenly over all of them."""
    assert changes
    return range(1, changes + 1, max(1, changes // times(MOMENTS)))


def test_a_fresh_conversion(place: Place, times: Callable[[int], int]) -> None:
    place.clear()
    for n in moments(place.killer.call("convert", place.scan, **OPTIONS), times):
        place.clear()
        place.killer.call("convert", place.scan, kill_at=n, **OPTIONS)
        place.check_state(old_may_be_there=False)
        place.killer.call("convert", place.scan, overwrite=True, **OPTIONS)
        place.check_made()


def test_overwriting(place: Place, times: Callable[[int], int]) -> None:
    place.put_old()
    for n in moments(place.killer.call("convert", place.scan, overwrite=True, **OPTIONS), times):
        place.put_old()
        place.killer.call("convert", place.scan, kill_at=n, overwrite=True, **OPTIONS)
        place.check_state(old_may_be_there=True)
        place.killer.call("convert", place.scan, overwrite=True, **OPTIONS)
        place.check_made()


def test_overwriting_and_then_a_run_that_may_not_overwrite(place: Place, times: Callable[[int], int]) -> None:
    """It finds the old volume, which is all there, or goes on with the new one."""
    place.put_old()
    for n in moments(place.killer.call("convert", place.scan, overwrite=True, **OPTIONS), times):
        place.put_old()
        place.killer.call("convert", place.scan, kill_at=n, overwrite=True, **OPTIONS)
        try:
            ct.convert(place.scan, **OPTIONS)
        except ct.OutputExistsError:
            assert pyramid_files(place.output) in (place.old, place.new)
        else:
            place.check_made()


def test_a_batch_says_done_already_only_of_the_new_volume(place: Place, times: Callable[[int], int]) -> None:
    folder = str(place.folder)
    place.put_old()
    for n in moments(place.killer.call("convert_many", [place.scan], folder, overwrite=True, **OPTIONS), times):
        place.put_old()
        place.killer.call("convert_many", [place.scan], folder, kill_at=n, overwrite=True, **OPTIONS)
        batch = ct.convert_many([place.scan], folder, **OPTIONS)
        (item,) = batch.items
        if item.state == "done":
            lock_file(place.output).unlink(missing_ok=True)  # it may have been killed after all was done
            place.check_made()
        else:
            assert isinstance(item.error, ct.OutputExistsError)
            assert pyramid_files(place.output) == place.old


def test_a_repair(place: Place, times: Callable[[int], int]) -> None:
    def damage() -> None:
        for name in ("0/0/0/1", "0/1/1/0", "1/0/0/0"):
            (place.output / name).write_bytes(b"damaged")

    options: dict[str, Any] = {"repair": True, "threads": 1}
    damage()
    for n in moments(place.killer.call("verify", place.output, place.scan, **options), times):
        damage()
        place.killer.call("verify", place.output, place.scan, kill_at=n, **options)
        place.killer.call("verify", place.output, place.scan, **options)
        place.check_made()
