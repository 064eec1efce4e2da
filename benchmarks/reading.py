"""Reads random z, y and x slices at screen size with this package's reader and with napari-ome-zarr's, in turns.

    python benchmarks/reading.py STORE.ome.zarr [--canvas 800 1200] [--slices 15] [--runs 3] [--dir FOLDER]

Each run is a process of its own, and both readers read the same slices. A first run of each, which does not count,
reads the same slices into the system's cache. With `--cold`, every run reads other slices.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import tables
from environments import environment, versions

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--canvas", type=int, nargs=2, default=(800, 1200), metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--slices", type=int, default=15, help="number of slices along each axis in each run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cold", action="store_true", help="read other slices in every run")
    parser.add_argument("--dir", type=Path, default=HERE / "out", help="folder of the environment, which stays there")
    args = parser.parse_args()
    packages = ("napari-ome-zarr",)
    python = environment(args.dir.absolute() / "environments" / packages[0], packages, (3, 11))
    pythons = {"ours": sys.executable, "napari-ome-zarr": str(python)}
    found: dict[str, list[dict]] = {reader: [] for reader in pythons}
    for turn in range(args.runs + (not args.cold)):
        for place, (reader, its_python) in enumerate(pythons.items()):
            seed = 2 * turn + place if args.cold else 0
            command = [its_python, str(HERE / "peers" / "read_slices.py"), str(args.store), "--reader", reader]
            command += ["--canvas", *map(str, args.canvas), "--slices", str(args.slices), "--seed", str(seed)]
            answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            found[reader].append(json.loads(answer.splitlines()[-1]))
    head = [
        "reader",
        "opens in s",
        *[f"{axis}, ms" for axis in "zyx"],
        *[f"slowest {axis}, ms" for axis in "zyx"],
    ]
    lines = []
    names = {"ours": ("napari-ct-pyramid",), "napari-ome-zarr": packages}
    for reader, every in found.items():
        runs = every[-args.runs :]
        seconds = {axis: [1000 * s for run in runs for s in run[axis]["seconds"]] for axis in "zyx"}
        cells = [f"{median(seconds[axis]):.0f}" for axis in "zyx"] + [f"{max(seconds[axis]):.0f}" for axis in "zyx"]
        opened = f"{median(run['open'] for run in runs):.2f}"
        lines.append([versions(pythons[reader], names[reader]), opened, *cells])
    shapes = ", ".join(f"{axis} {' × '.join(map(str, found['ours'][-1][axis]['shape']))}" for axis in "zyx")
    cache = "slices not read before" if args.cold else "slices read once before"
    print(f"{tables.machine()}\n\n{args.store.name}, canvas {args.canvas[0]} × {args.canvas[1]}: {shapes}; ")
    print(f"medians of {args.slices * args.runs} {cache}\n\n{tables.table(head, lines)}")


if __name__ == "__main__":
    main()
