"""A folder of slices, or the files that match a pattern: finds them, sorts them, and reports those that do not fit."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from napari_ct_pyramid.errors import SourceError, SourceNotFoundError
from napari_ct_pyramid.model.formatting import count

from .base import VolumeReader
from .tiff.open import open_slices

_NUMBERS = re.compile(r"(\d+)")


def open_folder(path: Path, pattern: str | None, name: str, endings: Sequence[str]) -> VolumeReader:
    """Open the slices in a folder, each a TIFF file.

    Parameters
    ----------
    path : Path
        The folder.
    pattern : str or None
        Only the files whose names match it.
    name : str
        The name of the volume.
    endings : sequence of str
        Without a pattern, only the files whose names end in one of these.

    Raises
    ------
    SourceError
        If they differ, or a number is missing.
    """
    names = _names(path, pattern, endings)
    where = path / pattern if pattern else path
    if not names:
        what = f"No file in {path} matches {pattern}" if pattern else f"{where} has no TIFF file"
        raise SourceNotFoundError(f"{what}. A volume takes its slices, such as slice_0001.tif, slice_0002.tif, ….")
    if len(names) == 1:
        raise SourceError(
            f"{where} has a single file, {names[0]}, and a volume has two or more slices. If that file has all of "
            "them, try its own path."
        )
    return open_slices(where, name, [path / file for file in in_order(where, names)])


def _names(path: Path, pattern: str | None, endings: Sequence[str]) -> list[str]:
    try:
        entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise SourceNotFoundError(f"There is no folder {path}. Try its full path.") from exc
    if pattern:
        return [entry.name for entry in entries if fnmatchcase(entry.name, pattern) and entry.is_file()]
    return [entry.name for entry in entries if entry.suffix.lower() in endings and entry.is_file()]


def in_order(where: Path, names: list[str]) -> list[str]:
    """File names sorted by their number. They must not differ in anything else.

    Raises
    ------
    SourceError
        If one is named differently, or a number is missing or occurs twice.
    """
    parts = {name: _NUMBERS.split(name) for name in names}  # words and numbers in turn
    words, _ = Counter(tuple(part[::2]) for part in parts.values()).most_common(1)[0]
    _check_alike(where, names, [name for name in names if tuple(parts[name][::2]) != words])
    numbers = {name: tuple(map(int, parts[name][1::2])) for name in names}
    if len(words) < 2:  # without a number, all names are the same
        raise SourceError(f"The files of {where} have no numbers in their names. Try numbering the slices.")
    columns = list(zip(*numbers.values(), strict=True))
    running = max(range(len(columns)), key=lambda i: (len(set(columns[i])), i))
    usual = [Counter(column).most_common(1)[0][0] for column in columns]
    _check_alike(
        where,
        names,
        [n for n in names if any(numbers[n][i] != usual[i] for i in range(len(columns)) if i != running)],
    )
    ordered = sorted(names, key=lambda name: (numbers[name][running], name))
    for name, following in itertools.pairwise(ordered):
        number, other = numbers[name][running], numbers[following][running]
        if other == number:
            raise SourceError(
                f"{following} and {name} in {where} have the same number. Try moving one of them elsewhere, or a "
                f"pattern that matches only the slices."
            )
        if other > number + 1:
            missing = _numbered(parts[name], running, number + 1)
            lost = other - number - 1
            raise SourceError(
                f"{missing} is missing in {where}: {following} comes after {name}"
                + (f", without the {lost:,} slices between them" if lost > 1 else "")
                + ". Try copying or numbering the slices again, without a gap."
            )
    return ordered


def _numbered(parts: list[str], running: int, number: int) -> str:
    """The same name with another number."""
    at = 2 * running + 1
    return "".join([*parts[:at], str(number).zfill(len(parts[at])), *parts[at + 1 :]])


def _check_alike(where: Path, names: list[str], different: list[str]) -> None:
    if not different:
        return
    usual = next(name for name in sorted(names) if name not in different)
    more = f", and {count(len(different) - 1, 'more file')} like it," if len(different) > 1 else ""
    raise SourceError(
        f"{min(different)}{more} in {where} {'are' if more else 'is'} not named as the other slices are, such as "
        f"{usual}. Try moving all that is not a slice elsewhere, or a pattern that matches only slices, such as "
        f"'{where.parent if '*' in where.name else where}/{_NUMBERS.sub('*', usual)}'."
    )
