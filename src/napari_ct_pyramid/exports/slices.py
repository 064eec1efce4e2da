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


def others_in(folder: Path) -> list[str]:
    """The names of all in a folder that is not a slice which this package wrote."""
    of_slice = re.compile(rf"{re.escape(folder.resolve().name)}_\d{{{_FEWEST_DIGITS},}}\.tif")
    return sorted(
        path.name
        for path in folder.iterdir()
        if not (of_slice.fullmatch(path.name) and not path.is_symlink() and path.is_file() and is_ours(path))
    )
