"""The axes of an image, and the scale and translation that its metadata give to a level: NGFF 0.1 to 0.5.

Specification: https://ngff.openmicroscopy.org/0.4/#trafo-md. What 0.6 states is brought into this form by
`coordinate_systems`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .channels import finite_number, shortened

_AXES_BEFORE_0_4 = ("t", "c", "z", "y", "x")


def read_axes(
    multiscales: dict[str, Any],
) -> tuple[tuple[str, ...], tuple[str | None, ...], tuple[str | None, ...]]:
    """Names, types and units of the axes. Before 0.4, an axis was only a name; before 0.3, five axes were implied."""
    axes = [a if isinstance(a, dict) else {"name": a} for a in multiscales.get("axes") or _AXES_BEFORE_0_4]
    names = tuple(str(axis["name"]) for axis in axes)
    if not 2 <= len(names) <= 5:
        raise ValueError(f"it has {len(names)} axes; 2 to 5 can be read")
    implied = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
    types = tuple(axis.get("type") or implied.get(name) for axis, name in zip(axes, names, strict=True))
    return names, types, tuple(axis.get("unit") for axis in axes)


def read_transformations(
    groups: Iterable[Sequence[dict[str, Any]] | None], ratio: list[float], notes: list[str]
) -> tuple[tuple[float, ...], tuple[float, ...], bool]:
    """The scale and translation that result from groups of transformations, and whether all scales could be used.

    The transformations are applied one after the other. If they give no scale, it is `ratio`: the finest level's size
    divided by that of this level. Sentences about what was ignored are added to `notes`.
    """
    scale, translation = [1.0] * len(ratio), [0.0] * len(ratio)
    scaled, valid = False, True
    for transformation in (t for group in groups for t in group or ()):
        kind = transformation["type"]
        if kind == "identity":
            continue
        if kind not in ("scale", "translation"):
            raise ValueError(f"a coordinate transformation of type {kind!r} cannot be read")
        values = _read_vector(transformation[kind], kind, len(ratio), notes)
        if values is None:
            valid &= kind != "scale"
        elif kind == "scale":
            scale = [a * b for a, b in zip(scale, values, strict=True)]
            translation = [a * b for a, b in zip(translation, values, strict=True)]
            scaled = True
        else:
            translation = [a + b for a, b in zip(translation, values, strict=True)]
    if not (scaled and valid):
        return tuple(ratio), tuple(translation), valid
    return tuple(scale), tuple(translation), True


def _read_vector(values: Any, kind: str, count: int, notes: list[str]) -> list[float] | None:
    """The numbers of a scale or translation; None, with a sentence added to `notes`, if it cannot be used."""
    found = [finite_number(value) for value in values] if isinstance(values, list) else []
    numbers = [value for value in found if value is not None]
    if len(found) != count or len(numbers) != count or (kind == "scale" and 0 in numbers):
        rule = f"it must be {count} finite numbers" + (" above 0" if kind == "scale" else "")
        notes.append(f"Its {kind} {shortened(values)} was ignored: {rule}.")
        return None
    if kind == "scale" and min(numbers) < 0:
        notes.append(f"Its scale {shortened(values)} is negative. The sign was ignored: the axis is not reversed.")
        return [abs(value) for value in numbers]
    return numbers
