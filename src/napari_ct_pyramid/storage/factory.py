"""Chooses the storage of a path: a disk, an object store or a zip archive."""

from __future__ import annotations

from .base import Storage
from .local import LocalStorage
from .object_store import ObjectStorage
from .paths import AnyPath
from .remote_path import RemotePath
from .zip_path import ZipPath
from .zip_storage import ZipStorage


def storage_of(path: AnyPath) -> Storage:
    """The operations on the files at a path."""
    if isinstance(path, ZipPath):
        return ZipStorage(path)
    return ObjectStorage(path) if isinstance(path, RemotePath) else LocalStorage(path)
