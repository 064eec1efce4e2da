"""Measures how fast this package's reader or napari-ome-zarr's reads slices of an OME-Zarr.

    python read_slices.py STORE --reader ours|napari-ome-zarr --canvas 800 1200 --slices 15 --seed 0

Reads what napari reads to show a whole slice: the coarsest level that still has more pixels than the canvas in both
directions, cropped to the view, then the index along the third axis. Prints JSON.
"""

import argparse
import json
import random
import time

import numpy as np


def levels_of(store: str, reader: str) -> list:
    if reader == "ours":
        from pathlib import Path

        from napari_ct_pyramid.omezarr.reader import open_pyramid
        from napari_ct_pyramid.plugin.layers import pyramid_layers

        pyramid = open_pyramid(Path(store))
        return list(pyramid_layers(pyramid)[0][0])[: len(pyramid.levels)]
    from napari_ome_zarr import napari_get_reader

    data = napari_get_reader(store)(store)[0][0]
    return list(data) if isinstance(data, list | tuple) else [data]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--reader", choices=["ours", "napari-ome-zarr"], required=True)
    parser.add_argument("--canvas", type=int, nargs=2, required=True)
    parser.add_argument("--slices", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()
    start = time.perf_counter()
    levels = levels_of(args.store, args.reader)
    result = {"open": time.perf_counter() - start}
    generator = random.Random(args.seed)
    for axis, name in enumerate("zyx"):
        across = [i for i in range(3) if i != axis]
        fine = [all(level.shape[i] > n for i, n in zip(across, args.canvas, strict=True)) for level in levels]
        chosen = levels[max((k for k, more in enumerate(fine) if more), default=0)]
        seconds, shape = [], ()
        for _ in range(args.slices):
            where = [slice(0, n) for n in chosen.shape]
            view = chosen[tuple(where)]
            where[axis] = generator.randrange(chosen.shape[axis])
            start = time.perf_counter()
            shape = np.asarray(view[tuple(where)]).shape
            seconds.append(time.perf_counter() - start)
        result[name] = {"shape": shape, "seconds": seconds}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
