"""The results of conversions, verifications and batches, in words. Uses no Qt."""

from __future__ import annotations

from typing import NamedTuple

from napari_ct_pyramid.conversion.batch import Batch
from napari_ct_pyramid.conversion.comparison import Verification
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.model.formatting import count, duration, format_size
from napari_ct_pyramid.plugin.wording import error_words
from napari_ct_pyramid.storage.paths import any_path

_KINDS, _CHUNKS, _FAILED = 4, 4, 3  # a box lists at most so many of each
_LISTED_IN_TIP = 40


class Summary(NamedTuple):
    """What a box shows.

    Attributes
    ----------
    kind : {"error", "warning", "success"}
    words : str
    tip : str
        More words, for the tooltip.
    """

    kind: str
    words: str
    tip: str = ""


def receipt_summary(receipt: Receipt) -> Summary:
    """What a conversion made."""
    over = receipt.over_budget_bytes
    return Summary(
        "success",
        f"Made {receipt.output.name} in {duration(receipt.seconds)}, {format_size(receipt.bytes_per_second)}/s.\n"
        f"{count(len(receipt.levels), 'level')}, {format_size(receipt.bytes_written)} on disk."
        + (f"\nIt took {format_size(over)} more memory than allowed." if over else ""),
    )


def cancelled_summary(output: str, *, unfinished: bool) -> Summary:
    """What a cancelled job left."""
    left = f" {any_path(output).name} is unfinished; Resume continues it." if unfinished else ""
    return Summary("warning", f"Cancelled.{left}")


def batch_summary(batch: Batch[Receipt]) -> Summary:
    """The results of several volumes."""
    made, failed, waiting = (batch.having(state) for state in ("done", "failed", "waiting"))
    seconds = sum(item.result.seconds for item in made if item.result)
    lines = [
        f"Made {len(made)} of {count(len(batch.items), 'volume')}" + (f" in {duration(seconds)}." if made else ".")
    ]
    reasons = [f"{item.name.name}: {failure_reason(item.error, item.name)}" for item in failed if item.error]
    lines += reasons[:_FAILED]
    if len(reasons) > _FAILED:
        lines.append(f"{len(reasons) - _FAILED} more failed.")
    if waiting:
        begun = [item.output.name for item in waiting if item.progress]
        left = f" {begun[0]} is unfinished; Convert continues it." if begun else ""
        lines.append(f"Cancelled: {count(len(waiting), 'volume')} left to convert.{left}")
    kind = "error" if failed else "warning" if waiting else "success"
    return Summary(kind, "\n".join(lines), "\n".join(reasons[:_LISTED_IN_TIP]))


def failure_reason(error: Exception, path: object) -> str:
    """Why a volume failed, for a line that begins with its file name."""
    name = any_path(str(path)).name
    return error_words(error).replace(str(path), name).removeprefix(f"{name} ")


def compared_with(source: str) -> str:
    """What an output is compared with, in words."""
    return any_path(source).name if source else "the checksums of its source"


def verification_summary(found: Verification, source: str) -> Summary:
    """The result of a verification or a repair. An empty `source` means that it used only checksums."""
    tip = "\n".join(map(str, found.problems[:_LISTED_IN_TIP]))
    if found.sound:
        return Summary("success", _sound_words(found, source), tip)
    how = "" if source else "\nTo repair it, choose its source, and verify it again."
    return Summary("error", _wrong_words(found) + how, tip)


def _sound_words(found: Verification, source: str) -> str:
    compared = compared_with(source)
    if found.problems:
        made = "was" if _wrong_chunks(found) == 1 and not _metadata_is_wrong(found) else "were"
        return f"Repaired from {compared}: {_extent(found)} {made} made again."
    are, agree = ("is", "agrees") if found.chunks == 1 else ("are", "agree")
    return f"Verified: {count(found.chunks, 'chunk')} {are} complete and correct, and {agree} with {compared}."


def _wrong_words(found: Verification) -> str:
    """How much is wrong, and what, with a line for each kind of problem."""
    kinds: dict[str, list[str]] = {}
    for problem in found.problems:
        where = kinds.setdefault(problem.what, [])
        if problem.level is not None and problem.chunk is not None:
            where.append("/".join(map(str, (problem.level, *problem.chunk))))
    are = "is" if _wrong_chunks(found) == 1 and not _metadata_is_wrong(found) else "are"
    lines = [f"{_extent(found)} {are} wrong."]
    for what, where in list(kinds.items())[:_KINDS]:
        more = f" and {len(where) - _CHUNKS:,} more" if len(where) > _CHUNKS else ""
        lines.append(f"{', '.join(where[:_CHUNKS])}{more}: {what}" if where else f"Metadata: {what}")
    if len(kinds) > _KINDS:
        lines.append("…")
    return "\n".join(lines)


def _wrong_chunks(found: Verification) -> int:
    return sum(problem.chunk is not None for problem in found.problems)


def _metadata_is_wrong(found: Verification) -> bool:
    return _wrong_chunks(found) < len(found.problems)


def _extent(found: Verification) -> str:
    """``"3 of 1,234 chunks"``, or ``"1 of 64 chunks and the metadata"``."""
    wrong = _wrong_chunks(found)
    chunks = f"{wrong:,} of {count(found.chunks, 'chunk')}"
    if _metadata_is_wrong(found):
        return f"{chunks} and the metadata" if wrong else "The metadata"
    return chunks
