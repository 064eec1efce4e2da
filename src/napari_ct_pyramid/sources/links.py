"""Files that a source names: they must exist, and be in the source's own folder unless the user allows others.

A file from elsewhere could otherwise put any file that the user may read into an output.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from napari_ct_pyramid.errors import Advice, SourceError, SourceNotFoundError

from .inputs import Input


def linked_file(source: Input, file: Path, what: str) -> Path:
    """A file that a source names, once it is known that it exists and may be read.

    Parameters
    ----------
    source : Input
    file : Path
        Relative paths are relative to the folder of the source.
    what : str
        What names the file, for messages: ``"its external link /entry/data"``.

    Raises
    ------
    SourceNotFoundError
        If there is no such file.
    SourceError
        If it is not in the folder of the source, or a folder in that, and the user did not ask to follow links.
    """
    path = source.local_path
    file = path.parent / file
    if not source.options.follow_links and not _is_inside(file, path):
        raise _outside(f"{path} names a file outside of its own folder: {what} is in {file}")
    if not file.is_file():
        raise SourceNotFoundError(
            f"{path} is not complete: {what} is in {file}, and there is no such file. Try copying it there."
        )
    return file


def check_files(source: Input, folder: Path, paths: Iterable[Path]) -> None:
    """Make sure that none of the files below a folder, nor a folder between, is a link that leads out of it.

    Files that do not exist are passed over. A pipe would be waited for, for ever.

    Raises
    ------
    SourceError
        If one is, and the user did not ask to follow links, or if one is no ordinary file.
    """
    for path in paths:
        mode = _mode(path)
        if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise SourceError(f"{path} is not an ordinary file. Remove it, or get it from where the source comes from.")
        if source.options.follow_links:
            continue
        between = len(path.parts) - len(folder.parts) - 1  # of them
        for part in (path, *path.parents[: max(0, between)]):
            if part.is_symlink() and not part.resolve().is_relative_to(folder.resolve()):
                raise _outside(f"{part} is a link out of the source's own folder: it leads to {part.resolve()}")


def is_plain(path: Path) -> bool:
    """Whether a path is an ordinary file and no link, or does not exist. Quick."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return True


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _outside(what: str) -> SourceError:
    return SourceError(
        f"{what}. If you trust the source, let links be followed (",
        Advice("follow_links", True),
        "), or copy that file into its folder.",
    )


def _is_inside(file: Path, source: Path) -> bool:
    """Whether a file is in the folder of the source, as it was named or where a symbolic link leads."""
    folders = source.parent.resolve(), source.resolve().parent
    return any(file.resolve().is_relative_to(folder) for folder in folders)
