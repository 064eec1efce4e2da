"""bioio-conversion with its own chunks, of the same size as those of the others, and shards: it uses all cores."""

import common

if __name__ == "__main__":  # its workers import this module again
    args = common.arguments()
    from bioio_conversion.converters import OmeZarrConverter
    from zarr.codecs import BloscCodec

    args.out.mkdir()
    OmeZarrConverter(
        source=str(args.source),
        destination=str(args.out),
        num_levels=args.levels,
        downsample_z=True,
        n_workers=args.threads,
        memory_target=4 * args.chunk**3,
        compressor=BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle"),
    ).convert()
