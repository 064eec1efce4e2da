"""Many volumes, one after another. All are planned before the first begins; if one fails, the others continue.

`Batch` holds the volumes and how far each is. The generators below run a batch from its start to its end; the queue of
the widget runs one step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from napari_ct_pyramid.errors import MissingFolderError, OutputExistsError, RequestError
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.omezarr.kind import is_audited
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.sources.inputs import ArrayInput, SourceLike, parse_input
from napari_ct_pyramid.storage.paths import AnyPath, PathLike, any_path, image_path

from .comparison import Verification
from .convert import already_made, iter_conversion, plan_conversion
from .output import check_disks, default_output, output_name
from .progress import Progress
from .receipt import Receipt
from .verify import iter_verification

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.dask.client import Client


State = Literal["waiting", "running", "done", "failed"]

R = TypeVar("R", Receipt, Verification)


@dataclass(frozen=True)
class BatchItem(Generic[R]):
    """One volume of a batch.

    Attributes
    ----------
    source : path, ArrayInput or None
        None where the output is verified by itself.
    output : path
    state : {"waiting", "running", "done", "failed"}
    plan : Plan or None
        Once there is one.
    progress : Progress or None
        The latest, once it has begun.
    result : Receipt or Verification or None
        Of an item that is done. None where its output was finished before.
    error : Exception or None
        Of an item that failed.
    in_run : bool
        Whether it belongs to the latest run: the items that waited when the run started, and those that joined it.
    """

    source: AnyPath | ArrayInput | None
    output: AnyPath
    state: State = "waiting"
    plan: Plan | None = None
    progress: Progress | None = None
    result: R | None = None
    error: Exception | None = None
    in_run: bool = False

    @property
    def name(self) -> AnyPath | ArrayInput:
        """The path or array by which a user knows the item. It is unique in a batch."""
        return self.source or self.output

    @property
    def was_made_before(self) -> bool:
        """Whether there was nothing left to do."""
        return self.state == "done" and self.result is None

    @property
    def is_ready(self) -> bool:
        """Whether it waits and can begin: a conversion needs a plan first."""
        return self.state == "waiting" and (self.source is None or self.plan is not None)

    @property
    def size(self) -> int:
        """Bytes of the source's voxels; 0 before they are known."""
        return self.plan.volume.nbytes if self.plan else 0

    @property
    def fraction(self) -> float:
        """The part of its work that is done, from 0 to 1; an item that failed leaves nothing to do."""
        if self.state in ("done", "failed"):
            return 1.0
        return self.progress.fraction if self.progress and self.state == "running" else 0.0


@dataclass(frozen=True)
class Batch(Generic[R]):
    """Many volumes, and how far each of them is.

    A batch never changes. Each method that changes something (`add`, `begin`, …) returns a new batch.

    Attributes
    ----------
    items : tuple of BatchItem
        In the order in which they are done.
    """

    items: tuple[BatchItem[R], ...] = ()

    def having(self, *states: State) -> tuple[BatchItem[R], ...]:
        """The items in these states."""
        return tuple(item for item in self.items if item.state in states)

    @property
    def running(self) -> tuple[int, BatchItem[R]] | None:
        """The item that is being done, and its place, from 0 up."""
        return next(((n, item) for n, item in enumerate(self.items) if item.state == "running"), None)

    @property
    def run(self) -> Batch[R]:
        """The items of the latest run alone."""
        return Batch(tuple(item for item in self.items if item.in_run))

    @property
    def next_ready(self) -> BatchItem[R] | None:
        """The item of the run that comes next; None where none can begin."""
        return next((item for item in self.run.items if item.is_ready), None)

    @property
    def place(self) -> tuple[int, int]:
        """Number of the item that is being done, from 1 up, and of all items: (2, 5)."""
        return self.running[0] + 1 if self.running else len(self.items), len(self.items)

    @property
    def fraction(self) -> float:
        """The part of all known work that is done, by bytes of the sources, from 0 to 1."""
        items = [item for item in self.items if not item.was_made_before]
        total = sum(item.size for item in items)
        return sum(item.fraction * item.size for item in items) / total if total else 0.0

    def add(self, items: Iterable[BatchItem[R]]) -> Batch[R]:
        """With these items at the end, except those that it has already."""
        every = {item.name: item for item in self.items}
        for item in items:
            every.setdefault(item.name, item)
        return Batch(tuple(every.values()))

    def remove(self, item: BatchItem[R]) -> Batch[R]:
        """Without this item, unless it is running."""
        return Batch(tuple(other for other in self.items if other.name != item.name or other.state == "running"))

    def take_plans(self, planned: Batch[R], *, keep_run: bool) -> Batch[R]:
        """With what planning found for items that still wait, or had failed.

        Parameters
        ----------
        planned : Batch
            Some of the items, as `iter_plan_batch` returns them.
        keep_run : bool
            Whether these items stay in the run.
        """
        found = {item.name: item for item in planned.items}
        return Batch(
            tuple(
                replace(found[item.name], in_run=item.in_run and keep_run)
                if item.name in found and item.state in ("waiting", "failed")
                else item
                for item in self.items
            )
        )

    def start(self) -> Batch[R]:
        """A new run, of all items that wait."""
        return Batch(tuple(replace(item, in_run=item.state == "waiting") for item in self.items))

    def begin(self, item: BatchItem[R]) -> Batch[R]:
        """An item has begun."""
        return self._change(item, state="running", progress=None, result=None, error=None)

    def advance(self, item: BatchItem[R], progress: Progress) -> Batch[R]:
        """An item has made progress."""
        return self._change(item, progress=progress, plan=progress.plan)

    def finish(self, item: BatchItem[R], outcome: R | Exception | None) -> Batch[R]:
        """An item has ended with a result or an error. One that was cancelled (None) waits again."""
        if outcome is None:
            return self._change(item, state="waiting")
        if isinstance(outcome, Exception):
            return self._change(item, state="failed", error=outcome)
        return self._change(item, state="done", result=outcome)

    def _change(self, item: BatchItem[R], **changes: Any) -> Batch[R]:
        return Batch(tuple(replace(one, **changes) if one.name == item.name else one for one in self.items))


