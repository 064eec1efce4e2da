"""The raw limit: tensorstore writes level 0 and does nothing else.

    python benchmarks/raw_limit.py SOURCE.tif OUT.zarr --threads 2 [--chunks 128 128 128]

Reads one row of chunks after another, while tensorstore writes the rows before.
"""

from __future__ import annotations

from itertools import cycle, product

import numpy as np
import tensorstore as ts
from limits import arguments

from napari_ct_pyramid.sources.registry import open_source

ROWS_AT_ONCE = 8  # rows of chunks that are read or written at once; more are not faster


def main() -> None:
    args = arguments(__doc__)
    spec = {
        "driver": "zarr",
        "kvstore": {"driver": "file", "path": args.out},
        "metadata": {
            "chunks": list(args.chunks),
            "dimension_separator": "/",
            "compressor": {"id": "blosc", "cname": "lz4", "clevel": 1, "shuffle": 2, "blocksize": 0},
            "fill_value": 0,
        },
        "store_data_equal_to_fill_value": True,  # like this converter; it also saves the time to search for such chunks
    }
    context = ts.Context({"data_copy_concurrency": {"limit": args.threads}, "cache_pool": {"total_bytes_limit": 0}})
    with open_source(args.source) as source:
        depth, rows, columns = source.volume.shape
        spec["metadata"] |= {"shape": [depth, rows, columns], "dtype": source.volume.dtype.str}
        level = ts.open(spec, create=True, context=context).result()
        cz, cy, _ = args.chunks
        buffers = [np.empty((cz, cy, columns), source.volume.dtype) for _ in range(ROWS_AT_ONCE)]
        writes: list[ts.Future | None] = [None] * ROWS_AT_ONCE
        for n, (z, y) in zip(cycle(range(ROWS_AT_ONCE)), product(range(0, depth, cz), range(0, rows, cy))):
            if writes[n]:
                writes[n].result()
            part = buffers[n][: depth - z, : rows - y]
            source.read(z, z + part.shape[0], y, y + part.shape[1], part)
            writes[n] = level[z : z + part.shape[0], y : y + part.shape[1]].write(part)
        for write in writes:
            if write:
                write.result()


if __name__ == "__main__":
    main()
