"""Many volumes, one after another: all are planned before the first is begun, and one that fails stops no other.

Knows nothing of how a volume is converted or verified, and nothing of who watches.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from napari_ct_pyramid.errors import OutputExistsError, RequestError
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.storage.paths import AnyPath, PathLike, any_path

from .comparison import Verification
from .convert import already_made, iter_conversion, plan_conversion
from .output import check_disks, default_output
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


def iter_plan_batch(
    sources: Iterable[PathLike],
    output_dir: PathLike | None,
    options: ConversionOptions,
    client: Client | None = None,
) -> Generator[Batch[Receipt], None, Batch[Receipt]]:
    """The generator under `api.iter_plan_many`."""
    batch = Batch[Receipt](tuple(BatchItem(src, out) for src, out in _outputs(sources, output_dir).items()))
    yield batch
    for place, item in enumerate(batch.items):
        batch = batch._with(place, **_planned(item, options, client))
        yield batch
    check_disks((item.output, item.plan.bytes_out_estimate) for item in batch.having("waiting") if item.plan)
    return batch


def iter_convert_batch(
    batch: Batch[Receipt], client: Client | None = None
) -> Generator[Batch[Receipt], None, Batch[Receipt]]:
    """Do what is waiting in a batch that `iter_plan_batch` returned: yields and returns the `Batch`.

    Closing the generator cancels the conversion that is running, and leaves those that wait untouched.
    """

    def convert(item: BatchItem[Receipt]) -> Generator[Progress, None, Receipt]:
        assert item.plan
        return iter_conversion(item.name, item.output, item.plan.options, client)

    return (yield from _one_by_one(batch, convert))


def iter_verify_batch(
    outputs: Iterable[PathLike], *, max_memory: str | int, threads: int | str | None
) -> Generator[Batch[Verification], None, Batch[Verification]]:
    """The generator under `api.iter_verify_many`."""

    def verify(item: BatchItem[Verification]) -> Generator[Progress, None, Verification]:
        return iter_verification(item.output, None, repair=False, max_memory=max_memory, threads=threads)

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


def _planned(item: BatchItem[Receipt], options: ConversionOptions, client: Client | None) -> dict[str, Any]:
    """What planning makes of an item."""
    try:
        try:
            return {"plan": plan_conversion(item.name, item.output, options, client)}
        except OutputExistsError:
            made = already_made(item.name, item.output, options, client)
            if made is None:
                raise
            return {"plan": made, "state": "done"}
    except Exception as error:  # noqa: BLE001  whatever it is, the others are not to suffer for it
        return {"state": "failed", "error": error}
