"""Many volumes, one after another: all are planned before the first is begun, and one that fails stops no other.

Knows nothing of how a volume is converted or verified, and nothing of who watches.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from .checking import Verification
from .convert import already_made, iter_convert, plan
from .errors import OutputExistsError, RequestError
from .options import ConversionOptions
from .output import check_disks, default_output
from .paths import AnyPath, PathLike, any_path
from .plan import Plan
from .report import Progress, Receipt, run_through
from .verify import iter_verify

if TYPE_CHECKING:
    from .cluster import Client

State = Literal["waiting", "running", "done", "failed"]

R = TypeVar("R", Receipt, Verification)


@dataclass(frozen=True)
class BatchItem(Generic[R]):
    """One volume of a batch.

    Attributes
    ----------
    source : path or None
        None where the output alone is looked at.
    output : path
    state : {"waiting", "running", "done", "failed"}
    plan : Plan or None
        Once there is one.
    progress : Progress or None
        The latest, once it has begun.
    result : Receipt or Verification or None
        Of one that is done. None where its output had been finished before.
    error : Exception or None
        Of one that failed.
    """

    source: AnyPath | None
    output: AnyPath
    state: State = "waiting"
    plan: Plan | None = None
    progress: Progress | None = None
    result: R | None = None
    error: Exception | None = None

    @property
    def name(self) -> AnyPath:
        """What a user calls it by."""
        return self.source or self.output

    @property
    def was_made_before(self) -> bool:
        """Whether there was nothing left to do."""
        return self.state == "done" and self.result is None

    @property
    def fraction(self) -> float:
        """Of its work, from 0 to 1; one that failed leaves nothing to do."""
        if self.state in ("done", "failed"):
            return 1.0
        return self.progress.fraction if self.progress else 0.0


@dataclass(frozen=True)
class Batch(Generic[R]):
    """How far many volumes are.

    Attributes
    ----------
    items : tuple of BatchItem
        In the order in which they are done.
    """

    items: tuple[BatchItem[R], ...]

    def having(self, state: State) -> tuple[BatchItem[R], ...]:
        """The items in this state."""
        return tuple(item for item in self.items if item.state == state)

    @property
    def running(self) -> tuple[int, BatchItem[R]] | None:
        """The item that is being done, and its place, from 0 up."""
        return next(((n, item) for n, item in enumerate(self.items) if item.state == "running"), None)

    @property
    def fraction(self) -> float:
        """Of all the work that is known, by bytes of the sources, from 0 to 1."""
        sizes = [(item, item.plan.volume.nbytes) for item in self.items if item.plan and not item.was_made_before]
        total = sum(size for _, size in sizes)
        return sum(item.fraction * size for item, size in sizes) / total if total else 0.0

    def _with(self, place: int, **changes: Any) -> Batch[R]:
        items = list(self.items)
        items[place] = replace(items[place], **changes)
        return Batch(tuple(items))


def convert_many(
    sources: Iterable[PathLike],
    output_dir: PathLike | None = None,
    *,
    client: Client | None = None,
    progress: Callable[[Batch[Receipt]], None] | None = None,
    **options: Any,
) -> Batch[Receipt]:
    """Convert many volumes, one after another.

    Parameters
    ----------
    sources : iterable of path
    output_dir : path, optional
        Folder for the outputs; each lies beside its source if not given. They are named as `convert` names them.
    client : distributed.Client, optional
        Of the Dask cluster that is to do it, as for `convert`.
    progress : callable, optional
        Called with a `Batch` whenever there is something new, and at least every half second while one is converted.
    **options
        Fields of `ConversionOptions`, the same for all.

    Returns
    -------
    Batch
        Every item of it done or failed; ``item.error`` says why.

    Raises
    ------
    RequestError
        If two sources would have the same output, or what is asked for cannot be done with any source. Nothing was
        written.
    DiskSpaceError
        If the outputs do not fit on their disks together. Nothing was written.
    """
    planned = run_through(iter_plan_many(sources, output_dir, client=client, **options), progress)
    return run_through(iter_convert_many(planned, client=client), progress)


def iter_plan_many(
    sources: Iterable[PathLike], output_dir: PathLike | None = None, *, client: Client | None = None, **options: Any
) -> Generator[Batch[Receipt], None, Batch[Receipt]]:
    """Plan many conversions: yields the `Batch` before the first plan and after each, and returns it.

    An item that cannot be converted has failed, with its error. One whose output is finished, and is just what this
    conversion would make, is done. All others are waiting. Writes nothing.

    Parameters and errors are those of `convert_many`.
    """
    asked = ConversionOptions(**{"chunks": None, **options})
    batch = Batch[Receipt](tuple(BatchItem(src, out) for src, out in _outputs(sources, output_dir).items()))
    yield batch
    for place, item in enumerate(batch.items):
        batch = batch._with(place, **_planned(item, asked, client))
        yield batch
    check_disks((item.output, item.plan.bytes_out_estimate) for item in batch.having("waiting") if item.plan)
    return batch


def iter_convert_many(
    batch: Batch[Receipt], *, client: Client | None = None
) -> Generator[Batch[Receipt], None, Batch[Receipt]]:
    """Do what is waiting in a batch that `iter_plan_many` returned: yields and returns the `Batch`.

    Closing the generator cancels the conversion that is running, and leaves those that wait untouched.
    """

    def convert(item: BatchItem[Receipt]) -> Generator[Progress, None, Receipt]:
        assert item.plan
        return iter_convert(item.name, item.output, client=client, **asdict(item.plan.options))

    return (yield from _one_by_one(batch, convert))


def iter_verify_many(
    outputs: Iterable[PathLike], **options: Any
) -> Generator[Batch[Verification], None, Batch[Verification]]:
    """Verify many outputs, one after another: yields and returns the `Batch`.

    Parameters
    ----------
    outputs : iterable of path
    **options
        ``max_memory`` and ``threads``, as for `verify`.

    Returns
    -------
    Batch
        An item is done where its output could be looked at: ``item.result.sound`` says with what outcome.
    """

    def verify(item: BatchItem[Verification]) -> Generator[Progress, None, Verification]:
        return iter_verify(item.output, **options)

    batch = Batch[Verification](tuple(BatchItem(None, path) for path in dict.fromkeys(map(any_path, outputs))))
    return (yield from _one_by_one(batch, verify))


def _one_by_one(
    batch: Batch[R], begin: Callable[[BatchItem[R]], Generator[Progress, None, R]]
) -> Generator[Batch[R], None, Batch[R]]:
    for place, item in enumerate(batch.items):
        if item.state != "waiting":
            continue
        batch = batch._with(place, state="running")
        yield batch
        try:
            with closing(begin(item)) as steps:
                while batch.items[place].result is None:
                    try:
                        progress = next(steps)
                    except StopIteration as end:
                        batch = batch._with(place, state="done", result=end.value)
                    else:
                        batch = batch._with(place, progress=progress, plan=progress.plan)
                        yield batch
        except Exception as error:  # noqa: BLE001  whatever it is, the others are not to suffer for it
            batch = batch._with(place, state="failed", error=error)
        yield batch
    return batch


def _outputs(sources: Iterable[PathLike], output_dir: PathLike | None) -> dict[AnyPath, AnyPath]:
    """Where each source goes, so that no two go to the same place."""
    outputs: dict[AnyPath, AnyPath] = {}
    taken: dict[str, AnyPath] = {}
    folder = None if output_dir is None else any_path(output_dir)
    for source in map(any_path, sources):
        output = default_output(source)
        if folder is not None:
            output = folder / output.name
        # Not all disks tell capitals from small letters.
        place = str(output.resolve()).casefold()
        other = taken.setdefault(place, source)
        if other != source:
            raise RequestError(
                f"{other} and {source} would have the same output, {output}. Rename one of them, or convert them one "
                "at a time."
            )
        outputs[source] = output
    if not outputs:
        raise RequestError("There is nothing to convert. Name one source at least.")
    if isinstance(folder, Path) and not folder.is_dir():
        raise RequestError(f"There is no folder {folder} for the outputs. Make it first, or choose another.")
    return outputs


def _planned(item: BatchItem[Receipt], asked: ConversionOptions, client: Client | None) -> dict[str, Any]:
    """What planning makes of an item."""
    options = asdict(asked)
    try:
        try:
            return {"plan": plan(item.name, item.output, client=client, **options)}
        except OutputExistsError:
            made = already_made(item.name, item.output, client=client, **options)
            if made is None:
                raise
            return {"plan": made, "state": "done"}
    except Exception as error:  # noqa: BLE001  whatever it is, the others are not to suffer for it
        return {"state": "failed", "error": error}
