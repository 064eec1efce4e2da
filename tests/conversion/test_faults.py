"""Faults while a conversion runs: one clear error, no wrong volume, no hang, and the next run resumes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.cli import main as cli
from napari_ct_pyramid.errors import RESUME, Advice
from napari_ct_pyramid.omezarr.journal import Journal, read_journal
from napari_ct_pyramid.omezarr.kind import is_unfinished
from napari_ct_pyramid.omezarr.writer import OmeZarrWriter
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.storage.local import LocalStorage
from tests.helpers.scans import OPTIONS, pyramid_files, small_blocks, write_scan

pytestmark = pytest.mark.once

METADATA = ".zattrs"
PATIENCE = 300  # seconds; a conversion here takes less than one


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_scan(tmp_path)


@pytest.fixture
def output(scan: Path) -> Path:
    return scan.with_name("scan.ome.zarr")


@pytest.fixture
def whole(scan: Path, output: Path) -> dict[str, bytes]:
    """The files of an output when nothing fails."""
    ct.convert(scan, **OPTIONS)
    files = pyramid_files(output)
    shutil.rmtree(output)
    return files


def error_of(scan: Path) -> ct.CtPyramidError:
    """What a conversion fails with; it must not hang."""
    errors: list[BaseException] = []

    def convert() -> None:
        try:
            ct.convert(scan, **OPTIONS)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    before = set(threading.enumerate())
    thread = threading.Thread(target=convert, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it hangs"
    assert errors, "it did not fail"
    (error,) = errors
    assert isinstance(error, ct.ConversionError), error
    assert not [t for t in set(threading.enumerate()) - before if t.name.startswith("ct-pyramid")]
    return error


class Fault:
    """Does something at the n-th call of a method, once the conversion has begun."""

    def __init__(self, owner: type, name: str, act: Callable[..., None]) -> None:
        self.owner, self.name, self.act = owner, name, act

    def at(self, patch: pytest.MonkeyPatch, n: int) -> None:
        real: Any = getattr(self.owner, self.name)
        start = OmeZarrWriter.begin
        calls, begun, lock = [0], threading.Event(), threading.Lock()

        def spy_start(store: OmeZarrWriter) -> None:
            start(store)
            begun.set()

        def faulty(this: Any, *args: Any) -> Any:
            if begun.is_set():
                with lock:
                    calls[0] += 1
                    mine = calls[0]
                if mine == n:
                    self.act(this, *args)
            return real(this, *args)

        patch.setattr(OmeZarrWriter, "begin", spy_start)
        patch.setattr(self.owner, self.name, faulty)


def raise_error(number: int) -> Callable[..., None]:
    def act(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return act


def lose_page(source: Source, z0: int, *_: object) -> None:
    raise ct.SourceError(f"Page {z0 + 1} of 46 of scan.tif could not be read")


CHUNKS = 6 * 4 * 2 + 3 * 2 + 2
WRITE = Fault(OmeZarrWriter, "write_encoded", raise_error(28))
READ = Fault(Source, "read", lose_page)
NOTE = Fault(Journal, "append", raise_error(28))


@pytest.mark.parametrize(
    ("fault", "count", "words"),
    [
        (WRITE, CHUNKS, r"chunk \d/\d+/\d+/\d+ could not be written: No space left on device"),
        (READ, 90, r"Page \d+ of 46 of scan.tif could not be read"),
        (NOTE, 8, "No space left on device"),
    ],
)
def test_a_fault_at_any_moment_is_an_error_and_the_next_run_resumes(
    scan: Path,
    output: Path,
    whole: dict[str, bytes],
    fault: Fault,
    count: int,
    words: str,
    some: Callable[[int, int], list[int]],
) -> None:
    for n in some(count, 10):
        with pytest.MonkeyPatch.context() as patch:
            fault.at(patch, n)
            error = error_of(scan)
        assert re.search(words, str(error))
        assert str(output) in str(error)
        assert Advice(RESUME) in error.message.parts
        assert is_unfinished(output)
        ct.convert(scan, **OPTIONS)
        assert pyramid_files(output) == whole
        shutil.rmtree(output)


@pytest.mark.parametrize("n", [1, 17, CHUNKS])
def test_lost_permission(scan: Path, output: Path, n: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        Fault(OmeZarrWriter, "write_encoded", raise_error(13)).at(patch, n)
        assert "could not be written: Permission denied" in str(error_of(scan))
    ct.convert(scan, **OPTIONS)
    assert ct.verify(output, scan).sound


@pytest.mark.skipif(os.name == "nt", reason="files that are open stay there")
class TestRemoved:
    @pytest.mark.parametrize("n", [1, 2, 10, 30, CHUNKS - 1, CHUNKS])
    def test_the_output(self, scan: Path, output: Path, whole: dict[str, bytes], n: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            Fault(OmeZarrWriter, "write_encoded", lambda *_: shutil.rmtree(output, ignore_errors=True)).at(patch, n)
            error = error_of(scan)
        assert "No such file or directory" in str(error) or "removed" in str(error)
        assert not (output / METADATA).exists()
        shutil.rmtree(output, ignore_errors=True)
        ct.convert(scan, **OPTIONS)
        assert pyramid_files(output) == whole

    @pytest.mark.parametrize("n", [40, CHUNKS])
    def test_a_chunk_that_was_done(self, scan: Path, output: Path, n: int) -> None:
        def remove(*_: object) -> None:
            for path in (output / "0" / "0").rglob("*"):
                if path.is_file():
                    path.unlink()

        with pytest.MonkeyPatch.context() as patch:
            Fault(OmeZarrWriter, "write_encoded", remove).at(patch, n)
            assert "files of chunks were removed while others were being written" in str(error_of(scan))
        assert is_unfinished(output)

    @pytest.mark.parametrize("n", [1, 20, 60, 90])
    def test_the_source(self, scan: Path, output: Path, whole: dict[str, bytes], n: int) -> None:
        away = scan.with_name("away.tif")
        with pytest.MonkeyPatch.context() as patch:
            Fault(Source, "read", lambda *_: scan.rename(away)).at(patch, n)
            assert "scan.tif" in str(error_of(scan))
        assert is_unfinished(output)
        away.rename(scan)
        ct.convert(scan, **OPTIONS)
        assert pyramid_files(output) == whole


class TestChanged:
    @pytest.mark.parametrize("n", [1, 20, 60])
    def test_a_source_that_shrinks_names_the_page(self, scan: Path, output: Path, n: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            Fault(Source, "read", lambda *_: os.truncate(scan, 50_000)).at(patch, n)
            assert "Slice " in str(error_of(scan))
        assert is_unfinished(output)
        with pytest.raises((ct.SourceError, ct.OutputExistsError)):
            ct.convert(scan, **OPTIONS)

    @pytest.mark.parametrize("n", [1, 90])
    def test_a_source_that_is_written_to(self, scan: Path, output: Path, n: int) -> None:
        later = scan.stat().st_mtime_ns + 10**10
        with pytest.MonkeyPatch.context() as patch:
            Fault(Source, "read", lambda *_: os.utime(scan, ns=(later, later))).at(patch, n)
            assert "scan was changed while it was being read. The output" in str(error_of(scan))
        assert is_unfinished(output)
        record = read_journal(output)
        assert record is not None
        assert not record.done  # nobody knows which voxels were read
        ct.convert(scan, **OPTIONS)
        assert ct.verify(output, scan).problems == ()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=180k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only an administrator can make a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(not shutil.which("mount"), reason="there is no way to make a file system")
def test_a_disk_that_is_full(
    small_disk: Path, scan: Path, whole: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    output = small_disk / "scan.ome.zarr"
    ask = ["convert", str(scan), str(output), "-c", "8", "8", "16", "-l", "3", "--threads", "2", "--quiet"]
    assert cli.main(ask) == 1
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert said.count("\n") == 1
    assert is_unfinished(output)
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert cli.main(ask) == 0
    assert pyramid_files(output) == whole


def test_no_space_for_the_journal_itself_leaves_nothing(
    scan: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "replace", raise_error(28))
        with pytest.raises(ct.RequestError, match="cannot be made: No space left"):
            ct.convert(scan, **OPTIONS)
    assert not output.exists()
