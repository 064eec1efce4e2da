"""The text that the command line prints for the user: plans, receipts, verifications, and advice."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from napari_ct_pyramid.errors import CONVERT, RESUME, VIEW, Advice, sentence
from napari_ct_pyramid.model.formatting import (
    count,
    duration,
    first_names,
    format_size,
    numbers,
    percent,
    rough_duration,
    shorten,
    table,
    times,
)
from napari_ct_pyramid.storage.paths import AnyPath

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.batch import Batch, BatchItem
    from napari_ct_pyramid.conversion.comparison import Verification
    from napari_ct_pyramid.conversion.receipt import Receipt, Rescaled
    from napari_ct_pyramid.model.plan import Plan


CORRECT = "complete and correct"

_SHORT_FLAGS = {"chunks": "-c", "num_levels": "-l"}


def flags(name: str) -> tuple[str, ...]:
    """The flags of an option: the short one, if there is one, and the long one."""
    long = "--" + name.replace("_", "-")
    return (_SHORT_FLAGS[name], long) if name in _SHORT_FLAGS else (long,)


def wording(advice: Advice) -> str:
    """An option, or something to do, as the command line writes it."""
    if advice.name == RESUME:
        return "the same command resumes it"
    if advice.name == CONVERT:
        return f"ct-pyramid convert {shlex.quote(str(advice.value))} -c visualization"
    if advice.name == VIEW:
        return f"ct-pyramid view {shlex.quote(str(advice.value))}"
    written = flags(advice.name)[0]
    return written if advice.value is None or advice.value is True else f"{written} {advice.value}"


# --- plans


def describe_plan(plan: Plan) -> str:
    """A plan, as several lines of text."""
    volume = plan.volume
    lines = [
        f"Source       {volume.name}: {volume.format}, {times(volume.shape)} {volume.dtype}, "
        f"{format_size(volume.nbytes)}, compression {volume.compression}",
        f"Voxel size   {_voxel_size_text(plan)}",
        "",
        *table(
            ("Level", "Shape (z y x)", "Chunks", "Voxel size", "Size"),
            [
                (level.path, times(level.shape), times(level.chunks),
                 numbers(level.voxel_size) if plan.voxel_size else "unknown",
                 format_size(level.nbytes))
                for level in plan.levels
            ],
        ),
        "",
        *table(
            ("Memory", "Size"),
            [(item, format_size(size)) for item, size in plan.memory]
            + [("peak, of a budget of " + format_size(plan.options.max_memory),
                format_size(plan.peak_memory_bytes))],
        ),
        "",
        *([f"Values       {plan.values_text()}"] if plan.calibration else []),
        f"Method       {plan.method}",
        *([f"Edges        {_padding_text(plan)}"] if plan.levels[0].shape[1:] != volume.shape[1:] else []),
        f"Work         {count(plan.blocks, 'block')} with {count(plan.threads, 'thread')}{_workers_text(plan)}"
        + (f"; {_resumes_text(plan)}" if plan.blocks_done else ""),
        f"Output       {count(plan.files, 'file')}, about {format_size(plan.bytes_out_estimate)}"
        + (f" of {format_size(plan.bytes_free)} free" if plan.bytes_free is not None else ""),
        *time_line(plan.seconds_estimate),
    ]  # fmt: skip
    return "\n".join(lines + [f"Warning      {warning.worded(wording)}" for warning in plan.warnings])


def time_line(seconds: float | None) -> list[str]:
    """The line of a plan with its estimate of the time; none where there is no estimate."""
    return [] if seconds is None else [f"Time         about {rough_duration(seconds)}, at the rate of a sample"]


def _workers_text(plan: Plan) -> str:
    """With a cluster: states that threads and memory are those of each worker."""
    return f" on each of {count(plan.workers, 'worker')}" if plan.workers else ""


def _resumes_text(plan: Plan) -> str:
    return f"resumes: {plan.blocks_done:,} of {plan.blocks:,} blocks are done"


def _padding_text(plan: Plan) -> str:
    y, x = (stored - n for stored, n in zip(plan.levels[0].shape[1:], plan.volume.shape[1:], strict=True))
    return f"padded with {count(y, 'row')} and {count(x, 'column')} of zeros, which readers remove"


def _voxel_size_text(plan: Plan) -> str:
    if plan.voxel_size is None:
        return "unknown; set it with --voxel-size and --unit"
    return f"{numbers(plan.voxel_size)} {plan.unit or '(unit unknown)'} (z y x), from {plan.voxel_size_from}"


def announcement(plan: Plan, output: AnyPath, width: int) -> str:
    """A line of at most `width` characters about a conversion that starts, and one for every warning."""
    facts = f"{count(len(plan.levels), 'level')}, {format_size(plan.peak_memory_bytes)} of memory{_workers_text(plan)}"
    line = f"Converting {{}} ({format_size(plan.volume.nbytes)}) to {{}}: {facts}"
    space = max(0, width - len(line.format("", "")))
    source = shorten(plan.volume.name, max(space // 2, space - len(output.name)))
    line = line.format(source, shorten(output.name, space - len(source)))
    resumes = [_resumes_text(plan).capitalize()] if plan.blocks_done else []
    return "\n".join([line, *resumes, *(f"Warning: {warning.worded(wording)}" for warning in plan.warnings)])


# --- receipts


def summary(receipt: Receipt, max_memory: int) -> str:
    """What a conversion made, how much time and memory it took, and what to do next."""
    head = ("Level", "Shape", "Size")
    read, written = format_size(receipt.bytes_read), format_size(receipt.bytes_written)
    of = f"of a budget of {format_size(max_memory)}"
    of += f", the most of {count(receipt.workers, 'worker')}" if receipt.workers else ""
    rows = [(level.path, times(level.shape), format_size(level.nbytes)) for level in receipt.levels]
    return "\n".join(
        [
            f"Made {receipt.output}",
            f"  {read} became {written} in {time_and_rate(receipt.seconds, receipt.bytes_per_second)}",
            f"  Peak memory {format_size(receipt.peak_memory_bytes)}, {of}",
            *(
                [f"  Warning: that is {format_size(receipt.over_budget_bytes)} over the budget. The output is correct."]
                if receipt.over_budget_bytes
                else []
            ),
            *([f"  {_rescaled_text(receipt.rescaled, receipt.nans)}"] if receipt.rescaled else []),
            *([f"  Not of the volume, and left alone: {first_names(receipt.strays)}"] if receipt.strays else []),
            "",
            *(f"  {line}" for line in table(head, rows)),
            "",
            f"To view it: ct-pyramid view {shlex.quote(str(receipt.output))}",
        ]
    )


def _repaired_text(found: Verification) -> str:
    if found.sound:
        return "All problems were repaired."
    return "All other problems were repaired. Move away the files that do not belong to the volume."


def time_and_rate(seconds: float, rate: float) -> str:
    """A time, and the rate if the time is long enough for a meaningful rate."""
    return f"{duration(seconds)} ({format_size(rate)}/s)" if seconds >= 1 else duration(seconds)


def _rescaled_text(rescaled: Rescaled, nans: int) -> str:
    """How many voxels were clipped."""
    rescale = rescaled.rescale
    became = f"; {nans:,} NaN became 0" if nans else ""
    return (
        f"{rescale.source_dtype} became {rescale.dtype}: {percent(rescaled.clipped_share)} of the voxels were clipped "
        f"to {rescale.low:g} to {rescale.high:g}{became}"
    )


# --- verifications


def verify_announcement(plan: Plan, output: AnyPath, width: int) -> str:
    """A line of at most `width` characters about a verification, or a repair, that starts."""
    line = f"{'Repairing' if plan.blocks_done else 'Verifying'} {{}} ({format_size(plan.volume.nbytes)})"
    return line.format(shorten(output.name, max(0, width - len(line.format("")))))


def verify_summary(found: Verification) -> str:
    """What a verification found."""
    source = "its source" if found.with_source else "the checksums of its source"
    compared = f"{count(found.chunks, 'chunk')} and the metadata, compared with {source}, in {duration(found.seconds)}"
    if not found.problems:
        return f"{found.output} is {CORRECT}: {compared}"
    lines = [f"{found.output}: {compared}", *(f"  {problem}" for problem in found.problems)]
    return "\n".join([*lines, *([_repaired_text(found)] if found.repaired else [])])


def verify_advice(found: Verification) -> str:
    """How to repair what a verification found."""
    source = "" if found.with_source else " --source INPUT"
    command = f"ct-pyramid verify {shlex.quote(str(found.output))}{source} --repair"
    return f"{found.output.name} has {count(len(found.problems), 'problem')}. To repair it from its source: {command}"


# --- many volumes


def describe_plans(batch: Batch[Receipt]) -> str:
    """A line for each plan, and their sum."""
    waiting = batch.having("waiting")
    plans = [item.plan for item in waiting if item.plan]
    rows = [
        (item.name.name, item.output.name, times(plan.volume.shape), str(len(plan.levels)),
         format_size(plan.peak_memory_bytes), format_size(plan.bytes_out_estimate))
        for item, plan in zip(waiting, plans, strict=True)
    ]  # fmt: skip
    lines = [*table(("Input", "Output", "Shape (z y x)", "Levels", "Memory", "On disk"), rows), ""] if rows else []
    lines += _lines(item for item in batch.items if item.state != "waiting")
    if plans:
        read, made = (
            format_size(sum(sizes))
            for sizes in zip(*((p.volume.nbytes, p.bytes_out_estimate) for p in plans), strict=True)
        )
        memory = format_size(max(plan.peak_memory_bytes for plan in plans))
        files = count(sum(plan.files for plan in plans), "file")
        lines += [
            f"{count(len(plans), 'volume')} to convert: {read} become {files} of about {made}, with {memory} of memory"
        ]
    return "\n".join(lines)


def batch_summary(batch: Batch[Receipt]) -> str:
    """A line for each volume: its state, sizes and time, or what went wrong."""
    made = [item.result for item in batch.items if item.result]
    took = f" in {duration(sum(receipt.seconds for receipt in made))}" if made else ""
    return "\n".join([*_lines(batch.items), f"Made {len(made)} of {count(len(batch.items), 'volume')}{took}"])


def batch_verify_summary(batch: Batch[Verification]) -> str:
    """A line for each output, and one for each of its problems."""
    lines = []
    for item, line in zip(batch.items, _lines(batch.items), strict=True):
        lines += [line, *(f"  {problem}" for problem in (item.result.problems if item.result else ()))]
    correct = sum(bool(item.result and item.result.sound) for item in batch.items)
    return "\n".join([*lines, f"{correct} of {count(len(batch.items), 'output')} are {CORRECT}"])


def names(items: Sequence[BatchItem[Any]]) -> str:
    """The names of these volumes, as users know them."""
    return ", ".join(item.name.name for item in items)


def item_to_json(item: BatchItem[Any], *, plan: bool = False) -> dict[str, Any]:
    """One of many volumes as JSON, with its plan or its result. All have the same keys."""
    value: dict[str, Any] = {
        "source": str(item.source) if item.source else None,
        "output": str(item.output),
        "state": item.state,
        "error": sentence(item.error, wording) if item.error else None,
    }
    if plan:
        return {**value, "plan": item.plan.to_json() if item.plan else None}
    return {**value, "result": item.result.to_json() if item.result else None}


def _lines(items: Iterable[BatchItem[Any]]) -> list[str]:
    """A line for each volume: its name, its state, and more, in columns."""
    rows = [(item.name.name, _state(item), _facts(item)) for item in items]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return [f"{name:{widths[0]}}  {state:{widths[1]}}  {facts}".rstrip() for name, state, facts in rows]


def _state(item: BatchItem[Any]) -> str:
    if item.was_made_before:
        return "done already"
    found = getattr(item.result, "problems", None)
    if found is not None:
        return count(len(found), "problem") if found else CORRECT
    return str(item.state)


def _facts(item: BatchItem[Any]) -> str:
    if item.error:
        return sentence(item.error, wording)
    volume = getattr(item.plan, "volume", None)  # the plan of an audit has none
    size = format_size(volume.nbytes) if volume else ""
    if item.result is None:
        return size
    written = getattr(item.result, "bytes_written", None)
    became = f" became {format_size(written)}" if written is not None else ""
    return f"{size}{became} in {duration(item.result.seconds)}".lstrip()
