"""What the message box says in each case, and which buttons it has. Uses no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from napari_ct_pyramid.conversion.batch import Batch
from napari_ct_pyramid.conversion.comparison import Verification
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.errors import BudgetError, OutputExistsError, RequestError, SourceError
from napari_ct_pyramid.model.formatting import count, duration, format_size
from napari_ct_pyramid.plugin.wording import cause_words, error_words, source_name
from napari_ct_pyramid.storage.paths import AnyPath, any_path
from napari_ct_pyramid.storage.remote_path import RemotePath

from .planner import PlanAnswer
from .remedies import CHECK_AGAIN, Act, Offer, common_remedies, remedies

_KINDS, _CHUNKS, _FAILED = 4, 4, 3  # a box lists at most so many of each
_LISTED_IN_TIP = 40


class Message(NamedTuple):
    """What the box shows.

    Attributes
    ----------
    kind : {"error", "warning", "success"}
    words : str
    offers : sequence of Offer
        Its buttons, the best one first.
    tip : str
        More words, for the tooltip.
    """

    kind: str
    words: str
    offers: Sequence[Offer] = ()
    tip: str = ""


# About a plan


def plan_message(answer: PlanAnswer) -> Message | None:
    """What a plan has to say: why there is none, or that the output is there already; None if all is well."""
    name = any_path(answer.output).name if answer.output else ""
    if answer.made:
        words = f"{name} is there already, made from this source with these settings."
        return Message("success", words, [*success_offers(any_path(answer.output)), *_overwrite])
    if isinstance(answer.error, OutputExistsError) and answer.verifiable and not answer.error.options:
        words = f"{name} is there already, made from something else or with other settings."
        offers = [*remedies(answer.error, answer.output), *success_offers(any_path(answer.output))]
        return Message("warning", words, offers)
    verify = Act.VERIFY_ALONE if answer.is_own else Act.AUDIT
    if answer.error:
        found = problem(answer.error, answer.output)
        if answer.image and isinstance(answer.error, SourceError):  # verifying tells more
            found = found._replace(offers=[*found.offers, Offer("Verify", verify, answer.image)])
        return found
    if answer.image:
        return Message("success", f"{answer.image.name} is an OME-Zarr already.", success_offers(answer.image, verify))
    return None


def problem(error: Exception, output: str = "") -> Message:
    """Why something cannot be done, with what may help."""
    kind = "warning" if isinstance(error, OutputExistsError) else "error"
    return Message(kind, error_words(error), remedies(error, output))


def batch_plan_message(batch: Batch[Receipt], error: Exception | None) -> Message | None:
    """Why some of several volumes cannot be converted; None if all can."""
    if error:
        return Message("error", error_words(error), remedies(error, ""))
    errors = [item.error for item in batch.having("failed") if item.error and not item.in_run]
    if not errors:
        return None
    what = f"{len(errors)} of {count(len(batch.items), 'volume')} cannot be converted."
    reasons = {error_words(error) for error in errors}
    words = f"{what} {reasons.pop()}" if len(reasons) == 1 else f"{what} The list gives the reasons."
    return Message("warning" if batch.having("waiting", "done") else "error", words, common_remedies(errors))


# About a job


def success_offers(output: AnyPath, verify: Act = Act.VERIFY) -> list[Offer]:
    """What can be done with a finished output, or another OME-Zarr."""
    offers = [Offer("Show in napari", Act.SHOW, [output]), Offer("Neuroglancer", Act.NEUROGLANCER, [output])]
    if not isinstance(output, RemotePath):
        offers.append(Offer("Folder", Act.OPEN_FOLDER, output.parent))
    return [*offers, Offer("Verify", verify, output), Offer("Export…", Act.EXPORT, output)]


_overwrite = [Offer("Overwrite it", Act.SET, {"overwrite": True})]


def made_message(receipt: Receipt) -> Message:
    """What a conversion made."""
    over = receipt.over_budget_bytes
    return Message(
        "success",
        f"Made {receipt.output.name}: {count(len(receipt.levels), 'level')}, {format_size(receipt.bytes_written)}, in "
        f"{duration(receipt.seconds)} ({format_size(receipt.bytes_per_second)}/s)."
        + (f" It took {format_size(over)} more memory than allowed." if over else ""),
        success_offers(receipt.output),
    )


def stopped_message(outcome: Exception | None, output: str, answer: PlanAnswer | None) -> Message:
    """What a job left that was cancelled (None) or failed.

    Parameters
    ----------
    outcome : Exception or None
    output : str
    answer : PlanAnswer or None
        The plan that was made since; None while there is none.
    """
    name = any_path(output).name
    reason = "Cancelled." if outcome is None else cause_words(outcome)
    kind = "warning" if outcome is None else "error"
    if answer and answer.error:
        found = plan_message(answer)
        assert found
        said = found.words in reason or reason in found.words
        return found if said else found._replace(words=f"{reason} {found.words}")
    if answer and answer.resumes:
        return Message(kind, f"{reason} {name} is unfinished; Resume continues it.")
    if answer and answer.plan and outcome is not None:
        return Message(kind, f"{reason} Convert makes {name} from the beginning.")
    return Message(kind, reason)


def batch_message(batch: Batch[Receipt]) -> Message:
    """The results of several volumes."""
    made, failed, waiting = (batch.having(state) for state in ("done", "failed", "waiting"))
    seconds = sum(item.result.seconds for item in made if item.result)
    lines = [f"{len(made)} of {len(batch.items)} made" + (f" in {duration(seconds)}." if seconds else ".")]
    reasons = [f"{item.name.name}: {failure_reason(item.error, item.name)}" for item in failed if item.error]
    lines += reasons[:_FAILED]
    if len(reasons) > _FAILED:
        lines.append(f"{len(reasons) - _FAILED} more failed.")
    if waiting:
        begun = [item.output.name for item in waiting if item.progress]
        left = f" {begun[0]} is unfinished; Convert continues it." if begun else ""
        lines.append(f"Cancelled: {count(len(waiting), 'volume')} left to convert.{left}")
    kind = "success" if not failed and not waiting else "warning" if made or not failed else "error"
    outputs = [item.output for item in made]
    offers = [Offer("Show in napari", Act.SHOW, outputs), Offer("Neuroglancer", Act.NEUROGLANCER, outputs)] * bool(made)
    if folders := [path.parent for path in outputs if not isinstance(path, RemotePath)]:
        offers.append(Offer("Folder", Act.OPEN_FOLDER, folders[-1]))
    if failed:
        offers.append(Offer("Try again", Act.CHECK_AGAIN))
    return Message(kind, "\n".join(lines), offers, "\n".join(reasons[:_LISTED_IN_TIP]))


def failure_reason(error: Exception, path: object) -> str:
    """Why a volume failed, for a line that begins with its file name."""
    name = any_path(str(path)).name
    return error_words(error).replace(str(path), name).removeprefix(f"{name} ")


def verification_hint(output: str, source: Any) -> str:
    """What a verification that runs does, in words."""
    return f"{any_path(output).name} is read back, and compared with {_compared_with(source)}."


def _compared_with(source: Any) -> str:
    return source_name(source) if source else "the checksums of its source"


def verification_message(found: Verification, source: Any) -> Message:
    """The result of a verification or a repair. Without a source, it used only checksums."""
    tip = "\n".join(map(str, found.problems[:_LISTED_IN_TIP]))
    if found.sound:
        verify = Act.VERIFY if source else Act.VERIFY_ALONE
        return Message("success", _sound_words(found, source), success_offers(found.output, verify), tip)
    how = "" if source else "\nTo repair it, choose its source, and verify it again."
    offers = [Offer("Repair", Act.REPAIR)] if source else []
    return Message("error", _wrong_words(found) + how, offers, tip)


def verification_failed_message(error: Exception, output: str, source: Any, answer: PlanAnswer | None) -> Message:
    """Why an output could not be verified or repaired."""
    if answer and answer.plan and not answer.made:  # the output is gone, or unfinished
        return stopped_message(error, output, answer)
    offers = [offer for offer in remedies(error, output) if offer.act is not Act.CHECK_AGAIN]
    if source and isinstance(error, (RequestError, SourceError)) and not isinstance(error, BudgetError):
        offers.append(Offer("Verify without the source", Act.VERIFY_ALONE, output))
    return Message("error", error_words(error), [*offers, CHECK_AGAIN])


def _sound_words(found: Verification, source: Any) -> str:
    compared = _compared_with(source)
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
