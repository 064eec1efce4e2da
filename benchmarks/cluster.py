"""Measures a Dask cluster on this machine with one and two workers, and estimates larger clusters from that.

    python benchmarks/cluster.py [--file 4g] [--levels 2] [--runs 3] [--dir FOLDER]

Each run starts with one process without a cluster. Each worker has one thread. The second table is an estimate from the
first one: it assumes that every worker is as fast as the single one, and that all use the same storage.
"""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import tables
from distributed import Client, LocalCluster, get_task_stream
from files import FILES

import napari_ct_pyramid as ct
from napari_ct_pyramid.conversion import convert as conversions
from napari_ct_pyramid.conversion.buffers import FinishedBlock
from napari_ct_pyramid.model.plan import Plan, make_plan
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import ConversionOptions

VOLUMES = {"56.6 GB": (2160, 2560, 2560), "1.1 TB": (6464, 6464, 6464)}
STORAGES = (2e9, 10e9)  # bytes read and written a second: a good file server, and a parallel file system
WORKERS = (1, 2, 4, 16, 64)


@dataclass
class Measured:
    """The seconds that a block takes, and where, in a run with one worker."""

    rate: float  # bytes of voxels that a worker converts a second
    between: float  # from the end of a block to the start of the next
    recording: float  # the time in which the coordinator writes checksums and journal to its disk
    once: float  # the time for the plan, the setup of the workers, and the metadata
    written: float  # bytes written for each byte read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", choices=list(FILES), default="4g")
    parser.add_argument("--levels", type=int, default=2, help="few levels make many small blocks")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--dir", type=Path, help="working folder; default: a temporary one")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        file = FILES[args.file]
        options: dict[str, Any] = {"chunks": (128, 128, 128), "num_levels": args.levels, "threads": 1}
        source, output = file.make("plain TIFF", args.dir or Path(folder)), Path(folder) / "out.ome.zarr"
        print(f"{tables.machine()}\n\n{file}, {ct.plan(source, output, **options).blocks} blocks\n")
        seconds: dict[int, list[float]] = defaultdict(list)
        alone: list[Measured] = []
        for _ in range(args.runs):
            for workers in (0, 1, 2):
                receipt, measured = convert(source, output, workers, options)
                seconds[workers].append(receipt.seconds)
                alone += [measured] if measured and workers == 1 else []
                shutil.rmtree(output)
    names = {0: "this process, 1 thread", 1: "1 worker", 2: "2 workers"}
    print(
        tables.table(
            ["", "Seconds", "GB/s"],
            [
                [names[n], f"{median(found):.1f} ({min(found):.1f} to {max(found):.1f})",
                 f"{file.nbytes / median(found) / 1e9:.2f}"]
                for n, found in seconds.items()
            ],
        )
    )  # fmt: skip
    typical = Measured(*(median(getattr(one, name) for one in alone) for name in Measured.__annotations__))
    print(
        f"\nA worker converts {typical.rate / 1e9:.2f} GB/s. "
        f"{typical.between * 1000:.0f} ms pass between two blocks, the coordinator takes "
        f"{typical.recording * 1000:.0f} ms for each, and {typical.once:.1f} s pass before and after.\n"
    )
    for name, shape in VOLUMES.items():
        volume = Volume(name, shape, np.dtype("f4"), "BigTIFF")
        plan = make_plan(volume, ConversionOptions(chunks="visualization"))
        blocks = " + ".join(str(sum(1 for _ in stage.blocks())) for stage in plan.stages)
        print(f"\n{name}, {blocks} blocks, estimated:\n")
        head = ["Workers", *(f"Seconds, storage of {storage / 1e9:.0f} GB/s" for storage in STORAGES)]
        print(tables.table(head, ([str(n), *(estimate(plan, typical, n, s) for s in STORAGES)] for n in WORKERS)))


def convert(source: Path, output: Path, workers: int, options: dict[str, Any]) -> tuple[ct.Receipt, Measured | None]:
    if not workers:
        return ct.convert(source, output, **options), None
    recording: list[float] = []
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # otherwise it takes a fixed port
        ) as cluster,
        Client(cluster) as client,
        get_task_stream(client) as stream,
        timed(recording),
    ):
        receipt = ct.convert(source, output, client=client, **options)
    tasks = [(step["start"], step["stop"]) for task in stream.data for step in task["startstops"]
             if step["action"] == "compute"]  # fmt: skip
    tasks.sort()
    return receipt, Measured(
        rate=receipt.bytes_read / sum(stop - start for start, stop in tasks),
        between=median(after[0] - before[1] for before, after in pairwise(tasks)),
        recording=median(recording),
        once=receipt.seconds - (tasks[-1][1] - tasks[0][0]),
        written=receipt.bytes_written / receipt.bytes_read,
    )


@contextmanager
def timed(seconds: list[float]) -> Iterator[None]:
    """Record how long the coordinator takes for each block."""
    make_blocks = conversions.make_blocks

    def timing(*args: Any) -> Any:
        *others, keep = args

        def keep_timed(made: FinishedBlock) -> None:
            began = time.perf_counter()
            keep(made)
            seconds.append(time.perf_counter() - began)

        return make_blocks(*others, keep_timed)

    conversions.make_blocks = timing
    try:
        yield
    finally:
        conversions.make_blocks = make_blocks


def estimate(plan: Plan, measured: Measured, workers: int, storage: float) -> str:
    """Seconds that a plan would take, and what would limit more workers."""
    seconds, ends = measured.once, ""
    for stage in plan.stages:
        count = sum(1 for _ in stage.blocks())
        size = math.prod(stage.shape) * plan.volume.dtype.itemsize
        takes = {
            "blocks" if 2 * workers > count else "": math.ceil(count / workers)
            * (size / count / measured.rate + measured.between),
            "storage": size * (1 + measured.written) / storage,
            "coordinator": count * measured.recording,
        }
        longest = max(takes, key=lambda what: takes[what])
        seconds += takes[longest]
        ends = longest if stage.from_source else ends  # level 0 takes nearly all of the time
    return f"{seconds:,.0f}" + (f" ({ends})" if ends else "")


if __name__ == "__main__":
    main()
