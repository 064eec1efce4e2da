"""Label images: the colors and properties of their labels, and those that belong to an image.

Specification: https://ngff.openmicroscopy.org/0.4/#labels-md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_ct_pyramid.storage.paths import AnyPath

from .channels import Note, shortened
from .kind import read_attributes

LABELS = "labels"
"""The group within an image that holds its label images."""

Rgba = tuple[int, int, int, int]


@dataclass(frozen=True)
class ImageLabel:
    """What the ``image-label`` metadata of a label image state.

    Attributes
    ----------
    colors : mapping of int to tuple of int
        Red, green, blue and alpha of labels, each 0 to 255.
    properties : mapping of int to mapping
        Any properties of labels.
    """

    colors: Mapping[int, Rgba] = field(default_factory=dict)
    properties: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)


def read_image_label(value: Any, note: Note) -> ImageLabel | None:
    """The ``image-label`` metadata of an image; None if it has none. What is not understood is noted."""
    if value is None:
        return None
    if not isinstance(value, dict):
        note("The metadata of its labels were ignored: they are not an object.")
        return ImageLabel()
    colors: dict[int, Rgba] = {}
    properties: dict[int, Mapping[str, Any]] = {}
    for entry in _entries(value, "colors", note):
        rgba = entry.get("rgba")
        if isinstance(rgba, list) and _is_rgba(rgba):
            r, g, b, a = (*rgba, 255)[:4]
            colors[entry["label-value"]] = (r, g, b, a)
        elif rgba is not None:
            note(
                f"The color {shortened(rgba)} of label {entry['label-value']} was ignored: it is not red, green, blue."
            )
    for entry in _entries(value, "properties", note):
        properties[entry["label-value"]] = {str(key): item for key, item in entry.items() if key != "label-value"}
    return ImageLabel(colors, properties)


def _entries(value: dict[str, Any], name: str, note: Note) -> list[dict[str, Any]]:
    """The entries of a list that state a label."""
    entries = value.get(name) or []
    if not isinstance(entries, list):
        note(f"The {name} of its labels were ignored: they are not a list.")
        return []
    good = [entry for entry in entries if isinstance(entry, dict) and _is_integer(entry.get("label-value"))]
    if len(good) < len(entries):
        note(f"{len(entries) - len(good):,} of the {name} of its labels were ignored: they name no label.")
    return good


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_rgba(value: list[Any]) -> bool:
    return len(value) in (3, 4) and all(_is_integer(v) and 0 <= v <= 255 for v in value)


def label_images(image: AnyPath) -> list[AnyPath]:
    """The folders of the label images of an image: those that its group ``labels`` lists, and that are there.

    Raises
    ------
    OSError
        If an object store does not answer.
    """
    group = image / LABELS
    return [folder for name in listed_labels(read_attributes(group)) if (folder := group / name).is_dir()]


def listed_labels(attributes: Mapping[str, Any]) -> list[str]:
    """The names of the label images that the attributes of a group list, each once."""
    listed = attributes.get(LABELS)
    names = listed if isinstance(listed, list) else []
    return list(dict.fromkeys(name for name in names if isinstance(name, str) and is_name_in_group(name)))


def is_name_in_group(name: str) -> bool:
    """Whether a name is a path of a group within another one: it does not lead out of it."""
    parts = name.replace("\\", "/").split("/")
    return bool(name.strip()) and not any(part in ("", ".", "..") or ":" in part for part in parts)
