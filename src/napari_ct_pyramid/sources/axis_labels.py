"""Arrays whose axes have names, as in HDF5 with dimension scales, and in Zarr by xarray."""

from __future__ import annotations

from collections.abc import Sequence

from napari_ct_pyramid.options import SourceOptions

from .choice import choose

_NAMES = {"z": "z", "y": "y", "x": "x", "c": "channel", "t": "time", "channel": "channel", "time": "time"}


def known_axes(labels: Sequence[object], shape: Sequence[int]) -> list[str] | None:
    """The axes by their labels: ``["time", "z", "y", "x"]``. An axis of length 1 may have any label.

    None if other labels are not known, or an axis occurs twice.
    """
    if len(labels) != len(shape) or 0 in shape:
        return None
    names = [_NAMES.get(str(label).strip().lower(), "") for label in labels]
    known = [name for name in names if name]
    surplus = all(name or size == 1 for name, size in zip(names, shape, strict=True))
    return names if known and surplus and len({*known}) == len(known) else None


def order_of(names: Sequence[str]) -> str | None:
    """The order of the axes in space, such as ``"xyz"``; None if they are not z, y and x."""
    order = "".join(name for name in names if name in ("z", "y", "x"))
    return order if sorted(order) == ["x", "y", "z"] else None


def choose_place(
    where: object, names: Sequence[str], shape: Sequence[int], options: SourceOptions
) -> tuple[int | None, ...]:
    """For each axis the index to read, or None for those in space.

    Raises
    ------
    SeveralVolumesError
        If there are several channels or time points, and none was chosen.
    """
    sizes = dict(zip(names, shape, strict=True))
    chosen = choose(where, {name: n for name, n in sizes.items() if name in ("channel", "time")}, options)
    return tuple(None if name in ("z", "y", "x") else chosen.get(name, 0) for name in names)
