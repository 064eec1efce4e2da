"""What `ct-pyramid convert` does for one volume, and `verify` and `demo`."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from napari_ct_pyramid.errors import CtPyramidError, RequestError
from napari_ct_pyramid.options import NAMED_CHUNKS, ConversionOptions
from napari_ct_pyramid.storage.paths import AnyPath

from .arguments import cluster, request, verify_request
from .render import announcement, describe_plan, summary, verify_advice, verify_announcement, verify_summary
from .terminal import choose_display, say, width, write, write_json

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.dask.client import Client
    from napari_ct_pyramid.conversion.progress import Progress
    from napari_ct_pyramid.model.plan import Plan


R = TypeVar("R")

_DEMO_NOTE = "README.txt"
_DEMO_TEXT = """\
`ct-pyramid demo` made this folder. Running it again makes its files anew;
the folder can be deleted at any time.
"""


def convert(args: argparse.Namespace) -> None:
    """Convert a volume, or print the plan."""
    options = request(args)
    (source,) = args.inputs
    with cluster(args) as client:
        if not args.dry_run:
            _run(source, args.output, options, client=client, json=args.json, quiet=args.quiet)
            return
        from napari_ct_pyramid.conversion.convert import plan_conversion

        planned = plan_conversion(source, args.output, options, client)
    if args.json:
        write_json(planned.to_json())
    elif not args.quiet:
        write(describe_plan(planned))


def _run(
    source: AnyPath,
    output: AnyPath | None,
    options: ConversionOptions,
    *,
    client: Client | None = None,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Convert, show how far it is, and say what was made."""
    from napari_ct_pyramid.conversion.convert import iter_conversion

    receipt = _watch(iter_conversion(source, output, options, client), announcement, quiet=quiet)
    if json:
        write_json(receipt.to_json())
    elif not quiet:
        write(summary(receipt, options.max_memory))


def _watch(steps: Generator[Progress, None, R], announce: Callable[[Plan, AnyPath, int], str], *, quiet: bool) -> R:
    """Show how far something is, and say what it comes to."""
    progress: Progress | None = None
    # The display goes first, so that a conversion that takes a moment to stop leaves a terminal in order.
    with closing(steps), choose_display(quiet=quiet) as display:
        try:
            while True:
                before, progress = progress, next(steps)
                if before is None and not quiet:
                    say(announce(progress.plan, progress.output, width()))
                display.show(progress)
        except StopIteration as end:
            result: R = end.value
            return result
        except KeyboardInterrupt:
            from napari_ct_pyramid.conversion.output import is_unfinished

            if progress is None or not is_unfinished(progress.output):
                raise
            raise KeyboardInterrupt(f"{progress.output} is unfinished; the same command resumes it.") from None


def verify(args: argparse.Namespace) -> None:
    """Say whether an output is whole and true."""
    asked = verify_request(args)
    from napari_ct_pyramid.conversion.verify import iter_verification

    (output,) = args.outputs
    steps = iter_verification(
        output, args.source, repair=args.repair, max_memory=asked.max_memory, threads=asked.threads
    )
    found = _watch(steps, verify_announcement, quiet=args.quiet)
    if args.json:
        write_json(found.to_json())
    elif not args.quiet:
        write(verify_summary(found))
    if not found.sound:
        raise CtPyramidError(verify_advice(found))


def demo(folder: Path) -> None:
    """Make a small volume in a folder of the demo's own, and convert it."""
    note = folder / _DEMO_NOTE
    if not note.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RequestError(f"{folder} exists already and is not from a demo. Name another folder for this one.")
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(_DEMO_TEXT, encoding="utf-8")
    from napari_ct_pyramid.sources.phantom import write_sample

    source = folder / "sample.tif"
    say(f"Making a CT-like volume, {source}")
    write_sample(source)
    say(f"ct-pyramid convert {shlex.quote(str(source))} -c visualization -l 3")
    _run(source, None, ConversionOptions(chunks=NAMED_CHUNKS["visualization"], num_levels=3, overwrite=True))
