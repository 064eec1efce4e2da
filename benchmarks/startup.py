"""Measures the time until the first block is read: start Python, import, read the pages, plan, make the output.

    python benchmarks/startup.py [--shape 2160 640 640] [--runs 5] [--dir FOLDER]

The time ends with the first `Progress`, when all arrays of the output exist and are still empty. Then the conversion is
canceled. The pages of the volume share one stored slice.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

import tables
from files import File

SCRIPT = """
import json, sys, time
began = time.time()
from napari_ct_pyramid import iter_convert, plan
imported = time.time()
plan(sys.argv[1], chunks=(128, 128, 128), max_memory="1G")
planned = time.time()
running = iter_convert(sys.argv[1], sys.argv[2], chunks=(128, 128, 128), max_memory="1G")
next(running)
print(json.dumps([began, imported, planned, time.time()]))
running.close()
"""
STEPS = ("Python starts", "import", "plan", "plan again, make the output, first Progress")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", nargs=3, type=int, default=(2160, 640, 640), metavar=("Z", "Y", "X"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--dir", type=Path, help="working folder; default: a temporary one")
    args = parser.parse_args()
    taken = []
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        source = File(tuple(args.shape), stored=1).make("plain TIFF", Path(folder))
        for turn in range(args.runs):
            start = time.time()
            command = [sys.executable, "-c", SCRIPT, str(source), str(Path(folder, f"{turn}.ome.zarr"))]
            answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            times = [start, *json.loads(answer)]
            taken.append([b - a for a, b in pairwise(times)])
    # The separate plan is not part of the total, because the conversion plans again.
    totals = [sum(run) - run[2] for run in taken]
    print(f"{args.shape[0]} pages, medians of {args.runs} runs\n")
    lines = [[step, f"{median(run[i] for run in taken):.3f}"] for i, step in enumerate(STEPS)]
    print(
        tables.table(["until the first block", "seconds"], [*lines, ["total, with one plan", f"{median(totals):.3f}"]])
    )


if __name__ == "__main__":
    main()
