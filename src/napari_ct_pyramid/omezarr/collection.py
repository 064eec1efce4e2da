"""Groups that are no image themselves: finds the images in them that can be shown as if the group were one.

Specification of collections: https://ngff.openmicroscopy.org/0.4/#bf2raw
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from napari_ct_pyramid.storage.paths import AnyPath

from .kind import has_multiscales, read_attributes
from .labels import LABELS, listed_labels


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
        return ["0"]
    return sorted(entry.name for entry in group.iterdir() if entry.name.isdecimal() and entry.is_dir())
