"""`ct-pyramid convert`: converts one volume, or many into a folder, or prints their plans."""

from __future__ import annotations

import argparse
from collections.abc import Generator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import fields
from typing import TYPE_CHECKING

from napari_ct_pyramid.errors import CtPyramidError, RequestError
from napari_ct_pyramid.model.formatting import count
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.storage.paths import AnyPath

from .render import announcement, batch_summary, describe_plan, describe_plans, item_to_json, names, summary
from .terminal import print_message, write, write_json
from .watch import print_error_of, watch, watch_batch

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.batch import Batch
    from napari_ct_pyramid.conversion.dask.client import Client
    from napari_ct_pyramid.conversion.receipt import Receipt


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    # This reports invalid options before anything heavy is imported.
    options = ConversionOptions(**{option.name: getattr(args, option.name) for option in fields(ConversionOptions)})
    with cluster_at(args.dask) as client:
        if args.output_dir is not None:
            _convert_many(args, options, client)
        elif args.dry_run:
            _plan_one(args, options, client)
        else:
            convert_one(args.inputs[0], args.output, options, client=client, json=args.json, quiet=args.quiet)


def convert_one(
    source: AnyPath,
    output: AnyPath | None,
    options: ConversionOptions,
    *,
    client: Client | None = None,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Convert a volume, show the progress, and print the receipt."""
    from napari_ct_pyramid.conversion.convert import iter_conversion

    receipt = watch(iter_conversion(source, output, options, client), announcement, quiet=quiet)
    if json:
        write_json(receipt.to_json())
    elif not quiet:
        write(summary(receipt, options.max_memory))


def _plan_one(args: argparse.Namespace, options: ConversionOptions, client: Client | None) -> None:
    from napari_ct_pyramid.conversion.convert import plan_conversion

    plan = plan_conversion(args.inputs[0], args.output, options, client)
    if args.json:
        write_json(plan.to_json())
    elif not args.quiet:
        write(describe_plan(plan))


def _convert_many(args: argparse.Namespace, options: ConversionOptions, client: Client | None) -> None:
    from napari_ct_pyramid.conversion.output import folder_for_outputs

    with folder_for_outputs(args.output_dir):
        _convert_into_folder(args, options, client)


def _convert_into_folder(args: argparse.Namespace, options: ConversionOptions, client: Client | None) -> None:
    from napari_ct_pyramid.conversion.batch import iter_convert_batch, iter_plan_batch

    batch = _plan_many(iter_plan_batch(args.inputs, args.output_dir, options, client), quiet=args.quiet)
    failed = batch.having("failed")
    for item in failed:
        print_error_of(item)
    if len(failed) == len(batch.items):
        raise RequestError("Nothing was converted.")
    if not args.dry_run:
        batch = watch_batch(iter_convert_batch(batch, client), announcement, quiet=args.quiet)
    if args.json:
        write_json([item_to_json(item, plan=args.dry_run) for item in batch.items])
    elif not args.quiet:
        write(describe_plans(batch) if args.dry_run else batch_summary(batch))
    failed = batch.having("failed")
    if failed:
        raise CtPyramidError(f"{len(failed)} of {len(batch.items)} failed: {names(failed)}.")


def _plan_many(steps: Generator[Batch[Receipt], None, Batch[Receipt]], *, quiet: bool) -> Batch[Receipt]:
    """Plan every conversion. With many files this takes a while, so it prints a line first."""
    from napari_ct_pyramid.conversion.progress import run_through

    with closing(steps):
        batch = next(steps)
        if not quiet:
            print_message(f"Planning {count(len(batch.items), 'conversion')}")
        return run_through(steps)


def cluster_at(address: str | None) -> AbstractContextManager[Client | None]:
    """A connection to the Dask cluster that the user asked for; None if this process does the work."""
    if address is None:
        return nullcontext()
    from napari_ct_pyramid.conversion.dask.client import connect

    return connect(address)
