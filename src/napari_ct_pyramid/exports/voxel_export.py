"""One export to TIFF, slices, MetaImage or NRRD: opens the source, plans, copies, and names the files."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from pathlib import Path

from napari_ct_pyramid.conversion.identity import fingerprint
from napari_ct_pyramid.conversion.progress import follow
from napari_ct_pyramid.errors import ConversionError
from napari_ct_pyramid.model.intensity import automatic_window
from napari_ct_pyramid.model.memory import peak_resident_memory
from napari_ct_pyramid.options import AUTO, ExportOptions
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.sources.inputs import SourceLike
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.sources.sampling import a_few_rows, share_decoded, spread_rows
from napari_ct_pyramid.storage.lock import hold

from .copier import Copier
from .failing import nothing_left
from .kinds import Kind
from .place import check_place
from .plan import ExportPlan, make_export_plan
from .result import Export, ExportProgress
from .targets import make_target, put_back, voxels_beside


def plan_copy(src: SourceLike, output: Path, kind: Kind, options: ExportOptions) -> ExportPlan:
    """Plan an export, and check that it can be written."""
    with _open(src, options) as source:
        plan = _plan(src, source, output, kind, options)
        began = time.perf_counter()
        rows = a_few_rows(source)
        seconds = (time.perf_counter() - began) / share_decoded(source.volume, rows.shape) / plan.threads
        return replace(plan, seconds_estimate=seconds)


def iter_copy(
    src: SourceLike, output: Path, kind: Kind, options: ExportOptions
) -> Generator[ExportProgress, None, Export]:
    """Export step by step. Closing the generator cancels the export, and leaves nothing."""
    began, peak_before = time.perf_counter(), peak_resident_memory()
    with _open(src, options) as source:
        plan = _plan(src, source, output, kind, options)
        assert plan.cells
        with hold(output):
            put_back(output)
            check = partial(check_place, src, source.files, output, kind, overwrite=options.overwrite)
            check()
            target = make_target(output, kind, plan.facts, check)
            with nothing_left(target.discard, output):
                target.begin()
                before = fingerprint(source, 0)
                copier = Copier(source, plan.cells, plan.dtype, plan.rescale, target)
                cells = sum(1 for _ in plan.cells.boxes(plan.volume.shape))
                started = time.perf_counter()

                def progress(*, is_done: bool = False) -> ExportProgress:
                    now = time.perf_counter()
                    fraction = copier.voxels_done / math.prod(plan.volume.shape)
                    return ExportProgress(
                        output=output,
                        plan=plan,
                        blocks_done=cells if is_done else min(copier.cells_done, cells - 1),
                        blocks=cells,
                        bytes_done=round(fraction * plan.volume.nbytes),
                        bytes_total=plan.volume.nbytes,
                        seconds=now - began,
                        fraction=fraction,
                        working_seconds=now - started,
                    )

                yield progress()
                yield from follow(copier, progress)
                if fingerprint(source, 0) != before:
                    raise ConversionError(f"{plan.volume.name} was changed while it was being read. Export it again.")
                yield progress(is_done=True)  # the last chance to cancel
                target.finish()
    peak = peak_resident_memory()
    return Export.of(
        plan,
        bytes_written=_bytes_of(output),
        seconds=time.perf_counter() - began,
        peak_memory_bytes=peak,
        # A process that had taken more before, such as napari, did so for another reason.
        over_budget_bytes=max(0, peak - options.max_memory) if peak > peak_before else 0,
        clipped=copier.clipped if plan.rescale else None,
    )


def _open(src: SourceLike, options: ExportOptions) -> Source:
    return open_source(src, options, level=options.level, grey=options.grey_values)


def _plan(src: SourceLike, source: Source, output: Path, kind: Kind, options: ExportOptions) -> ExportPlan:
    check_place(src, source.files, output, kind, overwrite=options.overwrite)
    window = automatic_window(spread_rows(source)) if options.window == AUTO else None
    return make_export_plan(source.volume, options, output, kind, window)


def _bytes_of(output: Path) -> int:
    files = [*output.iterdir()] if output.is_dir() else [output]
    if output.suffix.lower() == ".mhd":
        files.append(voxels_beside(output))
    return sum(file.stat().st_size for file in files)
