"""A folder of slices, or the files that match a pattern: finds them, sorts them, and reports those that do not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from napari_ct_pyramid.errors import SourceError, SourceNotFoundError
from napari_ct_pyramid.model.formatting import count

from .base import VolumeReader
from .inputs import Input
from .names import in_order, without_previews
from .tiff.open import open_slices

_LISTED = 5  # kinds of files in a message, at most


def open_folder(source: Input, endings: Sequence[str]) -> VolumeReader:
    """Open the slices in a folder, each a TIFF file.

    Parameters
    ----------
    source : Input
        The folder; with a pattern, only the files whose names match it.
    endings : sequence of str
        Without a pattern, only the files whose names end in one of these.

    Raises
    ------
    SourceError
        If they differ, or a number is missing.
    """
    path, pattern = source.local_path, source.pattern
    where = path / pattern if pattern else path
    names, previews = without_previews(_names(path, pattern, endings))
    if not names:
        what = (
            f"No file in {path} matches {pattern}"
            if pattern
            else f"{where} has no TIFF file: {_content(path, endings)}"
        )
        raise SourceNotFoundError(f"{what}. A volume takes its slices, such as slice_0001.tif, slice_0002.tif, ….")
    if len(names) == 1:
        raise SourceError(
            f"{where} has a single file, {names[0]}, and a volume has two or more slices. If that file has all of "
            "them, try its own path."
        )
    slices = in_order(where, names)
    notes = []
    if previews:
        notes.append(f"{previews[0]} is taken for a preview, and left out.")
    if slices.step > 1:
        notes.append(f"The numbers of the slices are {slices.step:,} apart, which is taken for their order.")
    return open_slices(where, source.stem, [path / name for name in slices.names], notes=notes)


def _names(path: Path, pattern: str | None, endings: Sequence[str]) -> list[str]:
    entries = [entry for entry in _entries(path) if entry.is_file()]
    if pattern:
        return [entry.name for entry in entries if fnmatchcase(entry.name, pattern)]
    return [entry.name for entry in entries if entry.suffix.lower() in endings]


def _entries(path: Path) -> list[Path]:
    try:
        return [entry for entry in path.iterdir() if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise SourceNotFoundError(f"There is no folder {path}. Try its full path.") from exc


def _content(path: Path, endings: Sequence[str]) -> str:
    """What is in a folder, and which folder in it has slices, for a message."""
    entries = sorted(_entries(path))
    kinds = Counter(entry.suffix.lower() for entry in entries if entry.is_file())
    folders = [entry for entry in entries if entry.is_dir()]
    found = [count(number, f"{ending} file" if ending else "file") for ending, number in kinds.most_common(_LISTED)]
    found += [count(sum(kinds.values()) - sum(n for _, n in kinds.most_common(_LISTED)), "other file")] * (
        len(kinds) > _LISTED
    )
    found += [count(len(folders), "folder")] * bool(folders)
    if not found:
        return "it is empty"
    text = "it has " + " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)
    inner = next((folder for folder in folders if len(_names(folder, None, endings)) > 1), None)
    return f"{text}. Its folder {inner.name} has slices: try {inner}" if inner else text
