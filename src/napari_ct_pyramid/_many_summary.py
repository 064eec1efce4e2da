"""What `ct-pyramid convert` and `ct-pyramid verify` say of many volumes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .errors import sentence
from .sizes import format_size
from .text import count, duration, table, times

if TYPE_CHECKING:
    from .batch import Batch, BatchItem
    from .checking import Verification
    from .report import Receipt


def describe_plans(batch: Batch[Receipt]) -> str:
    """A line for each plan, and what they come to."""
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


def summary(batch: Batch[Receipt]) -> str:
    """A line for each volume: its state, sizes and time, or what went wrong."""
    made = [item.result for item in batch.items if item.result]
    took = f" in {duration(sum(receipt.seconds for receipt in made))}" if made else ""
    return "\n".join([*_lines(batch.items), f"Made {len(made)} of {count(len(batch.items), 'volume')}{took}"])


def verify_summary(batch: Batch[Verification]) -> str:
    """A line for each output, and one for everything that is wrong with it."""
    lines = []
    for item, line in zip(batch.items, _lines(batch.items), strict=True):
        lines += [line, *(f"  {problem}" for problem in (item.result.problems if item.result else ()))]
    sound = sum(bool(item.result and item.result.sound) for item in batch.items)
    return "\n".join([*lines, f"{sound} of {count(len(batch.items), 'output')} are whole and true"])


def _lines(items: Iterable[BatchItem[Any]]) -> list[str]:
    """Columns of what each is called, its state, and more."""
    rows = [(item.name.name, _state(item), _facts(item)) for item in items]
    names, states = (max((len(row[i]) for row in rows), default=0) for i in (0, 1))
    return [f"{name:{names}}  {state:{states}}  {facts}".rstrip() for name, state, facts in rows]


def _state(item: BatchItem[Any]) -> str:
    if item.was_made_before:
        return "done already"
    found = getattr(item.result, "problems", None)
    if found is not None:
        return count(len(found), "problem") if found else "whole and true"
    return str(item.state)


def _facts(item: BatchItem[Any]) -> str:
    if item.error:
        return sentence(item.error)
    size = format_size(item.plan.volume.nbytes) if item.plan else ""
    if item.result is None:
        return size
    written = getattr(item.result, "bytes_written", None)
    became = f" became {format_size(written)}" if written is not None else ""
    return f"{size}{became} in {duration(item.result.seconds)}"
