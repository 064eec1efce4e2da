"""One export to an OME-Zarr in one file: a conversion to a hidden folder beside it, which is then packed."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from napari_ct_pyramid.conversion.edit import edit
from napari_ct_pyramid.conversion.progress import PROGRESS_SECONDS, Steps
from napari_ct_pyramid.errors import DiskSpaceError
from napari_ct_pyramid.model.formatting import format_size
from napari_ct_pyramid.omezarr.packing import PACKED_VERSION, pack
from napari_ct_pyramid.options import ExportOptions
from napari_ct_pyramid.sources.inputs import SourceLike
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.lock import hold
from napari_ct_pyramid.storage.own_names import beside
from napari_ct_pyramid.storage.paths import image_name

from .failing import nothing_left
from .kinds import ONE_FILE
from .omezarr import iter_zarr, plan_zarr
from .place import check_place
from .plan import ExportPlan
from .result import Export, ExportProgress

_CONVERTED = 0.8  # of all the work, about: what is packed is compressed already


def plan_one_file(src: SourceLike, output: Path, options: ExportOptions) -> ExportPlan:
    """Plan an export, and check that it can be written."""
    _check_place(src, output, options)
    # Not in the folder that an export makes: one that was killed may have left something there.
    return _plan_of(plan_zarr(src, beside(output, "plan"), options, PACKED_VERSION), output)


def iter_one_file(src: SourceLike, output: Path, options: ExportOptions) -> Generator[ExportProgress, None, Export]:
    """Export step by step. Closing the generator cancels the export, and leaves nothing."""
    began = time.perf_counter()
    _check_place(src, output, options)
    folder, archive = _folder(output), beside(output, "packing")

    def discard() -> None:
        storage_of(folder).remove(lambda _: True)
        archive.unlink(missing_ok=True)

    with hold(output):
        _check_place(src, output, options)
        discard()  # what a killed export left
        plan_one_file(src, output, options)  # what cannot be done is said before anything is made
        with nothing_left(discard, output):
            with Steps(iter_zarr(src, folder, options, PACKED_VERSION)) as steps:
                for converting in steps:
                    step = _in_all(converting, output)
                    yield step
                made = steps.result
            edit(folder, name=image_name(output.stem))
            size = sum(size for _, size in storage_of(folder).files_below())
            last = time.perf_counter()
            for packed in pack(folder, archive):
                if time.perf_counter() - last > PROGRESS_SECONDS:
                    last = time.perf_counter()
                    fraction = _CONVERTED + (1 - _CONVERTED) * min(1.0, packed / size)
                    yield replace(step, fraction=fraction, seconds=last - began)
            seconds = time.perf_counter() - began
            yield replace(step, blocks_done=step.blocks, fraction=1.0, seconds=seconds)  # the last chance to cancel
            storage_of(archive).sync()
            _check_place(src, output, options)
            archive.replace(output.resolve())
            storage_of(output.resolve().parent).sync_folder()
        discard()
        seconds = time.perf_counter() - began
    return replace(
        made, output=output, kind=ONE_FILE.name, files=1, bytes_written=output.stat().st_size, seconds=seconds
    )


def _check_place(src: SourceLike, output: Path, options: ExportOptions) -> None:
    with open_source(src, options, level=options.level) as source:
        check_place(src, source.files, output, ONE_FILE, overwrite=options.overwrite)


def _in_all(step: ExportProgress, output: Path) -> ExportProgress:
    """The progress of a conversion, as a part of all the work. The packing is one block more."""
    plan = _plan_of(step.plan, output)
    return replace(step, plan=plan, output=output, fraction=_CONVERTED * step.fraction, blocks=step.blocks + 1)


def _folder(output: Path) -> Path:
    return beside(output, "export")


def _plan_of(plan: ExportPlan, output: Path) -> ExportPlan:
    """The plan for one file. For a moment, the disk holds all bytes twice."""
    if plan.bytes_free is not None and 2 * plan.bytes_out > plan.bytes_free:
        raise DiskSpaceError(
            f"The output needs about {format_size(2 * plan.bytes_out)} until it is packed, and its disk has "
            f"{format_size(plan.bytes_free)} free. Free some space, or export to an .ome.zarr.",
            needed=2 * plan.bytes_out,
            free=plan.bytes_free,
        )
    return replace(plan, output=output, kind=ONE_FILE.name, files=1)
