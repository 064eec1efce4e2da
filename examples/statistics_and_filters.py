"""Porosity per slice, a filter slice by slice, and another order of axes, of a volume of any size within 1 GB.

    python statistics_and_filters.py scan.tif results

The source is anything that `ct-pyramid convert` reads. The results are scan.ome.zarr, slices.csv, smooth.ome.zarr and
turned.ome.zarr, in a folder that exists.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import napari_ct_pyramid as ct

BUDGET = "1G"


def smooth_slices(voxels: np.ndarray) -> np.ndarray:
    """The mean of each voxel and its four neighbours in the slice, of voxels (z, y, x)."""
    wide = np.pad(voxels, ((0, 0), (1, 1), (1, 1)), mode="edge")
    result: np.ndarray = wide[:, 1:-1, 1:-1].astype("f4")
    result += wide[:, :-2, 1:-1]
    result += wide[:, 2:, 1:-1]
    result += wide[:, 1:-1, :-2]
    result += wide[:, 1:-1, 2:]
    result /= 5
    return result


def main(source: str, folder: Path) -> None:
    # A pyramid first: everything below reads it in chunks, and only what it needs.
    image = ct.convert(source, folder / "scan.ome.zarr", chunks=128, edges="pad", max_memory=BUDGET).output

    # Open it, and take the middle half of the slices. This reads nothing.
    pyramid = ct.open_pyramid(image)
    depth = pyramid.levels[0].shape[0]
    part = pyramid.crop(z=(depth // 4, depth - depth // 4))
    print(part)

    # Histogram and Otsu's threshold of all voxels, and the share above it in every slice. The rest counts as pores,
    # with the air around the sample: crop to a box within the sample for its own porosity.
    found = ct.stats(image, per_slice=True, max_memory=BUDGET)
    print(found)
    (folder / "slices.csv").write_text(found.to_csv())
    if found.slices is not None:
        porosity = 1 - found.slices.above
        print(f"porosity of slices {porosity.min():.1%} to {porosity.max():.1%}")
        print(f"{found.peak_memory_bytes / 1e9:.2f} GB of memory")

    # A filter, slice by slice, into a new OME-Zarr. The overlap holds the neighbours of the voxels at a block's edge.
    smooth = part.levels[0].map_blocks(smooth_slices, overlap=(0, 1, 1), dtype="f4")
    receipt = ct.convert(smooth, folder / "smooth.ome.zarr", chunks=64, edges="pad", max_memory=BUDGET)
    print(receipt)

    # Another order of axes, of the same slices: what was y is z now. From the path, all reading is within the budget.
    middle = ((None, None), (depth // 4, depth - depth // 4), (None, None))  # in the new order
    turned = ct.convert(
        image, folder / "turned.ome.zarr", axes="yzx", crop=middle, chunks=128, edges="pad", max_memory=BUDGET
    )
    print(turned)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
