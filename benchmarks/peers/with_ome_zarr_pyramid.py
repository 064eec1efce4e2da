"""ome-zarr-pyramid, from the image that micro-reader opens."""

import common

if __name__ == "__main__":
    args = common.arguments()
    import micro_reader
    from ome_zarr_pyramid import Pyramid, io

    image = micro_reader.open(str(args.source)).images[0]
    pyramid = Pyramid.from_image(image, version="0.4", resolutions="base")
    sizes = dict.fromkeys("zyx", args.chunk)
    io.write_pyramid(
        pyramid.downscale(n_layers=args.levels, downscale_method="mean"),
        str(args.out),
        overwrite=True,
        compressor="blosc",
        compressor_params=common.BLOSC,
        chunk_shape=tuple(sizes.get(axis, 1) for axis in pyramid.axes),
        max_threads=args.threads,
    )
