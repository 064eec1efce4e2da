"""`ct-pyramid verify`: checks one OME-Zarr of any program or many, and repairs one from its source."""

from __future__ import annotations

import argparse

from napari_ct_pyramid.errors import CtPyramidError, RequestError
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.storage.paths import image_path

from . import audit, rebuild
from .render import batch_verify_summary, item_to_json, names, verify_advice, verify_announcement, verify_summary
from .terminal import write, write_json
from .watch import watch, watch_batch


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Raises
    ------
    CtPyramidError
        If an OME-Zarr has a problem that was not repaired.
    """
    # Only two options are used. This checks them as `convert` does. Chunks have no default, so they are set, too.
    options = ConversionOptions(chunks=(1, 1, 1), max_memory=args.max_memory, threads=args.threads)
    if args.quick and (args.deep or args.repair or args.source):
        raise RequestError(
            "--quick looks only at metadata and the names and sizes of files. Leave --deep, --source and --repair out."
        )
    if args.rebuild_levels and (args.quick or args.repair or args.source):
        raise RequestError(
            "--rebuild-levels makes each level from the next finer one, without the source. Leave --quick, --source "
            "and --repair out."
        )
    if args.method and not args.rebuild_levels:
        raise RequestError("--method says how levels are made again. Give --rebuild-levels, too.")
    if len(args.outputs) > 1:
        _verify_many(args, options)
    else:
        _verify_one(args, options)


def _verify_one(args: argparse.Namespace, options: ConversionOptions) -> None:
    from napari_ct_pyramid.omezarr.kind import is_audited

    path = image_path(args.outputs[0])
    if args.rebuild_levels:
        rebuild.run(path, args, options)
        return
    if args.quick or (is_audited(path) and not (args.source or args.repair)):
        audit.run(path, args, options)
        return
    from napari_ct_pyramid.conversion.verify import iter_verification

    steps = iter_verification(
        args.outputs[0], args.source, repair=args.repair, max_memory=options.max_memory, threads=options.threads
    )
    found = watch(steps, verify_announcement, quiet=args.quiet)
    if args.json:
        write_json(found.to_json())
    elif not args.quiet:
        write(verify_summary(found))
    if not found.sound:
        raise CtPyramidError(verify_advice(found))


def _verify_many(args: argparse.Namespace, options: ConversionOptions) -> None:
    if args.source or args.repair or args.quick or args.deep or args.rebuild_levels:
        raise RequestError(
            "--source, --repair, --rebuild-levels, --quick and --deep work on one OUTPUT at a time. Verify all without "
            "them first, then repair each that has problems."
        )
    from napari_ct_pyramid.conversion.batch import iter_verify_batch

    steps = iter_verify_batch(args.outputs, max_memory=options.max_memory, threads=options.threads)
    batch = watch_batch(steps, audit.any_announcement, quiet=args.quiet)
    if args.json:
        write_json([item_to_json(item) for item in batch.items])
    elif not args.quiet:
        write(batch_verify_summary(batch))
    wrong = tuple(item for item in batch.items if not (item.result and item.result.sound))
    if wrong:
        what = "has problems or cannot be read" if len(wrong) == 1 else "have problems or cannot be read"
        raise CtPyramidError(f"{len(wrong)} of {len(batch.items)} {what}: {names(wrong)}.")
