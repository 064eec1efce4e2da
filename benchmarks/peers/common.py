"""What the adapters share: their arguments, and a source for peers that do not read TIFF themselves.

Each adapter runs in its peer's own environment, in which nothing of this repository is installed, as
`python with_PEER.py SOURCE.tif OUT --levels 4 --chunk 128 --threads 2`. It exits with 0 only if the peer reported no
error. The names begin with `with_`, because a script with a package's name would be imported in place of that package.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

BLOSC = {"cname": "lz4", "clevel": 1, "shuffle": 2}  # 2: bitshuffle


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--levels", type=int, required=True)
    parser.add_argument("--chunk", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()


def pages_in_dask(source: Path, thickness: int) -> Any:
    """The volume as a dask array of `thickness` pages a block, which tifffile reads when they are needed."""
    import dask.array as da
    import numpy as np
    import tifffile

    with tifffile.TiffFile(source) as tiff:
        depth, page = len(tiff.pages), tiff.pages[0]
        shape, dtype = page.shape, page.dtype

    def read(block_info: Any = None) -> Any:
        start, stop = block_info[None]["array-location"][0]
        out = np.empty((stop - start, *shape), dtype)
        with tifffile.TiffFile(source) as tiff:
            for i in range(start, stop):
                tiff.pages[i].asarray(out=out[i - start])
        return out

    depths = tuple(min(thickness, depth - z) for z in range(0, depth, thickness))
    return da.map_blocks(read, chunks=(depths, *((n,) for n in shape)), dtype=dtype, meta=np.empty((0, 0, 0), dtype))
