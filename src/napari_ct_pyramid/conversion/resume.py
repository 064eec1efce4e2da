"""What it takes to resume an unfinished output: the options of its conversion, and its source if that is found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_ct_pyramid.omezarr.journal import read_journal
from napari_ct_pyramid.sources.inputs import Input
from napari_ct_pyramid.sources.registry import ENDINGS
from napari_ct_pyramid.storage.paths import AnyPath

from .identity import OPTIONS


@dataclass(frozen=True)
class Resumable:
    """An unfinished output.

    Attributes
    ----------
    output : path
    name : str
        The name of the source's volume.
    source : Path or None
        The source; None if it is not beside the output.
    options : dict
        The options of the conversion, as its journal states them.
    """

    output: AnyPath
    name: str
    source: Path | None
    options: dict[str, Any]


def find_resumable(output: AnyPath) -> Resumable | None:
    """What the journal of an unfinished output states; None if it has no valid journal.

    The journal holds no path. The source is looked for in the folder of the output and in the one above: a file of the
    same size, or else one of the same name.
    """
    journal = read_journal(output)
    if journal is None:
        return None
    identity = journal.identity
    name, size = str(identity.get("source", "")), identity.get("size")
    options = {option: identity[option] for option in OPTIONS if option in identity}
    source = _find_source(output, name, size) if isinstance(output, Path) else None
    return Resumable(output, name, source, options)


def _find_source(output: Path, name: str, size: Any) -> Path | None:
    output = output.absolute()
    best: tuple[tuple[bool, bool], Path] | None = None
    for folder in output.parents[:2]:
        for path in _entries(folder):
            if path == output or path.name.startswith("."):
                continue
            same_size, same_name = _has_size(path, size), Input(path).stem == name
            if (same_size or same_name) and (best is None or (same_size, same_name) > best[0]):
                best = (same_size, same_name), path
    return best[1] if best else None


def _entries(folder: Path) -> list[Path]:
    """What may be a source: files of known formats, and folders."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() or path.name.lower().endswith(ENDINGS))
    except OSError:
        return []


def _has_size(path: Path, size: Any) -> bool:
    try:
        return path.is_file() and path.stat().st_size == size
    except OSError:
        return False
