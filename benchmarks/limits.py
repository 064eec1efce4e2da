"""What the scripts of the raw limits share: their arguments."""

from __future__ import annotations

import argparse


def arguments(description: str | None) -> argparse.Namespace:
    """SOURCE.tif OUT.zarr --threads 2 [--chunks 128 128 128]"""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--chunks", nargs=3, type=int, default=(128, 128, 128))
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()
