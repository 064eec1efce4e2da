"""Verifies an OME-Zarr that any program wrote, step by step. It writes nothing."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, field
from itertools import chain

from napari_ct_pyramid.conversion.progress import Pace
from napari_ct_pyramid.conversion.unfinished import explained
from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.formatting import format_size
from napari_ct_pyramid.model.memory import peak_resident_memory
from napari_ct_pyramid.omezarr.collection import list_images
from napari_ct_pyramid.omezarr.kind import read_attributes
from napari_ct_pyramid.omezarr.reader import open_pyramid
from napari_ct_pyramid.omezarr.validation import load_models
from napari_ct_pyramid.omezarr.versions import version_of
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.parsing import parse_size
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import AnyPath, PathLike, image_path
from napari_ct_pyramid.storage.zip_path import ZipPath

from .arrangement import check_arrangement
from .findings import Audit, Report, worst_first
from .listing import check_files
from .packed import packed_file_tasks
from .specification import read_image
from .tasks import spread, threads_within
from .voxels import VoxelAudit

_MOST_REMOTE_BYTES = 4_000_000_000  # of voxels that are fetched without being asked for


@dataclass(frozen=True)
class AuditPlan:
    """What an audit does, to announce it: how many images, and how many bytes of voxels they have."""

    images: int
    nbytes: int


@dataclass(frozen=True, kw_only=True)
class AuditProgress(Pace):
    """How far an audit is. Its blocks are the images.

    Attributes
    ----------
    plan : AuditPlan
    """

    plan: AuditPlan


@dataclass
class _Work:
    path: AnyPath
    began: float
    reports: list[Report] = field(default_factory=list)
    audits: list[VoxelAudit] = field(default_factory=list)
    images_done: int = 0

    def progress(self) -> AuditProgress:
        total = sum(audit.bytes_total for audit in self.audits)
        done = sum(audit.bytes_done for audit in self.audits)
        return AuditProgress(
            output=self.path,
            blocks_done=self.images_done,
            blocks=len(self.reports),
            bytes_done=done,
            bytes_total=total,
            seconds=time.perf_counter() - self.began,
            fraction=done / total if total else 1.0,
            plan=AuditPlan(len(self.reports), total),
        )


def iter_audit_steps(
    path: PathLike, *, deep: bool | None, max_memory: str | int, threads: int | None
) -> Generator[AuditProgress, None, Audit]:
    """The generator behind `api.iter_audit`."""
    place = image_path(path)
    with explained(f"{place} could not be verified"):
        return (yield from _steps(place, deep=deep, max_memory=max_memory, threads=threads))


def _steps(
    place: AnyPath, *, deep: bool | None, max_memory: str | int, threads: int | None
) -> Generator[AuditProgress, None, Audit]:
    limits = ConversionOptions(chunks=(1, 1, 1), max_memory=parse_size(max_memory), threads=threads)
    work = _Work(place, time.perf_counter())
    images = _images(place)
    load_models()
    for where, folder in images:
        report = Report(where)
        work.reports.append(report)
        image = read_image(folder, read_attributes(folder), report)
        if image is None:
            continue
        check_arrangement(image, report)
        check_files(image, report)
        work.audits.append(VoxelAudit(image, report))
    total = sum(audit.bytes_total for audit in work.audits)
    is_far = storage_of(place).is_remote and not (isinstance(place, ZipPath) and place.is_local)
    if deep is None and is_far and total > _MOST_REMOTE_BYTES:
        deep = False
        work.reports[0].note(
            "not-deep",
            f"its {format_size(total)} of voxels were not fetched: only metadata and file names were verified",
        )
    if deep is not False:
        yield work.progress()
        yield from _read(work, limits)
    return Audit(
        path=place,
        ome_zarr_version=version_of(read_attributes(images[0][1])),
        findings=worst_first(found for report in work.reports for found in report.findings),
        levels=tuple(level for report in work.reports for level in report.levels),
        images=len(images),
        deep=deep is not False,
        chunks=sum(audit.chunks for audit in work.audits) if deep is not False else 0,
        seconds=time.perf_counter() - work.began,
        peak_memory_bytes=peak_resident_memory(),
    )


def _images(place: AnyPath) -> list[tuple[str, AnyPath]]:
    """The images at a path, each with its path relative to that.

    Raises
    ------
    SourceError
        If there is none.
    """
    found = [(image.path, place / image.path if image.path else place) for image in list_images(place)]
    if not found:
        open_pyramid(place)  # raises an error that tells what it is
        raise SourceError(f"{place} holds no OME-Zarr image.")
    return found


def _read(work: _Work, limits: ConversionOptions) -> Generator[AuditProgress, None, None]:
    """Read the voxels of all images."""
    of_task = max((audit.bytes_of_task for audit in work.audits), default=0)
    kept = sum(audit.bytes_kept for audit in work.audits)
    threads = threads_within(limits, of_task, kept, ", or verify only metadata and file names")
    for audit in work.audits:
        for _ in spread(chain(packed_file_tasks(audit.image, audit.report), audit.tasks()), threads):
            yield work.progress()
        audit.finish()
        work.images_done += 1
        yield work.progress()
