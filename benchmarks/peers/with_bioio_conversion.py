"""bioio-conversion, with the chunks chosen for it: it then writes in one thread, from the whole volume in memory."""

import common

if __name__ == "__main__":
    asked = common.arguments()
    from bioio_conversion.converters import OmeZarrConverter
    from numcodecs import Blosc

    asked.out.mkdir()
    OmeZarrConverter(
        source=str(asked.source),
        destination=str(asked.out),
        num_levels=asked.levels,
        downsample_z=True,
        n_workers=asked.threads,
        zarr_format=2,
        chunk_shape=(asked.chunk,) * 3,
        compressor=Blosc("lz4", 1, Blosc.BITSHUFFLE),
    ).convert()
