"""acquire-zarr. tifffile reads the pages, and acquire-zarr gets them one at a time as frames."""

import acquire_zarr as aqz
import common
import tifffile

if __name__ == "__main__":
    args = common.arguments()
    with tifffile.TiffFile(args.source) as tiff:
        shape = (len(tiff.pages), *tiff.pages[0].shape)
        dimensions = [
            aqz.Dimension(
                name=name,
                kind=aqz.DimensionType.SPACE,
                array_size_px=size,
                chunk_size_px=args.chunk,
                shard_size_chunks=1,
            )
            for name, size in zip("zyx", shape, strict=True)
        ]
        settings = aqz.StreamSettings(
            store_path=str(args.out),
            overwrite=True,
            max_threads=args.threads,
            arrays=[
                aqz.ArraySettings(
                    dimensions=dimensions,
                    data_type=tiff.pages[0].dtype,
                    compression=aqz.CompressionSettings(
                        compressor=aqz.Compressor.BLOSC1, codec=aqz.CompressionCodec.BLOSC_LZ4, level=1, shuffle=2
                    ),
                    downsampling_method=aqz.DownsamplingMethod.MEAN,
                    max_levels=args.levels - 1,
                )
            ],
        )
        stream = aqz.ZarrStream(settings)
        for page in tiff.pages:
            stream.append(page.asarray())
        stream.close()
