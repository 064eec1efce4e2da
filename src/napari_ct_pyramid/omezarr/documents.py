"""The files with the metadata of arrays and groups, and the copies of them that consolidated metadata are."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import AnyPath

from .json_file import read_json
from .kind import is_group

CONSOLIDATED = ".zmetadata"

Document = tuple[str, dict[str, Any]]
"""A file with metadata, relative to the image, and its content."""


def read_group(path: AnyPath) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The name and the content of the file with the attributes of a group, and the attributes."""
    group = read_json(path / "zarr.json")
    if group is not None:
        return "zarr.json", group, group["attributes"]
    attributes = read_json(path / ".zattrs") or {}
    return ".zattrs", attributes, attributes


def array_file(metadata: dict[str, Any]) -> str:
    """The name of the file that holds this metadata of an array."""
    return ".zarray" if metadata["zarr_format"] == 2 else "zarr.json"


def with_attributes(document: dict[str, Any], file: str, attributes: dict[str, Any]) -> dict[str, Any]:
    """The content of the file of a group, with other attributes."""
    return attributes if file == ".zattrs" else {**document, "attributes": attributes}


def with_copies(path: AnyPath, documents: dict[str, dict[str, Any]]) -> tuple[Document, ...]:
    """All files that change where some metadata of an image do, in the order in which they are to be written.

    Parameters
    ----------
    path : path
        Of the image.
    documents : dict
        The files that change, relative to the image, and their new contents. The last one is the image's own.
    """
    *_, own = documents
    changed = documents | _copies(path, documents)
    changed[own] = changed.pop(own)
    return tuple(changed.items())


def _copies(path: AnyPath, documents: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The files that hold copies of these documents: consolidated metadata, which each group above them may have."""
    found = {}
    for folder in sorted({parent for key in documents for parent in PurePosixPath(key).parents}, reverse=True):
        prefix = "" if folder == PurePosixPath() else f"{folder}/"
        below = {key.removeprefix(prefix): value for key, value in documents.items() if key.startswith(prefix)}
        if copies := read_json(path / f"{prefix}{CONSOLIDATED}"):
            found[prefix + CONSOLIDATED] = {**copies, "metadata": {**copies["metadata"], **below}}
        group = documents.get(f"{prefix}zarr.json") or read_json(path / f"{prefix}zarr.json") or {}
        if inline := group.get("consolidated_metadata"):
            groups = {key.removesuffix("/zarr.json"): value for key, value in below.items() if "/" in key}
            inline = {**inline, "metadata": {**inline["metadata"], **groups}}
            found[f"{prefix}zarr.json"] = {**group, "consolidated_metadata": inline}
    return found


def replace_document(path: AnyPath, document: dict[str, Any]) -> None:
    """Write a file with metadata in one step."""
    storage_of(path).replace(json.dumps(document, indent=2).encode())


def check_parents(path: AnyPath) -> None:
    """Make sure that no group above the image holds a copy of its metadata, which would stay as it is."""
    above = path.resolve().parent
    while is_group(above):
        if (above / CONSOLIDATED).is_file() or "consolidated_metadata" in (read_json(above / "zarr.json") or {}):
            raise RequestError(
                f"The group {above.name} around the image holds a copy of its metadata (consolidated metadata), which "
                "would not change. Remove the copy first."
            )
        if above.parent == above:
            return
        above = above.parent
