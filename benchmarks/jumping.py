"""Shows random slices of an OME-Zarr in napari, opened by this package and by napari-ome-zarr, in turns.

    python benchmarks/jumping.py STORE.ome.zarr [--jumps 15] [--passes 3] [--runs 3]

Each run is a process of its own with a window of 1400 × 1000; both show the same slices. The first pass shows each for
the first time; the other passes show them again, in the same order. Without a display, run it under `xvfb-run`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import tables
from environments import versions

HERE = Path(__file__).resolve().parent
PACKAGES = {"ours": ("napari-ct-pyramid",), "napari-ome-zarr": ("napari-ome-zarr",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--jumps", type=int, default=15, help="slices along each axis")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    found: dict[str, list[dict]] = {reader: [] for reader in PACKAGES}
    for _ in range(args.runs):
        for reader, runs in found.items():
            command = [sys.executable, str(HERE / "peers" / "jump_slices.py"), str(args.store), "--reader", reader]
            command += ["--jumps", str(args.jumps), "--passes", str(args.passes), "--seed", "0"]
            answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            runs.append(json.loads(answer.splitlines()[-1]))
    views = [f"{view} {axis}" for view in ("whole", "full") for axis in "zyx"]
    print(f"{tables.machine()}\n\n{args.store.name}, medians of {args.runs} runs, in milliseconds\n")
    lines = []
    for reader, runs in found.items():
        name = versions(sys.executable, PACKAGES[reader])
        for what in ("first", "warm"):
            cells = [f"{median(1000 * s for run in runs for s in run[view][what]):.0f}" for view in views]
            lines.append([f"{name}, {what}", *cells])
        lines.append(["level", *[str(runs[-1][view]["level"]) for view in views]])
    print(tables.table(["", *views], lines))
    for reader, runs in found.items():
        opened, memory, after = (median(run[what] for run in runs) for what in ("open", "memory", "memory after"))
        print(
            f"\n{reader} opens in {opened:.2f} s, and holds {memory / 1e9:.2f} GB, {after / 1e9:.2f} GB when the layer "
            "is removed."
        )


if __name__ == "__main__":
    main()
