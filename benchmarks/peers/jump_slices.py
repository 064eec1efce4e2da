"""Measures how long napari takes to show another slice of an OME-Zarr that this package or napari-ome-zarr opened.

    python jump_slices.py STORE --reader ours|napari-ome-zarr --jumps 15 --passes 3 --seed 0

In a window of 1400 x 1000, along each axis: to the same places in each pass, first the whole slice, then in full
resolution, where a voxel is a pixel. Prints JSON.
"""

import argparse
import gc
import json
import random
import time

import napari
import psutil
from qtpy.QtWidgets import QApplication

PLUGINS = {"ours": "napari-ct-pyramid", "napari-ome-zarr": "napari-ome-zarr"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--reader", choices=list(PLUGINS), required=True)
    parser.add_argument("--jumps", type=int, required=True)
    parser.add_argument("--passes", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.window._qt_window.resize(1400, 1000)
    QApplication.processEvents()
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    layer = viewer.open(args.store, plugin=PLUGINS[args.reader])[0]
    QApplication.processEvents()
    result: dict = {"open": time.perf_counter() - start}
    generator = random.Random(args.seed)
    for view in ("whole", "full"):
        for axis, name in enumerate("zyx"):
            viewer.dims.order = (axis, *(other for other in range(3) if other != axis))
            viewer.reset_view()
            if view == "full":
                viewer.scene.camera.zoom = 1 / layer.scale[-1]
            QApplication.processEvents()
            places = [generator.randrange(layer.data[0].shape[axis]) for _ in range(args.jumps)]
            passes = [[jump(viewer, axis, place) for place in places] for _ in range(args.passes)]
            result[f"{view} {name}"] = {
                "level": layer.data_level,
                "first": passes[0],
                "warm": [s for one in passes[1:] for s in one],
            }
    result["memory"] = psutil.Process().memory_info().rss - before
    viewer.layers.clear()
    del layer
    QApplication.processEvents()
    gc.collect()
    result["memory after"] = psutil.Process().memory_info().rss - before
    print(json.dumps(result))
    viewer.close()


def jump(viewer: napari.Viewer, axis: int, place: int) -> float:
    start = time.perf_counter()
    viewer.dims.set_current_step(axis, place)
    QApplication.processEvents()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
