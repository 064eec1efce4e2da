"""ome-zarr-py's own writer, from a dask array."""

import common
import dask
from numcodecs import Blosc
from ome_zarr.format import FormatV04
from ome_zarr.scale import Methods
from ome_zarr.writer import write_image

if __name__ == "__main__":
    args = common.arguments()
    dask.config.set(scheduler="threads", num_workers=args.threads)
    chunk = (args.chunk,) * 3
    write_image(
        common.pages_in_dask(args.source, args.chunk).rechunk(chunk),
        str(args.out),
        scale_factors=[dict.fromkeys("zyx", 2**k) for k in range(1, args.levels)],
        method=Methods.LOCAL_MEAN,
        fmt=FormatV04(),
        axes=["z", "y", "x"],
        storage_options={"chunks": chunk, "compressor": Blosc("lz4", 1, Blosc.BITSHUFFLE)},
    )
