"""What must be safe on disk before what, so that a power cut at any moment loses nothing that was reported as done."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.scans import write_tiff
from tests.helpers.syscalls import Event, events_of, has_strace

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="the events are those of Linux"),
]

OPTIONS = ["-c", "4", "4", "8", "-l", "2", "--threads", "2", "--quiet"]
CHUNK = re.compile(r"/[01]/(c/)?\d+/\d+/\d+$")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_tiff(tmp_path / "scan.tif", np.arange(8 * 8 * 16, dtype="u2").reshape(8, 8, 16))


def place(events: list[Event], *wanted: str) -> int:
    """Where the first such event is."""
    return next(n for n, event in enumerate(events) if event[: len(wanted)] == wanted)


def last(events: list[Event], *wanted: str) -> int:
    """Where the last such event is."""
    return max(n for n, event in enumerate(events) if event[: len(wanted)] == wanted)


@pytest.mark.parametrize("by_strace", [True, False])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_conversion_and_an_overwriting(tmp_path: Path, scan: Path, version: str, by_strace: bool) -> None:
    if by_strace and not has_strace():
        pytest.skip("there is no strace; the other case records the calls of Python")
    output = str(tmp_path / "out.ome.zarr")
    more = ["--ome-zarr-version", version, "--shards", "none"] if version == "0.5" else []
    arguments = ["convert", str(scan), output, *OPTIONS, *more]
    events = events_of(arguments, tmp_path / "log", by_strace=by_strace)
    _check_made(events, output, output, ".zattrs" if version == "0.4" else "zarr.json")

    events = events_of([*arguments, "--overwrite"], tmp_path / "log", by_strace=by_strace)
    new, old = str(tmp_path / ".out.ome.zarr.new"), str(tmp_path / ".out.ome.zarr.old")
    _check_made(events, output, new, ".zattrs" if version == "0.4" else "zarr.json")
    aside, into = place(events, "rename", output, old), place(events, "rename", new, output)
    journal = place(events, "rename", f"{new}/.ct-pyramid/journal.jsonl.new")
    assert journal < place(events, "fsync", f"{new}/.ct-pyramid") < aside < into  # the new one can begin
    removed = min(n for n, event in enumerate(events) if event.kind == "remove" and event.path.startswith(f"{old}/"))
    assert any(event == Event("fsync", str(tmp_path)) for event in events[into:removed])


def _check_made(events: list[Event], output: str, begun: str, metadata: str) -> None:
    """`begun` is where the output lies while it begins."""
    parent = str(Path(output).parent)
    made = place(events, "mkdir", begun)
    journal = place(events, "rename", f"{begun}/.ct-pyramid/journal.jsonl.new")
    done = last(events, "fsync", f"{output}/.ct-pyramid/journal.jsonl")
    published = place(events, "rename", f"{output}/{metadata}.new", f"{output}/{metadata}")
    receipt = place(events, "rename", f"{output}/.ct-pyramid/receipt.json.new")
    # The output has its name, and its journal lists nothing, before anything else.
    assert made < place(events, "fsync", parent) < journal
    chunks = [n for n, event in enumerate(events) if event.kind == "rename" and CHUNK.search(event.target)]
    assert len(chunks) == 2 * 2 * 2 + 1
    for n in chunks:
        # Its bytes before its name; its name, and those of the folders above it, before it is listed as done.
        assert place(events, "fsync", events[n].path) < n
        folder = Path(events[n].target).parent
        for safe in (folder, folder.parent, folder.parent.parent):
            assert any(event == Event("fsync", str(safe)) for event in events[n:done]), safe
    for level in "01":
        named = place(events, "mkdir", f"{output}/{level}")
        assert any(event == Event("fsync", output) for event in events[named : min(chunks)])
        if metadata == "zarr.json":
            named = place(events, "mkdir", f"{output}/{level}/c")
            assert any(event == Event("fsync", f"{output}/{level}") for event in events[named : min(chunks)])
    # The metadata come last, when all else is safe; then the wait until they are safe.
    assert max(chunks) < done < receipt < published
    assert last(events, "fsync", f"{output}/.ct-pyramid") < published
    assert last(events, "fsync", output) > published
