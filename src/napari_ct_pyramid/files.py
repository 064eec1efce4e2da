"""Files that survive a power cut."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path


def write_all(file: FileIO, data: bytes | memoryview) -> None:
    """Write all of `data`, which one call need not do."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def replace_file(path: Path, data: bytes) -> None:
    """Write a small file that is either there and whole, or as it was before."""
    new = path.with_name(path.name + ".new")
    with FileIO(new, "w") as file:
        write_all(file, data)
        os.fsync(file.fileno())
    new.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Have the names of a folder's files safely on disk, where a system must be asked for that."""
    if os.name != "posix":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
