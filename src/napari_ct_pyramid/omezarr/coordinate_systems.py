"""What OME-Zarr 0.6 states with coordinate systems, in the form of 0.5: axes, and a scale and translation a level.

Specification: https://ngff.openmicroscopy.org/0.6/#multiscales-md. The transformations of the levels lead to the
"intrinsic" coordinate system, which gives the voxel size. Others lead from there to more systems. The first of them
that is linear is where the image is shown: what scale and translation cannot express of it is an `Affine`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .channels import Note

_INTRINSIC = "intrinsic"  # the name that this package gives to the coordinate system of an image
_SIMPLE = ("identity", "scale", "translation")
_NEGLIGIBLE = 1e-9  # beside the largest element of a matrix


@dataclass(frozen=True)
class Affine:
    """A linear transformation of positions.

    Attributes
    ----------
    matrix : tuple of tuple of float
        In homogeneous coordinates: with n axes, n + 1 rows of n + 1 numbers.
    system : str
        The name of the coordinate system that it leads to.
    """

    matrix: tuple[tuple[float, ...], ...]
    system: str

    def without_axis(self, axis: int | None) -> list[list[float]]:
        """The matrix without the row and column of an axis that it leaves as it is."""
        return [[v for j, v in enumerate(row) if j != axis] for i, row in enumerate(self.matrix) if i != axis]


class UnreadableError(ValueError):
    """A transformation is not linear, or its numbers are in an array. Its text is the kind of it."""


def has_systems(multiscales: dict[str, Any]) -> bool:
    """Whether metadata are in the form of OME-Zarr 0.6."""
    return "coordinateSystems" in multiscales


def as_0_5(multiscales: dict[str, Any], note: Note) -> tuple[dict[str, Any], Affine | None]:
    """The metadata of an image in the form of 0.5, and what these cannot express of its place.

    Metadata of an older version are returned as they are.

    Raises
    ------
    ValueError, KeyError, TypeError
        If they are broken.
    """
    if not has_systems(multiscales):
        return multiscales, None
    systems = systems_of(multiscales)
    name = intrinsic_name(multiscales)
    axes: list[dict[str, Any]] = systems[name]
    own = [_transformations(dataset) for dataset in multiscales["datasets"]]
    more = [
        t
        for t in multiscales.get("coordinateTransformations") or ()
        if _system(t.get("input")) == name and _system(t.get("output")) != name
    ]
    if not any(axis.get("type") == "space" for axis in axes):  # voxels without a size: the next system has them
        for t in more:
            target = systems.get(_system(t.get("output")) or "")
            if target and is_simple(t) and len(target) == len(axes):
                own, axes, more = [[*level, t] for level in own], target, []
                break
    shown, system = _shown(more, axes, systems, note)
    if all(is_simple(t) for level in own for t in level):
        levels = [[part for t in level for part in _parts(t)] for level in own]
    else:
        matrices = [_product(level, len(axes)) for level in own]
        levels, placed = _split(matrices)
        shown = placed if shown is None else shown @ placed
    flat = {key: value for key, value in multiscales.items() if key not in ("coordinateSystems", "datasets")}
    flat.pop("coordinateTransformations", None)
    flat["axes"] = axes
    flat["datasets"] = [
        {**dataset, "coordinateTransformations": parts}
        for dataset, parts in zip(multiscales["datasets"], levels, strict=True)
    ]
    return flat, _affine(shown, axes, system or name, note)


def systems_of(multiscales: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The axes of each coordinate system, by its name."""
    return {str(system["name"]): list(system["axes"]) for system in multiscales["coordinateSystems"]}


def intrinsic_name(multiscales: dict[str, Any]) -> str:
    """The name of the coordinate system that the transformations of the levels lead to.

    Raises
    ------
    ValueError
        If the levels do not lead to one that is described.
    """
    found = {_system(t.get("output")) for d in multiscales["datasets"] for t in _transformations(d)[-1:]} - {None}
    names = [str(system["name"]) for system in multiscales["coordinateSystems"]]
    if not found and names:
        return names[0]
    if len(found) > 1:
        raise ValueError(f"its levels lead to different coordinate systems: {', '.join(sorted(map(str, found)))}")
    name = str(found.pop()) if found else ""
    if name not in names:
        raise ValueError(f"its levels lead to the coordinate system {name!r}, which is not described")
    return name


