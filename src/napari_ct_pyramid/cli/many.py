"""What `ct-pyramid convert --output-dir` and `ct-pyramid verify` do for many volumes, and print."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, TypeVar

from napari_ct_pyramid.errors import CtPyramidError, RequestError, sentence
from napari_ct_pyramid.model.formatting import count
from napari_ct_pyramid.storage.paths import AnyPath

from .arguments import cluster, request, verify_request
from .render import announcement, batch_summary, batch_verify_summary, describe_plans, verify_announcement, wording
from .terminal import choose_display, complain, say, width, write, write_json

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.batch import Batch, BatchItem
    from napari_ct_pyramid.conversion.comparison import Verification
    from napari_ct_pyramid.conversion.receipt import Receipt
    from napari_ct_pyramid.model.plan import Plan


R = TypeVar("R", "Receipt", "Verification")


def convert(args: argparse.Namespace) -> None:
    """Convert many volumes, or print their plans.

    Raises
    ------
    RequestError
        If none of them can be converted.
    CtPyramidError
        If some of them were not.
    """
    options = request(args)
    from napari_ct_pyramid.conversion.batch import iter_convert_batch, iter_plan_batch

    with cluster(args) as client:
        batch = _planned(iter_plan_batch(args.inputs, args.output_dir, options, client), quiet=args.quiet)
        for item in batch.having("failed"):
            _complain(item)
        if len(batch.having("failed")) == len(batch.items):
            raise RequestError("Nothing was converted.")
        if not args.dry_run:
            batch = _watch(iter_convert_batch(batch, client), announcement, batch, quiet=args.quiet)
    if args.json:
        write_json([_to_json(item, plan=args.dry_run) for item in batch.items])
    elif not args.quiet:
        write(describe_plans(batch) if args.dry_run else batch_summary(batch))
    failed = batch.having("failed")
    if failed:
        raise CtPyramidError(f"{len(failed)} of {len(batch.items)} failed: {_names(failed)}.")


def verify(args: argparse.Namespace) -> None:
    """Say of many outputs whether they are whole and true.

    Raises
    ------
    CtPyramidError
        If some are not.
    """
    if args.source or args.repair:
        raise RequestError("--source and --repair are for one OUTPUT. Verify without them, and then what is wrong.")
    asked = verify_request(args)
    from napari_ct_pyramid.conversion.batch import iter_verify_batch

    steps = iter_verify_batch(args.outputs, max_memory=asked.max_memory, threads=asked.threads)
    batch = _watch(steps, verify_announcement, quiet=args.quiet)
    if args.json:
        write_json([_to_json(item) for item in batch.items])
    elif not args.quiet:
        write(batch_verify_summary(batch))
    wrong = tuple(item for item in batch.items if not (item.result and item.result.sound))
    if wrong:
        what = "is wrong, or cannot be read" if len(wrong) == 1 else "are wrong, or cannot be read"
        raise CtPyramidError(f"{len(wrong)} of {len(batch.items)} {what}: {_names(wrong)}.")


def _planned(steps: Generator[Batch[Receipt], None, Batch[Receipt]], *, quiet: bool) -> Batch[Receipt]:
    """The plans. Of many files they may take a while, so it says that they are being made."""
    from napari_ct_pyramid.conversion.progress import run_through

    with closing(steps):
        batch = next(steps)
        if not quiet:
            say(f"Planning {count(len(batch.items), 'conversion')}")
        return run_through(steps)


def _watch(
    steps: Generator[Batch[R], None, Batch[R]],
    announce: Callable[[Plan, AnyPath, int], str],
    batch: Batch[R] | None = None,
    *,
    quiet: bool,
) -> Batch[R]:
    """Show how far each is, one after another, and say at once what goes wrong."""
    shown = -1
    with closing(steps), ExitStack() as displays:
        try:
            while True:
                before, batch = batch, next(steps)
                if before and before.running and not batch.running:
                    displays.close()
                    ended = batch.items[before.running[0]]
                    if ended.error:
                        _complain(ended)
                if not batch.running or not batch.running[1].progress:
                    continue
                place, item = batch.running
                assert item.progress
                if place != shown:
                    shown = place
                    display = displays.enter_context(choose_display(quiet=quiet))
                    which = f"{place + 1} of {len(batch.items)}: "
                    if not quiet:
                        say(which + announce(item.progress.plan, item.output, width() - len(which)))
                display.show(item.progress)
        except StopIteration as end:
            result: Batch[R] = end.value
            return result
        except KeyboardInterrupt:
            displays.close()
            raise KeyboardInterrupt(*_left(batch)) from None


def _left(batch: Batch[Any] | None) -> list[str]:
    """What there is to say where somebody interrupts."""
    from napari_ct_pyramid.conversion.output import is_unfinished

    if not (batch and batch.running):
        return []
    output, waiting = batch.running[1].output, len(batch.having("waiting"))
    left = [f"{output} is unfinished"] if is_unfinished(output) else []
    left += [f"{count(waiting, 'volume')} had not begun"] if waiting else []
    return [f"{', and '.join(left)}; the same command resumes."] if left else []


def _complain(item: BatchItem[Any]) -> None:
    assert item.error
    what = sentence(item.error, wording)
    complain(what if item.name.name in what else f"{item.name.name}: {what}")


def _names(items: tuple[BatchItem[Any], ...]) -> str:
    return ", ".join(item.name.name for item in items)


def _to_json(item: BatchItem[Any], *, plan: bool = False) -> dict[str, Any]:
    """The same keys for each of a list."""
    told: dict[str, Any] = {
        "source": str(item.source) if item.source else None,
        "output": str(item.output),
        "state": item.state,
        "error": sentence(item.error, wording) if item.error else None,
    }
    if plan:
        return {**told, "plan": item.plan.to_json() if item.plan else None}
    return {**told, "result": item.result.to_json() if item.result else None}
