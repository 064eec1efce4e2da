"""Carries out the rebuild of levels, step by step. `note` has the order in which it writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from napari_ct_pyramid.conversion.audit.image import open_array
from napari_ct_pyramid.conversion.audit.tasks import Task, spread, threads_within
from napari_ct_pyramid.conversion.progress import Pace
from napari_ct_pyramid.conversion.receipt import change_receipt
from napari_ct_pyramid.conversion.unfinished import explained
from napari_ct_pyramid.errors import ConversionError, CtPyramidError, RequestError
from napari_ct_pyramid.model.memory import peak_resident_memory
from napari_ct_pyramid.model.volume import Box, chunk_box, touched
from napari_ct_pyramid.omezarr.array import ZarrArray
from napari_ct_pyramid.omezarr.checksums import Checksums
from napari_ct_pyramid.omezarr.codec import ChunkReader, chunk_name
from napari_ct_pyramid.omezarr.file_encoder import encode_file
from napari_ct_pyramid.omezarr.journal import write_journal
from napari_ct_pyramid.omezarr.kind import JOURNAL, is_being_rebuilt, read_attributes
from napari_ct_pyramid.omezarr.metadata import ChunkLocator
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.lease import Lease
from napari_ct_pyramid.storage.lock import hold
from napari_ct_pyramid.storage.paths import STATE_FOLDER, AnyPath

from . import note as steps
from .note import NewLevel, Note, read_note
from .planning import RebuildPlan, check_folders, check_no_edit, plan_of_ours
from .voxels import bytes_of_task, make


@dataclass(frozen=True)
class Rebuild:
    """What a rebuild made.

    Attributes
    ----------
    path : Path or RemotePath
    levels : tuple of str
        The paths of the levels that were made again; empty if all were right.
    method : str or None
        How their voxels were made.
    resumed : bool
        Whether it completed one that was interrupted.
    seconds : float
    peak_memory_bytes : int
        Peak resident memory of the process.
    errors : tuple of str
        What else the verification found wrong. It is as it was.
    """

    path: AnyPath
    levels: tuple[str, ...]
    method: str | None
    resumed: bool
    seconds: float
    peak_memory_bytes: int
    errors: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {
            "path": str(self.path),
            "levels": list(self.levels),
            "method": self.method,
            "resumed": self.resumed,
            "errors": list(self.errors),
            "seconds": round(self.seconds, 3),
            "peak_memory_bytes": self.peak_memory_bytes,
        }


@dataclass(frozen=True, kw_only=True)
class RebuildProgress(Pace):
    """How far a rebuild is. Its blocks are the levels.

    Attributes
    ----------
    plan : RebuildPlan
    """

    plan: RebuildPlan


def iter_rebuilding(plan: RebuildPlan, limits: ConversionOptions) -> Generator[RebuildProgress, None, Rebuild]:
    """Make the levels of a plan.

    Raises
    ------
    BudgetError
        If the memory budget is too small for a file of the levels. Nothing was changed.
    RequestError
        If the image was changed since it was verified or an earlier rebuild was interrupted, or the folder of a level
        is none that can be written. Nothing was changed.
    OutputBusyError
        If another process changes the image.
    ConversionError
        If the disk or the store failed. The next rebuild completes it.
    """
    began = time.perf_counter()
    note, path = plan.note, plan.path
    if note is None:
        return Rebuild(path, (), None, False, 0.0, peak_resident_memory(), plan.errors)
    with explained(f"The levels of {path} could not be rebuilt"), hold(path) as held:
        if found := read_note(path):
            note = found
            steps.check_list(path, note)
        else:
            check_no_edit(path)
            if read_attributes(path, strict=True) != plan.attributes:
                raise RequestError(
                    f"The metadata of {path} were changed while it was verified. Rebuild its levels again."
                )
        plan = replace(plan, note=note, resumed=found is not None)
        check_folders(path, note)
        steps.check_documents(path, note)
        threads = threads_within(limits, max(_bytes_of(path, note)))
        try:
            (path / STATE_FOLDER).mkdir(exist_ok=True)
            with held.lease() as lease:
                yield from _carry_out(plan, note, lease, threads, limits, began)
                lease.check()
                steps.remove_note(path)
        except (CtPyramidError, OSError) as error:
            why = str(error).rstrip(".") if isinstance(error, CtPyramidError) else error.strerror or str(error)
            listed = " The image lists only the levels that are complete." if is_being_rebuilt(path) else ""
            raise ConversionError(
                f"{why[:1].upper()}{why[1:]}.{listed} Rebuild its levels again to complete it."
            ) from error
        finally:
            steps.remove_folder(path)
    return Rebuild(
        path=path,
        levels=tuple(level.path for level in note.levels),
        method=note.method,
        resumed=plan.resumed,
        seconds=time.perf_counter() - began,
        peak_memory_bytes=peak_resident_memory(),
        errors=plan.errors,
    )


def _bytes_of(path: AnyPath, note: Note) -> Iterator[int]:
    """The most memory that a file of each level takes. An array that is missing gets the chunks of the finer one."""
    finer = ZarrArray(path / note.datasets[0]["path"])
    for level in note.levels:
        finer = open_array(path / level.finer)[0] or finer
        yield bytes_of_task(finer, steps.locator(path, level).shape, level.factors)


def _carry_out(
    plan: RebuildPlan, note: Note, lease: Lease, threads: int, limits: ConversionOptions, began: float
) -> Generator[RebuildProgress, None, None]:
    """Take all steps of the note but the last, under a lease: a process that was paused may find that it has ended."""
    path = plan.path
    work = _Work(path, note.method, lease)

    def progress(done: int) -> RebuildProgress:
        return RebuildProgress(
            output=path,
            blocks_done=done,
            blocks=len(note.levels),
            bytes_done=min(work.bytes_done, plan.nbytes),
            bytes_total=plan.nbytes,
            seconds=time.perf_counter() - began,
            fraction=min(1.0, work.bytes_done / plan.nbytes) if plan.nbytes else 1.0,
            plan=plan,
        )

    yield progress(0)
    if not note.cleared:
        for step in (steps.write_note, steps.withdraw, steps.clear):
            lease.check()  # an owner that was paused must not undo what another one has made
            step(path, note)
    for done, level in enumerate(note.levels):
        for _ in spread(work.tasks(level), threads, "ct-pyramid-rebuild"):
            yield progress(done)
        _make_names_safe(path / level.path)
        yield progress(done + 1)
    if storage_of(path / JOURNAL).is_file():
        _renew_journal(path, note, lease, limits)
    lease.check()
    steps.publish(path, note)


def _make_names_safe(folder: AnyPath) -> None:
    for below, _, _ in storage_of(folder).walk():
        storage_of(below).sync_folder()
    storage_of(folder).sync_folder()


class _Work:
    """Makes the files of levels. Several threads use it at once."""

    def __init__(self, path: AnyPath, method: str, lease: Lease) -> None:
        self._path = path
        self._lease = lease
        self._method = method
        self.bytes_done = 0
        self._lock = threading.Lock()

    def tasks(self, level: NewLevel) -> Iterator[Task]:
        """Those for the files of a level that are not there. A file that is there is complete."""
        locator = steps.locator(self._path, level)
        finer, array = ZarrArray(self._path / level.finer), ZarrArray(self._path / level.path)
        there = {key for key, _ in storage_of(array.path).files_below()}
        for index in locator.indices():
            box = chunk_box(index, locator.shape, array.shape)
            if locator.key(index) in there:
                self._count(finer, box, level)
            else:
                yield partial(self._make, level, finer, array, locator, index, box)

    def _make(
        self, level: NewLevel, finer: ZarrArray, array: ZarrArray, locator: ChunkLocator, index: tuple[int, ...],
        box: Box,
    ) -> None:  # fmt: skip
        voxels = make(finer, box, array.shape, level.factors, self._method)
        if not (_is_all(voxels, array.fill_value) and self._has_no_files(level, finer, box)):
            file = self._path / level.path / locator.key(index)
            data = encode_file(level.metadata, voxels)
            self._lease.check()
            if isinstance(file, Path):
                file.parent.mkdir(parents=True, exist_ok=True)
            storage_of(file).replace(data)
        self._count(finer, box, level)

    def _has_no_files(self, level: NewLevel, finer: ZarrArray, box: Box) -> bool:
        """Whether the finer level leaves out the chunks that a box of the level is made of."""
        there = ChunkLocator(finer.path, finer.metadata)
        around = tuple(
            slice(s.start * f, min(s.stop * f, n)) for s, f, n in zip(box, level.factors, finer.shape, strict=True)
        )
        return not any(storage_of(finer.path / there.key(index)).is_file() for index in touched(around, there.shape))

    def _count(self, finer: ZarrArray, box: Box, level: NewLevel) -> None:
        voxels = np.prod([(s.stop - s.start) * f for s, f in zip(box, level.factors, strict=True)], dtype=float)
        with self._lock:
            self.bytes_done += int(voxels) * finer.dtype.itemsize


def _is_all(voxels: np.ndarray, fill: Any) -> bool:
    """Whether all voxels are the fill value, which may be NaN."""
    if fill is None:
        return False
    same = np.isnan(voxels) if voxels.dtype.kind == "f" and np.isnan(fill) else voxels == fill
    return bool(np.all(same))


def _renew_journal(path: AnyPath, note: Note, lease: Lease, limits: ConversionOptions) -> None:
    """Write the checksums of the new chunks into the journal of an output of this package; this reads them all."""
    assert limits.max_memory is not None
    plan, record = plan_of_ours(path, limits.max_memory, limits.threads)
    checksums = Checksums(plan, record.checksums)
    reader = ChunkReader(path, plan)
    new = {level.path for level in note.levels}
    for number, level in enumerate(plan.levels):
        if level.path in new:
            whole = tuple(slice(0, n) for n in level.shape)
            for z, y, x in touched(whole, level.chunks):
                try:
                    checksums.put(number, (z, y, x), reader.read(number, (z, y, x))[1])
                except (ValueError, imagecodecs.BloscError) as error:
                    name = chunk_name(number, (z, y, x))
                    raise ConversionError(f"Chunk {name} was written, and cannot be read: {error}") from error
    packed = {block: checksums.packed(plan, block) for block in record.done}
    lease.check()
    write_journal(path, replace(record, checksums=packed))
    with suppress(OSError):
        change_receipt(path, verified=None)
