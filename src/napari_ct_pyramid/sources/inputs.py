"""What an INPUT names: a file or folder, files by a pattern, or an array inside of a file. Opens no file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from napari_ct_pyramid.storage.object_store import RemotePath, is_url
from napari_ct_pyramid.storage.paths import AnyPath, PathLike, any_path, image_name

INSIDE = "::"
"""What parts a file from the path of an array within it: ``scan.h5::/entry/data/data``."""

TIFF_ENDINGS = (".tif", ".tiff", ".btf", ".tf8", ".tf2")
HDF5_ENDINGS = (".h5", ".hdf5", ".nxs")
"""By which files are offered: in the widget's file dialog and, written out once more, in napari's manifest."""

_WILD = frozenset("*?[")


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
        What the names of the files look like, as a shell would have it.
    """

    path: AnyPath
    inside: str | None = None
    pattern: str | None = None

    @property
    def stem(self) -> str:
        """The name of what it holds: ``scan`` for scan.ome.tif, scan.h5::/data, scan/ and scan_*.tif."""
        if self.pattern is not None:
            literal = self.pattern[: min(self.pattern.find(c) for c in _WILD if c in self.pattern)]
            return literal.rstrip("_-. 0") or self.path.resolve().name
        name = self.path.name if self.path.name not in ("", "..") else self.path.resolve().name
        if isinstance(self.path, RemotePath) or self.path.is_dir():
            return image_name(name)
        return image_name(Path(name).stem)


def parse_input(path: PathLike) -> Input:
    """Take an INPUT apart. What is there under just this name is meant, whatever signs are in it."""
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
    if _WILD.intersection(path.name):
        return Input(path.parent, pattern=path.name)
    return Input(path)
