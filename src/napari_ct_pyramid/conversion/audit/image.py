"""The raw metadata of an image under audit: what can be read is kept, however broken the rest is."""

from __future__ import annotations

from collections.abc import Iterator
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
    missing : numpy.ndarray or None
        For each file of chunks, or of shards, along the axes: whether it is not there. None if all are, or if there are
        too many to tell.
    """

    path: str
    metadata: dict[str, Any] | None = None
    array: ZarrArray | None = None
    scale: tuple[float, ...] | None = None
    translation: tuple[float, ...] | None = None
    missing: np.ndarray | None = None

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


def first_places(flags: np.ndarray, number: int) -> Iterator[tuple[int, ...]]:
    """The indices of the first flags that are set, at most so many."""
    flat, at = flags.ravel(), 0
    for _ in range(number):
        at += int(flat[at:].argmax()) if at < flat.size else 0
        if at >= flat.size or not flat[at]:
            return
        yield tuple(map(int, np.unravel_index(at, flags.shape)))
        at += 1


def open_array(path: AnyPath) -> tuple[ZarrArray | None, str]:
    """An array, or the reason why it cannot be opened."""
    try:
        return ZarrArray(path), ""
    except (SourceError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error).split("\n")[0]
        return None, what
