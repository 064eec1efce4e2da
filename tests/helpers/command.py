"""Runs the command line as users do, and lists what is in a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile

MODULE = (sys.executable, "-m", "napari_ct_pyramid")
VOXELS = np.arange(6 * 24 * 40, dtype="f4").reshape(6, 24, 40)
CHUNKS = ("-c", "4", "8", "16")


def command(*args: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [*MODULE, *map(str, args)], capture_output=True, text=True, encoding="utf-8", cwd=cwd, timeout=300, check=False
    )


def command_after(prelude: str, *args: object) -> list[str]:
    """A command that runs some Python first, and then the command line.

    Ctrl-C interrupts it, even where the shell that started the tests ignores Ctrl-C.
    """
    code = (
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"{prelude}\nfrom napari_ct_pyramid.cli.main import main\nraise SystemExit(main())"
    )
    return [sys.executable, "-c", code, *map(str, args)]


def hold_reading(name: str, until: Path) -> str:
    """A prelude: the threads that convert the volume `name` wait until the file `until` exists.

    While one waits, there is a file of that name and ``.held``.
    """
    return f"""
import os, threading, time
from napari_ct_pyramid.sources.base import Source
read = Source.read
def held(self, *args, **kwargs):
    converting = threading.current_thread() is not threading.main_thread()
    while converting and self.volume.name == {name!r} and not os.path.exists({str(until)!r}):
        open({str(until) + ".held"!r}, "w").close()
        time.sleep(0.01)
    return read(self, *args, **kwargs)
Source.read = held
"""


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    """All paths in a folder, with sizes and times: equal before and after if nothing was written."""
    found = {folder, *folder.rglob("*")}
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in found}


def write_scan(folder: Path) -> Path:
    """A small BigTIFF of `VOXELS`."""
    path = folder / "scan.tif"
    tifffile.imwrite(path, VOXELS, bigtiff=True, photometric="minisblack")
    return path
