"""Makes a virtual environment for each peer: `python -m venv`, then `pip install NAMES`, no versions pinned."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PYTHONS = Path(__file__).parents[1] / "scripts" / "pythons.sh"


class NotInstalled(Exception):
    """A peer cannot be installed. The message is short."""


def environment(folder: Path, packages: tuple[str, ...], minimum: tuple[int, int]) -> Path:
    """The Python of an environment with these packages in `folder`, which is made if it is not there."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    stamp = folder / "installed.json"
    if stamp.exists() and json.loads(stamp.read_text()) == list(packages):
        return python
    print(f"installing {' '.join(packages)} in {folder}", file=sys.stderr, flush=True)
    _run([_interpreter(minimum), "-m", "venv", "--clear", str(folder)])
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
    stamp.write_text(json.dumps(packages))
    return python


def versions(python: Path | str, packages: tuple[str, ...]) -> str:
    """The installed versions of packages."""
    names = [package.split("[")[0] for package in packages]
    script = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    found = subprocess.run([str(python), "-c", script, *names], capture_output=True, text=True, check=True).stdout
    return ", ".join(f"{name} {number}" for name, number in zip(names, found.split(), strict=True))


def _interpreter(minimum: tuple[int, int]) -> str:
    """This Python, or the first one on this machine that is new enough."""
    if sys.version_info[:2] >= minimum:
        return sys.executable
    try:
        answer = subprocess.run([str(PYTHONS)], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):  # no bash, or no Python
        answer = ""
    for line in answer.splitlines():
        minor, path = line.split(maxsplit=1)
        if tuple(map(int, minor.split("."))) >= minimum:
            return path
    raise NotInstalled(f"needs Python {'.'.join(map(str, minimum))}, which this machine does not have")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.startswith("ERROR")]
        raise NotInstalled(f"cannot be installed: {lines[-1] if lines else f'exit {done.returncode}'}")
