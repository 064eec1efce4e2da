"""`ct-pyramid export`: writes a volume, a level or a part of it for other programs, or prints the plan."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import fields
from typing import TYPE_CHECKING

from napari_ct_pyramid.model.formatting import (
    count,
    duration,
    format_size,
    numbers,
    percent,
    shorten,
    table,
    times,
)
from napari_ct_pyramid.options import ExportOptions, VoxelSize

from .render import time_line, wording
from .terminal import write, write_json
from .watch import watch

if TYPE_CHECKING:
    from napari_ct_pyramid.exports.plan import ExportPlan
    from napari_ct_pyramid.exports.result import Export
    from napari_ct_pyramid.storage.paths import AnyPath


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    # This reports invalid options before anything heavy is imported.
    options = ExportOptions(**{option.name: getattr(args, option.name) for option in fields(ExportOptions)})
    from napari_ct_pyramid.exports.api import plan_of, steps_of

    if args.dry_run:
        plan = plan_of(args.path, args.output, options)
        if args.json:
            write_json(plan.to_json())
        elif not args.quiet:
            write(describe_export_plan(plan))
        return
    made = watch(steps_of(args.path, args.output, options), _announcement, quiet=args.quiet)
    if args.json:
        write_json(made.to_json())
    elif not args.quiet:
        write(_summary(made, options))


def describe_export_plan(plan: ExportPlan) -> str:
    """A plan, as several lines of text."""
    volume = plan.volume
    free = f" of {format_size(plan.bytes_free)} free" if plan.bytes_free is not None else ""
    about = "about " if plan.conversion else ""
    lines = [
        f"Source       {volume.name}: {volume.format}, {volume.dtype}",
        f"Exported     {times(volume.shape)} {plan.dtype}",
        f"Voxel size   {_voxel_size_text(volume.voxel_size, volume.unit)}",
        *([f"Values       {plan.calibration.formula}"] if plan.calibration else []),
        f"Output       {plan.output}: {plan.kind}, {count(plan.files, 'file')}, {about}"
        f"{format_size(plan.bytes_out)}{free}",
        *([f"Levels       {', '.join(times(level.shape) for level in plan.conversion.levels)}"]
          if plan.conversion else []),
        f"Work         {count(plan.threads, 'thread')}",
        *time_line(plan.seconds_estimate),
        "",
        *table(
            ("Memory", "Size"),
            [(item, format_size(size)) for item, size in plan.memory]
            + [("peak, of a budget of " + format_size(plan.options.max_memory), format_size(plan.peak_memory_bytes))],
        ),
    ]  # fmt: skip
    warnings = [f"Warning      {warning.worded(wording)}" for warning in plan.warnings]
    return "\n".join([*lines, *([""] if warnings else []), *warnings])


def _announcement(plan: ExportPlan, output: AnyPath, width: int) -> str:
    """A line of at most `width` characters about an export that starts, and one for every warning."""
    line = f"Exporting {{}} ({times(plan.volume.shape)} {plan.dtype}) to {{}}: {format_size(plan.bytes_out)}"
    space = max(0, width - len(line.format("", "")))
    source = shorten(plan.volume.name, max(space // 2, space - len(output.name)))
    line = line.format(source, shorten(output.name, space - len(source)))
    return "\n".join([line, *(f"Warning: {warning.worded(wording)}" for warning in plan.warnings)])


def _summary(made: Export, options: ExportOptions) -> str:
    rate = f" ({format_size(made.bytes_per_second)}/s)" if made.seconds >= 1 else ""
    lines = [
        f"Made {made.output}",
        f"  {made.kind} of {times(made.shape)} {made.dtype}, voxel size {_voxel_size_text(made.voxel_size, made.unit)}",
        f"  {format_size(made.bytes_written)} in {duration(made.seconds)}{rate}, with "
        f"{format_size(made.peak_memory_bytes)} of memory, of a budget of {format_size(options.max_memory)}",
    ]
    if made.over_budget_bytes:
        over = format_size(made.over_budget_bytes)
        lines.append(f"  Warning: that is {over} over the budget. The output is correct.")
    if made.clipped is not None:
        voxels = made.shape[0] * made.shape[1] * made.shape[2]
        lines.append(f"  {percent(made.clipped / voxels)} of the voxels were clipped to the window")
    if made.kind == "OME-Zarr":
        lines += ["", f"To view it: ct-pyramid view {shlex.quote(str(made.output))}"]
    return "\n".join(lines)


def _voxel_size_text(size: VoxelSize | None, unit: str | None) -> str:
    return f"{numbers(size)} {unit or '(unit unknown)'} (z y x)" if size else "unknown"
