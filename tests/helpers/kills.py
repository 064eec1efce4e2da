"""Calls a function in a process of its own, and kills it, or has the disk fail, at its n-th operation in a folder."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

PATIENCE = 120  # seconds until a hang is shown and ended; a call here takes less than one

_SERVER = f"""
import errno, faulthandler, json, os, signal, sys, threading
import tempfile, pathlib, numpy, tifffile
import napari_ct_pyramid as ct
from napari_ct_pyramid.conversion.rebuild import run  # running it would leave threads, which a child does not have
from napari_ct_pyramid.storage import local

with tempfile.TemporaryDirectory() as folder:  # otherwise each child imports all that this imports
    scan = pathlib.Path(folder) / "scan.tif"
    tifffile.imwrite(scan, numpy.zeros((4, 8, 8), "u2"), photometric="minisblack", metadata=None)
    (item,) = ct.convert_many([scan], folder, chunks=4, threads=1).items
    ct.verify(item.output, scan, threads=1)

CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink")

READS = ("os.listdir", "os.scandir")
GROWS = ("open", "write", "os.mkdir")

def watch(folder, kill_at, fail_at, error, reads, lasting):
    count, lock = [0], threading.Lock()
    def operate(event):
        with lock:
            count[0] += 1
            if count[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            failed = count[0] == fail_at or (lasting and fail_at and count[0] > fail_at)
        if failed and (error != errno.ENOSPC or event in GROWS):
            raise OSError(error, os.strerror(error))
    def hook(event, args):
        if event == "open":
            watched = reads or bool(args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        else:
            watched = event in CHANGES or (reads and event in READS)
        if not watched or not args or not isinstance(args[0], (str, os.PathLike)):
            return
        if os.fspath(args[0]).startswith(folder):
            operate(event)
    sys.addaudithook(hook)
    if fail_at is not None:  # what no audit hook sees
        write_all, fsync = local.write_all, os.fsync
        local.write_all = lambda *args: (operate("write"), write_all(*args))[1]
        os.fsync = lambda fd: (operate("fsync"), fsync(fd))[1]
    return count

for line in sys.stdin:
    ask = json.loads(line)
    child = os.fork()
    if not child:
        faulthandler.dump_traceback_later({PATIENCE}, exit=True)
        count = watch(*(ask[name] for name in ("folder", "kill_at", "fail_at", "error", "reads", "lasting")))
        try:
            getattr(ct, ask["function"])(*ask["args"], **ask["options"])
            outcome = None
        except BaseException as error:
            kinds = [kind.__name__ for kind in type(error).__mro__]
            outcome = [kinds, f"{{type(error).__name__}}: {{error}}"]
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
        answer = self._ask(function, args, options, kill_at=kill_at)
        if answer is None:
            assert kill_at is not None
            return None
        changes, error = answer
        if error:
            raise RuntimeError(error[1])
        return int(changes)

    def kill(self, function: str, *args: Any, at: int, of: int, **options: Any) -> None:
        """Call a function, and kill it right before its n-th change of the folder, from 1.

        Two threads may both try to make a folder, so the number of changes varies by a few: where the n-th is one of
        the last, the call may have ended before.

        Parameters
        ----------
        function : str
        args, options : object
        at : int
        of : int
            How many changes another such call made.
        """
        changes = self.call(function, *args, kill_at=at, **options)
        assert changes is None or changes > 0.9 * of, f"not killed at change {at} of {of}: it made only {changes}"

    def call_failing(
        self, function: str, *args: Any, at: int, error: int, reads: bool, lasting: bool, **options: Any
    ) -> tuple[int, list[str], str]:
        """Call a function while the n-th operation in the folder fails, from 1; 0 for none.

        Parameters
        ----------
        function : str
        args, options : object
        at : int
        error : int
            The number of the error. ENOSPC comes only where something grows.
        reads : bool
            Whether reading counts, too.
        lasting : bool
            Whether all operations after it fail, too.

        Returns
        -------
        tuple
            The number of operations; the names of the classes of the error that it raised; the error as a text.
        """
        answer = self._ask(function, args, options, fail_at=at, error=error, reads=reads, lasting=lasting)
        assert answer is not None, "it was ended"
        operations, raised = answer
        return operations, *(raised or ([], ""))

    def _ask(self, function: str, args: Any, options: Any, **how: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        ask = {
            "folder": str(self.folder),
            "report": str(self.report),
            **dict.fromkeys(("kill_at", "fail_at", "error", "reads", "lasting")),
            **how,
            "function": function,
            "args": json.loads(json.dumps(args, default=str)),
            "options": options,
        }
        print(json.dumps(ask), file=self._process.stdin, flush=True)
        status = int(self._process.stdout.readline())
        if status:
            assert status == signal.SIGKILL, f"it ended with {status}"
            return None
        return json.loads(self.report.read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
