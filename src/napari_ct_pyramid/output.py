"""Where an output goes, and that nothing of the user's is in its way."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .errors import OutputExistsError, RequestError
from .store import UNFINISHED

PathLike = str | os.PathLike[str]


def default_output(src: PathLike) -> Path:
    """``<stem>.ome.zarr`` beside the source: ``scan.ome.tif`` and ``scan.tif`` become ``scan.ome.zarr``."""
    path = Path(src)
    return path.with_name(path.stem.removesuffix(".ome") + ".ome.zarr")


def check_output(src: PathLike, output: Path, overwrite: bool) -> None:
    """Make sure that the output can be made.

    Raises
    ------
    RequestError
        If it cannot: it exists (`OutputExistsError`), or its place is no good.
    """
    source, target = Path(src).resolve(), output.resolve()
    if target == source:
        raise RequestError(f"The output {output} is the input itself. Choose another name for it.")
    if target.is_relative_to(source):
        raise RequestError(f"The output {output} lies inside the input {source.name}. Choose another place for it.")
    if source.is_relative_to(target):
        raise RequestError(f"The output {output} is a folder that holds the input. Choose another name for it.")
    folder = target.parent
    if not folder.is_dir():
        raise RequestError(f"There is no folder {output.parent} for the output. Make it first, or choose another.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RequestError(f"The folder {output.parent} cannot be written to. Choose another place for the output.")
    if not os.path.lexists(target):
        return
    if not any((target / name).exists() for name in (".zgroup", ".zattrs", "zarr.json", UNFINISHED)):
        raise OutputExistsError(
            f"The output {output} exists already and is no OME-Zarr, so it is left alone. Choose another name.",
            replaceable=False,
        )
    if not overwrite:
        what = "an unfinished conversion" if (target / UNFINISHED).exists() else "an OME-Zarr"
        raise OutputExistsError(
            f"The output {output} exists already ({what}). Ask to overwrite it (--overwrite), or choose another name."
        )


def make_output(output: Path) -> None:
    """Make the output's folder, empty, in place of what it replaces.

    Raises
    ------
    RequestError
        If the folder cannot be made.
    """
    try:
        if output.exists():
            shutil.rmtree(output)
        output.mkdir()
    except OSError as error:
        raise RequestError(f"The output {output} cannot be made: {error.strerror}. Choose another place.") from error


def bytes_free(output: Path) -> int:
    """Bytes that the output may take: what is free, and what it replaces."""
    return shutil.disk_usage(output.resolve().parent).free + bytes_there(output)


def bytes_there(output: Path) -> int:
    """Bytes of all files below a folder."""
    return sum((Path(folder) / name).stat().st_size for folder, _, names in os.walk(output) for name in names)
