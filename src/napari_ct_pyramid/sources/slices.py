"""A folder of slices, or the files that a pattern names: finds them, in order, and says what is odd among them."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

from napari_ct_pyramid.errors import SourceError, SourceNotFoundError
from napari_ct_pyramid.model.formatting import count
from napari_ct_pyramid.sources.tiff.layout import open_slices

from .base import VolumeReader
from .inputs import TIFF_ENDINGS

_NUMBERS = re.compile(r"(\d+)")


def open_folder(path: Path, pattern: str | None, name: str) -> VolumeReader:
    """Open the slices in a folder, each a TIFF file; with a pattern, those that are called so. `name` is the volume's.

    Raises
    ------
    SourceError
        If they are not all of them alike, in one sequence of numbers without a gap.
    """
    names = _names(path, pattern)
    where = path / pattern if pattern else path
    if not names:
        kind = f"No file in {path} is called {pattern}" if pattern else f"{where} holds no TIFF file"
        raise SourceNotFoundError(f"{kind}. A volume takes its slices, such as slice_0001.tif, slice_0002.tif, ….")
    if len(names) == 1:
        raise SourceError(
            f"{where} is a single file, {names[0]}, where a volume has two or more slices. If that file holds all of "
            "them, name it itself."
        )
    return open_slices(where, name, [path / file for file in in_order(where, names)])


def _names(path: Path, pattern: str | None) -> list[str]:
    try:
        entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise SourceNotFoundError(f"There is no folder {path}. Try its full path.") from exc
    if pattern:
        return [entry.name for entry in entries if fnmatchcase(entry.name, pattern) and entry.is_file()]
    return [entry.name for entry in entries if entry.suffix.lower() in TIFF_ENDINGS and entry.is_file()]


def in_order(where: Path, names: list[str]) -> list[str]:
    """File names by their number, which must be all in which they differ.

    Raises
    ------
    SourceError
        If one is of another kind, there twice, or missing.
    """
    parts = {name: _NUMBERS.split(name) for name in names}  # words and numbers in turn
    words, _ = Counter(tuple(part[::2]) for part in parts.values()).most_common(1)[0]
    _check_alike(where, names, [name for name in names if tuple(parts[name][::2]) != words])
    numbers = {name: tuple(map(int, parts[name][1::2])) for name in names}
    if len(words) < 2:  # no number at all, and so but one name
        raise SourceError(f"The files of {where} have no numbers in their names, which would say their order.")
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
                f"pattern that only the slices have."
            )
        if other > number + 1:
            missing = _numbered(parts[name], running, number + 1)
            lost = other - number - 1
            raise SourceError(
                f"{missing} is missing in {where}: {following} comes after {name}"
                + (f", without the {lost:,} slices between them" if lost > 1 else "")
                + ". Slices must be numbered without a gap."
            )
    return ordered


def _numbered(parts: list[str], running: int, number: int) -> str:
    """A name with another number."""
    at = 2 * running + 1
    return "".join([*parts[:at], str(number).zfill(len(parts[at])), *parts[at + 1 :]])


def _check_alike(where: Path, names: list[str], odd: list[str]) -> None:
    if not odd:
        return
    usual = next(name for name in sorted(names) if name not in odd)
    more = f", and {count(len(odd) - 1, 'more file')} like it," if len(odd) > 1 else ""
    raise SourceError(
        f"{min(odd)}{more} in {where} {'are' if more else 'is'} not named as the other slices are, such as {usual}. "
        f"Try moving what is no slice elsewhere, or a pattern that only slices have, such as "
        f"'{where.parent if '*' in where.name else where}/{_NUMBERS.sub('*', usual)}'."
    )
