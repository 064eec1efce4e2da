"""Reads the JSON files that metadata of Zarr are in."""

from __future__ import annotations

import errno
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
        value = parse_json(_read(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise SourceError(f"{path} cannot be read: {str(error).splitlines()[0].rstrip('.')}.") from error
    if not isinstance(value, dict):
        raise SourceError(f"{path} cannot be read: it is not a JSON object.")
    return value


def _read(path: AnyPath) -> bytes:
    """The bytes of a file. A disk that fails once is asked again, before what it holds counts as broken."""
    storage = storage_of(path)
    try:
        return storage.read()
    except OSError as error:
        if storage.is_remote or error.errno != errno.EIO:
            raise
        return storage.read()
