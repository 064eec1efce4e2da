"""The files of an export. Each has another name until it is complete, and none is left if the export fails.

One file is written beside the output, under a hidden name, and renamed at the end. Slices are written in a hidden
folder beside the output, each under a name with another ending until all of its rows are there, and the folder is
renamed at the end. What is left by a program that was killed is removed by the next export to the same output.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from typing import Protocol

import numpy as np

from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.own_names import beside

from .facts import Facts
from .headers import metaimage_header, nrrd_header
from .kinds import META_IMAGE, NRRD, OME_TIFF, SLICES, Kind
from .slices import is_slice_name, slice_names
from .tiff import begin_ome_tiff, begin_slice, begin_tiff
from .voxel_file import VoxelFile

Header = Callable[[Path, Facts], int]
"""Makes a file with its header; returns the position of the voxels."""

_HIDDEN = "export"
_INCOMPLETE = ".part"
_REPLACED = "replaced"


class Target(Protocol):
    """The files of an export. It is a `Sink`, too: several threads call `write` and `sync` at once."""

    def begin(self) -> None:
        """Make the files, in place of what is left by a program that was killed."""

    def write(self, z: int, y: int, rows: np.ndarray) -> None: ...

    def sync(self) -> None: ...

    def finish(self) -> None:
        """Wait until all is safe, and give the files their names."""

    def discard(self) -> None:
        """Remove the files, unless they have their names."""


def make_target(output: Path, kind: Kind, facts: Facts, check: Callable[[], None]) -> Target:
    """The files of an export to a path.

    `check` is called just before they get their names. It raises an error if something else has appeared there.
    """
    output = output.resolve()
    if kind is SLICES:
        return _Slices(output, facts, check)
    if kind is META_IMAGE and output.suffix.lower() == ".mhd":
        return _WithHeader(output, voxels_beside(output), facts, check)
    header = {NRRD: _begin_nrrd, META_IMAGE: _begin_metaimage, OME_TIFF: begin_ome_tiff}.get(kind, begin_tiff)
    return _OneFile(output, facts, header, check)


def put_back(output: Path) -> None:
    """Put right what an export left that was killed while it gave its files their names.

    Slices that it had moved aside come back, and voxels that have their name already get their header.
    """
    if header := cut_off(output):
        header.replace(output.resolve())
    aside = beside(output, _REPLACED)
    if not output.exists() and aside.is_dir():
        aside.rename(output.resolve())


def voxels_beside(header: Path) -> Path:
    """The file with the voxels of a MetaImage header."""
    return header.with_suffix(".raw")


def cut_off(header: Path) -> Path | None:
    """The hidden header of voxels that have their name already, where an export was killed just then."""
    target = header.resolve()
    voxels, hidden = voxels_beside(target), beside(target, _HIDDEN)
    if target.suffix.lower() != ".mhd" or not (hidden.is_file() and voxels.is_file()):
        return None
    written = hidden.stat().st_mtime_ns
    changed = [path for path in (voxels, target) if path.exists() and path.stat().st_mtime_ns > written]
    return None if changed or beside(voxels, _HIDDEN).exists() else hidden


def _opened(path: Path) -> AbstractContextManager[VoxelFile]:
    return closing(VoxelFile(path))


class _OneFile:
    def __init__(self, output: Path, facts: Facts, header: Header, check: Callable[[], None]) -> None:
        self._output = output
        self._check = check
        self._facts = facts
        self._header = header
        self._part = beside(output, _HIDDEN)
        self._file: VoxelFile | None = None
        self._offset = 0

    def begin(self) -> None:
        self._part.unlink(missing_ok=True)
        self._offset = self._header(self._part, self._facts)
        self._file = VoxelFile(self._part)

    def write(self, z: int, y: int, rows: np.ndarray) -> None:
        assert self._file
        _, height, width = self._facts.shape
        self._file.write(_bytes_of(rows), self._offset + (z * height + y) * width * rows.itemsize)

    def sync(self) -> None:
        assert self._file
        self._file.sync()

    def finish(self) -> None:
        self.sync()
        self._close()
        self._check()
        self._part.replace(self._output)
        storage_of(self._output.parent).sync_folder()

    def discard(self) -> None:
        self._close()
        self._part.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


class _WithHeader(_OneFile):
    """Voxels in one file, and a header in another, without which no program takes the voxels for a volume."""

    def __init__(self, header: Path, voxels: Path, facts: Facts, check: Callable[[], None]) -> None:
        super().__init__(voxels, facts, _begin_empty, check)
        self._path = header
        self._hidden = beside(header, _HIDDEN)

    def begin(self) -> None:
        self._hidden.unlink(missing_ok=True)
        super().begin()

    def finish(self) -> None:
        # If this is killed in between, the next export finds the header, and gives it its name.
        self.sync()
        self._hidden.write_bytes(metaimage_header(self._facts, self._output.name))
        storage_of(self._hidden).sync()
        super().finish()
        self._hidden.replace(self._path)
        storage_of(self._path.parent).sync_folder()

    def discard(self) -> None:
        if self._part.exists():  # otherwise the voxels have their name, and need the header
            self._hidden.unlink(missing_ok=True)
        super().discard()


class _Slices:
    def __init__(self, output: Path, facts: Facts, check: Callable[[], None]) -> None:
        self._output = output
        self._check = check
        self._facts = facts
        self._folder = beside(output, _HIDDEN)
        self._replaced = beside(output, _REPLACED)
        self._names = slice_names(output.name, facts.shape[0])
        self._begun: set[int] = set()
        self._rows_left = [facts.shape[1]] * facts.shape[0]
        self._offset = 0
        self._lock = threading.Lock()

    def begin(self) -> None:
        for left in (self._replaced, self._folder):
            self._remove(left)
        self._folder.mkdir()

    def write(self, z: int, y: int, rows: np.ndarray) -> None:
        path = self._folder / (self._names[z] + _INCOMPLETE)
        with self._lock:
            if z not in self._begun:
                self._offset = begin_slice(path, self._facts)  # the same in every slice
                self._begun.add(z)
        with _opened(path) as file:
            file.write(_bytes_of(rows), self._offset + y * rows.shape[1] * rows.itemsize)
        with self._lock:
            self._rows_left[z] -= len(rows)
            is_complete = not self._rows_left[z]
        if is_complete:
            with _opened(path) as file:
                file.sync()
            path.rename(self._folder / self._names[z])

    def sync(self) -> None:
        """Each slice is synced when it is complete."""

    def finish(self) -> None:
        storage_of(self._folder).sync_folder()
        self._check()
        if self._output.exists():
            self._output.rename(self._replaced)
        self._folder.rename(self._output)
        storage_of(self._output.parent).sync_folder()
        self._remove(self._replaced)

    def discard(self) -> None:
        self._remove(self._folder)

    def _remove(self, folder: Path) -> None:
        """Remove a folder of slices, but nothing else that may be in it."""
        if not folder.is_dir():
            return
        for path in folder.iterdir():
            if is_slice_name(path.name.removesuffix(_INCOMPLETE), self._output.name):
                path.unlink()
        with suppress(OSError):
            folder.rmdir()


def _bytes_of(rows: np.ndarray) -> memoryview:
    return memoryview(rows.reshape(-1).view(np.uint8))


def _begin_empty(path: Path, _: Facts) -> int:
    path.write_bytes(b"")
    return 0


def _begin_nrrd(path: Path, facts: Facts) -> int:
    return path.write_bytes(nrrd_header(facts))


def _begin_metaimage(path: Path, facts: Facts) -> int:
    return path.write_bytes(metaimage_header(facts, "LOCAL"))
