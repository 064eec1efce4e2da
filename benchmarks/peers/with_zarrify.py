"""zarrify, from its command line with a configuration file and the workers of a local dask cluster."""

import json
import sys
import tempfile
from pathlib import Path

import common

if __name__ == "__main__":  # its workers import this module again
    args = common.arguments()
    import tifffile
    from zarrify.to_zarr import cli

    with tifffile.TiffFile(args.source) as tiff:
        longest = max(len(tiff.pages), *tiff.pages[0].shape)
    needed = 1 + next(k for k in range(64) if longest // 2**k <= 32)  # zarrify refuses fewer levels

    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder, "settings.yaml")
        configuration = {
            "src": str(args.source),
            "dest": str(args.out),
            "cluster": "local",
            "workers": args.threads,
            "log_dir": folder,
            "zarr_chunks": [args.chunk] * 3,
            "shard_shape": None,
            "codec": "blosc",
            "codec_level": 1,
            "axes": ["z", "y", "x"],
            "scale": [1.0] * 3,
            "translation": [0.0] * 3,
            "units": ["micrometer"] * 3,
            "multiscale": True,
            "ms_workers": args.threads,
            "data_origin": "raw",
            "custom_scale_factors": [[2**k] * 3 for k in range(max(args.levels, needed))],
        }
        settings.write_text(json.dumps(configuration))  # JSON is YAML, too
        sys.argv = ["zarrify", "--config", str(settings)]
        cli()
