"""Makes a BigTIFF of any size that needs little disk space: its many pages share a few stored slices.

    python benchmarks/big_tiff.py OUT.tif --shape 512 2560 2560 [--stored 32] [--noise 0.05] [--texture SCAN.tif]
        [--type uint16] [--lzw] [--ome]

A TIFF page holds the position of its voxels in the file, so that pages can share voxels. For a reader, it is an
ordinary volume with one page for each slice.
"""

from __future__ import annotations

import argparse
import struct
from pathlib import Path

import numpy as np


def make_slice(k: int, shape: tuple[int, int], texture: np.ndarray | None, noise: float) -> np.ndarray:
    """Slice `k`: a disk of material in air, with the noise of a reconstruction."""
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
    path: Path,
    shape: tuple[int, int, int],
    stored: int = 32,
    noise: float = 0.05,
    texture: Path | None = None,
    dtype: str = "float32",
    lzw: bool = False,
    ome: bool = False,
) -> None:
    """Write the volume of `shape` along z, y, x; with `ome`, the first page describes it in OME-XML."""
    scan = None
    if texture:
        import tifffile

        scan = tifffile.imread(texture)
    depth, rows, columns = shape
    stored = min(stored, depth)
    with path.open("wb") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        places = []
        for k in range(stored):
            voxels = _encode(make_slice(k, (rows, columns), scan, noise), dtype, lzw)
            places.append((file.tell(), len(voxels)))
            file.write(voxels)
        described = file.tell()
        description = _ome(shape, dtype) if ome else b""
        file.write(description)
        first = at = file.tell()
        for page in range(depth):
            offset, length = places[page % stored]
            tags = [
                (256, 4, 1, columns), (257, 4, 1, rows), (258, 3, 1, 8 * np.dtype(dtype).itemsize),
                (259, 3, 1, 5 if lzw else 1), (262, 3, 1, 1), (270, 2, len(description), described),
                (273, 16, 1, offset), (277, 3, 1, 1), (278, 4, 1, rows),
                (279, 16, 1, length), (339, 3, 1, 3 if dtype == "float32" else 1),
            ]  # fmt: skip
            if page or not ome:
                del tags[5]
            at += 16 + 20 * len(tags)
            file.write(struct.pack("<Q", len(tags)))
            for tag in tags:
                file.write(struct.pack("<HHQQ", *tag))
            file.write(struct.pack("<Q", at if page + 1 < depth else 0))
        file.seek(8)
        file.write(struct.pack("<Q", first))


def _encode(image: np.ndarray, dtype: str, lzw: bool) -> bytes:
    """The bytes of a slice in the file. Integers use a third of their range, as those of a detector do."""
    if dtype != "float32":
        most = np.iinfo(dtype).max
        image = np.clip(image * (most / 3) + most / 64, 0, most)
    image = image.astype(np.dtype(dtype).newbyteorder("<"))
    if not lzw:
        return image.tobytes()
    import imagecodecs

    return bytes(imagecodecs.lzw_encode(image.tobytes()))


def _ome(shape: tuple[int, int, int], dtype: str) -> bytes:
    depth, rows, columns = shape
    kind = {"float32": "float"}.get(dtype, dtype)
    return (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image '
        f'ID="Image:0" Name="volume"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="{kind}" SizeX="{columns}" '
        f'SizeY="{rows}" SizeZ="{depth}" SizeC="1" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
        f'<TiffData IFD="0" PlaneCount="{depth}"/></Pixels></Image></OME>\0'
    ).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shape", nargs=3, type=int, required=True, metavar=("Z", "Y", "X"))
    parser.add_argument("--stored", type=int, default=32, help="slices that are stored (default 32)")
    parser.add_argument("--noise", type=float, default=0.05, help="standard deviation of the noise")
    parser.add_argument("--texture", type=Path, help="a uint8 stack that gives the slices a texture")
    parser.add_argument("--type", choices=["float32", "uint16", "uint8"], default="float32")
    parser.add_argument("--lzw", action="store_true", help="compress each page with LZW")
    parser.add_argument("--ome", action="store_true", help="write OME-XML, for readers that need it to find the axis z")
    args = parser.parse_args()
    shape = tuple(args.shape)
    write(args.out, shape, args.stored, args.noise, args.texture, args.type, args.lzw, args.ome)


if __name__ == "__main__":
    main()
