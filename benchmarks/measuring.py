"""Measures a command with all its child processes: time, processor time, memory, and files written."""

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
CHILDREN_SECONDS = 0.2  # between two searches for children, which are slow: each reads the list of all processes


@dataclass(frozen=True)
class Run:
    """One run of a command.

    Attributes
    ----------
    seconds : float
        Until the process ended.
    on_disk_seconds : float
        Until its files were on the disk, not only in the system's cache.
    written_bytes, files : int
        Size and number of the files in its folder.
    ended : str
        ``""``, ``"failed"`` or ``"too slow"``.
    output : str
        The last part of what it printed.
    """

    seconds: float
    on_disk_seconds: float
    cpu_seconds: float
    peak_bytes: int
    written_bytes: int
    files: int
    ended: str = ""
    output: str = ""


def measure(command: list[str], folder: Path, limit: float | None = None) -> Run:
    """Run a command in the folder that it writes to. After `limit` seconds, stop it and its children."""
    _sync()  # the last run may have left data in the cache
    with tempfile.TemporaryFile() as printed:
        before, start = _children_seconds(), time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT
        )
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
        printed.seek(max(0, printed.seek(0, os.SEEK_END) - 4000))
        output = printed.read().decode(errors="replace")
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return Run(seconds, on_disk_seconds, cpu, family.peak_bytes, sum(sizes), len(sizes), ended, output)


def _sync() -> None:
    if hasattr(os, "sync"):
        os.sync()


def _children_seconds() -> float:
    """Processor time of all children that have ended: exact, but not on every system, and without orphans."""
    times = os.times()
    return times.children_user + times.children_system


class _Family(threading.Thread):
    """Samples the resident memory and processor time of a process and its children, many times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self._parent = psutil.Process(pid)
        self._known = {pid: self._parent}
        self._seconds: dict[int, float] = {}
        self._stopped = threading.Event()
        self.start()

    def run(self) -> None:
        last_search = 0.0
        while not self._stopped.wait(SAMPLE_SECONDS):
            if time.perf_counter() - last_search > CHILDREN_SECONDS:
                self._find_children()
                last_search = time.perf_counter()
            self.peak_bytes = max(self.peak_bytes, sum(self._sample(process) for process in list(self._known.values())))

    def end(self) -> None:
        """Stop sampling, and kill the processes that still run."""
        self._stopped.set()
        self.join()
        self._find_children()
        for process in self._known.values():
            with contextlib.suppress(psutil.Error):
                process.kill()

    def cpu_seconds(self) -> float:
        return sum(self._seconds.values())

    def _find_children(self) -> None:
        with contextlib.suppress(psutil.Error):
            self._known |= {child.pid: child for child in self._parent.children(recursive=True)}

    def _sample(self, process: psutil.Process) -> int:
        try:
            with process.oneshot():
                times = process.cpu_times()
                self._seconds[process.pid] = times.user + times.system
                return process.memory_info().rss
        except psutil.Error:
            self._known.pop(process.pid, None)
            return 0
