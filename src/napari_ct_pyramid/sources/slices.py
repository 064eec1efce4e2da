"""A folder of slices, or the files that match a pattern: finds them, sorts them, and reports those that do not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from napari_ct_pyramid.errors import SourceError, SourceNotFoundError
from napari_ct_pyramid.model.formatting import count

from .base import VolumeReader
from .image_header import IMAGE_KINDS, ImageKind
from .image_slices import open_image_slices
from .inputs import Input
from .links import check_files
from .names import in_order, without_previews
from .row_reader import FileVolumeReader
from .scanner_log import check_log, find_log
from .tiff.ome import check_ome_set, find_ome_set
from .tiff.open import open_slices, open_tiff

_KINDS = ", ".join(["TIFF", *(kind.name for kind in IMAGE_KINDS)])
_LISTED = 5  # kinds of files in a message, at most


def open_folder(source: Input, endings: Sequence[str]) -> VolumeReader:
    """Open the slices in a folder, each a TIFF file or an image of another kind.

    A log that the scanner left beside them gives the voxel size, where the slices themselves do not.

    Parameters
    ----------
    source : Input
        The folder; with a pattern, only the files whose names match it.
    endings : sequence of str
        Of the names of TIFFs.

    Raises
    ------
    SourceError
        If they differ, or a number is missing.
    """
    path, pattern = source.local_path, source.pattern
    where = path / pattern if pattern else path
    kind, found = _slices(path, pattern, endings)
    names, previews = without_previews(found)
    if not names:
        what = (
            f"No file in {path} matches {pattern}"
            if pattern
            else f"{where} has no slices ({_KINDS} files): {_content(path, endings)}"
        )
        raise SourceNotFoundError(f"{what}. A volume takes its slices, such as slice_0001.tif, slice_0002.tif, ….")
    if len(names) == 1:
        raise SourceError(
            f"{where} has a single file, {names[0]}, and a volume has two or more slices. If that file has all of "
            "them, try its own path."
        )
    if kind is None and (first := find_ome_set(path, names)):
        reader = open_tiff(replace(source, path=first, pattern=None))
        check_ome_set(path, names, reader.paths)
        reader.volume = replace(reader.volume, name=source.stem)
        return reader
    slices = in_order(where, names)
    notes = []
    if previews:
        notes.append(f"{previews[0]} is taken for a preview, and left out.")
    if slices.step > 1:
        notes.append(f"The numbers of the slices are {slices.step:,} apart, which is taken for their order.")
    files = [path / name for name in slices.names]
    check_files(source, path, files)
    if kind:
        reader = open_image_slices(where, source.stem, files, kind, notes=notes)
    else:
        reader = open_slices(where, source.stem, files, notes=notes)
    return _with_log(reader, path, slices.names)


def _with_log(reader: FileVolumeReader, folder: Path, names: Sequence[str]) -> FileVolumeReader:
    """The slices with the voxel size that the scanner's log states, if they do not state their own."""
    volume = reader.volume
    log = find_log(folder, names) if volume.voxel_size is None else None
    if log:
        size, notes = check_log(log, volume.shape)
        reader.volume = replace(
            volume,
            voxel_size=size.voxel_size,
            unit=size.unit,
            voxel_size_from=size.origin,
            notes=(*volume.notes, *notes),
        )
    return reader


def _slices(path: Path, pattern: str | None, endings: Sequence[str]) -> tuple[ImageKind | None, list[str]]:
    """The kind that most slices have (None for TIFF), and the names of those; with a pattern, all that match it."""
    by_kind: dict[ImageKind | None, list[str]] = {None: []}
    names = [entry.name for entry in _entries(path) if entry.is_file() and fnmatchcase(entry.name, pattern or "*")]
    for name in names:
        ending = Path(name).suffix.lower()
        kind = next((kind for kind in IMAGE_KINDS if ending in kind.endings), None)
        if kind or pattern or ending in endings:
            by_kind.setdefault(kind, []).append(name)
    chosen = max(by_kind, key=lambda kind: len(by_kind[kind]))
    return chosen, names if pattern else by_kind[chosen]


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
    inner = next((folder for folder in folders if len(_slices(folder, None, endings)[1]) > 1), None)
    return f"{text}. Its folder {inner.name} has slices: try {inner}" if inner else text
