"""The progress of a job: `Progress` is what users get, `ProgressTracker` counts, and the loops serve every job."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

from napari_ct_pyramid.model.blocks import BlockId, Region, Stage
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.statistics import Statistics
from napari_ct_pyramid.storage.paths import AnyPath

PROGRESS_SECONDS = 0.25
"""The longest time between two reports of a job's progress."""

Step = TypeVar("Step")
Result = TypeVar("Result")


class Steps(Generic[Step, Result]):
    """Iterates over a generator and keeps what it returns. `with` closes the generator, which cancels its job.

    Parameters
    ----------
    generator : Generator

    Attributes
    ----------
    result : object
        What the generator returned. It is set once the iteration has ended; an error before that.
    """

    def __init__(self, generator: Generator[Step, None, Result]) -> None:
        self._generator = generator
        self.result: Result

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        try:
            return next(self._generator)
        except StopIteration as end:
            self.result = end.value
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel the job, unless it has ended."""
        self._generator.close()


def run_through(generator: Generator[Step, None, Result], show: Callable[[Step], object] | None = None) -> Result:
    """Run a job to its end, call `show` with each step, and return the result. An error of `show` cancels the job."""
    with Steps(generator) as steps:
        for step in steps:
            if show:
                show(step)
        return steps.result


class Runner(Protocol):
    """Works in the background. See `BackgroundRunner`."""

    def start(self) -> None:
        """Begin."""

    def wait(self, seconds: float) -> bool:
        """Wait, at most so long; True once all is done. Raises what stopped the work."""

    def stop(self) -> None:
        """Stop the work, if it is not done, and wait until it has stopped."""


def follow(
    runner: Runner,
    report: Callable[[], Step],
    *,
    abandon: Callable[[], None] | None = None,
    seconds: float = PROGRESS_SECONDS,
) -> Generator[Step, None, None]:
    """Start a runner, and yield a report every `seconds` until it is done. Whatever happens, it is stopped then.

    Parameters
    ----------
    runner : Runner
    report : callable
        Makes what is yielded.
    abandon : callable, optional
        Called before the runner is stopped if it failed, or if the caller closed this generator.
    seconds : float
        Between two reports.
    """
    try:
        runner.start()
        while not runner.wait(seconds):
            yield report()
    except BaseException:
        if abandon:
            abandon()
        raise
    finally:
        runner.stop()


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How far a job is.

    Attributes
    ----------
    output : Path or RemotePath
    blocks_done, blocks : int
        Blocks whose chunks are all safely on disk, and all blocks.
    bytes_done, bytes_total : int
        Of the source's voxels.
    seconds : float
        Since the request. If an interrupted conversion is resumed, the time before that is included.
    fraction : float
        Of all the work, from 0 to 1.
    working_seconds : float or None
        `seconds` without the time before the first voxel was read; None where it is not measured.
    comparing : bool
        Whether a changed source is compared with the blocks that are done, before the conversion goes on. Until that
        is done, bytes and fraction are those of the comparison.
    """

    output: AnyPath
    blocks_done: int
    blocks: int
    bytes_done: int
    bytes_total: int
    seconds: float
    fraction: float
    working_seconds: float | None = None
    comparing: bool = False

    @property
    def bytes_per_second(self) -> float:
        """Bytes of the source's voxels per second of `working_seconds`; per second of `seconds` once all is done."""
        seconds = self.seconds if self.blocks_done == self.blocks else self._working_seconds
        return self.bytes_done / seconds if seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Expected time that is left, at the rate so far; None while no work is done."""
        return self._working_seconds * (1 - self.fraction) / self.fraction if self.fraction else None

    @property
    def _working_seconds(self) -> float:
        return self.seconds if self.working_seconds is None else self.working_seconds


@dataclass(frozen=True, kw_only=True)
class Progress(Pace):
    """How far a conversion or a verification is.

    Attributes
    ----------
    plan : Plan
        What is being done; the same in every progress of a job.
    """

    plan: Plan


class ProgressTracker:
    """Counts what is done of a plan.

    Parameters
    ----------
    plan : Plan
    done : mapping, optional
        Blocks that are done already, with the statistics of their voxels.
    only : BlockId, optional
        The only block to do; all blocks if not given.

    Attributes
    ----------
    rows_done : int
        Rows that the stages have read, now or before.
    blocks_done : int
        Blocks whose chunks are all safely on disk.
    bytes_done : int
        Bytes of the source's voxels that have been read, now or before.
    statistics : Statistics
        Of level 0, in the blocks that are done.
    """

    def __init__(
        self, plan: Plan, done: Mapping[BlockId, Statistics] | None = None, only: BlockId | None = None
    ) -> None:
        self._plan = plan
        self._done = done or {}
        self._only = only
        self._rows_total = sum(self.rows_of(stage, region) for stage in plan.stages for region in stage.blocks())
        self.rows_done = 0
        self.blocks_done = 0
        self.bytes_done = 0
        self.statistics = Statistics()
        for number, stage in enumerate(plan.stages):
            for block, region in enumerate(stage.blocks()):
                if (number, block) in self._done:
                    self.count_rows(stage, self.rows_of(stage, region))
                    self.count_block(self._done[number, block])

    @property
    def fraction(self) -> float:
        """The part of the work that is done, from 0 to 1."""
        return self.rows_done / self._rows_total

    def blocks_to_do(self, number: int) -> list[tuple[int, Region]]:
        """The blocks of a stage that are not done yet: the number of each, and its region."""
        blocks = enumerate(self._plan.stages[number].blocks())
        if self._only:
            return [(n, region) for n, region in blocks if (number, n) == self._only]
        return [(n, region) for n, region in blocks if (number, n) not in self._done]

    def rows_of(self, stage: Stage, region: Region) -> int:
        """Rows that a stage reads for a region of its base level, without padding, which the source does not have."""
        z0, z1, y0, y1 = region
        if stage.from_source:
            depth, rows, _ = self._plan.volume.shape
            z0, z1, y0, y1 = min(z0, depth), min(z1, depth), min(y0, rows), min(y1, rows)
        return (z1 - z0) * (y1 - y0)

    def count_rows(self, stage: Stage, rows: int) -> None:
        """Count rows of a stage's base level that were read."""
        volume = self._plan.volume
        self.rows_done += rows
        if stage.from_source:
            self.bytes_done += rows * volume.shape[2] * volume.dtype.itemsize

    def count_block(self, statistics: Statistics) -> None:
        """Count a block that is done."""
        self.blocks_done += 1
        self.statistics += statistics

    def progress(
        self, output: AnyPath, *, seconds: float, working_seconds: float | None = None, bytes_done: int | None = None
    ) -> Progress:
        """The progress now.

        Parameters
        ----------
        output : path
        seconds, working_seconds : float
            See `Progress`.
        bytes_done : int, optional
            To report instead of the bytes that were read from the source.
        """
        return Progress(
            output=output,
            plan=self._plan,
            blocks_done=self.blocks_done,
            blocks=self._plan.blocks,
            bytes_done=self.bytes_done if bytes_done is None else bytes_done,
            bytes_total=self._plan.volume.nbytes,
            seconds=seconds,
            fraction=self.fraction,
            working_seconds=working_seconds,
        )