def batch_item(source: SourceLike, folder: PathLike | None = None) -> BatchItem[Receipt]:
    """A volume to convert, its output in the folder, or beside it where there is none."""
    asked = parse_input(source)
    output = default_output(source) if folder is None else any_path(folder) / output_name(source)
    return BatchItem(asked if isinstance(asked, ArrayInput) else any_path(cast("PathLike", source)), output)


def iter_plan_batch(
    sources: Iterable[SourceLike],
    output_dir: PathLike | None,
    options: ConversionOptions,
    client: Client | None = None,
) -> Generator[Batch[Receipt], None, Batch[Receipt]]:
    """The generator behind `api.iter_plan_many`."""
    batch = Batch[Receipt]().add(batch_item(source, output_dir) for source in sources)
    _check(batch, output_dir)
    yield batch
    for item in batch.items:
        batch = batch._change(item, **_planned(item, options, client))
        yield batch
    check_disks((item.output, item.plan.bytes_out_estimate) for item in batch.having("waiting") if item.plan)
    return batch


def iter_convert_batch(
    batch: Batch[Receipt], client: Client | None = None
) -> Generator[Batch[Receipt], None, Batch[Receipt]]:
    """Convert the items that wait in a batch that `iter_plan_batch` returned: yields and returns the `Batch`.

    Closing the generator cancels the conversion that is running, and leaves those that wait untouched.
    """

    def convert(item: BatchItem[Receipt]) -> Generator[Progress, None, Receipt]:
        assert item.plan
        return iter_conversion(item.name, item.output, item.plan.options, client)

    return (yield from _one_by_one(batch, convert))


def iter_verify_batch(
    outputs: Iterable[PathLike], *, max_memory: str | int, threads: int | None
) -> Generator[Batch[Verification], None, Batch[Verification]]:
    """The generator behind `api.iter_verify_many`. What this package did not make has an `Audit` as its result."""
    from .audit.run import iter_audit_steps

    def verify(item: BatchItem[Verification]) -> Generator[Any, None, Any]:
        if is_audited(item.output):
            return iter_audit_steps(item.output, deep=None, max_memory=max_memory, threads=threads)
        return iter_verification(item.output, None, repair=False, max_memory=max_memory, threads=threads)

    batch = Batch[Verification]().add(BatchItem(None, image_path(path)) for path in outputs)
    return (yield from _one_by_one(batch, verify))


def _one_by_one(
    batch: Batch[R], job: Callable[[BatchItem[R]], Generator[Progress, None, R]]
) -> Generator[Batch[R], None, Batch[R]]:
    batch = batch.start()
    while item := batch.next_ready:
        batch = batch.begin(item)
        yield batch
        outcome: R | Exception | None = None
        try:
            with closing(job(item)) as steps:
                while outcome is None:
                    try:
                        progress = next(steps)
                    except StopIteration as end:
                        outcome = end.value
                    else:
                        batch = batch.advance(item, progress)
                        yield batch
        except Exception as error:  # noqa: BLE001  any error ends this item, and no other
            outcome = error
        batch = batch.finish(item, outcome)
        yield batch
    return batch


def _check(batch: Batch[Receipt], output_dir: PathLike | None) -> None:
    """Raise a RequestError where the batch cannot be done as a whole."""
    sources: dict[str, AnyPath | ArrayInput] = {}
    for item in batch.items:
        # Some file systems do not distinguish capital from small letters.
        place = str(item.output.resolve()).casefold()
        other = sources.setdefault(place, item.name)
        if other != item.name:
            raise RequestError(
                f"{other} and {item.name} would have the same output, {item.output}. Rename one of them, or convert "
                "them one at a time."
            )
    if not batch.items:
        raise RequestError("There is nothing to convert. Name at least one source.")
    folder = None if output_dir is None else any_path(output_dir)
    if isinstance(folder, Path) and not folder.is_dir():
        raise MissingFolderError(
            f"There is no folder {folder} for the outputs. Make it first, or choose another one.", folder=str(folder)
        )


def _planned(item: BatchItem[Receipt], options: ConversionOptions, client: Client | None) -> dict[str, Any]:
    """The fields of an item that planning sets."""
    try:
        try:
            return {"plan": plan_conversion(item.name, item.output, options, client)}
        except OutputExistsError:
            made = already_made(item.name, item.output, options, client)
            if made is None:
                raise
            return {"plan": made, "state": "done"}
    except Exception as error:  # noqa: BLE001  any error ends this item, and no other
        return {"state": "failed", "error": error}
