"""Chooses and checks the place of an output. Other files of the user are never overwritten."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import accumulate
from pathlib import Path

from napari_ct_pyramid.errors import Advice, DiskSpaceError, OutputExistsError, RequestError
from napari_ct_pyramid.model.formatting import format_size
from napari_ct_pyramid.omezarr.journal import read_journal
from napari_ct_pyramid.omezarr.kind import is_published
from napari_ct_pyramid.sources.array_paths import paths_in
from napari_ct_pyramid.sources.inputs import ArrayInput, SourceLike, parse_input
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import OME_ZARR, AnyPath, is_within, outer_path
from napari_ct_pyramid.storage.zip_path import ZipPath

from .replacement import check_replaceable, is_empty


def default_output(src: SourceLike) -> AnyPath:
    """``<stem>.ome.zarr`` beside the source: ``scan.ome.tif``, ``scan.tif`` and ``scan/`` become ``scan.ome.zarr``.

    The output of files that a pattern names lies beside them; ``scan.ome.zarr`` itself becomes ``scan-2.ome.zarr``.

    Raises
    ------
    RequestError
        If the source is an array that has no folder.
    """
    asked = parse_input(src)
    if isinstance(asked, ArrayInput):
        if asked.folder is None:
            raise RequestError(f"{asked} has no file beside which the output could lie. Choose a path for the output.")
        return asked.folder / output_name(asked)
    path = outer_path(asked.path)  # the output lies beside an archive, not in it
    folder = path if asked.pattern is not None else path.parent
    if asked.path.name in ("", ".."):  # "." or ".."
        folder = asked.path.resolve().parent
    output = folder / f"{asked.stem}{OME_ZARR}"
    return output if output.name != asked.path.name else folder / f"{asked.stem}-2{OME_ZARR}"


def output_name(src: SourceLike) -> str:
    """The name that `default_output` gives an output: ``scan.ome.zarr``."""
    asked = parse_input(src)
    if not isinstance(asked, ArrayInput):
        return default_output(src).name
    return (re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", asked.name).strip(" .") or "array") + OME_ZARR


@contextmanager
def folder_for_outputs(folder: AnyPath | None) -> Iterator[None]:
    """A context in which a local folder exists if its parent does. If it was made and is empty, it is removed again."""
    if not isinstance(folder, Path) or folder.exists() or not folder.absolute().parent.is_dir():
        yield
        return
    folder.mkdir()
    try:
        yield
    finally:
        with suppress(OSError):  # something is in it
            folder.rmdir()


def check_output(src: SourceLike, output: AnyPath, overwrite: bool) -> None:
    """Make sure that the output can be made.

    Raises
    ------
    RequestError
        If it cannot: it exists (`OutputExistsError`), or it cannot lie there.
    """
    _check_name(output)
    check_apart(src, output)
    target = output.resolve()
    storage_of(output).check_place()
    if not storage_of(target).exists() or is_empty(target):
        return
    record = read_journal(target)
    if record and not is_published(target):
        return  # an unfinished conversion
    check_replaceable(output, record)
    if not overwrite:
        raise OutputExistsError(
            f"The output {output} exists already. Ask to overwrite it (",
            Advice("overwrite", True),
            "), or choose another name.",
        )


def _check_name(output: AnyPath) -> None:
    """Make sure that the system can look for such a path, whether it exists or not."""
    try:
        if isinstance(output, Path):
            output.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    except (OSError, ValueError) as error:  # the name is too long, or a link leads to itself
        why = (isinstance(error, OSError) and error.strerror) or error
        raise RequestError(f"The output {output} cannot be made: {why}. Choose another name.") from error


def check_apart(src: SourceLike, output: AnyPath) -> None:
    """Make sure that an output does not replace its source.

    Raises
    ------
    RequestError
        If it is the source, lies in it, or holds it.
    """
    asked, target = parse_input(src), output.resolve()
    paths = [asked.path] if asked.path else []
    if isinstance(asked, ArrayInput) and not paths and storage_of(target).exists():
        paths = paths_in(asked.data)
    for path in paths:
        source = (path.archive if isinstance(path, ZipPath) else path).resolve()
        if target == source:
            raise RequestError(f"The output {output} is the input itself. Choose another name for it.")
        if is_within(target, source) and (isinstance(asked, ArrayInput) or not asked.pattern):
            raise RequestError(f"The output {output} lies inside the input {source.name}. Choose another place for it.")
        if is_within(source, target):
            raise RequestError(f"The output {output} is a folder that holds the input. Choose another name for it.")


def bytes_free(output: AnyPath) -> int | None:
    """Bytes that the output may take: free bytes, and those of the output that it replaces. None in an object store."""
    free = storage_of(output).bytes_free()
    return None if free is None else free + storage_of(output).bytes_below()


def check_disks(outputs: Iterable[tuple[AnyPath, int]]) -> None:
    """Make sure that several outputs, made one after another, fit on their disks together.

    Parameters
    ----------
    outputs : iterable of (path, int)
        Each with its expected size in bytes.

    Raises
    ------
    DiskSpaceError
        If they do not fit.
    """
    disks: dict[int, list[tuple[AnyPath, int]]] = defaultdict(list)
    for output, size in outputs:
        storage = storage_of(output)
        if (device := storage.device()) is not None:
            disks[device].append((output, size - storage.bytes_below()))
    for there in disks.values():
        folder, free = there[0][0].resolve().parent, storage_of(there[0][0]).bytes_free() or 0
        needed = max(accumulate(size for _, size in there))  # an output that becomes smaller frees space for the next
        if needed > free:
            raise DiskSpaceError(
                f"{len(there)} outputs on the disk of {folder} need about {format_size(needed)} together, and "
                f"{format_size(free)} are free there. Free some space, or convert fewer at a time.",
                needed=needed,
                free=free,
            )
