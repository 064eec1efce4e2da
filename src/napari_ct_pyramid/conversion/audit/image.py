"""The raw metadata of an image under audit: what can be read is kept, however broken the rest is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.omezarr.array import ZarrArray
from napari_ct_pyramid.storage.paths import AnyPath


@dataclass
class Level:
    """A level of the image.

    Attributes
    ----------
    path : str
        Relative to the image.
    metadata : dict or None
        Of its array; None if that cannot be read.
    array : ZarrArray or None
        None if it cannot be opened.
    scale, translation : tuple of float or None
        None where they are not stated, or cannot be used.
    missing : set of tuple of int
        Indices of the files that are not there, of chunks or shards.
    """

    path: str
    metadata: dict[str, Any] | None = None
    array: ZarrArray | None = None
    scale: tuple[float, ...] | None = None
    translation: tuple[float, ...] | None = None
    missing: set[tuple[int, ...]] = field(default_factory=set)

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along the axes; empty where it is unknown."""
        found = (self.metadata or {}).get("shape")
        good = isinstance(found, list) and all(isinstance(n, int) and n >= 0 for n in found)
        return tuple(found) if good and found else ()

    @property
    def dtype(self) -> np.dtype | None:
        return self.array.dtype if self.array else None


@dataclass
class Image:
    """An image under audit.

    Attributes
    ----------
    path : Path or RemotePath
    version : str
    attributes : dict
        Its OME metadata.
    multiscales : dict
        The first entry, in the form of 0.5.
    axes, types, units : tuple
    levels : list of Level
    window : tuple of float or None
        Start and end of the display window, if there is one channel.
    """

    path: AnyPath
    version: str
    attributes: dict[str, Any]
    multiscales: dict[str, Any]
    axes: tuple[str, ...] = ()
    types: tuple[str | None, ...] = ()
    units: tuple[Any, ...] = ()
    levels: list[Level] = field(default_factory=list)
    window: tuple[float, float] | None = None

    @property
    def method(self) -> str:
        """What the metadata say of how the coarser levels were made, in small letters; empty if nothing."""
        metadata = self.multiscales.get("metadata")
        named = metadata.get("method") if isinstance(metadata, dict) else None
        return " ".join(str(text) for text in (self.multiscales.get("type"), named) if text).lower()


def open_array(path: AnyPath) -> tuple[ZarrArray | None, str]:
    """An array, or the reason why it cannot be opened."""
    try:
        return ZarrArray(path), ""
    except (SourceError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error).split("\n")[0]
        return None, what
