"""Paths on this machine or in an object store, and the names that this package gives to files."""

from __future__ import annotations

import os
import re
from io import FileIO
from pathlib import Path, PurePosixPath

from .remote_path import RemoteFile, RemotePath, is_url
from .zip_path import ENDINGS, ZipPath

AnyPath = Path | RemotePath

OpenFile = FileIO | RemoteFile

PathLike = str | os.PathLike[str] | RemotePath

OME_ZARR = ".ome.zarr"
"""The end of an OME-Zarr's name."""

INSIDE = "::"
"""Separates a file or a group from the path of what is in it: ``scan.h5::/entry/data/data``."""

STATE_FOLDER = ".ct-pyramid"
"""The folder in an output that holds the journal, the checksums, the receipt and the lock."""

_ENDING = "|".join(map(re.escape, ENDINGS))
_ARCHIVE = re.compile(rf"({_ENDING})(?=[/{re.escape(os.sep)}]|$)", re.IGNORECASE)
_LOCAL_SCHEMES = ("file://", "local://")


def any_path(path: PathLike) -> AnyPath:
    """The path that a text names. ``s3://bucket/scan.ome.zarr`` is in an object store.

    The name of an archive that holds an OME-Zarr, such as ``scan.ozx``, stands for what is in it.
    """
    if isinstance(path, RemotePath):
        return path
    text = os.fspath(path)
    if end := _ARCHIVE.search(text):
        archive = outer_path(text[: end.end()])
        if isinstance(archive, RemotePath) or archive.is_file():
            top, inside = ZipPath.of(archive), text[end.end() :].replace(os.sep, "/").strip("/")
            return top / inside if inside else top
    return outer_path(text)


def image_path(path: PathLike) -> AnyPath:
    """The path that a text names, which may be one in a group or an archive: ``plate.zarr::A/1/0``."""
    if isinstance(path, RemotePath):
        return path
    text = os.fspath(path)
    outer, separator, inside = text.partition(INSIDE)
    if separator and inside.strip("/") and (is_url(text) or not os.path.lexists(text)):
        group = any_path(outer)
        if isinstance(group, RemotePath) or group.is_dir():
            return group / inside.replace(os.sep, "/").strip("/")
    return any_path(path)


def outer_path(path: PathLike) -> AnyPath:
    """The path that a text names, which is never in a zip archive: where something is to be written."""
    if isinstance(path, ZipPath):
        return path if path.inside else path.archive
    if isinstance(path, RemotePath):
        return path
    text = os.fspath(path)
    if not is_url(text):
        return Path(text)
    if text.lower().startswith(_LOCAL_SCHEMES):
        from urllib.parse import unquote, urlsplit

        return Path(unquote(urlsplit(text).path))
    return RemotePath(text)


def relative_to(path: AnyPath, folder: AnyPath) -> PurePosixPath:
    """A path, relative to a folder that holds it."""
    if isinstance(path, RemotePath):
        return PurePosixPath(path.url.removeprefix(f"{folder}/"))
    return PurePosixPath(path.relative_to(str(folder)).as_posix())


def is_within(path: AnyPath, folder: AnyPath) -> bool:
    """Whether a path is a folder, or is in that folder."""
    if isinstance(path, RemotePath):
        return isinstance(folder, RemotePath) and f"{path}/".startswith(f"{folder}/")
    return isinstance(folder, Path) and path.is_relative_to(folder)


def image_name(name: str) -> str:
    """The name of an image from that of its folder or file: ``scan`` for scan.ome.zarr, scan.ozx and scan.ome."""
    for ending in ENDINGS:
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
    return name.removesuffix(".zarr").removesuffix(".ome") or name
