"""Files that a user chose together: those that are slices of one volume are one INPUT."""

from __future__ import annotations

import glob
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .base import Holds
from .formats import FORMATS
from .inputs import Input
from .names import volume_beside
from .registry import find_format
from .source_format import SourceFormat

_FEW = 3  # fewer slices are taken for pictures of their own
_MOST = 0.75  # with fewer of all numbers, they are not those of slices
_DIGITS = re.compile(r"\d+")
_NUMBER = re.compile(r"(\d+)")


def group_inputs(paths: Sequence[str | Path]) -> list[str]:
    """The INPUTs that chosen files and folders are, in their order.

    Three or more slices of a volume are together one INPUT: their folder, or a pattern of their names. It names all
    slices of that volume, also those that were not chosen. All else stays as it is.
    """
    volumes = volumes_of_slices(paths)
    return list(dict.fromkeys(volumes.get(str(path), str(path)) for path in paths))


def volumes_of_slices(paths: Sequence[str | Path]) -> dict[str, str]:
    """For each of these files that is a slice of a volume: the INPUT with all its slices.

    One file of each volume is opened, and its folder is listed.
    """
    alike: dict[tuple[Path, str], list[Path]] = {}
    for path in map(Path, dict.fromkeys(map(str, paths))):
        if _slice_format(path):
            alike.setdefault((path.parent, _DIGITS.sub("0", path.name)), []).append(path)
    found: dict[str, str] = {}
    for files in alike.values():
        if len(files) >= _FEW and (volume := volume_of_slice(files[0]) or _with_gaps(files)):
            found |= dict.fromkeys(map(str, files), volume)
    return found


def _with_gaps(files: Sequence[Path]) -> str | None:
    """The pattern of slices of which a few are missing, so that opening it tells which; None if they are no slices."""
    if holds(files[0]) != "slice":
        return None
    parts = [_NUMBER.split(file.name) for file in files]  # words and numbers in turn
    varying = [i for i in range(1, len(parts[0]), 2) if len({part[i] for part in parts}) > 1]
    if len(varying) != 1:
        return None
    numbers = sorted(int(part[varying[0]]) for part in parts)
    steps = Counter(after - before for before, after in itertools.pairwise(numbers))
    step = max(1, steps.most_common(1)[0][0])
    if len(numbers) < _MOST * ((numbers[-1] - numbers[0]) / step + 1):
        return None
    names = parts[0]
    before, after = "".join(names[: varying[0]]), "".join(names[varying[0] + 1 :])
    return str(files[0].parent / f"{glob.escape(before)}*{glob.escape(after)}")


def volume_of_slice(file: Path) -> str | None:
    """The INPUT that has all slices of which a file is one; None if it is no slice, or the only one."""
    kind = _slice_format(file)
    if kind is None or holds(file) != "slice":
        return None
    with suppress(OSError):
        if find_format(Input(file.parent)).name != _SLICES.name:  # DICOM states the order of slices
            return str(file.parent)
    return volume_beside(file, kind.endings + kind.slice_endings)


def slices_in(folder: Path) -> str | None:
    """The INPUT that has the slices in a folder; None if a quick look finds no volume of slices.

    Raises
    ------
    OSError
        If the folder cannot be listed.
    """
    if find_format(Input(folder)).name != _SLICES.name:
        return str(folder)
    alike: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        if _slice_format(file) and not file.name.startswith("."):
            alike.setdefault(_DIGITS.sub("0", file.name), []).append(file)
    files = max(alike.values(), key=len, default=[])
    if len(files) < _FEW or holds(files[0]) != "slice":
        return None
    return volume_of_slice(files[0]) or str(folder)  # opening the folder tells what does not fit


def holds(file: Path) -> Holds:
    """What a file holds, by a quick look. One that cannot be read counts as a volume: opening it tells why."""
    kind = _slice_format(file)
    if kind is None or kind.holds is None:
        return "volume"
    try:
        return kind.holds(file)
    except Exception:  # noqa: BLE001  libraries raise errors of every kind on damaged files
        return "volume"


def _slice_format(file: Path) -> SourceFormat | None:
    """The format of which a file may be a slice, by its name."""
    ending = file.suffix.lower()
    return next((kind for kind in FORMATS if kind.holds and ending in kind.endings + kind.slice_endings), None)


_SLICES = next(kind for kind in reversed(FORMATS) if kind.is_folder)  # every folder may be one of slices
