"""stack-to-chunk, from a dask array with one page a block; its axes are x, y, z, and it always makes shards."""

import common

if __name__ == "__main__":  # its workers import this module again
    args = common.arguments()
    from pydantic_zarr.v3 import ArraySpec, NamedConfig
    from stack_to_chunk import MultiScaleGroup

    volume = common.pages_in_dask(args.source, 1).transpose(2, 1, 0)
    grid = NamedConfig(name="regular", configuration={"chunk_shape": [args.chunk] * 3})
    blosc = common.BLOSC | {"shuffle": "bitshuffle", "typesize": volume.dtype.itemsize, "blocksize": 0}
    codecs = (
        NamedConfig(name="bytes", configuration={"endian": "little"}),
        NamedConfig(name="blosc", configuration=blosc),
    )
    group = MultiScaleGroup(
        args.out,
        name="volume",
        spatial_unit="micrometer",
        voxel_size=(1, 1, 1),
        array_spec=ArraySpec.from_array(volume, chunk_grid=grid, codecs=codecs),
    )
    group.add_full_res_data(volume, n_processes=args.threads)
    for level in range(1, args.levels):
        group.add_downsample_level(level, n_processes=args.threads)
