"""The storage of a path: the one place that chooses between a disk and an object store."""

from __future__ import annotations

from .base import Storage
from .local import LocalStorage
from .object_store import ObjectStorage
from .paths import AnyPath
from .remote_path import RemotePath


def storage_of(path: AnyPath) -> Storage:
    """What the place of a path can do."""
    return ObjectStorage(path) if isinstance(path, RemotePath) else LocalStorage(path)
