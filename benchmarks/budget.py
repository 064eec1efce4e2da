"""How much of its budget a conversion takes at the smallest budget that works, for sources that are hard on memory.

    python benchmarks/budget.py [CASE ...]

Prints the table of `benchmarks/README.md`. A ratio over 1.00 is a broken promise.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

SIDE = 2560
CHUNKS = "64"

CHILD = """
import json, sys
import napari_ct_pyramid as ct
source, output, budget = sys.argv[1:]
options = dict(chunks={chunks}, num_levels=3, edges="pad", overwrite=True, max_memory=budget)
try:
    receipt = ct.convert(source, output, **options)
    from napari_ct_pyramid.model.memory import peak_resident_memory
    print(json.dumps([receipt.peak_memory_bytes, peak_resident_memory()]))
except ct.BudgetError as error:
    print(json.dumps(error.smallest))
"""


def blobs(shape: tuple[int, int, int], dtype: str = "f4") -> np.ndarray:
    """A volume that compresses about as well as a scan does."""
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    waves = np.sin(z / 7) + np.sin(y / 11) + np.sin(x / 13) + np.random.default_rng(0).normal(0, 0.05, shape)
    if dtype.startswith("f"):
        return waves.astype(dtype)
    top = np.iinfo(dtype).max
    return ((waves + 4) / 8 * top).clip(0, top).astype(dtype)


def tiff(dtype: str = "u2", depth: int = 16, **how: Any) -> Callable[[Path], Path]:
    """A TIFF written by tifffile with these settings."""

    def write(folder: Path) -> Path:
        path = folder / "scan.tif"
        tifffile.imwrite(path, blobs((depth, SIDE, SIDE), dtype), photometric="minisblack", **how)
        return path

    return write


def many_strips(folder: Path, pages: int = 10_000, strips: int = 512) -> Path:
    """Small pages with a strip for each row, compressed so that the strips cannot be joined."""
    path = folder / "scan.tif"
    page = blobs((1, strips, 16), "u1")[0]
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        for _ in range(pages):
            tif.write(
                page, rowsperstrip=1, compression="packbits", photometric="minisblack", contiguous=False, metadata=None
            )
    return path


def hdf5(chunks: tuple[int, int, int], shape: tuple[int, int, int], **how: Any) -> Callable[[Path], Path]:
    """An HDF5 file with these chunks."""

    def write(folder: Path) -> Path:
        import h5py

        path = folder / "scan.h5"
        with h5py.File(path, "w") as file:
            data = file.create_dataset("data", shape, "u2", chunks=chunks, **how)
            for z in range(0, shape[0], 64):
                data[z : z + 64] = blobs((min(64, shape[0] - z), *shape[1:]), "u2")
        return path

    return write


STRIPS: dict[str, Any] = {"rowsperstrip": 256}
TILES: dict[str, Any] = {"tile": (512, 512)}
CASES: dict[str, Callable[[Path], Path]] = {
    "uncompressed": tiff("f4"),
    "LZW, strips": tiff(compression="lzw", **STRIPS),
    "zlib, one strip a page": tiff(compression="zlib", rowsperstrip=SIDE),
    "zlib, predictor 2": tiff(compression="zlib", predictor=2, **STRIPS),
    "zlib, predictor 3": tiff("f4", compression="zlib", predictor=3, rowsperstrip=SIDE),
    "zlib, predictor 3, tiles": tiff("f4", compression="zlib", predictor=3, **TILES),
    "zstd, strips": tiff("f4", compression="zstd", **STRIPS),
    "LZMA, strips": tiff(compression="lzma", **STRIPS),
    "PackBits, strips": tiff("u1", compression="packbits", **STRIPS),
    "PNG, one strip a page": tiff(compression="png", rowsperstrip=SIDE),
    "PNG, tiles": tiff(compression="png", **TILES),
    "LERC, one strip a page": tiff("f4", compression="lerc", rowsperstrip=SIDE),
    "LERC, tiles": tiff("f4", compression="lerc", **TILES),
    "JPEG, one strip a page": tiff("u1", compression="jpeg", rowsperstrip=SIDE),
    "JPEG, tiles": tiff("u1", compression="jpeg", **TILES),
    "JPEG 2000, one strip a page": tiff(compression="jpeg2000", rowsperstrip=SIDE),
    "JPEG 2000, tiles": tiff(compression="jpeg2000", **TILES),
    "JPEG XL, one strip a page": tiff("u2", compression="jpegxl", rowsperstrip=SIDE),
    "JPEG XL, tiles": tiff("u2", compression="jpegxl", **TILES),
    "10,000 pages of 512 strips": many_strips,
    "HDF5, a million chunks": hdf5((8, 8, 8), (512, 1024, 1024)),
    "HDF5, gzip": hdf5((16, 128, 128), (64, 1024, 1024), compression="gzip"),
    "HDF5, large chunks": hdf5((32, 1024, 1024), (64, 1024, 1024), compression="gzip", shuffle=True),
}


def convert(source: Path, budget: int) -> Any:
    """The peak in bytes as the receipt states it and as the process ends with it; or the smallest budget."""
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        done = subprocess.run(
            [sys.executable, "-c", CHILD.format(chunks=CHUNKS), source, f"{folder}/out.ome.zarr", str(budget)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def main() -> None:
    """Print a line for each case."""
    asked = sys.argv[1:]
    print("| source | smallest budget | ratio | at twice the budget |", "| --- | ---: | ---: | ---: |", sep="\n")
    for name, write in CASES.items():
        if asked and not any(word in name for word in asked):
            continue
        with tempfile.TemporaryDirectory() as folder:
            source = write(Path(folder))
            smallest = convert(source, 1_000_000)
            if not isinstance(smallest, int):
                print(f"| {name} | {smallest} | | |", flush=True)
                continue
            cells = []
            for budget in (smallest, 2 * smallest):
                peaks = convert(source, budget)
                cells.append(f"{max(peaks) / budget:.2f}" if isinstance(peaks, list) else str(peaks))
            print(f"| {name} | {smallest / 1e6:.0f} MB | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
