"""The raw limit: tensorstore alone writes level 0, of voxels that are in memory already.

    python benchmarks/raw_limit.py SOURCE.tif OUT.zarr --threads 2 [--chunks 128 128 128]

Prints the seconds that the writing alone took; reading the source does not count.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import tensorstore as ts

from napari_ct_pyramid.source import open_source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--chunks", nargs=3, type=int, default=(128, 128, 128))
    parser.add_argument("--threads", type=int, required=True)
    asked = parser.parse_args()
    spec = {
        "driver": "zarr",
        "kvstore": {"driver": "file", "path": asked.out},
        "metadata": {
            "chunks": list(asked.chunks),
            "dimension_separator": "/",
            "compressor": {"id": "blosc", "cname": "lz4", "clevel": 1, "shuffle": 2, "blocksize": 0},
            "fill_value": 0,
        },
        "store_data_equal_to_fill_value": True,  # as this converter does; it also saves looking for such chunks
    }
    context = ts.Context({"data_copy_concurrency": {"limit": asked.threads}, "cache_pool": {"total_bytes_limit": 0}})
    seconds = 0.0
    with open_source(asked.source) as source:
        depth, rows, columns = source.volume.shape
        dtype = source.volume.dtype
        spec["metadata"] |= {"shape": [depth, rows, columns], "dtype": dtype.str}
        level = ts.open(spec, create=True, context=context).result()
        slab = np.empty((asked.chunks[0], rows, columns), dtype)
        for z in range(0, depth, len(slab)):
            part = slab[: depth - z]
            source.read(z, z + len(part), 0, rows, part)
            start = time.perf_counter()
            level[z : z + len(part)].write(part).result()
            seconds += time.perf_counter() - start
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
