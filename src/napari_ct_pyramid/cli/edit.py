"""`ct-pyramid edit`: sets voxel size, unit, name and display window right in a finished OME-Zarr."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from napari_ct_pyramid.model.formatting import numbers, table

from .terminal import write, write_json

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.edit import Edit
    from napari_ct_pyramid.omezarr.edit import Facts


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    from napari_ct_pyramid.conversion.edit import edit, plan_edit

    change = plan_edit if args.dry_run else edit
    made = change(args.path, voxel_size=args.voxel_size, unit=args.unit, name=args.name, window=args.window)
    if args.json:
        write_json(made.to_json())
    else:
        write(_describe(made, "would change" if args.dry_run else "is changed"))


def _describe(edit: Edit, what: str) -> str:
    rows = [
        (name, before, after)
        for (name, before), (_, after) in zip(_lines(edit.before), _lines(edit.after), strict=True)
        if before != after
    ]
    if not rows:
        return f"{edit.path} states that already."
    and_labels = f", with its labels {', '.join(edit.labels)}" if edit.labels else ""
    return "\n".join(
        [f"{edit.path} {what}{and_labels}", *(f"  {line}" for line in table(("", "Before", "After"), rows))]
    )


def _lines(facts: Facts) -> list[tuple[str, str]]:
    size = f"{numbers(facts.voxel_size)} {facts.unit or '(unit unknown)'}" if facts.voxel_size else "unknown"
    return [
        ("Voxel size", size),
        ("Name", facts.name or "none"),
        ("Window", numbers(facts.window) if facts.window else "none"),
    ]
