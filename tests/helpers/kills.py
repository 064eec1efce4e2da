"""Calls a function in a process of its own, and kills it right before its n-th change of a folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

PATIENCE = 120  # seconds until a hang is shown and ended; a call here takes less than one

_SERVER = f"""
import faulthandler, json, os, signal, sys, threading
import tempfile, pathlib, numpy, tifffile
import napari_ct_pyramid as ct

with tempfile.TemporaryDirectory() as folder:  # otherwise each child imports all that this imports
    scan = pathlib.Path(folder) / "scan.tif"
    tifffile.imwrite(scan, numpy.zeros((4, 8, 8), "u2"), photometric="minisblack", metadata=None)
    (item,) = ct.convert_many([scan], folder, chunks=4, threads=1).items
    ct.verify(item.output, scan, threads=1)

CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink")

def watch(folder, kill_at, report):
    count, lock = [0], threading.Lock()
    def hook(event, args):
        if event == "open":
            changes = bool(args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        else:
            changes = event in CHANGES
        if not changes or not args or not isinstance(args[0], (str, os.PathLike)):
            return
        if not os.fspath(args[0]).startswith(folder):
            return
        with lock:
            count[0] += 1
            if count[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    return count

for line in sys.stdin:
    ask = json.loads(line)
    child = os.fork()
    if not child:
        faulthandler.dump_traceback_later({PATIENCE}, exit=True)
        count = watch(ask["folder"], ask["kill_at"], ask["report"])
        try:
            getattr(ct, ask["function"])(*ask["args"], **ask["options"])
            outcome = None
        except BaseException as error:
            outcome = f"{{type(error).__name__}}: {{error}}"
        changes = count[0]
        with open(ask["report"], "w") as file:
            json.dump([changes, outcome], file)
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Killer:
    """Calls functions of the package; to be used in a `with` statement."""

    def __init__(self, folder: Path, report: Path) -> None:
        self.folder = folder
        self.report = report
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def call(self, function: str, *args: Any, kill_at: int | None = None, **options: Any) -> int | None:
        """Call a function; returns how often it changed the folder, or None if it was killed.

        Raises
        ------
        RuntimeError
            The function's error.
        """
        assert self._process.stdin
        assert self._process.stdout
        ask = {
            "folder": str(self.folder),
            "kill_at": kill_at,
            "report": str(self.report),
            "function": function,
            "args": json.loads(json.dumps(args, default=str)),
            "options": options,
        }
        print(json.dumps(ask), file=self._process.stdin, flush=True)
        status = int(self._process.stdout.readline())
        if status:
            assert kill_at is not None, f"it ended with {status}"
            return None
        changes, error = json.loads(self.report.read_text())
        if error:
            raise RuntimeError(error)
        return int(changes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
