"""The names of the slices of an export, and which files of a folder are such slices."""

from __future__ import annotations

import re
from pathlib import Path

from .tiff import is_ours

_FEWEST_DIGITS = 4


def slice_names(name: str, count: int) -> list[str]:
    """``NAME_0000.tif`` and so on: numbers of as many digits as all of them need, and at least four."""
    digits = max(_FEWEST_DIGITS, len(str(count - 1)))
    return [f"{name}_{number:0{digits}}.tif" for number in range(count)]


def is_slice_name(file: str, name: str) -> bool:
    """Whether a file has the name of a slice."""
    return bool(re.fullmatch(rf"{re.escape(name)}_\d{{{_FEWEST_DIGITS},}}\.tif", file))


def others_in(folder: Path) -> list[str]:
    """The names of all in a folder that is not a slice which this package wrote."""
    name = folder.resolve().name
    return sorted(
        path.name
        for path in folder.iterdir()
        if not (is_slice_name(path.name, name) and not path.is_symlink() and path.is_file() and is_ours(path))
    )
