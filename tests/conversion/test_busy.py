"""While one process writes an output, another one is told that it is busy, and by whom. A killed one stops nobody."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.storage.lock import hold, lock_file
from tests.helpers.command import CHUNKS, command, command_after, hold_reading, write_scan

pytestmark = pytest.mark.skipif(os.name != "posix", reason="it takes POSIX signals")

SAME: dict[str, Any] = {"chunks": (4, 8, 16), "threads": 1}  # as `CHUNKS`
OTHER: dict[str, Any] = {"chunks": (2, 8, 8), "num_levels": 1, "threads": 1}

_HOLDER = """
import sys
from napari_ct_pyramid.storage.lock import hold
from napari_ct_pyramid.storage.paths import any_path
with hold(any_path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def converting(scan: Path, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that converts, and has begun."""
    go = scan.with_name("go")
    started = command_after(hold_reading("scan", go), "convert", scan, *CHUNKS, "--threads", 1, "--quiet", *flags)
    with subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            while not go.with_name("go.held").exists():
                assert process.poll() is None, process.stdout and process.stdout.read()
                time.sleep(0.01)
            yield process
        finally:
            go.touch()
            process.communicate()
    go.unlink()
    go.with_name("go.held").unlink()


@contextmanager
def held(path: object) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of an output."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.communicate()


def writers(scan: Path, output: Path) -> dict[str, Callable[[], Any]]:
    """All that writes into an output."""
    return {
        "plan": lambda: ct.plan(scan, output, **OTHER),
        "convert": lambda: ct.convert(scan, output, **OTHER),
        "the same": lambda: ct.convert(scan, output, **SAME),
        "overwrite": lambda: ct.convert(scan, output, **OTHER, overwrite=True),
        "repair": lambda: ct.verify(output, scan, repair=True),
        "edit": lambda: ct.edit(output, name="new"),
        "rebuild": lambda: ct.rebuild_levels(output),
    }


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_busy(scan: Path, output: Path, process: subprocess.Popen[str], *names: str) -> None:
    before = everything(scan.parent)
    for name, write in writers(scan, output).items():
        if names and name not in names:
            continue
        with pytest.raises(ct.OutputBusyError) as caught:
            write()
        assert (caught.value.process, caught.value.machine) == (process.pid, socket.gethostname()), name
        assert "verwrit" not in str(caught.value), name
    assert everything(scan.parent) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_all_that_writes_says_that_another_process_converts(tmp_path: Path, overwrite: bool) -> None:
    scan, output = write_scan(tmp_path), tmp_path / "scan.ome.zarr"
    if overwrite:
        ct.convert(scan, output, **OTHER)
    with converting(scan, *(["--overwrite"] if overwrite else [])) as process:
        check_busy(scan, output, process)
        done = command("convert", scan, "-c", 2, 8, 8)
        assert done.returncode == 2
        assert f"process {process.pid} on the machine {socket.gethostname()}" in done.stderr
        batch = ct.convert_many([scan], tmp_path, **OTHER)
        assert isinstance(batch.items[0].error, ct.OutputBusyError)
    assert ct.verify(output, scan).problems == ()


def test_all_that_writes_says_that_another_process_changes_a_finished_output(tmp_path: Path) -> None:
    scan = write_scan(tmp_path)
    output = Path(ct.convert(scan, **SAME, num_levels=1).output)
    with held(output) as process:
        check_busy(scan, output, process)
        assert ct.verify(output, scan).problems == ()  # which reads only
    with pytest.raises(ct.OutputExistsError):
        ct.convert(scan, output, **OTHER)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGKILL])
def test_the_lock_of_a_process_that_was_ended_at_once_stops_nobody(tmp_path: Path, first: int) -> None:
    """A second signal, or a kill, leaves the file of the lock."""
    scan, output = write_scan(tmp_path), tmp_path / "scan.ome.zarr"
    lock = lock_file(output)
    finished = Path(ct.convert(scan, tmp_path / "finished.ome.zarr", **SAME).output)
    with converting(scan) as process:
        process.send_signal(first)
        if first == signal.SIGINT:
            time.sleep(0.2)  # it may have been handled or not: the outcome is the same
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=300)
    assert lock.exists()
    left = lock.read_bytes()
    assert str(process.pid).encode() in left
    finished_lock = lock_file(finished)
    for name, write in (writers(scan, finished) | {"hold": lambda: None}).items():
        finished_lock.write_bytes(left)
        with suppress(ct.OutputExistsError):
            write()
        with hold(finished):
            pass
        assert not finished_lock.exists(), name
    assert command("convert", scan, *CHUNKS, "--quiet").returncode == 0
    assert not lock.exists()
    assert ct.verify(output, scan).problems == ()
