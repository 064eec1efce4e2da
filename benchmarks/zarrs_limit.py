"""Another raw limit: zarr-python with the pipeline of zarrs writes level 0 and does nothing else.

    python benchmarks/zarrs_limit.py SOURCE.tif OUT.zarr --threads 2 [--chunks 128 128 128]

Reads one row of chunks into one buffer while zarrs compresses and writes the row in the other. zarrs uses all threads
for each row.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import zarr
import zarrs  # noqa: F401  # registers its pipeline
from limits import arguments
from zarr.codecs import BloscCodec

from napari_ct_pyramid.sources.registry import open_source


def main() -> None:
    args = arguments(__doc__)
    zarr.config.set(
        {
            "codec_pipeline.path": "zarrs.ZarrsCodecPipeline",
            "threading.max_workers": args.threads,
            "array.write_empty_chunks": True,  # like this converter; it also saves the time to search for such chunks
        }
    )
    with open_source(args.source) as source, ThreadPoolExecutor(1) as writer:
        depth, rows, columns = source.volume.shape
        level = zarr.create_array(
            args.out,
            shape=source.volume.shape,
            dtype=source.volume.dtype,
            chunks=args.chunks,
            compressors=BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle"),
            filters=None,
        )
        cz, cy, _ = args.chunks
        buffers = [np.empty((cz, cy, columns), source.volume.dtype) for _ in range(2)]
        written = None
        for n, (z, y) in enumerate(product(range(0, depth, cz), range(0, rows, cy))):
            part = buffers[n % 2][: depth - z, : rows - y]
            source.read(z, z + part.shape[0], y, y + part.shape[1], part)
            if written:
                written.result()
            written = writer.submit(level.__setitem__, np.s_[z : z + part.shape[0], y : y + part.shape[1]], part)
        if written:
            written.result()


if __name__ == "__main__":
    main()
