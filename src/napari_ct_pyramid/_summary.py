"""What `ct-pyramid convert` and `ct-pyramid verify` say before they start and after they are done."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from .paths import AnyPath
from .sizes import format_size
from .text import count, duration, percent, shorten, table, times

if TYPE_CHECKING:
    from .checking import Verification
    from .plan import Plan
    from .report import Receipt, Rescaled


def announcement(plan: Plan, output: AnyPath, width: int) -> str:
    """A line of at most `width` characters that says what will be done, and one for every warning."""
    levels = f"{len(plan.levels)} level{'s' * (len(plan.levels) > 1)}"
    facts = f"{levels}, {format_size(plan.peak_memory_bytes)} of memory{plan.workers_text()}"
    line = f"Converting {{}} ({format_size(plan.volume.nbytes)}) to {{}}: {facts}"
    room = max(0, width - len(line.format("", "")))
    source = shorten(plan.volume.name, max(room // 2, room - len(output.name)))
    line = line.format(source, shorten(output.name, room - len(source)))
    resumes = [plan.resumes_text().capitalize()] if plan.blocks_done else []
    return "\n".join([line, *resumes, *(f"Warning: {warning}" for warning in plan.warnings)])


def summary(receipt: Receipt, max_memory: int) -> str:
    """What was made, what it took, and what to do next."""
    head = ("Level", "Shape", "Size")
    read, written = format_size(receipt.bytes_read), format_size(receipt.bytes_written)
    of = f"of a budget of {format_size(max_memory)}"
    of += f", the most of {count(receipt.workers, 'worker')}" if receipt.workers else ""
    rows = [(level.path, times(level.shape), format_size(level.nbytes)) for level in receipt.levels]
    return "\n".join(
        [
            f"Made {receipt.output}",
            f"  {read} became {written} in {duration(receipt.seconds)} ({format_size(receipt.bytes_per_second)}/s)",
            f"  Peak memory {format_size(receipt.peak_memory_bytes)}, {of}",
            *([f"  {_rescaled_text(receipt.rescaled, receipt.nans)}"] if receipt.rescaled else []),
            "",
            *(f"  {line}" for line in table(head, rows)),
            "",
            f"To look at it: ct-pyramid view {shlex.quote(str(receipt.output))}",
        ]
    )


def _rescaled_text(rescaled: Rescaled, nans: int) -> str:
    """How much was lost."""
    rescale = rescaled.rescale
    became = f"; {nans:,} NaN became 0" if nans else ""
    return (
        f"{rescale.source_dtype} became {rescale.dtype}: {percent(rescaled.clipped_share)} of the voxels were clipped "
        f"to {rescale.low:g} to {rescale.high:g}{became}"
    )


def verify_announcement(plan: Plan, output: AnyPath, width: int) -> str:
    """A line of at most `width` characters that says what is being verified, or repaired."""
    line = f"{'Repairing' if plan.blocks_done else 'Verifying'} {{}} ({format_size(plan.volume.nbytes)})"
    return line.format(shorten(output.name, max(0, width - len(line.format("")))))


def verify_summary(found: Verification) -> str:
    """What was found."""
    source = "its source" if found.with_source else "the checksums of its source"
    looked = f"{found.chunks:,} chunks and the metadata, compared with {source}, in {duration(found.seconds)}"
    if not found.problems:
        return f"{found.output} is whole and true: {looked}"
    lines = [f"{found.output}: {looked}", *(f"  {problem}" for problem in found.problems)]
    return "\n".join([*lines, *(["All of it has been made again."] if found.repaired else [])])


def verify_advice(found: Verification) -> str:
    """What to do about it."""
    count = len(found.problems)
    what = "1 thing is" if count == 1 else f"{count:,} things are"
    source = "" if found.with_source else " --source INPUT"
    command = f"ct-pyramid verify {shlex.quote(str(found.output))}{source} --repair"
    return f"{what} wrong with {found.output.name}. To make it good from its source: {command}"
