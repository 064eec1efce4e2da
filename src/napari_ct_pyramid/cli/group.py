"""`ct-pyramid info` of a group of images, for people: a plate, a well, a collection, or labels."""

from __future__ import annotations

from typing import Any

from napari_ct_pyramid.model.formatting import count, table, times
from napari_ct_pyramid.storage.paths import INSIDE


def describe_group(info: dict[str, Any]) -> str:
    """The images in a group, as `info.read_info` found them, and how to open one."""
    images = info["images"]
    rows = [
        (
            image["path"],
            image["kind"],
            times(image["shape"]) if image["shape"] else "cannot be read",
            " ".join(image["axes"] or ()),
            image["dtype"] or "",
        )
        for image in images
    ]
    lines = [info["path"], f"  Format   {info['format']}, {count(len(images), 'image')}", ""]
    lines += [f"  {line}" for line in table(("Image", "Kind", "Shape", "Axes", "Type"), rows)]
    return "\n".join([*lines, "", f"  To open one: {info['path']}{INSIDE}{images[0]['path']}"])
