"""The names of slices: their order, what is missing or does not fit, and patterns that match only slices."""

from __future__ import annotations

import glob
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from napari_ct_pyramid.errors import SingleSliceError, SourceError
from napari_ct_pyramid.model.formatting import count

_NUMBERS = re.compile(r"(\d+)")
_DIGIT = re.compile(r"\d")
_PREVIEW = re.compile(r"_spr\.[^.]+$", re.IGNORECASE)
_FEW = 3  # with fewer names, a step between their numbers says nothing


@dataclass(frozen=True)
class SliceNames:
    """The names of the slices of a volume.

    Attributes
    ----------
    names : tuple of str
        In the order of their numbers.
    step : int
        The difference of the numbers of neighbouring slices.
    """

    names: tuple[str, ...]
    step: int


class _OrderError(SourceError):
    """The names are not those of slices."""


def without_previews(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names without those of previews, and the previews.

    SkyScan's programs write a projection through the volume beside the slices: ``scan_rec_spr.bmp``.
    """
    previews = [name for name in names if _PREVIEW.search(name)]
    slices = [name for name in names if name not in previews]
    return (slices, previews) if slices else (list(names), [])


def in_order(where: Path, names: Sequence[str]) -> SliceNames:
    """File names sorted by their number. They must not differ in anything else, and the numbers have one step.

    Parameters
    ----------
    where : Path
        The folder, or the pattern that the names match, for messages.
    names : sequence of str
        One or more.

    Raises
    ------
    SourceError
        If one is named differently, or a number is missing or occurs twice.
    """
    try:
        return _in_order(where, names)
    except _OrderError as error:
        folder = where if where.is_dir() else where.parent
        pattern = next(_patterns(names), None)
        advice = f"a pattern that matches only slices, such as '{folder / pattern}'" if pattern else "numbering them"
        raise SourceError(f"{error} Try moving all that is not a slice elsewhere, or {advice}.") from None


def single_slice(file: Path, what: str, endings: Sequence[str]) -> SingleSliceError:
    """The error for a file that is one slice. It offers what has all slices.

    Parameters
    ----------
    file : Path
    what : str
        What it is: ``"a PNG image"``.
    endings : sequence of str
        Of the names of files that may be slices.
    """
    what = f"{file} is {what}, where a volume needs two or more slices."
    volume = volume_beside(file, endings)
    if volume is None:
        return SingleSliceError(
            f"{what} Try a file that has all slices as its pages, or a folder with one file for each slice."
        )
    return SingleSliceError(f"{what} The slices beside it are one volume: try {_quoted(volume)}.", volume=volume)


def volume_beside(file: Path, endings: Sequence[str]) -> str | None:
    """The INPUT that has all slices of which this file is one; None if it seems to be the only one.

    Parameters
    ----------
    file : Path
    endings : sequence of str
        Of the names of files that may be slices.
    """
    try:
        beside = [other.name for other in file.parent.iterdir() if other.suffix.lower() in endings]
    except OSError:
        return None
    names, _ = without_previews([name for name in beside if not name.startswith(".")])
    if len(names) > 1 and file.name in names and _fits(names):
        return str(file.parent)
    return next((str(file.parent / pattern) for pattern in _patterns(names, file.name)), None)


def _quoted(volume: str) -> str:
    """A path; a pattern in quotes, since a shell would replace it by the names that match."""
    return f"'{volume}'" if any(wildcard in volume for wildcard in "*?[") else volume


def _in_order(where: Path, names: Sequence[str]) -> SliceNames:
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
    step = _step([numbers[name][running] for name in ordered])
    for name, following in itertools.pairwise(ordered):
        number, other = numbers[name][running], numbers[following][running]
        if other == number:
            raise _OrderError(f"{following} and {name} in {where} have the same number.")
        if other > number + step:
            missing = _numbered(parts[name], running, number + step)
            lost = (other - number) // step - 1
            raise SourceError(
                f"{missing} is missing in {where}: {following} comes after {name}"
                + (f", without the {lost:,} slices between them" if lost > 1 else "")
                + ". Try copying or numbering the slices again, without a gap."
            )
    return SliceNames(tuple(ordered), step)


def _step(numbers: Sequence[int]) -> int:
    """The difference that most neighbours have, if all differences are multiples of it; 1 otherwise."""
    differences = [b - a for a, b in itertools.pairwise(numbers)]
    if len(numbers) < _FEW or 0 in differences:
        return 1
    (step, times), *_ = Counter(sorted(differences)).most_common()
    return step if 2 * times > len(differences) and all(d % step == 0 for d in differences) else 1


def _numbered(parts: list[str], running: int, number: int) -> str:
    """The same name with another number."""
    at = 2 * running + 1
    return "".join([*parts[:at], str(number).zfill(len(parts[at])), *parts[at + 1 :]])


def _check_alike(where: Path, names: Sequence[str], different: list[str]) -> None:
    if not different:
        return
    usual = next(name for name in sorted(names) if name not in different)
    more = f", and {count(len(different) - 1, 'more file')} like it," if len(different) > 1 else ""
    raise _OrderError(
        f"{min(different)}{more} in {where} {'are' if more else 'is'} not named as the other slices are, such as "
        f"{usual}."
    )


def _patterns(names: Sequence[str], of: str | None = None) -> Iterator[str]:
    """Patterns of which each matches all slices of a volume and nothing else; with `of`, only those that match it.

    One number of a name is replaced by a wildcard at a time. What a pattern matches is tried before it is given.
    """
    tried = set()
    examples = [of] if of else [min(family) for family in _families(names)]
    for parts in map(_NUMBERS.split, examples):
        for at in range(len(parts) - 2, 0, -2):
            for wildcard in ("*", "?" * len(parts[at])):
                before, after = (glob.escape("".join(some)) for some in (parts[:at], parts[at + 1 :]))
                pattern = f"{before}{wildcard}{after}"
                if pattern in tried:
                    continue
                tried.add(pattern)
                matched = [name for name in names if fnmatchcase(name, pattern)]
                if len(matched) > 1 and _fits(matched):
                    yield pattern


def _families(names: Sequence[str]) -> list[list[str]]:
    """The names that differ only in digits, the largest family first."""
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(_DIGIT.sub("0", name), []).append(name)
    return sorted(families.values(), key=lambda family: (-len(family), family))


def _fits(names: Sequence[str]) -> bool:
    try:
        _in_order(Path(), names)
    except SourceError:
        return False
    return True
