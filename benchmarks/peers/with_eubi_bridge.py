"""EuBI-Bridge, from its command line, without its configuration file."""

import os
import sys
import tempfile

import common

if __name__ == "__main__":  # its workers import this module again
    args = common.arguments()
    with tempfile.TemporaryDirectory() as settings:
        os.environ["EUBI_CONFIG_DIR"] = settings
        from eubi_bridge.cli import main

        chunk, threads = str(args.chunk), str(args.threads)
        sys.argv = ["eubi", "to_zarr", str(args.source), str(args.out), "--ome_zarr_version", "0.4"]
        sys.argv += ["--auto_chunk", "False", "--z_chunk", chunk, "--y_chunk", chunk, "--x_chunk", chunk]
        sys.argv += ["--n_layers", str(args.levels), "--downscale_method", "mean"]
        sys.argv += ["--compressor", "blosc", "--compressor_params", str(common.BLOSC)]
        sys.argv += ["--max_threads", threads, "--tensorstore_data_copy_concurrency", threads]
        main()
