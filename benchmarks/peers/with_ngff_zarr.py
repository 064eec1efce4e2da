"""ngff-zarr, from a dask array: its command line takes the pages of a plain TIFF for separate images."""

import common
import dask
from numcodecs import Blosc

if __name__ == "__main__":
    args = common.arguments()
    from ngff_zarr import Methods, config, to_multiscales, to_ngff_image, to_ngff_zarr

    dask.config.set(scheduler="threads", num_workers=args.threads)
    config.cache_store = args.out.with_name("cache")
    volume = common.pages_in_dask(args.source, args.chunk).rechunk((args.chunk,) * 3)
    image = to_ngff_image(volume, dims=["z", "y", "x"])
    factors = [2**k for k in range(1, args.levels)]
    levels = to_multiscales(image, scale_factors=factors, method=Methods.DASK_BIN_SHRINK, chunks=args.chunk)
    to_ngff_zarr(str(args.out), levels, version="0.4", compressor=Blosc("lz4", 1, Blosc.BITSHUFFLE))
