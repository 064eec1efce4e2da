"""ngff-zarr, of a dask array: its command line takes pages that say nothing of z for images of their own."""

import common
import dask
from numcodecs import Blosc

if __name__ == "__main__":
    asked = common.arguments()
    from ngff_zarr import Methods, config, to_multiscales, to_ngff_image, to_ngff_zarr

    dask.config.set(scheduler="threads", num_workers=asked.threads)
    config.cache_store = asked.out.with_name("cache")
    volume = common.pages_in_dask(asked.source, asked.chunk).rechunk((asked.chunk,) * 3)
    image = to_ngff_image(volume, dims=["z", "y", "x"])
    factors = [2**k for k in range(1, asked.levels)]
    levels = to_multiscales(image, scale_factors=factors, method=Methods.DASK_BIN_SHRINK, chunks=asked.chunk)
    to_ngff_zarr(str(asked.out), levels, version="0.4", compressor=Blosc("lz4", 1, Blosc.BITSHUFFLE))
