"""Which files and folders are DICOM. It needs no library."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path

ENDINGS = (".dcm", ".ima", ".dicom")
"""Common endings of DICOM files. Many have none, or a number."""

_MAGIC, _MAGIC_AT = b"DICM", 128
_TRIED = 8  # files without a common ending that are opened, at most


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do: PS3.10, 7.1."""
    with path.open("rb") as file:
        return file.read(_MAGIC_AT + len(_MAGIC)).endswith(_MAGIC)


def is_dicom_folder(folder: Path, pattern: str | None, other_endings: tuple[str, ...]) -> bool:
    """Whether a folder has DICOM slices: one that is named like one, or files without a known ending.

    Parameters
    ----------
    folder : Path
    pattern : str or None
        Only the files whose names match it.
    other_endings : tuple of str
        Endings of other slices. A folder that has one is a folder of those, unless a file is named like a DICOM file.
    """
    unknown: list[str] = []
    others = False
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not fnmatchcase(entry.name, pattern or "*") or not entry.is_file():
                    continue
                ending = Path(entry.name).suffix.lower()
                if ending in ENDINGS:
                    if is_dicom(folder / entry.name):
                        return True
                elif ending in other_endings:
                    others = True
                elif len(unknown) < _TRIED:
                    unknown.append(entry.name)
        return not others and any(is_dicom(folder / name) for name in unknown)
    except OSError:
        return False
