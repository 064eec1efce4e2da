"""Where things lie: a path on this machine, or one in an object store."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path, PurePosixPath

from .remote_path import RemoteFile, RemotePath, is_url

AnyPath = Path | RemotePath

OpenFile = FileIO | RemoteFile

PathLike = str | os.PathLike[str] | RemotePath

OME_ZARR = ".ome.zarr"
"""What the name of an OME-Zarr ends in."""

STATE_FOLDER = ".ct-pyramid"
"""In an output: what is not its pyramid but about it."""

_HERE = ("file://", "local://")


def any_path(path: PathLike) -> AnyPath:
    """The path that a text names: ``s3://bucket/scan.ome.zarr`` is one in an object store."""
    if isinstance(path, RemotePath):
        return path
    text = os.fspath(path)
    if not is_url(text):
        return Path(text)
    if text.lower().startswith(_HERE):
        from urllib.parse import unquote, urlsplit

        return Path(unquote(urlsplit(text).path))
    return RemotePath(text)


def relative_to(path: AnyPath, folder: AnyPath) -> PurePosixPath:
    """What a path is called in a folder that holds it."""
    if isinstance(path, RemotePath):
        return PurePosixPath(path.url.removeprefix(f"{folder}/"))
    return PurePosixPath(path.relative_to(str(folder)).as_posix())


def is_within(path: AnyPath, folder: AnyPath) -> bool:
    """Whether a path is that of a folder, or of something in it."""
    if isinstance(path, RemotePath):
        return isinstance(folder, RemotePath) and f"{path}/".startswith(f"{folder}/")
    return isinstance(folder, Path) and path.is_relative_to(folder)


def image_name(name: str) -> str:
    """The name of an image from that of its folder or file: ``scan`` for scan.ome.zarr, scan.zarr and scan.ome."""
    return name.removesuffix(".zarr").removesuffix(".ome") or name
