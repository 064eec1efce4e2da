"""The versions of OME-Zarr: which one an image states, and which can be read."""

from __future__ import annotations

import re
from typing import Any

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.storage.paths import AnyPath

NEWEST = (0, 6)
"""The newest version of OME-Zarr that can be read."""

_NUMBERS = re.compile(r"\s*v?(\d+)\.(\d+)")


def version_of(attributes: dict[str, Any]) -> str:
    """The version that the OME metadata of a group state; where they state none, the one that they look like."""
    multiscales = attributes.get("multiscales")
    image = multiscales[0] if isinstance(multiscales, list) and multiscales else {}
    stated = attributes.get("version") or (image.get("version") if isinstance(image, dict) else None)
    if stated:
        return str(stated)
    return "0.6" if isinstance(image, dict) and "coordinateSystems" in image else "0.4"


def numbers_of(version: str) -> tuple[int, int] | None:
    """The first two numbers of a version: (0, 6) for ``0.6``, ``0.6.1`` and ``0.6.dev4``; None if it has none."""
    found = _NUMBERS.match(version)
    return (int(found[1]), int(found[2])) if found else None


def check_version(path: AnyPath, version: str) -> None:
    """Refuse a version that is newer than those that can be read.

    Raises
    ------
    SourceError
        If it is. What it states might mean something else than this program takes it for.
    """
    numbers = numbers_of(version)
    if numbers is not None and numbers > NEWEST:
        raise SourceError(
            f"{path} is OME-Zarr {version}. The newest that can be read here is {'.'.join(map(str, NEWEST))}. Try "
            "updating this program: pip install --upgrade napari-ct-pyramid"
        )
