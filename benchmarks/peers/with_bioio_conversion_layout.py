"""bioio-conversion, with its own layout of chunks, as large as those of the others, and shards: it uses all cores."""

import common

if __name__ == "__main__":  # its workers import this module again
    asked = common.arguments()
    from bioio_conversion.converters import OmeZarrConverter
    from zarr.codecs import BloscCodec

    asked.out.mkdir()
    OmeZarrConverter(
        source=str(asked.source),
        destination=str(asked.out),
        num_levels=asked.levels,
        downsample_z=True,
        n_workers=asked.threads,
        memory_target=4 * asked.chunk**3,
        compressor=BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle"),
    ).convert()
