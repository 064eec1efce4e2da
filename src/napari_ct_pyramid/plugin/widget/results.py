"""The results of jobs, as messages that take into account what is planned since."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from napari_ct_pyramid.conversion.batch import Batch
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.storage.paths import any_path

from .jobs import Job, VerificationJob
from .messages import (
    Message,
    batch_message,
    made_message,
    stopped_message,
    verification_failed_message,
    verification_message,
)
from .planner import PlanAnswer

Result = Callable[[PlanAnswer | None], Message]
"""Makes the message about a job. It takes the plan that was made after the job; None while there is none."""


def result_of(job: Job) -> Result:
    """The result of a job that has ended."""
    outcome = job.outcome
    if isinstance(job, VerificationJob):
        return _verification_result(job)
    if isinstance(outcome, Receipt):
        made = made_message(outcome)
        return lambda _: made
    return partial(stopped_message, outcome, job.output)


def _verification_result(job: VerificationJob) -> Result:
    if job.verification:
        found = verification_message(job.verification, job.source)
        return lambda _: found

    def message(answer: PlanAnswer | None) -> Message:
        if answer and any_path(answer.output) != any_path(job.output):
            answer = None  # the plan is of a conversion of what was verified
        if isinstance(job.outcome, Exception):
            return verification_failed_message(job.outcome, job.output, job.source, answer)
        return stopped_message(None, job.output, answer)

    return message


def batch_result(batch: Batch[Receipt]) -> Result:
    """The result of a run, with the volumes that had been made or had failed before."""
    items = [item for item in batch.items if item.in_run or item.state in ("failed", "done")]
    message = batch_message(Batch(tuple(items)))
    return lambda _: message
