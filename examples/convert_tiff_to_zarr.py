"""Convert a TIFF to a multiscale OME-Zarr, with a progress bar.

    python convert_tiff_to_zarr.py input.tif output.zarr -c 128 128 128 --max-memory 8G

It has the options of `ct-pyramid convert`; `--help` lists them. In Python:

    from napari_ct_pyramid import convert
    receipt = convert("input.tif", "output.zarr", chunks=(128, 128, 128), max_memory="8G")
"""

import sys

from napari_ct_pyramid.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]]))
