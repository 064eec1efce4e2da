"""Finds out what a folder holds, from its metadata files alone.

Specifications: Zarr v2 keeps ``.zgroup``, ``.zarray`` and ``.zattrs``, Zarr v3 keeps ``zarr.json``. A group is an
OME-Zarr image if its attributes have ``multiscales`` (NGFF 0.4), or have them under ``ome`` (NGFF 0.5 and newer).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import STATE_FOLDER, AnyPath

from .json_file import read_json

ZARR_FILES = (".zgroup", ".zattrs", ".zarray", "zarr.json")
"""The metadata files of Zarr v2 and v3."""

GROUP_FILES = {"0.4": ".zattrs", "0.5": "zarr.json", "0.6": "zarr.json"}
"""The file with the attributes of a group, by version of OME-Zarr. A conversion writes it last."""

GROUP_FILE_NAMES = tuple(dict.fromkeys(GROUP_FILES.values()))
"""All names of such files."""

JOURNAL = f"{STATE_FOLDER}/journal.jsonl"
"""The journal of a conversion, within its output."""

REBUILD = f"{STATE_FOLDER}/rebuild.json"
"""The note of levels that are being rebuilt, within the image."""

EDIT = f"{STATE_FOLDER}/edit.json"
"""The note of an edit of several files with metadata, within the image."""

Kind = Literal["image", "unfinished", "array", "group"]
"""An OME-Zarr image, the output of an unfinished conversion, a Zarr array, or any other Zarr group."""


def kind_of(path: AnyPath) -> Kind | None:
    """What a path holds; None where it holds no Zarr.

    Broken metadata is not an error here: a folder with broken attributes is a group.

    Raises
    ------
    OSError
        If an object store does not answer.
    """
    if has_multiscales(path):
        return "image"
    if storage_of(path / JOURNAL).is_file():
        return "unfinished"
    if is_array(path):
        return "array"
    return "group" if any(storage_of(path / name).is_file() for name in ZARR_FILES) else None


def looks_like_image(path: AnyPath) -> bool:
    """Whether a path may be an OME-Zarr image or an unfinished conversion. A quick check that never raises.

    A path in an object store passes without a request to the store, which can take long.
    """
    if not isinstance(path, Path):
        return True
    if os.path.isdir(path / STATE_FOLDER):  # noqa: PTH112  # Path.is_dir can raise
        return True
    return has_multiscales(path)


def is_array(path: AnyPath) -> bool:
    """Whether a folder is a Zarr array, of v2 or v3."""
    return storage_of(path / ".zarray").is_file() or (_object_in(path / "zarr.json") or {}).get("node_type") == "array"


def is_group(path: AnyPath) -> bool:
    """Whether a folder has a metadata file of a group."""
    return any((path / name).exists() for name in (".zgroup", *GROUP_FILE_NAMES))


def names_multiscales(path: AnyPath) -> bool:
    """Whether a metadata file contains the word ``multiscales``, even if the file is not valid JSON."""
    return any((path / name).is_file() and b'"multiscales"' in (path / name).read_bytes() for name in GROUP_FILE_NAMES)


def is_published(output: AnyPath) -> bool:
    """Whether the group has the attributes that make it a finished image."""
    return any((output / name).exists() for name in GROUP_FILE_NAMES)


def is_unfinished(output: AnyPath) -> bool:
    """Whether it is the output of an unfinished conversion."""
    return (output / JOURNAL).is_file() and not is_published(output)


def can_be_verified(output: AnyPath) -> bool:
    """Whether it is a finished output of this package."""
    return (output / JOURNAL).is_file() and is_published(output)


def is_audited(path: AnyPath) -> bool:
    """Whether it can only be verified without a receipt: no conversion of this package has left its journal there."""
    return not (path / JOURNAL).is_file()


def is_being_rebuilt(path: AnyPath) -> bool:
    """Whether a rebuild of the levels of an image is under way, or was interrupted."""
    return storage_of(path / REBUILD).is_file()


def unpublish(output: AnyPath) -> None:
    """Remove the attributes that make it a finished image, and wait until that is safe."""
    for name in GROUP_FILE_NAMES:
        (output / name).unlink(missing_ok=True)
    storage_of(output).sync_folder()


def _object_in(path: AnyPath) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is none, or if a file on a disk cannot be read."""
    try:
        return read_json(path)
    except SourceError as error:
        if isinstance(error.__cause__, OSError) and storage_of(path).is_remote:
            raise error.__cause__ from None
        return None


def has_multiscales(path: AnyPath) -> bool:
    """Whether a folder is a group with the metadata of an image. Broken metadata is no error here."""
    return bool(read_attributes(path).get("multiscales"))


def read_attributes(path: AnyPath, *, strict: bool = False) -> dict[str, Any]:
    """The attributes of a group, since OME-Zarr 0.5 those under ``ome``; empty if it has none, or they are broken.

    Raises
    ------
    SourceError
        With `strict`, if their file cannot be read.
    """
    read = read_json if strict else _object_in
    group = read(path / "zarr.json")
    attributes = read(path / ".zattrs") if group is None else group.get("attributes")
    found = attributes.get("ome", attributes) if isinstance(attributes, dict) else None
    return found if isinstance(found, dict) else {}


def read_multiscales(path: AnyPath) -> list[dict[str, Any]]:
    """The multiscales metadata of an image; empty where there are none that can be read."""
    multiscales = read_attributes(path).get("multiscales")
    return multiscales if isinstance(multiscales, list) else []
