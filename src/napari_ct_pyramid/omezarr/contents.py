"""What in a folder belongs to an OME-Zarr image: its metadata, the chunks of its levels, and our own state folder."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import STATE_FOLDER, AnyPath
from napari_ct_pyramid.storage.sealed import unseal

from .journal import Record
from .kind import read_multiscales
from .metadata import ChunkLocator, array_metadata, read_array_metadata

_GROUP_FILES = (".zgroup", ".zattrs", ".zmetadata", "zarr.json")
_ARRAY_FILES = (".zarray", ".zattrs", "zarr.json")
_UNFINISHED = (".new", ".part")  # endings of files that are being written, before they are renamed


def is_of_system(name: str) -> bool:
    """Whether an operating system adds files of this name to folders."""
    return name in (".DS_Store", "Thumbs.db", "desktop.ini") or name.startswith("._")


@dataclass(frozen=True)
class Contents:
    """The files that belong to an image.

    Attributes
    ----------
    arrays : dict of str to ChunkLocator or None
        The arrays of the image, by their paths relative to it; None where an array has no metadata that can be read.
    """

    arrays: dict[str, ChunkLocator | None]

    def hold_chunk(self, key: str) -> bool:
        """Whether a file holds a chunk, or chunks, of one of the arrays."""
        return any(
            chunks is not None and key.startswith(f"{path}/") and chunks.has_file(key.removeprefix(f"{path}/"))
            for path, chunks in self.arrays.items()
        )

    def hold(self, key: str) -> bool:
        """Whether a file belongs to the image. `key` is its path, relative to the image, with slashes."""
        if key.startswith(f"{STATE_FOLDER}/") or is_of_system(PurePosixPath(key).name):
            return True
        for ending in _UNFINISHED:
            key = key.removesuffix(ending)
        folder, _, name = key.rpartition("/")
        if name in _GROUP_FILES and (not folder or any(path.startswith(f"{folder}/") for path in self.arrays)):
            return True
        return (name in _ARRAY_FILES and folder in self.arrays) or self.hold_chunk(key)


def contents_of(output: AnyPath, record: Record | None) -> Contents:
    """What belongs to an image, or to the unfinished output of a conversion.

    Parameters
    ----------
    output : path
    record : Record or None
        The content of its journal.

    Raises
    ------
    SourceError
        If it is neither an image nor an output of this package.
    OSError
        If the disk or the store fails.
    """
    try:
        paths = [str(k) for k in range(record.identity["num_levels"])] if record else []
        paths += read_replaced(output).get("arrays", ())
        paths += [str(dataset["path"]) for image in read_multiscales(output) for dataset in image["datasets"]]
    except (KeyError, TypeError):
        paths = []
    if not paths:
        raise SourceError(f"{output} is not an OME-Zarr image.")
    return Contents({path: _locator(output / path) for path in paths})


REPLACED = f"{STATE_FOLDER}/replaced.json"
"""In an object store: what a conversion that has begun replaces, until all of that is removed."""


def read_replaced(output: AnyPath) -> dict[str, Any]:
    """The content of `REPLACED`; empty if there is none. On a disk there never is."""
    if not storage_of(output).is_remote:
        return {}
    try:
        return unseal((output / REPLACED).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}


_BROKEN = (errno.EINVAL, errno.EACCES, errno.EISDIR, errno.ELOOP)  # what is there instead of a file


def _locator(array: AnyPath) -> ChunkLocator | None:
    try:
        return ChunkLocator(array, read_array_metadata(array))
    except SourceError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno not in _BROKEN:
            raise error.__cause__ from None  # of the disk: its chunks are not known now, and may be at the next look
        return None
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        return None


def contents_of_plan(output: AnyPath, plan: Plan) -> Contents:
    """What belongs to the output of a plan, whatever is there."""
    arrays: dict[str, ChunkLocator | None] = {}
    for key, metadata in array_metadata(plan).items():
        path = key.rpartition("/")[0]
        if path:
            arrays[path] = ChunkLocator(output / path, metadata)
    return Contents(arrays)


def stray_chunks(output: AnyPath, plan: Plan) -> list[str]:
    """Files among the chunks that are none, and files of levels that are none, by the names in an output.

    Other files beside the levels, and other groups in the output such as labels, are no flaw of the volume.
    """
    contents = contents_of_plan(output, plan)
    return [
        key
        for key in _strays(output, contents, links=False)
        if (top := key.partition("/")[0]) != key and (top in contents.arrays or top.isdigit())
    ]


def strays(output: AnyPath, contents: Contents) -> list[str]:
    """The files in a folder that do not belong to the image, sorted. Links never belong to it."""
    return _strays(output, contents, links=True)


def _strays(output: AnyPath, contents: Contents, *, links: bool) -> list[str]:
    found = storage_of(output).files_below()
    return sorted(key for key, size in found if (links and size < 0) or not contents.hold(key))
