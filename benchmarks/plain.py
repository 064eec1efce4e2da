"""The plain algorithm: batches of 2**(levels-1) slices, scikit-image for the mean, zarr-python for the chunks.

    python benchmarks/plain.py SOURCE.tif OUT.zarr --levels 4 [--chunks 128 128 128] [--slices N]

A batch has fewer slices than a chunk, so that every chunk is read, changed and written many times.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import tifffile
import zarr
from numcodecs import Blosc
from skimage.transform import downscale_local_mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--chunks", nargs=3, type=int, default=(128, 128, 128))
    parser.add_argument("--levels", type=int, default=4)
    parser.add_argument("--slices", type=int, help="convert only the first slices; default: all")
    args = parser.parse_args()
    start = time.perf_counter()
    with tifffile.TiffFile(args.source) as tiff:
        depth = args.slices or len(tiff.pages)
        rows, columns = tiff.pages.first.shape
        group = zarr.open_group(args.out, mode="w", zarr_format=2)
        batch = 2 ** (args.levels - 1)
        levels = [
            group.create_array(
                str(k),
                shape=(-(-depth // batch) * batch >> k, rows >> k, columns >> k),
                chunks=tuple(args.chunks),
                dtype="f4",
                compressors=Blosc("lz4", 1, Blosc.BITSHUFFLE),
                chunk_key_encoding={"name": "v2", "separator": "/"},
            )
            for k in range(args.levels)
        ]
        for z in range(0, depth, batch):
            slices = np.zeros((batch, rows, columns), "f4")
            for i in range(min(batch, depth - z)):
                slices[i] = tiff.pages[z + i].asarray()
            for k, level in enumerate(levels):
                level[z >> k : (z + batch) >> k] = slices
                if k + 1 < args.levels:
                    slices = downscale_local_mean(slices, (2, 2, 2)).astype("f4")
    print(json.dumps({"seconds": time.perf_counter() - start, "slices": depth}))


if __name__ == "__main__":
    main()
