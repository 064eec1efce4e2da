"""The note of a rebuild in the image, and the steps that a viewer sees: levels leave its metadata, and come back last.

So that an interruption at any moment leaves either the image as it was or one with fewer levels, each of these is safe
before the next begins:

1. the note, which states all that is to be done;
2. the image's metadata without these levels, and then the metadata of arrays that had none;
3. the chunks of these levels are removed, and the note states that;
4. each new chunk or shard, in one step: a file that is there is complete;
5. the journal of an output of this package, with the checksums of these chunks;
6. the image's metadata with all levels;
7. the note is removed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from napari_ct_pyramid.errors import RequestError, SourceError
from napari_ct_pyramid.omezarr.documents import (
    Document,
    array_file,
    read_group,
    replace_document,
    with_attributes,
    with_copies,
)
from napari_ct_pyramid.omezarr.json_file import read_json
from napari_ct_pyramid.omezarr.kind import REBUILD, read_multiscales
from napari_ct_pyramid.omezarr.metadata import ChunkLocator
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import STATE_FOLDER, AnyPath
from napari_ct_pyramid.storage.sealed import seal, unseal


@dataclass(frozen=True)
class NewLevel:
    """A level that is made again.

    Attributes
    ----------
    path, finer : str
        Of its array, and of the one that it is made from, relative to the image.
    factors : tuple of int
        Voxels of the finer level along each axis that make one.
    metadata : dict
        Of its array.
    """

    path: str
    finer: str
    factors: tuple[int, ...]
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Note:
    """What a rebuild does.

    Attributes
    ----------
    levels : tuple of NewLevel
        From fine to coarse.
    method : str
        How voxels are made.
    datasets : list
        The image's list of all levels, as it is published in the end.
    cleared : bool
        Whether the old chunks are removed: every file that is there is a new one.
    """

    levels: tuple[NewLevel, ...]
    method: str
    datasets: list[dict[str, Any]]
    cleared: bool = False


def read_note(path: AnyPath) -> Note | None:
    """The note of a rebuild that was interrupted; None if there is none.

    Raises
    ------
    SourceError
        If it cannot be used.
    OSError
        If it cannot be read.
    """
    try:
        value = unseal(storage_of(path / REBUILD).read())
        levels = tuple(NewLevel(**{**level, "factors": tuple(level["factors"])}) for level in value.pop("levels"))
        note = Note(levels, **value)
        _check_places(note)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(
            f"{path / REBUILD}, the note of an interrupted rebuild of levels, cannot be used: {error}. The image lists "
            "only the levels that are complete. Convert it into a new one."
        ) from error
    return note


def _check_places(note: Note) -> None:
    check_paths(note.datasets)
    if not note.levels:
        raise ValueError("it names no levels")
    if not {level.path for level in note.levels} <= {dataset["path"] for dataset in note.datasets[1:]}:
        raise ValueError("it names levels that the image does not have")


def check_paths(datasets: list[Any]) -> None:
    """Make sure that listed levels are in the image, and no two of them in one folder. Raises `ValueError`."""
    parts = []
    for dataset in datasets:
        path = dataset.get("path") if isinstance(dataset, dict) else None
        if not isinstance(path, str):
            raise ValueError("a level has no path")
        parts.append(PurePosixPath(path).parts)
    for one in parts:
        if not one or not set(one).isdisjoint(("..", "/")):
            raise ValueError("a level is not in the image")
    for k, one in enumerate(parts):
        if any(other[: len(one)] == one for n, other in enumerate(parts) if n != k):
            raise ValueError("two levels are in one folder")


def write_note(path: AnyPath, note: Note) -> Note:
    """Write the note, and wait until it is safe."""
    (path / STATE_FOLDER).mkdir(exist_ok=True)
    storage_of(path / REBUILD).replace(seal(asdict(note)))
    storage_of(path).sync_folder()
    return note


def remove_note(path: AnyPath) -> None:
    """Remove the note: all is done."""
    (path / REBUILD).unlink(missing_ok=True)


def remove_folder(path: AnyPath) -> None:
    """Remove the folder of the note, if nothing is in it."""
    folder = path / STATE_FOLDER
    if isinstance(folder, Path):
        with suppress(OSError):  # it holds more in an output of this program, or the note
            folder.rmdir()


def check_list(path: AnyPath, note: Note) -> None:
    """Make sure that an interrupted rebuild finds the list of levels that it left.

    Raises
    ------
    RequestError
        If it was changed meanwhile, which would be lost.
    """
    multiscales = read_multiscales(path)
    if not multiscales or multiscales[0].get("datasets") not in (note.datasets, _kept(note)):
        raise RequestError(
            f"The list of levels of {path} was changed after a rebuild of them was interrupted, and to complete it "
            f"would undo that. To keep the list as it is now, remove the file {path / REBUILD}."
        )


def withdraw(path: AnyPath, note: Note) -> None:
    """Take the levels out of the image's metadata, and give arrays that had no metadata those that they will have.

    A level that is listed has no array without chunks at any moment: viewers would show it as zeros.
    """
    _write(path, _kept(note), {})
    for level in note.levels:
        (path / level.path).mkdir(parents=True, exist_ok=True)
    _write(path, _kept(note), _arrays(note))


def check_documents(path: AnyPath, note: Note) -> None:
    """Make sure that the metadata, and the copies of them, can be changed.

    Raises
    ------
    RequestError
        If they are broken.
    """
    try:
        _documents(path, _kept(note), _arrays(note))
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise RequestError(
            f"The levels of {path} cannot be rebuilt: its metadata, or a copy of them (consolidated metadata), are "
            f"broken: {what}. If it is the copy, remove it first."
        ) from error


def _kept(note: Note) -> list[dict[str, Any]]:
    """The list of levels without those that are made."""
    new = {level.path for level in note.levels}
    return [dataset for dataset in note.datasets if dataset["path"] not in new]


def _arrays(note: Note) -> dict[str, dict[str, Any]]:
    return {f"{level.path}/{array_file(level.metadata)}": level.metadata for level in note.levels}


def _holds(file: AnyPath, metadata: dict[str, Any]) -> bool:
    with suppress(SourceError):
        return read_json(file) == metadata
    return False


def publish(path: AnyPath, note: Note) -> None:
    """Put the levels back into the image's metadata."""
    _write(path, note.datasets, {})


def _write(path: AnyPath, datasets: list[dict[str, Any]], arrays: dict[str, dict[str, Any]]) -> None:
    """Write the metadata of the image with other levels, and those of arrays before; files that hold them stay."""
    for key, changed in _documents(path, datasets, arrays):
        if not _holds(path / key, changed):
            replace_document(path / key, changed)


def _documents(
    path: AnyPath, datasets: list[dict[str, Any]], arrays: dict[str, dict[str, Any]]
) -> tuple[Document, ...]:
    file, document, attributes = read_group(path)
    place: dict[str, Any] = attributes.get("ome", attributes)
    first, *rest = place["multiscales"]
    image = {**place, "multiscales": [{**first, "datasets": datasets}, *rest]}
    whole = {**attributes, "ome": image} if "ome" in attributes else image
    return with_copies(path, {**arrays, file: with_attributes(document, file, whole)})


def clear(path: AnyPath, note: Note) -> Note:
    """Remove the chunks of the levels, and state in the note that it is done."""
    for level in note.levels:
        storage_of(path / level.path).remove(locator(path, level).has_file)
    return write_note(path, replace(note, cleared=True))


def locator(path: AnyPath, level: NewLevel) -> ChunkLocator:
    """Finds the files of a level."""
    return ChunkLocator(path / level.path, level.metadata)
