"""Measure, side by side and in turns: this converter at some budgets, the raw limit, the plain algorithm.

    python benchmarks/run.py [--shape 512 2560 2560] [--texture SCAN.tif] [--runs 3] [--budgets 1G 2G 4G]

Prints a table: median seconds, GB/s of the source, the peak resident memory of the process, and the time as
a multiple of the raw limit's. Machines are noisy, so only figures of one run are to be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

import big_tiff
import psutil

HERE = Path(__file__).parent


def measure(command: list[str], output: Path) -> dict[str, float]:
    """Run a command; its wall seconds, its peak resident memory, and the bytes it wrote."""
    shutil.rmtree(output, ignore_errors=True)
    if hasattr(os, "sync"):
        os.sync()  # what the last one left to be written is not this one's
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = _Peak(process.pid)
    answer, _ = process.communicate()
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
    told = json.loads(answer.splitlines()[-1]) if answer.strip().startswith('{"seconds"') else {}
    written = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    return {"seconds": told.get("seconds", seconds), "peak": peak.stop(), "written": written} | (
        {"slices": told["slices"]} if "slices" in told else {}
    )


class _Peak(threading.Thread):
    """Watches the resident memory of a process and of its children, many times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._most = 0
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.01):
            try:
                family = [self._process, *self._process.children(recursive=True)]
                self._most = max(self._most, sum(one.memory_info().rss for one in family))
            except psutil.Error:
                return

    def stop(self) -> int:
        self._over.set()
        self.join()
        return self._most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", nargs=3, type=int, default=(512, 2560, 2560), metavar=("Z", "Y", "X"))
    parser.add_argument("--noise", type=float, default=0.05)
    parser.add_argument("--texture", type=Path, help="a uint8 stack to texture the volume with")
    parser.add_argument("--budgets", nargs="+", default=["1G", "2G", "4G"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--levels", type=int, default=4)
    parser.add_argument("--plain-slices", type=int, default=32, help="slices for the plain algorithm; 0 leaves it out")
    parser.add_argument("--no-raw", action="store_true", help="leave the raw limit out")
    parser.add_argument("--dir", type=Path, help="where to work; default: a temporary folder")
    asked = parser.parse_args()

    with tempfile.TemporaryDirectory(dir=asked.dir) as folder:
        source, output = Path(folder, "volume.tif"), Path(folder, "out.zarr")
        big_tiff.write(source, tuple(asked.shape), noise=asked.noise, texture=asked.texture)
        size = 4 * asked.shape[0] * asked.shape[1] * asked.shape[2]
        threads = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
        convert = [sys.executable, "-m", "napari_ct_pyramid", "convert", str(source), str(output), "--quiet"]
        convert += ["-c", "128", "128", "128", "-l", str(asked.levels), "--threads", threads]
        script = [sys.executable, str(HERE / "{}.py"), str(source), str(output)]
        commands = {f"napari-ct-pyramid, --max-memory {b}": [*convert, "--max-memory", b] for b in asked.budgets}
        raw = "raw limit: tensorstore writes level 0 from memory"
        if not asked.no_raw:
            commands[raw] = [part.format("raw_limit") for part in script] + ["--threads", threads]
        figures = defaultdict(list)
        for turn in range(asked.runs):
            for name, command in commands.items():
                figures[name].append(measure(command, output))
                print(f"run {turn + 1}: {name}: {figures[name][-1]['seconds']:.1f} s", file=sys.stderr, flush=True)
        if asked.plain_slices:
            name = f"plain algorithm, {asked.plain_slices} slices"
            plain = [part.format("plain") for part in script]
            plain += ["--levels", str(asked.levels), "--slices", str(asked.plain_slices)]
            figures[name].append(measure(plain, output))

    cpu = f"{threads} cores, {psutil.virtual_memory().total / 1e9:.0f} GB, Python {platform.python_version()}"
    print(f"\n{size / 1e9:.1f} GB, {' × '.join(map(str, asked.shape))} float32, {asked.levels} levels of 128³; {cpu}\n")
    print(f"| {'what':50} | seconds | of raw | GB/s | peak GB | written GB |")
    print(f"| {'-' * 50} | ------: | -----: | ---: | ------: | ---------: |")
    base = statistics.median(f["seconds"] for f in figures[raw]) if raw in figures else None
    for name, runs in figures.items():
        seconds = statistics.median(f["seconds"] for f in runs)
        share = runs[0].get("slices", asked.shape[0]) / asked.shape[0]
        ratio = f"{seconds / share / base:.2f}" if base else ""
        print(
            f"| {name:50} | {seconds:7.1f} | {ratio:>6} | {size * share / seconds / 1e9:4.2f} "
            f"| {max(f['peak'] for f in runs) / 1e9:7.2f} | {runs[0]['written'] / 1e9:10.2f} |"
        )


if __name__ == "__main__":
    main()
