"""Runs the command line as users do, and says what lies in a folder."""

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
    """Run the real thing."""
    return subprocess.run(
        [*MODULE, *map(str, args)], capture_output=True, text=True, encoding="utf-8", cwd=cwd, timeout=120, check=False
    )


def command_after(prelude: str, *args: object) -> list[str]:
    """A command that runs the command line after some Python that changes the world first."""
    code = f"{prelude}\nfrom napari_ct_pyramid.cli.main import main\nraise SystemExit(main())"
    return [sys.executable, "-c", code, *map(str, args)]


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    """All that lies in a folder, with sizes and times: equal before and after if nothing was written."""
    found = {folder, *folder.rglob("*")}
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in found}


def write_scan(folder: Path) -> Path:
    """A small BigTIFF of `VOXELS`."""
    path = folder / "scan.tif"
    tifffile.imwrite(path, VOXELS, bigtiff=True, photometric="minisblack")
    return path
