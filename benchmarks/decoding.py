"""Converts a compressed source, and only decodes it, in turns. Decoding uses one thread for each core.

python benchmarks/decoding.py [--file lzw] [--runs 3] [--budget 1G] [--dir FOLDER]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

import contenders
import tables
import tifffile
from files import FILES
from measuring import measure

from napari_ct_pyramid.options import available_cores


def decode(source: str, threads: int) -> None:
    """Decode all pages as fast as tifffile and imagecodecs can: each thread opens the file for itself."""

    def every_nth(first: int) -> None:
        with tifffile.TiffFile(source) as tiff:
            for i in range(first, len(tiff.pages), threads):
                tiff.pages[i].asarray(maxworkers=1)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(every_nth, range(threads)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", choices=list(FILES), default="lzw")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--levels", type=int, default=4)
    parser.add_argument("--budget", default="1G")
    parser.add_argument("--dir", type=Path, help="working folder; default: a temporary one")
    parser.add_argument("--decode", help=argparse.SUPPRESS)
    args = parser.parse_args()
    threads = available_cores()
    if args.decode:
        decode(args.decode, threads)
        return
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        file, work = FILES[args.file], Path(folder, "work").absolute()
        source = file.make("plain TIFF", work.parent)
        convert = partial(contenders.ours, args.budget, levels=args.levels, threads=threads)
        commands = {
            "decoding alone": [sys.executable, str(Path(__file__).resolve()), "--decode", str(source)],
            f"napari-ct-pyramid, --max-memory {args.budget}": convert(source, work / "out.ome.zarr"),
        }
        runs = {name: [] for name in commands}
        for _ in range(args.runs):
            for name, command in commands.items():
                shutil.rmtree(work, ignore_errors=True)
                work.mkdir()
                runs[name].append(measure(command, work))
                if runs[name][-1].ended:
                    raise SystemExit(f"{name} failed: {runs[name][-1].output}")
        stored = source.stat().st_size / file.stored
    alone = median(run.seconds for run in runs["decoding alone"])
    lines = []
    for name, taken in runs.items():
        seconds = median(run.seconds for run in taken)
        cpu = median(run.cpu_seconds for run in taken)
        peak = max(run.peak_bytes for run in taken)
        lines.append([name, f"{seconds:.1f}", f"{alone / seconds:.2f}", f"{cpu:.1f}", f"{peak / 1e9:.2f}"])
    share = stored * file.shape[0] / file.nbytes
    print(f"{tables.machine()}\n\n{file}, {share:.2f} of its size in the file; medians of {args.runs} runs\n")
    print(tables.table(["what", "seconds", "speed, decoding alone = 1", "CPU s", "peak GB"], lines))


if __name__ == "__main__":
    main()
