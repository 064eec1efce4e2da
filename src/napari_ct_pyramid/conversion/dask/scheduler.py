"""Has a Dask cluster make the blocks of a plan, and counts what the workers report."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from napari_ct_pyramid.conversion.buffers import FinishedBlock
from napari_ct_pyramid.conversion.progress import ProgressTracker
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.omezarr.checksums import Checksums
from napari_ct_pyramid.storage.lease import Lease
from napari_ct_pyramid.storage.lock import Hold
from napari_ct_pyramid.storage.paths import AnyPath, PathLike, any_path

from .cluster import Cluster, Job
from .worker import Conversion, make_block


@contextmanager
def conversion_job(
    cluster: Cluster, src: PathLike, output: AnyPath, plan: Plan, identity: dict[str, Any], held: Hold
) -> Iterator[Job]:
    """Prepare workers for a conversion. Raises `RequestError` if one cannot access source or output."""
    source = str(any_path(src).absolute())
    with held.trial() as trial:
        conversion = Conversion(source, output.absolute(), identity, plan, trial.for_others())
        with cluster.prepared(conversion) as job:
            yield job


def make_blocks(
    job: Job,
    plan: Plan,
    tracker: ProgressTracker,
    checksums: Checksums,
    lease: Lease,
    on_finished: Callable[[FinishedBlock], None],
) -> Generator[None, None, None]:
    """Have workers make the blocks that a tracker knows, which counts them. Yields whenever there may be progress.

    `on_finished` is called with each block that is safely on disk. The block counts as done when the call returns.
    When this is closed, the workers stop after the rows and chunks that they now read and write.
    """
    shared = job.topic, lease.for_others()
    try:
        for number, stage in enumerate(plan.stages):
            regions = {(number, n): region for n, region in tracker.blocks_to_do(number)}
            read = dict.fromkeys(regions, 0)
            parts = [(*shared, one, [(*c, checksums.get(*c)) for c in plan.chunks_read_for(one)]) for one in regions]
            for done in job.do(make_block, parts):
                reports = {block: rows for block, rows in job.reports.copy().items() if block in regions}
                if done:
                    finished: FinishedBlock = done[1]
                    on_finished(finished)
                    tracker.count_block(finished.statistics)
                    reports[finished.id] = tracker.rows_of(stage, regions.pop(finished.id))
                for block, rows in reports.items():
                    tracker.count_rows(stage, rows - read[block])
                    read[block] = rows
                yield
    finally:
        job.end()
