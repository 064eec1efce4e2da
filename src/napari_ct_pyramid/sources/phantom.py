"""A synthetic volume for demos and tests: a CT scan of a concrete core with grains, pores and steel fibres.

The same shape and seed give the same voxels. Slices are made one at a time, so that a phantom may have any size.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_ct_pyramid.options import Triple

Plane = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]
Point = npt.NDArray[np.float64]  # z, y, x
Corners = tuple[Point, Point]
Span = tuple[float, float]

VOXEL_SIZE = 2.5  # micrometers

_CEMENT, _PORE, _STEEL = 0.45, 0.06, 1.25  # air is 0
_GRAINS, _PORES, _FIBRES = 160, 160, 36  # numbers of them in a cube
_NOISE, _RINGS = 0.03, 0.015


def write_sample(path: str | os.PathLike[str], shape: Triple = (128, 256, 256), *, seed: int = 0) -> Path:
    """Write a phantom as a BigTIFF of float32, one uncompressed page a slice, with its voxel size.

    Parameters
    ----------
    path : path-like
        The file to write. An existing file is replaced.
    shape : tuple of int
        Voxels along z, y, x.
    seed : int
        Each number gives a different phantom.

    Returns
    -------
    Path
        The file that was written.
    """
    import tifffile

    pixels_per_cm = round(10_000 / VOXEL_SIZE)
    tifffile.imwrite(
        path,
        sample_slices(shape, seed=seed),
        shape=shape,
        dtype=np.float32,
        bigtiff=True,
        photometric="minisblack",
        resolution=(pixels_per_cm, pixels_per_cm),
        resolutionunit="CENTIMETER",
        metadata={"axes": "ZYX", "spacing": VOXEL_SIZE, "unit": "micrometer"},
    )
    return Path(path)


def sample_slices(shape: Triple, *, seed: int = 0) -> Iterator[Plane]:
    """The slices of a phantom, float32 (y, x), about 0 in air and 1.25 in steel."""
    phantom = _Phantom(shape, seed)
    return (phantom.slice(z) for z in range(shape[0]))


@dataclass(frozen=True)
class _Ellipsoid:
    """A grain or a pore, in voxels."""

    centre: Point
    radii: Point
    value: float

    def span(self) -> Span:
        """The first and the last slice that it is visible in."""
        return self.centre[0] - self.radii[0] - 1, self.centre[0] + self.radii[0] + 1

    def corners(self, z: int) -> Corners:  # noqa: ARG002  # a fibre needs it
        """Corners (y, x) of a box around its section in slice z."""
        return self.centre[1:] - self.radii[1:], self.centre[1:] + self.radii[1:]

    def depth(self, z: int, y: Values, x: Values) -> Values:
        """How deep points are inside the surface, in voxels (approximately); negative outside."""
        (cz, cy, cx), (rz, ry, rx) = self.centre, self.radii
        far = np.sqrt(((z - cz) / rz) ** 2 + ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2)
        return np.asarray((1 - far) * self.radii.min())


@dataclass(frozen=True)
class _Fibre:
    """A straight wire with round ends, in voxels."""

    start: Point
    end: Point
    radius: float
    value: float

    def span(self) -> Span:
        low, high = sorted((self.start[0], self.end[0]))
        return low - self.radius - 1, high + self.radius + 1

    def corners(self, z: int) -> Corners:
        reach = self.radius + 1
        along = self.end - self.start
        slope = along[0] if abs(along[0]) > 1e-6 else 1e-6
        near = np.clip((np.array([z - reach, z + reach]) - self.start[0]) / slope, 0, 1)
        ends = self.start[1:] + np.sort(near)[:, None] * along[1:]
        return ends.min(axis=0) - self.radius, ends.max(axis=0) + self.radius

    def depth(self, z: int, y: Values, x: Values) -> Values:
        along = self.end - self.start
        dz, dy, dx = z - self.start[0], y - self.start[1], x - self.start[2]
        t = np.clip((dz * along[0] + dy * along[1] + dx * along[2]) / (along @ along), 0, 1)
        far = (dz - t * along[0]) ** 2 + (dy - t * along[1]) ** 2 + (dx - t * along[2]) ** 2
        return np.asarray(self.radius - np.sqrt(far))


class _Phantom:
    def __init__(self, shape: Triple, seed: int) -> None:
        self._shape, self._seed = shape, seed
        self._size = min(shape[1:])
        self._middle = np.array(shape[1:]) / 2 - 0.5
        self._radius = 0.45 * self._size
        rng = np.random.default_rng(seed)
        share = shape[0] / self._size  # of a cube: a thin phantom has fewer objects, of the same size
        self._objects: list[_Ellipsoid | _Fibre] = [
            *(self._ellipsoid(rng, 0.02, 0.08, rng.uniform(0.6, 0.95)) for _ in range(round(_GRAINS * share))),
            *(self._ellipsoid(rng, 0.01, 0.04, _PORE) for _ in range(round(_PORES * share))),
            *(self._fibre(rng) for _ in range(round(_FIBRES * share))),
        ]
        self._spans = np.array([item.span() for item in self._objects]).reshape(-1, 2)
        self._y, self._x = np.ogrid[: shape[1], : shape[2]]
        far = np.hypot(self._y - self._middle[0], self._x - self._middle[1])
        self._cement = _CEMENT * (0.85 + 0.15 * (far / self._radius) ** 2)  # beam hardening: the middle is darker
        self._core = np.clip(self._radius - far + 0.5, 0, 1)
        rings = rng.normal(0, _RINGS, size=int(far.max()) + 1)  # by the detector: the same in every slice
        self._rings = rings[far.astype(int)]

    def slice(self, z: int) -> Plane:
        plane = self._cement.copy()
        for k in np.flatnonzero((self._spans[:, 0] <= z) & (z <= self._spans[:, 1])):
            item = self._objects[k]
            low, high = item.corners(z)
            (y0, x0), (y1, x1) = (np.clip(corner, 0, self._shape[1:]).astype(int) for corner in (low - 1, high + 2))
            part = plane[y0:y1, x0:x1]
            cover = np.clip(item.depth(z, self._y[y0:y1], self._x[:, x0:x1]) + 0.5, 0, 1)
            part += cover * (item.value - part)
        noise = np.random.default_rng((self._seed, z)).normal(0, _NOISE, size=plane.shape)
        return np.asarray(plane * self._core + self._rings + noise, np.float32)

    def _ellipsoid(self, rng: np.random.Generator, least: float, most: float, value: float) -> _Ellipsoid:
        radius = self._size * rng.uniform(least, most)
        return _Ellipsoid(self._inside(rng), np.maximum(radius * rng.uniform(0.7, 1.3, size=3), 0.5), value)

    def _fibre(self, rng: np.random.Generator) -> _Fibre:
        direction = rng.normal(size=3)
        half = self._size * rng.uniform(0.1, 0.25) * direction / np.linalg.norm(direction)
        centre = self._inside(rng, within=0.75)
        return _Fibre(centre - half, centre + half, 0.007 * self._size, _STEEL)

    def _inside(self, rng: np.random.Generator, within: float = 1) -> Point:
        """A random point in the core, uniformly distributed."""
        far, angle = within * self._radius * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        y, x = self._middle + far * np.array([np.sin(angle), np.cos(angle)])
        return np.array([rng.uniform(0, self._shape[0]), y, x])
