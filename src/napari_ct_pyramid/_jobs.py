"""What is done in the background for the widget: a conversion, and a verification or repair."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from ._worker import Job, Task
from .paths import any_path
from .report import Progress, Receipt

if TYPE_CHECKING:
    from .checking import Verification
    from .plan import Plan


class Conversion(Job):
    """Converts the source to the output; its outcome is a `Receipt`."""

    def _task(self) -> Task:
        name = any_path(self.source).name
        title = f"the conversion of {name} to OME-Zarr"
        return Task(title, name, _iter_convert, self.source, self.output, **self.options)


class Check(Job):
    """Verifies the output, against the source where one is given, or by its checksums; its outcome is a `Verification`.

    Parameters
    ----------
    repair : bool
        Have what is wrong made again.
    **rest
        As for `Job`.
    """

    def __init__(
        self, source: str, output: str, options: dict[str, Any], owner: object, *, repair: bool = False
    ) -> None:
        super().__init__(source, output, options, owner)
        self.repair = repair
        self._first: Plan | None = None

    @property
    def found(self) -> Verification | None:
        """What came of it."""
        return None if isinstance(self.outcome, Exception) else self.outcome

    @property
    def leaves_unfinished(self) -> bool:  # once it makes again what is wrong
        return self.last is not None and self.last.plan is not self._first

    def doing(self) -> str:
        return "Repairing" if self.leaves_unfinished else "Verifying"

    def _on_yielded(self, progress: Progress) -> None:
        self._first = self._first or progress.plan
        super()._on_yielded(progress)

    def _task(self) -> Task:
        name = any_path(self.output).name
        title = f"the {'repair' if self.repair else 'verification'} of {name}"
        options = {name: self.options[name] for name in ("max_memory", "threads")}
        return Task(title, name, _iter_verify, self.output, self.source or None, repair=self.repair, **options)


# Loading what these call takes a moment, which the window does not wait for.


def _iter_convert(source: str, output: str, **options: Any) -> Generator[Progress, None, Receipt]:
    from .convert import iter_convert

    return (yield from iter_convert(source, output, **options))


def _iter_verify(output: str, source: str | None, **options: Any) -> Generator[Progress, None, Verification]:
    from .verify import iter_verify

    return (yield from iter_verify(output, source, **options))
