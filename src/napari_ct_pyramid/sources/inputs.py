"""What an INPUT names: a file or folder, the files that match a pattern, or an array in a file. Opens no file."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from napari_ct_pyramid.options import SourceOptions
from napari_ct_pyramid.storage.paths import AnyPath, PathLike, any_path, image_name
from napari_ct_pyramid.storage.remote_path import RemotePath, is_url

INSIDE = "::"
"""Separates a file from the path of an array within it: ``scan.h5::/entry/data/data``."""

_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True)
class Input:
    """What an INPUT names.

    Attributes
    ----------
    path : Path or RemotePath
        A file or folder; with a pattern, the folder of the files.
    inside : str or None
        Path of an array within it.
    pattern : str or None
        A pattern that the names of the files match, with the wildcards of a shell.
    options : SourceOptions
        What to read of it.
    """

    path: AnyPath
    inside: str | None = None
    pattern: str | None = None
    options: SourceOptions = SourceOptions()

    @property
    def local_path(self) -> Path:
        """The path, which must be one on this machine."""
        if isinstance(self.path, RemotePath):
            raise TypeError(f"{self.path} is in an object store")
        return self.path

    @property
    def stem(self) -> str:
        """The name of the volume: ``scan`` for scan.ome.tif, scan.h5::/data, scan/ and scan_*.tif."""
        if self.pattern is not None:
            literal = self.pattern[: min(self.pattern.find(c) for c in _WILDCARDS if c in self.pattern)]
            return literal.rstrip("_-. 0") or self.path.resolve().name
        name = self.path.name if self.path.name not in ("", "..") else self.path.resolve().name
        if isinstance(self.path, RemotePath) or self.path.is_dir():
            return image_name(name)
        return image_name(Path(name).stem)


def parse_input(path: PathLike, options: SourceOptions | None = None) -> Input:
    """The INPUT that a user named, with what to read of it."""
    return replace(_split(path), options=options or SourceOptions())


def _split(path: PathLike) -> Input:
    """Split an INPUT into its parts. A file or folder with exactly this name wins, even if it has * or :: in it."""
    text = str(path) if isinstance(path, RemotePath) else os.fspath(path)
    if is_url(text):
        place, _, inside = text.partition(INSIDE)
        return Input(any_path(place), inside.strip("/") or None)
    path = Path(text)
    if os.path.lexists(path):
        return Input(path)
    if INSIDE in text:
        file, _, inside = text.partition(INSIDE)
        return Input(Path(file), inside.replace("\\", "/").strip("/"))
    if _WILDCARDS.intersection(path.name):
        return Input(path.parent, pattern=path.name)
    return Input(path)
