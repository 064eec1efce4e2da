"""zarrify, by its command line and a configuration file, with workers of a local dask cluster."""

import json
import sys
import tempfile
from pathlib import Path

import common

if __name__ == "__main__":  # its workers import this module again
    asked = common.arguments()
    import tifffile
    from zarrify.to_zarr import cli

    with tifffile.TiffFile(asked.source) as tiff:
        longest = max(len(tiff.pages), *tiff.pages[0].shape)
    needed = 1 + next(k for k in range(64) if longest // 2**k <= 32)  # fewer levels it refuses

    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder, "settings.yaml")
        told = {
            "src": str(asked.source),
            "dest": str(asked.out),
            "cluster": "local",
            "workers": asked.threads,
            "log_dir": folder,
            "zarr_chunks": [asked.chunk] * 3,
            "shard_shape": None,
            "codec": "blosc",
            "codec_level": 1,
            "axes": ["z", "y", "x"],
            "scale": [1.0] * 3,
            "translation": [0.0] * 3,
            "units": ["micrometer"] * 3,
            "multiscale": True,
            "ms_workers": asked.threads,
            "data_origin": "raw",
            "custom_scale_factors": [[2**k] * 3 for k in range(max(asked.levels, needed))],
        }
        settings.write_text(json.dumps(told))  # which is YAML, too
        sys.argv = ["zarrify", "--config", str(settings)]
        cli()
