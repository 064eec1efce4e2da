"""A folder with a source and its output, in which things go wrong, and checks of what is left."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import napari_ct_pyramid as ct
from napari_ct_pyramid.omezarr.kind import is_unfinished
from napari_ct_pyramid.storage.lock import lock_file
from napari_ct_pyramid.storage.own_names import beside
from tests.helpers.kills import Killer
from tests.helpers.memory import folder_in_memory
from tests.helpers.scans import pyramid_files, write_scan

OPTIONS: dict[str, Any] = {"chunks": [4, 8, 8], "num_levels": 2, "threads": 1}
OLD_OPTIONS: dict[str, Any] = {"chunks": [4, 4, 8], "num_levels": 1, "threads": 1}
RNG = np.random.default_rng(11)
VOXELS = RNG.integers(0, 60_000, (8, 16, 16), dtype="u2")
OLD_VOXELS = RNG.integers(0, 60_000, (8, 16, 16), dtype="u2")


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
        shutil.copytree(self.output, folder / "new")
        self._new = folder / "new"
        self._half: Path | None = None

    def clear(self) -> None:
        shutil.rmtree(self.output, ignore_errors=True)
        for ending in ("old", "new", "trial"):
            shutil.rmtree(beside(self.output, ending), ignore_errors=True)
        lock_file(self.output).unlink(missing_ok=True)

    def put_new(self) -> None:
        self.clear()
        shutil.copytree(self._new, self.output)

    def put_old(self) -> None:
        self.clear()
        shutil.copytree(self._old, self.output)

    def put_half(self) -> None:
        """An output whose conversion was killed in the middle of its only block."""
        if self._half is None:
            self.clear()
            changes = self.killer.call("convert", self.scan, **OPTIONS)
            self.clear()
            self.killer.kill("convert", self.scan, at=changes * 2 // 3, of=changes, **OPTIONS)
            assert is_unfinished(self.output)
            assert any((self.output / "0").rglob("[0-9]")), "there is no chunk"
            self._half = self._new.with_name("half")
            shutil.copytree(self.output, self._half)
        self.clear()
        shutil.copytree(self._half, self.output)

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
        self.check_no_more()

    def check_no_more(self) -> None:
        """Nothing is beside the volume, and nothing in it but its own files."""
        assert sorted(path.name for path in self.folder.iterdir()) == ["scan.ome.zarr", "scan.tif"]
        assert sorted(path.name for path in (self.output / ".ct-pyramid").iterdir()) == [
            "journal.jsonl",
            "receipt.json",
        ]


@contextmanager
def a_place() -> Iterator[Place]:
    """A place in memory, if there is room for its few megabytes, for many calls."""
    with tempfile.TemporaryDirectory(dir=folder_in_memory(50_000_000)) as folder:
        place = Place(Path(folder))
        with place.killer:
            yield place
