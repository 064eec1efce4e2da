"""Checks whether a conversion is correct, without this package and the libraries it writes with.

    python benchmarks/judging.py SOURCE.tif OUT

tifffile reads the source and zarr-python reads the output, a few slices at a time. Prints JSON: the findings for level
0 and level 1, and the format according to the output's own metadata.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

SLICES_AT_ONCE = 64


class Level:
    """An array of the output, read in the order z, y, x whatever the order of its axes."""

    def __init__(self, array: zarr.Array, axes: str) -> None:
        self.array = array
        self.axes = axes[-array.ndim :]
        self._order = [i for i, axis in enumerate(self.axes) if axis in "zyx"]
        self._transpose = sorted(range(len(self._order)), key=lambda i: "zyx".index(self.axes[self._order[i]]))
        self.shape = tuple(array.shape[self._order[i]] for i in self._transpose)

    def slices(self, start: int, stop: int) -> np.ndarray:
        where = tuple(slice(start, stop) if axis == "z" else slice(None) if axis in "yx" else 0 for axis in self.axes)
        return np.asarray(self.array[where]).transpose(self._transpose)

    def stored(self) -> dict[str, Any]:
        chunks, shards = self.array.chunks, self.array.shards
        return {
            "format": f"Zarr v{self.array.metadata.zarr_format}",
            "chunks": [chunks[self._order[i]] for i in self._transpose],
            "shards": [shards[self._order[i]] for i in self._transpose] if shards else None,
            "compressor": ", ".join(_name(one) for one in self.array.compressors) or "none",
        }


def _name(codec: Any) -> str:
    settings = codec.get_config() if hasattr(codec, "get_config") else codec.to_dict()
    settings = {"id": settings.get("name", settings.get("id"))} | settings.get("configuration", settings)
    if settings["id"] != "blosc":
        return f"{settings['id']} {settings.get('level', '')}".strip()
    shuffle = {0: "no shuffle", 1: "shuffle", 2: "bitshuffle", -1: "auto shuffle"}.get(
        settings["shuffle"], settings["shuffle"]
    )
    return f"Blosc {settings['cname']} {settings['clevel']} {getattr(shuffle, 'value', shuffle)}"


def open_levels(out: Path) -> list[Level]:
    """The levels of the first image in the output, or its only array."""
    places = [out, *sorted(path for path in out.rglob("*") if path.is_dir())] if out.is_dir() else []
    for place in places:
        if any((place / name).exists() for name in (".zgroup", "zarr.json", ".zarray")):
            node = zarr.open(place, mode="r")
            if isinstance(node, zarr.Array):
                return [Level(node, "tczyx")]
            attributes = dict(node.attrs)
            images = attributes.get("ome", attributes).get("multiscales")
            if images:
                names = [axis if isinstance(axis, str) else axis["name"] for axis in images[0]["axes"]]
                return [Level(node[one["path"]], "".join(names)) for one in images[0]["datasets"]]
    raise FileNotFoundError("there is no OME-Zarr")


def read_slices(source: Path) -> Iterator[tuple[int, np.ndarray]]:
    with tifffile.TiffFile(source) as tiff:
        pages = tiff.pages
        for z in range(0, len(pages), SLICES_AT_ONCE):
            yield z, np.stack([pages[i].asarray() for i in range(z, min(z + SLICES_AT_ONCE, len(pages)))])


def mean(voxels: np.ndarray) -> np.ndarray:
    """The 2×2×2 mean in float64; an odd last voxel is left out."""
    z, y, x = (n // 2 * 2 for n in voxels.shape)
    return voxels[:z, :y, :x].reshape(z // 2, 2, y // 2, 2, x // 2, 2).mean((1, 3, 5), dtype="f8")


def judge(source: Path, out: Path) -> dict[str, Any]:
    with tifffile.TiffFile(source) as tiff:
        depth, (rows, columns), dtype = len(tiff.pages), tiff.pages.first.shape, tiff.pages.first.dtype
    levels = open_levels(out)
    first, second = levels[0], levels[1] if len(levels) > 1 else None
    found = {"levels": [list(level.shape) for level in levels], **first.stored()}
    slices = first.shape[0] if len(first.shape) == 3 else 1
    if first.shape[-2:] != (rows, columns) or slices < depth or first.array.dtype != dtype:
        found["level_0"] = f"{' × '.join(map(str, first.shape))} {first.array.dtype}"
        return found
    different, deviation, largest = 0, 0.0, [1.0]
    halved = second is not None and second.shape[1:] == (rows // 2, columns // 2) and second.shape[0] >= depth // 2
    for z, voxels in read_slices(source):
        there = first.slices(z, z + len(voxels))
        different += int(np.count_nonzero(~((there == voxels) | ((there != there) & (voxels != voxels)))))
        if halved:
            expected = mean(voxels)
            difference = second.slices(z // 2, z // 2 + len(expected)) - expected
            deviation = max(deviation, float(np.abs(difference).max(initial=0)))
            largest.append(float(np.abs(expected).max(initial=0)))
    padding = first.slices(depth, slices)
    found["level_0"] = "equal" if not different else f"{different} voxels differ"
    found["padding"] = 0 if slices == depth else slices - depth if not padding.any() else "not zero"
    found["level_1"] = _level_1(second, halved, deviation, max(largest), dtype)
    found["halved_each_time"] = all(_halved(a.shape, b.shape) for a, b in pairwise(levels))
    return found


def _halved(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(m in (n // 2, -(-n // 2)) for n, m in zip(a, b, strict=True))


def _level_1(second: Level | None, halved: bool, deviation: float, largest: float, dtype: np.dtype) -> str:
    if second is None:
        return "none"
    if not halved:
        return f"other shape: {' × '.join(map(str, second.shape))}"
    if dtype.kind in "iu":
        if deviation >= 1:
            return f"not the mean (off by {deviation:.0f})"
        return "mean" if deviation <= 0.5 else "mean, rounded down"
    return "mean" if deviation <= 1e-5 * largest else f"not the mean (off by {deviation:.2g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    try:
        found = judge(args.source, args.out)
    except Exception as error:  # noqa: BLE001  any error in an output is a finding
        found = {"level_0": f"cannot be read: {type(error).__name__}: {error}"[:200]}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
