"""The measurements of one converter with one file: a row of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from measuring import Run


@dataclass
class Row:
    """One converter on one file, with its runs so far.

    Attributes
    ----------
    kind : str
        ``"ours"``, ``"raw"`` (the raw limit), ``"peer"`` or ``"plain"`` (the plain algorithm).
    given, form : str
        How the converter gets the volume: in words, and as the kind of file.
    share : float
        The part of the volume that it converts.
    verdict : dict
        What judging.py found in its output.
    failure : str
        Why there are no runs, or no more.
    """

    name: str
    kind: str
    versions: str = ""
    given: str = "the TIFF"
    form: str = "plain TIFF"
    command: Callable[[Path, Path], list[str]] | None = None
    share: float = 1.0
    runs: list[Run] = field(default_factory=list)
    verdict: dict[str, Any] = field(default_factory=dict)
    failure: str = ""

    @property
    def seconds(self) -> float | None:
        """Seconds for the whole volume, extrapolated if the converter gets only a part of it."""
        return median(run.seconds for run in self.runs) / self.share if self.runs else None

    def to_json(self) -> dict[str, Any]:
        """The row as JSON holds it."""
        kept = {name: value for name, value in vars(self).items() if name not in ("command", "runs")}
        return kept | {"runs": [asdict(run) for run in self.runs]}
