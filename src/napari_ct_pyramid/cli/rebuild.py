"""`ct-pyramid verify --rebuild-levels`: rebuilds coarser levels that are missing or wrong."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from napari_ct_pyramid.errors import CtPyramidError
from napari_ct_pyramid.model.formatting import count, duration, format_size
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.storage.paths import AnyPath

from .audit import any_announcement
from .terminal import write, write_json
from .watch import watch

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.rebuild.planning import RebuildPlan
    from napari_ct_pyramid.conversion.rebuild.run import Rebuild


def run(path: AnyPath, args: argparse.Namespace, options: ConversionOptions) -> None:
    """Verify an image, and rebuild its levels that are missing or wrong.

    Raises
    ------
    CtPyramidError
        If they cannot be made, or something else is wrong with the image.
    """
    from napari_ct_pyramid.conversion.rebuild.planning import check_method, iter_planning
    from napari_ct_pyramid.conversion.rebuild.run import iter_rebuilding

    check_method(args.method)
    verifying = iter_planning(path, args.method, max_memory=options.max_memory, threads=options.threads)
    plan = watch(verifying, any_announcement, quiet=args.quiet)
    made = watch(iter_rebuilding(plan, options), _announcement, quiet=args.quiet)
    if args.json:
        write_json(made.to_json())
    elif not args.quiet:
        write(_summary(made))
    if made.errors:
        raise CtPyramidError(f"{path.name} has {count(len(made.errors), 'error')} that new levels do not change.")


def _announcement(plan: RebuildPlan, path: AnyPath, width: int) -> str:
    assert plan.note
    how = "Completing" if plan.resumed else "Making"
    levels = ", ".join(level.path for level in plan.note.levels)
    read = format_size(plan.nbytes)
    return f"{how} {_named(len(plan.note.levels))} {levels} of {path} by {plan.note.method} ({read} to read)"[:width]


def _summary(made: Rebuild) -> str:
    if made.levels:
        levels, seconds = count(len(made.levels), "level"), duration(made.seconds)
        head = f"{made.path}: {levels} made again by {made.method}, in {seconds}: {', '.join(made.levels)}"
    else:
        head = f"{made.path}: no level is missing or wrong. Nothing was changed."
    return "\n".join([head, *(f"  error    {error}" for error in made.errors)])


def _named(levels: int) -> str:
    return "level" if levels == 1 else "levels"
