"""Make a BigTIFF of any size that takes little disk: its many pages share a few stored slices.

    python benchmarks/big_tiff.py OUT.tif --shape 512 2560 2560 [--stored 32] [--noise 0.05] [--texture SCAN.tif]

A TIFF page only says where its voxels lie, so pages can share them. To a reader it is an ordinary
float32 volume of one uncompressed page a slice.
"""

from __future__ import annotations

import argparse
import struct
from pathlib import Path

import numpy as np


def make_slice(k: int, shape: tuple[int, int], texture: np.ndarray | None, noise: float) -> np.ndarray:
    """Slice `k`: a disc of material in air, with the noise of a reconstruction."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    if texture is None:
        body = 0.5 + 0.3 * np.sin(y / 17 + k / 9) * np.cos(x / 23 - k / 13) + 0.2 * (np.sin(x * y / 4e4 + k / 5) > 0.6)
    else:
        depth, rows, columns = texture.shape
        plane = texture[_reflect(np.array([k]), depth)[0]].astype("f4") / 255
        body = plane[np.ix_(_reflect(np.arange(shape[0]), rows), _reflect(np.arange(shape[1]), columns))]
    inside = np.hypot(y - shape[0] / 2, x - shape[1] / 2) < 0.48 * min(shape)
    image = np.where(inside, body, 0).astype("f4")
    return image + np.random.default_rng(k).standard_normal(shape, dtype="f4") * np.float32(noise)


def _reflect(i: np.ndarray, n: int) -> np.ndarray:
    return np.where(i % (2 * n) < n, i % (2 * n), 2 * n - 1 - i % (2 * n))


def write(
    path: Path, shape: tuple[int, int, int], stored: int = 32, noise: float = 0.05, texture: Path | None = None
) -> None:
    """Write the volume, `shape` along z, y, x."""
    scan = None
    if texture:
        import tifffile

        scan = tifffile.imread(texture)
    depth, rows, columns = shape
    stored = min(stored, depth)
    with path.open("wb") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        offsets = []
        for k in range(stored):
            offsets.append(file.tell())
            file.write(make_slice(k, (rows, columns), scan, noise).tobytes())
        first = at = file.tell()
        for page in range(depth):
            tags = [
                (256, 4, columns), (257, 4, rows), (258, 3, 32), (259, 3, 1), (262, 3, 1),
                (273, 16, offsets[page % stored]), (277, 3, 1), (278, 4, rows),
                (279, 16, rows * columns * 4), (339, 3, 3),
            ]  # fmt: skip
            at += 16 + 20 * len(tags)
            file.write(struct.pack("<Q", len(tags)))
            for code, kind, value in tags:
                file.write(struct.pack("<HHQQ", code, kind, 1, value))
            file.write(struct.pack("<Q", at if page + 1 < depth else 0))
        file.seek(8)
        file.write(struct.pack("<Q", first))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shape", nargs=3, type=int, required=True, metavar=("Z", "Y", "X"))
    parser.add_argument("--stored", type=int, default=32, help="slices that are really stored (default 32)")
    parser.add_argument("--noise", type=float, default=0.05, help="standard deviation (0: compresses well)")
    parser.add_argument("--texture", type=Path, help="a uint8 stack to texture the slices with")
    asked = parser.parse_args()
    write(asked.out, tuple(asked.shape), asked.stored, asked.noise, asked.texture)


if __name__ == "__main__":
    main()
