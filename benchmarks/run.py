"""Compare converters: this one, its peers, the raw limit, the plain algorithm; the same volume, in turns.

    python benchmarks/run.py [--files 1g 4g 13g u16 lzw] [--peers all] [--runs 3] [--json RESULTS.json] [--dir FOLDER]

Each peer has an environment of its own, made on first use. Every run is a whole process with its children; the
table has medians. What a peer is given and how it is called is in benchmarks/README.md. Machines are noisy, so only
figures of one run of this script are to be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import contenders
import tables
from environments import NotInstalled, environment, versions
from files import FILES, File
from measuring import Run, measure

HERE = Path(__file__).resolve().parent
LEAST_LIMIT_SECONDS = 120.0  # of a run, however fast this converter is: imports take their time, too
OURS = ("numpy", "tensorstore", "tifffile")  # what else decides how fast this converter and the raw limit are


@dataclass
class Row:
    """One contender on one file, with its runs so far. `trouble` says why it has none, or no more."""

    name: str
    kind: str
    versions: str = ""
    given: str = "the TIFF"
    form: str = "plain TIFF"
    command: Callable[[Path, Path], list[str]] | None = None
    share: float = 1.0
    runs: list[Run] = field(default_factory=list)
    verdict: dict[str, Any] = field(default_factory=dict)
    trouble: str = ""

    @property
    def seconds(self) -> float | None:
        """Of the whole volume: what took only some of its slices is taken that many times."""
        return median(run.seconds for run in self.runs) / self.share if self.runs else None

    def told(self) -> dict[str, Any]:
        kept = {name: value for name, value in vars(self).items() if name not in ("command", "runs")}
        return kept | {"runs": [asdict(run) for run in self.runs]}


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_rows(asked: argparse.Namespace, file: File) -> list[Row]:
    here = versions(sys.executable, ("napari-ct-pyramid", *OURS))
    threads, levels = cores(), asked.levels
    rows = [
        Row(
            f"napari-ct-pyramid, --max-memory {budget}",
            "ours",
            here,
            command=partial(contenders.ours, budget, levels=levels, threads=threads),
        )
        for budget in asked.budgets
    ]
    if not asked.no_raw and not file.lzw:  # to which decoding.py has the limit
        name = "raw limit: tensorstore writes level 0 alone"
        rows.append(Row(name, "raw", here, command=partial(contenders.raw_limit, threads=threads)))
    for name in asked.peers if not file.alone else ():
        peer = contenders.PEERS[name]
        row = Row(peer.name, "peer", given=peer.given, form=peer.form)
        try:
            python = environment(asked.dir / "environments" / peer.packages[0], peer.packages, peer.python)
            row.versions = versions(python, peer.packages)
            row.command = partial(peer.command, python, levels=levels, threads=threads)
        except NotInstalled as error:
            row.trouble = str(error)
        rows.append(row)
    slices = min(asked.plain_slices, file.shape[0])
    if slices and not file.alone:
        command = partial(contenders.plain, levels=levels, slices=slices)
        name = f"plain algorithm, {slices} slices of {file.shape[0]}"
        rows.append(
            Row(name, "plain", versions(sys.executable, OURS[2:]), command=command, share=slices / file.shape[0])
        )
    return rows


def run_once(row: Row, file: File, asked: argparse.Namespace, limit: float | None) -> None:
    """One more run of a row; what it made is judged if it is the first, or differs in size from the first."""
    work = Path(tempfile.mkdtemp(prefix="work-", dir=asked.dir))
    source, out = file.make(row.form, asked.dir / "files"), work / "out.ome.zarr"
    assert row.command
    try:
        run = measure(row.command(source, out), work, limit)
        if run.ended:
            row.trouble = tables.last_words(run.words) if run.ended == "failed" else f"ended after {run.seconds:.0f} s"
            print(f"{row.name}: {run.ended}\n{run.words}", file=sys.stderr)
            return
        if row.share == 1 and (not row.runs or _differ(run, row.runs[0])):
            judge = [
                sys.executable,
                str(HERE / "judging.py"),
                str(file.make("plain TIFF", asked.dir / "files")),
                str(out),
            ]
            row.verdict = json.loads(subprocess.run(judge, capture_output=True, text=True, check=True).stdout)
        row.runs.append(replace(run, words=""))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _differ(one: Run, other: Run) -> bool:
    """Whether two outputs cannot be the same but for what metadata say of the run itself."""
    return one.files != other.files or abs(one.written_bytes - other.written_bytes) > 1000


def compare(asked: argparse.Namespace, file: File, keep: Callable[[list[Row]], None]) -> list[Row]:
    """All runs on one file, in turns; `keep` is called after each."""
    rows = make_rows(asked, file)
    for turn in range(asked.runs):
        for row in rows:
            if row.trouble or (row.kind == "plain" and turn):
                continue
            ours = rows[0].seconds
            limit = max(LEAST_LIMIT_SECONDS, asked.limit * ours) if ours and row.kind != "ours" else None
            run_once(row, file, asked, limit)
            said = row.trouble or f"{row.runs[-1].seconds:.1f} s"
            print(f"{file}: run {turn + 1} of {asked.runs}: {row.name}: {said}", file=sys.stderr, flush=True)
            keep(rows)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = [name for name, file in FILES.items() if not file.alone and name != "tiny"]
    parser.add_argument("--files", nargs="+", choices=list(FILES), default=every, help=f"default: {' '.join(every)}")
    parser.add_argument("--shape", nargs=3, type=int, metavar=("Z", "Y", "X"), help="a float32 volume instead")
    parser.add_argument("--noise", type=float, help="standard deviation, instead of each volume's own")
    parser.add_argument("--texture", type=Path, help="a uint8 stack to texture the volumes with")
    parser.add_argument("--peers", nargs="+", choices=["all", "none", *contenders.PEERS], default=["all"])
    parser.add_argument("--budgets", nargs="+", default=["1G"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--levels", type=int, default=4)
    parser.add_argument("--limit", type=float, default=20, help="end what takes this many times our time (default 20)")
    parser.add_argument("--plain-slices", type=int, default=32, help="slices for the plain algorithm; 0 leaves it out")
    parser.add_argument("--no-raw", action="store_true", help="leave the raw limit out")
    parser.add_argument(
        "--dir", type=Path, default=HERE / "out", help="where to work; environments and files stay there"
    )
    parser.add_argument("--only-install", action="store_true", help="make the environments and the files, and stop")
    parser.add_argument("--json", type=Path, help="write all that was measured to this file, too")
    asked = parser.parse_args()
    asked.dir = asked.dir.absolute()
    (asked.dir / "files").mkdir(parents=True, exist_ok=True)
    if "all" in asked.peers or "none" in asked.peers:
        asked.peers = list(contenders.PEERS) if "all" in asked.peers else []
    named = {"volume": File(tuple(asked.shape))} if asked.shape else {name: FILES[name] for name in asked.files}
    machine, told = tables.machine(cores()), []
    print(f"{machine}\n", flush=True)
    for name, plain_file in named.items():
        noise = plain_file.noise if asked.noise is None else asked.noise
        file = replace(plain_file, noise=noise, texture=asked.texture)
        for form in {"plain TIFF"} | {contenders.PEERS[peer].form for peer in asked.peers if not file.alone}:
            file.make(form, asked.dir / "files")
        this: dict[str, Any] = {"file": name, "volume": str(file)}
        told.append(this)

        def keep(rows: list[Row], this: dict[str, Any] = this) -> None:
            this["rows"] = [row.told() for row in rows]
            if asked.json:
                asked.json.write_text(json.dumps({"machine": machine, "files": told}, indent=1))

        rows = make_rows(asked, file) if asked.only_install else compare(asked, file, keep)
        print(f"## {file}\n\n{tables.results(rows, file.nbytes, asked.levels)}\n\n{tables.details(rows)}\n", flush=True)


if __name__ == "__main__":
    main()
