"""bioio-conversion with a given chunk size: then it writes in one thread, with the whole volume in memory."""

import common

if __name__ == "__main__":
    args = common.arguments()
    from bioio_conversion.converters import OmeZarrConverter
    from numcodecs import Blosc

    args.out.mkdir()
    OmeZarrConverter(
        source=str(args.source),
        destination=str(args.out),
        num_levels=args.levels,
        downsample_z=True,
        n_workers=args.threads,
        zarr_format=2,
        chunk_shape=(args.chunk,) * 3,
        compressor=Blosc("lz4", 1, Blosc.BITSHUFFLE),
    ).convert()
