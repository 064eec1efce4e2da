"""Compare this converter with its peers, with the raw limits and with the plain algorithm, on the same volumes.

    python benchmarks/run.py [--files 1g 4g 13g u16 lzw] [--peers all] [--runs 3] [--json RESULTS.json] [--dir FOLDER]

Each peer has its own environment, which the first run makes. A run measures a whole process with its children, and the
converters take turns; the tables show medians. benchmarks/README.md describes how each peer is called. Machines are
noisy: compare only figures of one run of this script.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import contenders
import tables
from environments import NotInstalled, environment, versions
from files import FILES, File
from measuring import Run, measure
from results import Row

from napari_ct_pyramid.options import available_cores

HERE = Path(__file__).resolve().parent
LEAST_LIMIT_SECONDS = 120.0  # a run may take this long, however fast this converter is: imports take time, too
OURS = ("numpy", "tensorstore", "tifffile")  # packages on which the speed of our own rows depends, too


def make_rows(args: argparse.Namespace, file: File) -> list[Row]:
    here = versions(sys.executable, ("napari-ct-pyramid", *OURS))
    threads, levels = available_cores(), args.levels
    rows = [
        Row(
            f"napari-ct-pyramid, --max-memory {budget}",
            "ours",
            here,
            command=partial(contenders.ours, budget, levels=levels, threads=threads),
        )
        for budget in args.budgets
    ]
    if not args.no_raw and not file.lzw:  # the limit of a compressed source is in decoding.py
        rows += [
            Row(name, "raw", here, command=partial(contenders.raw_limit, script, threads=threads))
            for name, script in contenders.RAW_LIMITS.items()
        ]
    for name in args.peers if not file.alone else ():
        peer = contenders.PEERS[name]
        row = Row(peer.name, "peer", given=peer.given, form=peer.form)
        try:
            python = environment(args.dir / "environments" / peer.packages[0], peer.packages, peer.python)
            row.versions = versions(python, peer.packages)
            row.command = partial(peer.command, python, levels=levels, threads=threads)
        except NotInstalled as error:
            row.failure = str(error)
        rows.append(row)
    slices = min(args.plain_slices, file.shape[0])
    if slices and not file.alone:
        command = partial(contenders.plain, levels=levels, slices=slices)
        name = f"plain algorithm, {slices} slices of {file.shape[0]}"
        rows.append(
            Row(name, "plain", versions(sys.executable, OURS[2:]), command=command, share=slices / file.shape[0])
        )
    return rows


def run_once(row: Row, file: File, args: argparse.Namespace, limit: float | None) -> None:
    """Run a converter once more. Its output is checked if it is the first, or differs in size from the first."""
    work = Path(tempfile.mkdtemp(prefix="work-", dir=args.dir))
    source, out = file.make(row.form, args.dir / "files"), work / "out.ome.zarr"
    assert row.command
    try:
        run = measure(row.command(source, out), work, limit)
        if run.ended:
            row.failure = (
                tables.error_line(run.output) if run.ended == "failed" else f"stopped after {run.seconds:.0f} s"
            )
            print(f"{row.name}: {run.ended}\n{run.output}", file=sys.stderr)
            return
        if row.share == 1 and (not row.runs or _differ(run, row.runs[0])):
            judge = [
                sys.executable,
                str(HERE / "judging.py"),
                str(file.make("plain TIFF", args.dir / "files")),
                str(out),
            ]
            row.verdict = json.loads(subprocess.run(judge, capture_output=True, text=True, check=True).stdout)
        row.runs.append(replace(run, output=""))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _differ(one: Run, other: Run) -> bool:
    """Whether two outputs differ by more than the times in their metadata."""
    return one.files != other.files or abs(one.written_bytes - other.written_bytes) > 1000


def compare(args: argparse.Namespace, file: File, keep: Callable[[list[Row]], None]) -> list[Row]:
    """All runs on one file: the converters take turns. Calls `keep` after each run."""
    rows = make_rows(args, file)
    for turn in range(args.runs):
        for row in rows:
            if row.failure or (row.kind == "plain" and turn):
                continue
            ours = rows[0].seconds
            limit = max(LEAST_LIMIT_SECONDS, args.limit * ours) if ours and row.kind != "ours" else None
            run_once(row, file, args, limit)
            outcome = row.failure or f"{row.runs[-1].seconds:.1f} s"
            print(f"{file}: run {turn + 1} of {args.runs}: {row.name}: {outcome}", file=sys.stderr, flush=True)
            keep(rows)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = [name for name, file in FILES.items() if not file.alone and name != "tiny"]
    parser.add_argument("--files", nargs="+", choices=list(FILES), default=every, help=f"default: {' '.join(every)}")
    parser.add_argument("--shape", nargs=3, type=int, metavar=("Z", "Y", "X"), help="a float32 volume instead")
    parser.add_argument("--noise", type=float, help="standard deviation of the noise, instead of each volume's own")
    parser.add_argument("--texture", type=Path, help="a uint8 stack that gives the volumes a texture")
    parser.add_argument("--peers", nargs="+", choices=["all", "none", *contenders.PEERS], default=["all"])
    parser.add_argument("--budgets", nargs="+", default=["1G"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--levels", type=int, default=4)
    parser.add_argument(
        "--limit", type=float, default=20, help="stop a converter that takes this many times our time (default 20)"
    )
    parser.add_argument(
        "--plain-slices", type=int, default=32, help="slices that the plain algorithm converts; 0 leaves it out"
    )
    parser.add_argument("--no-raw", action="store_true", help="leave the raw limits out")
    parser.add_argument(
        "--dir", type=Path, default=HERE / "out", help="working folder; environments and files stay there"
    )
    parser.add_argument("--only-install", action="store_true", help="make the environments and the files, and stop")
    parser.add_argument("--json", type=Path, help="also write all measurements to this file")
    args = parser.parse_args()
    args.dir = args.dir.absolute()
    (args.dir / "files").mkdir(parents=True, exist_ok=True)
    if "all" in args.peers or "none" in args.peers:
        args.peers = list(contenders.PEERS) if "all" in args.peers else []
    named = {"volume": File(tuple(args.shape))} if args.shape else {name: FILES[name] for name in args.files}
    machine, files = tables.machine(), []
    print(f"{machine}\n", flush=True)
    for name, plain_file in named.items():
        noise = plain_file.noise if args.noise is None else args.noise
        file = replace(plain_file, noise=noise, texture=args.texture)
        for form in {"plain TIFF"} | {contenders.PEERS[peer].form for peer in args.peers if not file.alone}:
            file.make(form, args.dir / "files")
        this: dict[str, Any] = {"file": name, "volume": str(file)}
        files.append(this)

        def keep(rows: list[Row], this: dict[str, Any] = this) -> None:
            this["rows"] = [row.to_json() for row in rows]
            if args.json:
                args.json.write_text(json.dumps({"machine": machine, "files": files}, indent=1))

        rows = make_rows(args, file) if args.only_install else compare(args, file, keep)
        print(f"## {file}\n\n{tables.results(rows, file.nbytes, args.levels)}\n\n{tables.details(rows)}\n", flush=True)


if __name__ == "__main__":
    main()
