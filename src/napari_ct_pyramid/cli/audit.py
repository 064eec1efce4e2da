"""`ct-pyramid verify` of an OME-Zarr that another program wrote: what it found, for people."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from napari_ct_pyramid.errors import CtPyramidError
from napari_ct_pyramid.model.formatting import count, duration, format_size
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.storage.paths import AnyPath

from .render import verify_announcement
from .terminal import write, write_json
from .watch import watch

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.audit.findings import Audit, Finding
    from napari_ct_pyramid.conversion.audit.run import AuditPlan
    from napari_ct_pyramid.model.plan import Plan


def run(path: AnyPath, args: argparse.Namespace, options: ConversionOptions) -> None:
    """Verify an OME-Zarr without its source.

    Raises
    ------
    CtPyramidError
        If something is wrong with it. Warnings are no errors.
    """
    from napari_ct_pyramid.conversion.audit.run import iter_audit_steps

    deep = False if args.quick else True if args.deep else None
    steps = iter_audit_steps(path, deep=deep, max_memory=options.max_memory, threads=options.threads)
    found = watch(steps, audit_announcement, quiet=args.quiet)
    if args.json:
        write_json(found.to_json())
    elif not args.quiet:
        write(audit_summary(found))
    if not found.sound:
        raise CtPyramidError(f"{path.name} has {count(len(found.having('error')), 'error')}.")


def audit_announcement(plan: AuditPlan, path: AnyPath, width: int) -> str:
    """What begins, in one line."""
    several = f"{plan.images} images, " if plan.images > 1 else ""
    return f"Verifying {path} ({several}{format_size(plan.nbytes)} to read)"[:width]


def any_announcement(plan: AuditPlan | Plan, path: AnyPath, width: int) -> str:
    """What begins, in one line, whichever program made the OME-Zarr."""
    from napari_ct_pyramid.model.plan import Plan

    return verify_announcement(plan, path, width) if isinstance(plan, Plan) else audit_announcement(plan, path, width)


def audit_summary(found: Audit) -> str:
    """What an audit found, the worst first."""
    read = f"{count(found.chunks, 'chunk')} decoded" if found.deep else "only metadata and file names"
    images = f"{count(found.images, 'image')}, " if found.images > 1 else ""
    head = f"{found.path} (OME-Zarr {found.ome_zarr_version}): {images}{read}, in {duration(found.seconds)}"
    having = {severity: len(found.having(severity)) for severity in ("error", "warning")}
    counts = [count(number, severity) for severity, number in having.items() if number]
    lines = [head, f"  {' and '.join(counts) if counts else 'Nothing is wrong'}"]
    lines += [f"  {_marked(finding)}" for finding in found.findings]
    lines += [
        f"  level    {level.level}: {level.method}, largest difference {level.largest_difference:.4g}"
        for level in found.levels
    ]
    return "\n".join(lines)


def _marked(finding: Finding) -> str:
    return f"{finding.severity:<8} {finding}"
