"""`ct-pyramid stats`: prints statistics of a volume, for people or as JSON, and draws its histogram."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from napari_ct_pyramid.model.formatting import duration, format_size, numbers, percent, shorten, table, times
from napari_ct_pyramid.statistics.options import StatsOptions

from .convert import cluster_at
from .plot import plot_histogram
from .terminal import write, write_json
from .watch import watch

if TYPE_CHECKING:
    from napari_ct_pyramid.statistics.result import StatsPlan, VolumeStatistics
    from napari_ct_pyramid.storage.paths import AnyPath

_COLUMNS = ("Slice", "Voxels", "NaN", "Infinite", "Minimum", "Maximum", "Mean", "Std", "Above")


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    # This reports invalid options before anything heavy is imported.
    names = [option.name for option in fields(StatsOptions) if option.name != "dtype"]
    options = StatsOptions(**{name: getattr(args, name) for name in names})
    if args.plot:
        from napari_ct_pyramid.statistics.picture import check_plot, draw_histogram

        check_plot(args.plot)
    from napari_ct_pyramid.statistics.run import iter_statistics

    with cluster_at(args.dask) as client:
        found = watch(iter_statistics(args.path, options, client), _announcement, quiet=args.quiet)
    if args.plot:
        draw_histogram(found, args.plot)
    if args.json:
        write_json(found.to_json())
    else:
        write(describe_statistics(found))


def _announcement(plan: StatsPlan, path: AnyPath, width: int) -> str:
    """A line of at most `width` characters."""
    volume = plan.volume
    line = f"Reading {{}}: {times(volume.shape)} {volume.dtype}, {format_size(volume.nbytes)}"
    return line.format(shorten(path.name or volume.name, max(0, width - len(line.format("")))))


def describe_statistics(found: VolumeStatistics) -> str:
    """Statistics, as several lines of text."""
    size = f", voxel size {numbers(found.voxel_size)} {found.unit or '(unit unknown)'}" if found.voxel_size else ""
    lines = [f"Volume       {found.name}: {times(found.shape)} {found.dtype}{size}"]
    if found.mean is None or found.std is None:
        lines.append(f"Voxels       none is finite: {found.nans:,} NaN, {found.infinities:,} infinite")
        return "\n".join(lines)
    unusual = f", and {found.nans:,} NaN, {found.infinities:,} infinite" if found.nans or found.infinities else ""
    lines += [
        f"Voxels       {found.count:,}{unusual}",
        f"Minimum      {found.minimum:.7g}",
        f"Maximum      {found.maximum:.7g}",
        f"Mean         {found.mean:.7g}",
        f"Std          {found.std:.7g}",
        "Percentiles  " + ", ".join(f"{rank:g} %: {value:.5g}" for rank, value in found.percentiles.items()),
    ]
    name = "Otsu" if found.is_otsu else "Threshold"
    if found.threshold is None or found.above is None:
        lines.append("Otsu         none: all voxels are equal")
    else:
        lines.append(f"{name:<13}{found.threshold:.7g}; {percent(found.above)} of the voxels are above it")
    lines += [f"Note         {note}" for note in found.notes]
    histogram = {"edges": found.edges.tolist(), "counts": found.counts.tolist()}
    lines += ["", *(f"  {line}" for line in plot_histogram(histogram))]
    if found.slices is not None:
        rows = [[_cell(value) for value in row] for row in found.slices.rows()]
        lines += ["", *table(_COLUMNS, rows)]
    lines += ["", f"Took {duration(found.seconds)}, with {format_size(found.peak_memory_bytes)} of memory"]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
