"""What a command does to files, in order: by strace, or by the calls of Python where there is no strace."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Event(NamedTuple):
    """A change of a file or folder, or a wait until it is safe.

    `kind` is "fsync", "rename", "mkdir" or "remove"; `target` is the new name of a rename.
    """

    kind: str
    path: str
    target: str = ""


_CALL = re.compile(r"^\d+\s+(\w+)\((.*)\)\s+= (-?\d+)")
_KINDS = {
    "fsync": "fsync", "fdatasync": "fsync", "rename": "rename", "renameat": "rename", "renameat2": "rename",
    "mkdir": "mkdir", "mkdirat": "mkdir", "unlink": "remove", "unlinkat": "remove", "rmdir": "remove",
}  # fmt: skip

_RECORDER = """
import json, os, sys
from pathlib import Path
log = open(sys.argv[1], "w", buffering=1)
fsync = os.fsync
def recorded(fd):
    fsync(fd)
    print(json.dumps(["fsync", os.readlink(f"/proc/self/fd/{fd}")]), file=log)
os.fsync = recorded
KINDS = {"os.rename": "rename", "os.mkdir": "mkdir", "os.remove": "remove", "os.rmdir": "remove"}
def hook(event, args):
    if event in KINDS:
        paths = [os.fspath(arg) for arg in args if isinstance(arg, (str, os.PathLike))]
        print(json.dumps([KINDS[event], *paths]), file=log)
sys.addaudithook(hook)
from napari_ct_pyramid.cli import main
sys.exit(main.main(sys.argv[2:]))
"""


@cache
def has_strace() -> bool:
    """Whether strace is installed, and may trace processes here."""
    strace = shutil.which("strace")
    return bool(strace) and not subprocess.run([strace, "-o", "/dev/null", "true"], check=False).returncode


def events_of(arguments: list[str], log: Path, *, by_strace: bool) -> list[Event]:
    """Run ``ct-pyramid`` with these arguments; returns what it did to files, in order."""
    if not by_strace:
        subprocess.run([sys.executable, "-W", "ignore", "-c", _RECORDER, str(log), *arguments], check=True)
        events = [Event(*json.loads(line)) for line in log.read_text().splitlines()]
        # Python reports a rename before it is tried; one that failed is tried again.
        return [event for n, event in enumerate(events) if event.kind != "rename" or event not in events[n + 1 :]]
    command = [sys.executable, "-W", "ignore", "-m", "napari_ct_pyramid", *arguments]
    trace = ["strace", "-f", "-y", "-s", "4096", "-e", f"trace={','.join(_KINDS)}", "-o", str(log)]
    subprocess.run([*trace, *command], check=True)
    events = []
    unfinished: dict[str, str] = {}
    for line in log.read_text(errors="replace").splitlines():
        process = line.split(maxsplit=1)[0]
        if line.endswith("<unfinished ...>"):
            unfinished[process] = line.removesuffix("<unfinished ...>")
            continue
        resumed = re.match(r"^\d+\s+<\.\.\. \w+ resumed>", line)
        whole = unfinished.pop(process) + line[resumed.end() :] if resumed else line
        call = _CALL.match(whole)
        if call and call[3] == "0":
            kind = _KINDS[call[1]]
            paths = re.findall(r"\d+<([^>]*)>" if kind == "fsync" else r'"([^"]*)"', call[2])
            events.append(Event(kind, *paths))
    return events