def is_simple(transformation: dict[str, Any]) -> bool:
    """Whether a transformation is a scale, a translation, or a sequence of them."""
    if transformation["type"] == "sequence":
        return all(map(is_simple, transformation["transformations"]))
    return transformation["type"] in _SIMPLE and "path" not in transformation


def from_0_5(multiscales: dict[str, Any]) -> dict[str, Any]:
    """The metadata of an image in the form of 0.6, from that of 0.5."""
    rest = {key: value for key, value in multiscales.items() if key != "axes"}
    return with_geometry({"coordinateSystems": [{"name": _INTRINSIC}], **rest}, multiscales, _INTRINSIC)


def _as_sequence(path: str, system: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The transformation of a level as 0.6 has it, from a scale and perhaps a translation."""
    ends = {"input": {"path": path}, "output": {"name": system}}
    return {**parts[0], **ends} if len(parts) == 1 else {"type": "sequence", "transformations": parts, **ends}


def with_geometry(multiscales: dict[str, Any], flat: dict[str, Any], name: str | None = None) -> dict[str, Any]:
    """Metadata in the form of 0.6 with axes, scales and translations of metadata in the form of 0.5.

    `name` is that of the coordinate system of the levels, if it is known.
    """
    name = name or intrinsic_name(multiscales)
    systems = [
        {**system, "axes": flat["axes"]} if system["name"] == name else system
        for system in multiscales["coordinateSystems"]
    ]
    datasets = [
        {
            **dataset,
            "coordinateTransformations": [_as_sequence(dataset["path"], name, dataset["coordinateTransformations"])],
        }
        for dataset in flat["datasets"]
    ]
    return {**multiscales, "coordinateSystems": systems, "datasets": datasets}


def _transformations(dataset: dict[str, Any]) -> list[dict[str, Any]]:
    return list(dataset.get("coordinateTransformations") or ())


def _system(value: Any) -> str | None:
    """The name of the system that an input or output states. Drafts of 0.6 had texts in place of objects."""
    found = value.get("name") if isinstance(value, dict) else value
    return found if isinstance(found, str) else None


def _parts(transformation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The scales and translations of a simple transformation, in their order."""
    kind = transformation["type"]
    if kind == "sequence":
        for part in transformation["transformations"]:
            yield from _parts(part)
    elif kind != "identity":
        yield {"type": kind, kind: transformation[kind]}


def _shown(
    more: list[dict[str, Any]], axes: list[dict[str, Any]], systems: dict[str, list[dict[str, Any]]], note: Note
) -> tuple[np.ndarray | None, str | None]:
    """The first linear transformation from the intrinsic system to another one, and the name of that."""
    found: tuple[np.ndarray | None, str | None] = None, None
    for transformation in more:
        name = _system(transformation.get("output")) or "another"
        try:
            matrix = _matrix(transformation, len(axes))
        except UnreadableError as kind:
            note(f"Its place in the coordinate system {name!r} is not shown: it is given by {kind}.")
            continue
        target = systems.get(name)
        if target is not None and [a.get("unit") for a in target] != [a.get("unit") for a in axes]:
            note(f"Its place in the coordinate system {name!r} is not shown: that has other units.")
        elif found[0] is not None:
            note(f"Its place in the coordinate system {name!r} is not shown: it is shown in {found[1]!r}.")
        elif not np.array_equal(matrix, np.eye(len(matrix))):
            found = matrix, name
    return found


def _split(matrices: list[np.ndarray]) -> tuple[list[list[dict[str, Any]]], np.ndarray]:
    """Scale and translation of each level, and what has to follow them: the same for all levels.

    The scale of a level is the distance between neighbouring voxels along each axis of its array.
    """
    levels = []
    first = matrices[0]
    sizes = np.linalg.norm(first[:-1, :-1], axis=0)
    if not np.all(np.isfinite(first)) or np.linalg.matrix_rank(first) < len(first):
        raise ValueError("a coordinate transformation of its levels cannot be inverted")
    rest = first @ np.diag([*(1 / sizes), 1.0])
    for matrix in matrices:
        scale = np.linalg.norm(matrix[:-1, :-1], axis=0)
        moved = (np.linalg.inv(rest) @ matrix)[:-1, -1]
        levels.append(
            [
                {"type": "scale", "scale": scale.tolist()},
                {"type": "translation", "translation": np.round(moved, 12).tolist()},
            ]
        )
    return levels, rest


def _affine(matrix: np.ndarray | None, axes: list[dict[str, Any]], system: str, note: Note) -> Affine | None:
    if matrix is None:
        return None
    matrix = np.where(np.abs(matrix) < _NEGLIGIBLE * np.abs(matrix).max(), 0.0, matrix)
    identity = np.eye(len(matrix))
    if np.allclose(matrix, identity, rtol=0, atol=_NEGLIGIBLE):
        return None
    fixed = [i for i, axis in enumerate(axes) if axis.get("type") not in ("space", "array")]
    if any(not (np.array_equal(matrix[i], identity[i]) and np.array_equal(matrix[:, i], identity[i])) for i in fixed):
        note(f"Its place in the coordinate system {system!r} is not shown: it changes axes that are not in space.")
        return None
    note(
        f"napari shows it in its coordinate system {system!r}, by an affine transformation. Neuroglancer and a "
        "conversion leave that transformation out."
    )
    return Affine(tuple(tuple(float(v) for v in row) for row in matrix), system)


def _product(transformations: list[dict[str, Any]], axes: int) -> np.ndarray:
    """The matrix of transformations that are applied one after the other."""
    matrix = np.eye(axes + 1)
    for transformation in transformations:
        matrix = _matrix(transformation, axes) @ matrix
    return matrix


def _matrix(transformation: dict[str, Any], axes: int) -> np.ndarray:
    """A transformation as a matrix, in homogeneous coordinates.

    Raises
    ------
    UnreadableError
        If it is not linear, or its numbers are in an array.
    """
    kind = str(transformation["type"])
    make = _MATRICES.get(kind)
    if make is None or "path" in transformation:
        raise UnreadableError(f"{kind!r}" + (" in an array" if make else ""))
    matrix = make(transformation, axes)
    if matrix.shape != (axes + 1, axes + 1):
        raise UnreadableError(f"{kind!r} between different numbers of axes")
    return matrix


def _diagonal(transformation: dict[str, Any], axes: int) -> np.ndarray:  # noqa: ARG001
    return np.diag([*np.asarray(transformation["scale"], float), 1.0])


def _moved(transformation: dict[str, Any], axes: int) -> np.ndarray:
    matrix = np.eye(axes + 1)
    matrix[:-1, -1] = transformation["translation"]
    return matrix


def _completed(rows: np.ndarray) -> np.ndarray:
    return np.vstack([rows, [*np.zeros(rows.shape[1] - 1), 1.0]])


def _rotated(transformation: dict[str, Any], axes: int) -> np.ndarray:  # noqa: ARG001
    rotation = np.asarray(transformation["rotation"], float)
    return _completed(np.hstack([rotation, np.zeros((len(rotation), 1))]))


def _permuted(transformation: dict[str, Any], axes: int) -> np.ndarray:
    return np.eye(axes + 1)[[*(int(i) for i in transformation["mapAxis"]), axes]]


def _by_dimension(transformation: dict[str, Any], axes: int) -> np.ndarray:
    matrix = np.eye(axes + 1)
    for item in transformation["transformations"]:
        rows, columns = [int(i) for i in item["output_axes"]], [int(i) for i in item["input_axes"]]
        if len(rows) != len(columns):
            raise UnreadableError("'byDimension' between different numbers of axes")
        part = _matrix(item["transformation"], len(rows))
        matrix[rows] = 0.0
        matrix[np.ix_([*rows], [*columns, axes])] = part[:-1]
    return matrix


_MATRICES: dict[str, Callable[[dict[str, Any], int], np.ndarray]] = {
    "identity": lambda _, axes: np.eye(axes + 1),
    "scale": _diagonal,
    "translation": _moved,
    "affine": lambda transformation, _: _completed(np.asarray(transformation["affine"], float)),
    "rotation": _rotated,
    "mapAxis": _permuted,
    "sequence": lambda transformation, axes: _product(transformation["transformations"], axes),
    "byDimension": _by_dimension,
    "bijection": lambda transformation, axes: _matrix(transformation["forward"], axes),
}
