"""What an audit finds: findings by severity, and how each level follows from the finer one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from napari_ct_pyramid.storage.paths import AnyPath

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""From the worst: voxels or metadata are wrong; a program may show it wrongly or not at all; worth knowing."""


@dataclass(frozen=True)
class Finding:
    """Something that was found.

    Attributes
    ----------
    severity : str
        ``"error"``, ``"warning"`` or ``"note"``.
    code : str
        What kind of thing it is, for programs.
    what : str
        A sentence for people, without a period.
    where : str
        The path of the image, level or file, relative to what was verified; empty for the whole.
    """

    severity: Severity
    code: str
    what: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


@dataclass(frozen=True)
class LevelVerdict:
    """How a level follows from the finer one.

    Attributes
    ----------
    level : str
        Its path.
    method : str
        ``"mean"``, ``"stride"`` and the like; ``"gaussian-like"`` if it is a smoothed copy; ``"none"`` if it is not
        made from the finer level; ``"constant"`` if both hold one value, so that nothing can be told.
    largest_difference : float
        Between the level and what that method makes of the finer one; for the last two methods, the mean.
    """

    level: str
    method: str
    largest_difference: float

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {"level": self.level, "method": self.method, "largest_difference": self.largest_difference}


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The outcome of verifying an OME-Zarr that any program may have written.

    Attributes
    ----------
    path : Path or RemotePath
    ome_zarr_version : str
    findings : tuple of Finding
        The worst first.
    levels : tuple of LevelVerdict
        For each coarser level whose voxels were read.
    images : int
        How many images were verified.
    deep : bool
        Whether voxels were read, and not only metadata and file names.
    chunks : int
        Chunks that were decoded.
    seconds : float
    peak_memory_bytes : int
        Peak resident memory of the process.
    """

    path: AnyPath
    ome_zarr_version: str
    findings: tuple[Finding, ...]
    levels: tuple[LevelVerdict, ...]
    images: int
    deep: bool
    chunks: int
    seconds: float
    peak_memory_bytes: int

    @property
    def sound(self) -> bool:
        """Whether there is no error. There may be warnings."""
        return not self.having("error")

    @property
    def problems(self) -> tuple[Finding, ...]:
        """Errors and warnings."""
        return (*self.having("error"), *self.having("warning"))

    def having(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of a severity."""
        return tuple(found for found in self.findings if found.severity == severity)

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {
            "path": str(self.path),
            "ome_zarr_version": self.ome_zarr_version,
            "sound": self.sound,
            "findings": [
                {"severity": f.severity, "code": f.code, "where": f.where, "what": f.what} for f in self.findings
            ],
            "levels": [level.to_json() for level in self.levels],
            "images": self.images,
            "deep": self.deep,
            "chunks": self.chunks,
            "seconds": round(self.seconds, 3),
            "peak_memory_bytes": self.peak_memory_bytes,
        }


@dataclass
class Report:
    """Collects findings about one image. `prefix` is its path relative to what is verified."""

    prefix: str = ""
    findings: list[Finding] = field(default_factory=list)
    levels: list[LevelVerdict] = field(default_factory=list)

    def error(self, code: str, what: str, where: str = "") -> None:
        self._add("error", code, what, where)

    def warning(self, code: str, what: str, where: str = "") -> None:
        self._add("warning", code, what, where)

    def note(self, code: str, what: str, where: str = "") -> None:
        self._add("note", code, what, where)

    def has_errors(self) -> bool:
        return any(found.severity == "error" for found in self.findings)

    def drop(self, code: str, where: str) -> None:
        """Take a finding back that later ones state better."""
        place = self.place(where)
        self.findings = [found for found in self.findings if (found.code, found.where) != (code, place)]

    def _add(self, severity: Severity, code: str, what: str, where: str) -> None:
        self.findings.append(Finding(severity, code, what.rstrip("."), self.place(where)))

    def place(self, where: str) -> str:
        """A path, relative to what is verified."""
        return "/".join(filter(None, (self.prefix, where)))


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings by severity; those of one severity in their order."""
    return tuple(sorted(findings, key=lambda found: SEVERITIES.index(found.severity)))
