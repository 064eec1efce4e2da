"""Compares an export to TIFF with its two limits: reading all chunks of level 0, and writing as many bytes, in turns.

    python benchmarks/exporting.py STORE.ome.zarr FOLDER [--runs 3] [--max-memory 1G] [--output scan.tif]

Reading: tensorstore decodes the chunks, a few at a time, and throws them away. Writing: threads write one buffer to a
file, 4 MB at a time, and wait until it is on the disk. Each run is a process of its own, and its files are removed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import tables
from measuring import Run, measure

_PIECE = 4_000_000  # bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("folder", type=Path, help="on the disk that is measured; everything made in it is removed")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--max-memory", default="1G")
    parser.add_argument("--output", default="scan.tif", help="its ending decides what is exported")
    parser.add_argument("--limit", choices=("read", "write"), help=argparse.SUPPRESS)
    parser.add_argument("--bytes", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.limit == "read":
        read_chunks(args.store)
    elif args.limit == "write":
        write_bytes(args.folder / "bytes", args.bytes)
    else:
        compare(args)


def compare(args: argparse.Namespace) -> None:
    store = args.store.absolute()
    array = json.loads((store / "0" / ".zarray").read_text())
    size = math.prod(array["shape"]) * int(array["dtype"][2:])
    itself = [sys.executable, str(Path(__file__).resolve()), str(store), "."]
    commands = {
        "reading all chunks": [*itself, "--limit", "read"],
        "writing as many bytes": [*itself, "--limit", "write", "--bytes", str(size)],
        "the export": [sys.executable, "-m", "napari_ct_pyramid", "export", str(store), args.output, "--quiet",
                       "--max-memory", args.max_memory],
    }  # fmt: skip
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(args.runs):
        for name, command in commands.items():
            folder = args.folder / "exporting"
            folder.mkdir(parents=True)
            run = measure(command, folder)
            shutil.rmtree(folder)
            if run.ended:
                raise SystemExit(f"{name} {run.ended}: {run.output}")
            runs[name].append(run)
    lines = []
    for name, every in runs.items():
        seconds = [run.on_disk_seconds for run in every]
        lines.append([name, f"{median(seconds):.1f} ({min(seconds):.1f}–{max(seconds):.1f})",
                      f"{size / median(seconds) / 1e9:.2f}", f"{median(run.cpu_seconds for run in every):.1f}",
                      f"{max(run.peak_bytes for run in every) / 1e9:.2f} GB"])  # fmt: skip
    read, write, export = (median(run.on_disk_seconds for run in every) for every in runs.values())
    print(f"{tables.machine()}\n\n{store.name}, {size / 1e9:.1f} GB of level 0, to {args.output}\n")
    print(tables.table(["", "seconds", "GB/s", "CPU seconds", "peak memory"], lines))
    print(f"\nthe rate of the export is {max(read, write) / export:.2f} of that of the slower limit")


def read_chunks(store: Path) -> None:
    import tensorstore as ts

    driver = "zarr" if (store / "0" / ".zarray").exists() else "zarr3"
    array = ts.open(
        {"driver": driver, "kvstore": {"driver": "file", "path": f"{store}/0/"}},
        read=True,
        open=True,
        context=ts.Context({"cache_pool": {"total_bytes_limit": 0}}),
    ).result()
    z, y, x = array.chunk_layout.read_chunk.shape
    depth, height, width = array.shape
    boxes = [
        (slice(k, k + z), slice(j, min(j + y, height)), slice(i, min(i + x, width)))
        for k in range(0, depth, z)
        for j in range(0, height, y)
        for i in range(0, width, x)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda box: array[box].read().result().size, boxes):
            pass


def write_bytes(path: Path, size: int) -> None:
    piece = os.urandom(_PIECE)
    start = time.perf_counter()
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda at: os.pwrite(file, piece, at), range(0, size, _PIECE)):
            pass
    os.fsync(file)
    os.close(file)
    print(f"{time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
