"""Chooses the storage of a path: a disk or an object store."""

from __future__ import annotations

from .base import Storage
from .local import LocalStorage
from .object_store import ObjectStorage
from .paths import AnyPath
from .remote_path import RemotePath


def storage_of(path: AnyPath) -> Storage:
    """The operations on the files at a path."""
    return ObjectStorage(path) if isinstance(path, RemotePath) else LocalStorage(path)
