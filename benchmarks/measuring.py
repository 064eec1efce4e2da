"""Runs a command as a whole process with its children: how long, how much processor time and memory, what it wrote."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_SECONDS = 0.02
CHILDREN_SECONDS = 0.2  # looking for children goes through every process there is


@dataclass(frozen=True)
class Run:
    """One run. `words` are the last that it said; `ended` is "", "failed" or "too slow".

    `on_disk_seconds` is until all that it wrote was on the disk, and no longer only in the system's memory.
    """

    seconds: float
    on_disk_seconds: float
    cpu_seconds: float
    peak_bytes: int
    written_bytes: int
    files: int
    ended: str = ""
    words: str = ""


def measure(command: list[str], folder: Path, limit: float | None = None) -> Run:
    """Run a command in the folder that it writes to; after `limit` seconds it is ended, with its children."""
    _sync()  # what the last one left to be written is not this one's
    with tempfile.TemporaryFile() as said:
        before, start = _children_seconds(), time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
        family = _Family(process.pid)
        try:
            process.wait(limit)
            ended = "failed" if process.returncode else ""
        except subprocess.TimeoutExpired:
            ended = "too slow"
        finally:
            seconds = time.perf_counter() - start
            family.end()
            process.wait()
        _sync()
        on_disk_seconds = time.perf_counter() - start
        cpu = max(family.cpu_seconds(), _children_seconds() - before)
        said.seek(max(0, said.seek(0, os.SEEK_END) - 4000))
        words = said.read().decode(errors="replace")
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return Run(seconds, on_disk_seconds, cpu, family.most_bytes, sum(sizes), len(sizes), ended, words)


def _sync() -> None:
    if hasattr(os, "sync"):
        os.sync()


def _children_seconds() -> float:
    """What all children that were waited for have used, and theirs: exact, but not everywhere, nor for orphans."""
    times = os.times()
    return times.children_user + times.children_system


class _Family(threading.Thread):
    """Watches the resident memory and processor time of a process and of its children, many times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.most_bytes = 0
        self._parent = psutil.Process(pid)
        self._known = {pid: self._parent}
        self._seconds: dict[int, float] = {}
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        looked = 0.0
        while not self._over.wait(SAMPLE_SECONDS):
            if time.perf_counter() - looked > CHILDREN_SECONDS:
                self._look_for_children()
                looked = time.perf_counter()
            self.most_bytes = max(self.most_bytes, sum(self._look_at(one) for one in list(self._known.values())))

    def end(self) -> None:
        """Stop watching, and end whoever is still there."""
        self._over.set()
        self.join()
        self._look_for_children()
        for one in self._known.values():
            with contextlib.suppress(psutil.Error):
                one.kill()

    def cpu_seconds(self) -> float:
        return sum(self._seconds.values())

    def _look_for_children(self) -> None:
        with contextlib.suppress(psutil.Error):
            self._known |= {child.pid: child for child in self._parent.children(recursive=True)}

    def _look_at(self, one: psutil.Process) -> int:
        try:
            with one.oneshot():
                times = one.cpu_times()
                self._seconds[one.pid] = times.user + times.system
                return one.memory_info().rss
        except psutil.Error:
            self._known.pop(one.pid, None)
            return 0
