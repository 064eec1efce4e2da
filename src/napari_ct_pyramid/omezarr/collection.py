"""Groups that hold images: lists them, and finds those that can be shown as if the group were one.

Specification of collections: https://ngff.openmicroscopy.org/0.4/#bf2raw. Plates and wells: https://ngff.openmicroscopy.org/0.4/#plate-md
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import AnyPath

from .kind import has_multiscales, is_array, is_group, read_attributes
from .labels import LABELS, is_name_in_group, listed_labels

_DEPTH = 2  # of folders that are searched for images where no metadata list them
_MOST_SERIES = 10_000  # images of a collection that cannot be listed


@dataclass(frozen=True)
class ImageEntry:
    """An image in a group.

    Attributes
    ----------
    path : str
        Relative to the group; empty for the group itself.
    kind : str
        ``"image"`` or ``"labels"``.
    """

    path: str
    kind: Literal["image", "labels"] = "image"


def list_images(group: AnyPath) -> list[ImageEntry]:
    """All images in a group that are there, each followed by its labels.

    The group may be an image, a plate, a well, a collection, labels, or any group in whose folders images are.

    Raises
    ------
    OSError
        If an object store does not answer.
    """
    return list(_entries(group, ""))


def _entries(group: AnyPath, path: str) -> Iterator[ImageEntry]:
    here = group / path if path else group
    attributes = read_attributes(here)
    if "multiscales" in attributes:
        yield ImageEntry(path, "labels" if "image-label" in attributes else "image")
        yield from _each(group, path, [f"{LABELS}/{name}" for name in listed_labels(read_attributes(here / LABELS))])
    elif "plate" in attributes:
        yield from _each(group, path, _paths_in(attributes["plate"], "wells"))
    elif "well" in attributes:
        yield from _each(group, path, _paths_in(attributes["well"], "images"))
    elif "bioformats2raw.layout" in attributes:
        yield from _each(group, path, _series(here))
    elif listed := listed_labels(attributes):
        yield from _each(group, path, listed)
    elif isinstance(here, Path) or storage_of(here).is_remote:
        yield from _nested(group, path)


def _each(group: AnyPath, path: str, names: Iterable[str]) -> Iterator[ImageEntry]:
    for name in names:
        below = f"{path}/{name}" if path else name
        if is_group(group / below):
            yield from _entries(group, below)


def _nested(group: AnyPath, path: str) -> Iterator[ImageEntry]:
    """Images in the folders of a group whose metadata list none."""
    here = group / path if path else group
    if path.count("/") + bool(path) >= _DEPTH or is_array(here):
        return
    try:
        names = sorted(entry.name for entry in here.iterdir() if not entry.name.startswith(".") and entry.is_dir())
    except OSError:
        return
    yield from _each(group, path, names)


def _paths_in(value: Any, key: str) -> list[str]:
    """The paths that the metadata of a plate or a well list."""
    entries = value.get(key) if isinstance(value, dict) else None
    paths = [entry.get("path") for entry in entries or () if isinstance(entry, dict)]
    return [path for path in paths if isinstance(path, str) and is_name_in_group(path)]


def images_in(group: AnyPath) -> tuple[AnyPath, ...]:
    """The images that a group stands for.

    These are the group itself, if it is an image; the only image of a collection that bioformats2raw wrote; or all
    label images of a group that has nothing else. There are none for a plate, for a collection of several images, and
    for anything else.

    Raises
    ------
    OSError
        If an object store does not answer.
    """
    if has_multiscales(group):
        return (group,)
    attributes = read_attributes(group)
    if "plate" in attributes or "well" in attributes:
        return ()
    if "bioformats2raw.layout" in attributes:
        images = [group / name for name in _series(group)]
        images = [image for image in images if has_multiscales(image)]
        return tuple(images) if len(images) == 1 else ()
    for folder in (group, group / LABELS):
        found = [folder / name for name in listed_labels(read_attributes(folder))]
        if found:
            return tuple(image for image in found if has_multiscales(image))
    return ()


def _series(group: AnyPath) -> list[str]:
    """The names of the images of a collection: those in its list, or else all that are numbers."""
    listed: Any = read_attributes(group / "OME").get("series")
    if isinstance(listed, list):
        return [name for name in listed if isinstance(name, str) and re.fullmatch(r"[\w-]+", name)]
    if not isinstance(group, Path):
        return list(itertools.takewhile(lambda name: is_group(group / name), map(str, range(_MOST_SERIES))))
    names = [entry.name for entry in group.iterdir() if entry.name.isdecimal() and entry.is_dir()]
    return sorted(names, key=int)
