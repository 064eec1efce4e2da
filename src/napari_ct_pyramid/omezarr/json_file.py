"""Reads the JSON files that metadata of Zarr are in."""

from __future__ import annotations

from typing import Any

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.parsing import parse_json
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import AnyPath


def read_json(path: AnyPath) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is no such file.

    Raises
    ------
    SourceError
        If it cannot be read, or is no JSON object. Its cause is the `OSError` of a disk or store that failed.
    """
    try:
        value = parse_json(storage_of(path).read())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise SourceError(f"{path} cannot be read: {str(error).splitlines()[0].rstrip('.')}.") from error
    if not isinstance(value, dict):
        raise SourceError(f"{path} cannot be read: it is not a JSON object.")
    return value
