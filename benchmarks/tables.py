"""Measurements as Markdown tables."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from results import Row

from napari_ct_pyramid.options import available_cores

RESULTS = (
    "what",
    "seconds",
    "range",
    "on disk",
    "ours = 1",
    "raw = 1",
    "GB/s",
    "CPU s",
    "peak GB",
    "written GB",
    "files",
    "correct?",
)


def table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """A Markdown table; columns of figures are aligned to the right."""
    rows = [list(head), *[list(line) for line in lines]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    right = [all(set(row[i]) <= set("0123456789.–") for row in rows[1:]) for i in range(len(widths))]
    rule = ["-" * (width - 1) + ":" if side else "-" * width for width, side in zip(widths, right, strict=True)]

    def line(cells: list[str]) -> str:
        padded = (c.rjust(w) if side else c.ljust(w) for c, w, side in zip(cells, widths, right, strict=True))
        return f"| {' | '.join(padded)} |"

    return "\n".join(line(row) for row in [rows[0], rule, *rows[1:]])


def machine() -> str:
    """The day, the machine and its load."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        name = named[0] if named else name
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    memory = psutil.virtual_memory().total / 1e9
    day = dt.datetime.now().astimezone().date()
    python = f"{platform.system()}, Python {platform.python_version()}"
    return f"{day}: {available_cores()} cores of {name}, {memory:.0f} GB, {python}{load}"


def results(rows: list[Row], nbytes: int, levels: int) -> str:
    """Times are medians with their range; peaks are the largest of all runs."""
    ours = rows[0].seconds
    raw = next((row.seconds for row in rows if row.kind == "raw"), None)
    return table(RESULTS, [_result(row, nbytes, levels, ours, raw) for row in rows])


def _result(row: Row, nbytes: int, levels: int, ours: float | None, raw: float | None) -> list[str]:
    if not row.seconds:
        return [row.name, *["–" for _ in RESULTS[1:-1]], row.failure]
    taken = [run.seconds for run in row.runs]
    return [
        row.name,
        f"{median(taken):.1f}",
        f"{min(taken):.1f}–{max(taken):.1f}",
        f"{median(run.on_disk_seconds for run in row.runs):.1f}",
        f"{row.seconds / ours:.2f}" if ours else "–",
        f"{row.seconds / raw:.2f}" if raw else "–",
        f"{nbytes / row.seconds / 1e9:.2f}",
        f"{median(run.cpu_seconds for run in row.runs):.1f}",
        f"{max(run.peak_bytes for run in row.runs) / 1e9:.2f}",
        f"{median(run.written_bytes for run in row.runs) / 1e9:.2f}",
        f"{median(run.files for run in row.runs):.0f}",
        ", ".join(filter(None, [judged(row.verdict, row.kind, levels), row.failure])),
    ]


def judged(verdict: dict[str, Any], kind: str, levels: int) -> str:
    """The verdict in a few words: "yes" only if nothing is wrong."""
    if not verdict:
        return "not checked"
    wrong = [f"level 0: {verdict['level_0']}"] if verdict["level_0"] != "equal" else []
    if kind == "raw":
        return ", ".join(wrong) or "yes (level 0)"
    if verdict.get("level_1", "mean") != "mean":
        wrong.append(f"level 1: {verdict['level_1']}")
    if verdict.get("padding") == "not zero":
        wrong.append("padding not zero")
    made = len(verdict.get("levels", [None] * levels))
    if made < levels:
        wrong.append(f"{made} levels")
    if not verdict.get("halved_each_time", True):
        wrong.append("some level is not half the last")
    if verdict["level_0"] == "equal" and wrong:
        wrong.insert(0, "level 0 correct")
    return ", ".join(wrong) or ("yes" if made == levels else f"yes ({made} levels)")


def details(rows: list[Row]) -> str:
    """What each converter got, and what it made according to its output's metadata."""
    lines = []
    for row in rows:
        made = row.verdict
        chunks = " × ".join(map(str, made.get("chunks", []))) or "–"
        shards = f" in shards of {' × '.join(map(str, made['shards']))}" if made.get("shards") else ""
        cells = [row.versions or "–", row.given, made.get("format", "–"), chunks + shards, made.get("compressor", "–")]
        lines.append([row.name, *cells, str(len(row.runs))])
    return table(["what", "versions", "given", "format", "chunks", "compressor", "runs"], lines)


def error_line(output: str) -> str:
    """The error of a failed run: the first line that names one, because later ones may come from the cleanup."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return (named or lines[-1:] or ["failed without a message"])[0][:160].replace("|", "/")
