"""A conversion resumes where it stopped, whatever stopped it, and makes what it would have made without a stop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.cli.render import describe_plan
from napari_ct_pyramid.conversion.engine import Engine
from napari_ct_pyramid.conversion.recheck import sample_order
from napari_ct_pyramid.errors import RESUME, Advice
from napari_ct_pyramid.omezarr.journal import Journal, read_journal
from napari_ct_pyramid.omezarr.kind import is_unfinished
from napari_ct_pyramid.omezarr.writer import OmeZarrWriter
from napari_ct_pyramid.sources import sampling
from napari_ct_pyramid.storage.lock import hold, lock_file
from tests.helpers.scans import OPTIONS, SMALL_BLOCKS, VOXELS, pyramid_files, small_blocks, write_scan

METADATA = ".zattrs"
KILLS = 20
PATIENCE = 300  # seconds until a hang is shown and ended; a conversion here takes less than one


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small_blocks(monkeypatch)
    return write_scan(tmp_path)


def interrupt(scan: Path, blocks: int, **options: Any) -> Path:
    """Convert, and cancel after so many blocks at least."""
    output = scan.with_name("scan.ome.zarr")
    append = Journal.append
    with closing(ct.iter_convert(scan, **{**OPTIONS, **options})) as steps, pytest.MonkeyPatch.context() as patch:

        def then_stop(self: Journal, *args: Any) -> None:
            append(self, *args)
            record = read_journal(output)
            assert record is not None
            if len(record.done) >= blocks:
                raise OSError(5, "stopped by the test")

        patch.setattr(Journal, "append", then_stop)
        with pytest.raises(ct.ConversionError, match="stopped by the test") as caught:
            list(steps)
        assert Advice(RESUME) in caught.value.message.parts
    assert is_unfinished(output)
    return output


class TestResuming:
    def test_only_what_is_left_is_done(self, scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = ct.convert(scan, scan.with_name("whole.ome.zarr"), **OPTIONS)
        output = interrupt(scan, 3)
        planned = ct.plan(scan, **OPTIONS)
        assert 3 <= planned.blocks_done < planned.blocks
        assert planned.to_json()["blocks_done"] == planned.blocks_done
        assert f"resumes: {planned.blocks_done} of {planned.blocks} blocks are done" in describe_plan(planned)
        written = []
        begin = OmeZarrWriter.begin_chunk

        def spy(self: OmeZarrWriter, level: int, index: Any) -> Any:
            written.append((level, index))
            return begin(self, level, index)

        monkeypatch.setattr(OmeZarrWriter, "begin_chunk", spy)
        first: list[ct.Progress] = []
        receipt = ct.convert(scan, **OPTIONS, progress=first.append)
        assert first[0].blocks_done == planned.blocks_done
        assert first[0].bytes_done > 0
        assert 0 < len(written) < sum(level.chunk_count for level in receipt.levels)
        same = ("levels", "minimum", "maximum", "nans", "infinities", "window", "bytes_read")
        assert [getattr(receipt, name) for name in same] == [getattr(whole, name) for name in same]
        files = pyramid_files(whole.output)
        files[METADATA] = files[METADATA].replace(b'"whole"', b'"scan"')
        assert pyramid_files(output) == files

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"chunks": (8, 8, 8)}, r"the chunk size \(was 8 × 8 × 16, is 8 × 8 × 8\)"),
            ({"num_levels": 2}, r"the number of levels \(was 3, is 2\)"),
            ({"compressor": "none"}, r"the compressor \(was lz4, is none\)"),
            ({"voxel_size": 2}, r"the voxel size \(was none, is 2.0 × 2.0 × 2.0\)"),
        ],
    )
    def test_other_options_are_refused_with_what_differs(self, scan: Path, change: dict[str, Any], words: str) -> None:
        output = interrupt(scan, 2)
        before = pyramid_files(output)
        for ask in (ct.plan, ct.convert):
            with pytest.raises(ct.OutputExistsError, match=words) as caught:
                ask(scan, **{**OPTIONS, **change})
            assert caught.value.options.keys() == change.keys()
            assert Advice("overwrite", True) in caught.value.message.parts
        assert pyramid_files(output) == before
        assert ct.convert(scan, **{**OPTIONS, **change}, overwrite=True).output == output
        assert ct.verify(output, scan).sound

    @pytest.mark.parametrize("change", [{"threads": 1}, {"max_memory": "2G"}, {"max_memory": "8G"}])
    def test_threads_and_budget_may_change(self, scan: Path, change: dict[str, Any]) -> None:
        output = interrupt(scan, 2)
        ct.convert(scan, **{**OPTIONS, **change})
        assert ct.verify(output, scan).problems == ()

    def test_an_overwriting_that_was_interrupted_resumes_too(self, scan: Path) -> None:
        """The same command does, and that is what the error says."""
        ct.convert(scan, chunks=(4, 4, 4))
        interrupt(scan, 3, overwrite=True)
        assert ct.plan(scan, **OPTIONS, overwrite=True).blocks_done >= 3
        output = ct.convert(scan, **OPTIONS, overwrite=True).output
        assert ct.verify(output, scan).sound
        assert ct.plan(scan, **OPTIONS, overwrite=True).blocks_done == 0  # a finished output is made again

    def test_another_source_is_refused_with_what_differs(self, scan: Path) -> None:
        interrupt(scan, 2)
        times = scan.stat().st_atime_ns, scan.stat().st_mtime_ns
        os.utime(scan, ns=(times[0], times[1] + 5_000_000_000))
        assert ct.plan(scan, **OPTIONS).blocks_done >= 2  # a copy on another machine may have another time
        other = VOXELS.copy()
        other[0, 0, 0] += 1
        write_scan(scan.parent, other)
        os.utime(scan, ns=times)
        with pytest.raises(ct.OutputExistsError, match=r"differs in the source's content\. Ask"):
            ct.convert(scan, **OPTIONS)
        with scan.open("ab") as file:
            file.write(b"more")
        with pytest.raises(ct.OutputExistsError, match=r"the source's size in bytes \(was "):
            ct.convert(scan, **OPTIONS)

    def test_a_copy_of_the_source_with_another_time_goes_on(self, scan: Path) -> None:
        output = interrupt(scan, 2)
        os.utime(scan, (1_000_000_000, 1_000_000_000))
        first: list[ct.Progress] = []
        ct.convert(scan, **OPTIONS, progress=first.append)
        assert first[0].blocks_done >= 2
        assert ct.verify(output, scan).problems == ()

    @pytest.mark.parametrize("place", [(1, 0, 0), (9, 17, 31), (20, 31, 5), (29, 5, 15)])
    def test_one_other_voxel_where_no_sample_looks_is_refused(self, scan: Path, place: tuple[int, int, int]) -> None:
        """The time of the source is another one, and a voxel is not that of the blocks that are done."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sampling, "_BYTES", 64)
            output = interrupt(scan, 8)
            before = pyramid_files(output)
            other = VOXELS.copy()
            other[place] += 1
            write_scan(scan.parent, other)
            os.utime(scan, (1_000_000_000, 1_000_000_000))
            with pytest.raises(ct.OutputExistsError):
                ct.convert(scan, **OPTIONS)
            assert pyramid_files(output) == before

    def test_a_slice_that_was_replaced_by_an_older_one_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The size of all slices together, and the latest time, are the same."""
        import tifffile

        small_blocks(monkeypatch)
        monkeypatch.setattr(sampling, "_BYTES", 64)
        (tmp_path / "scan").mkdir()
        for z, voxels in enumerate(VOXELS):
            tifffile.imwrite(tmp_path / "scan" / f"{z:03}.tif", voxels)
            os.utime(tmp_path / "scan" / f"{z:03}.tif", (10**9 + z, 10**9 + z))
        interrupt(tmp_path / "scan", 8)
        tifffile.imwrite(tmp_path / "scan" / "011.tif", VOXELS[11] + 1)
        os.utime(tmp_path / "scan" / "011.tif", (10**9, 10**9))
        with pytest.raises(ct.OutputExistsError):
            ct.convert(tmp_path / "scan", **OPTIONS)

    def test_comparing_a_source_is_shown_as_progress_and_can_be_cancelled(self, scan: Path) -> None:
        output = interrupt(scan, 3)
        os.utime(scan, (1_000_000_000, 1_000_000_000))
        before = pyramid_files(output)
        with closing(ct.iter_convert(scan, **OPTIONS)) as steps:
            first = next(steps)
        assert (first.comparing, first.fraction) == (True, 0)
        assert 0 < first.bytes_total <= VOXELS.nbytes
        assert pyramid_files(output) == before
        last = [step for step in ct.iter_convert(scan, **OPTIONS) if not step.comparing]
        assert last[-1].blocks_done == last[-1].blocks

    @pytest.mark.parametrize("shards", [None, (16, 16, 32)])
    def test_chunks_that_are_gone_or_cut_short_are_made_again(self, scan: Path, shards: Any) -> None:
        more = {"ome_zarr_version": "0.5", "shards": shards} if shards else {}
        whole = pyramid_files(ct.convert(scan, scan.with_name("whole.ome.zarr"), **OPTIONS, **more).output)
        output = interrupt(scan, 3, **more)
        record = read_journal(output)
        assert record is not None
        files = sorted(path for path in output.rglob("*") if path.name.isdigit() and path.is_file())
        files[0].unlink()
        os.truncate(files[-1], 5)
        (output / "0" / "stray").mkdir()
        first: list[ct.Progress] = []
        ct.convert(scan, **OPTIONS, **more, progress=first.append)
        assert len(record.done) - 2 <= first[0].blocks_done < len(record.done)
        name = "zarr.json" if shards else METADATA
        whole[name] = whole[name].replace(b'"whole"', b'"scan"')
        assert pyramid_files(output) == whole

    def test_damaged_chunks_of_the_right_size_are_made_again(self, scan: Path) -> None:
        whole = pyramid_files(ct.convert(scan, scan.with_name("whole.ome.zarr"), **OPTIONS).output)
        output = interrupt(scan, 3)
        for path in [path for path in (output / "0").rglob("*") if path.name.isdigit() and path.is_file()]:
            path.write_bytes(path.read_bytes()[:-1] + b"?")
        ct.convert(scan, **OPTIONS)
        whole[METADATA] = whole[METADATA].replace(b'"whole"', b'"scan"')
        assert pyramid_files(output) == whole

    def test_a_stray_chunk_and_notes_stay_and_do_not_stop_it(self, scan: Path) -> None:
        output = interrupt(scan, 3)
        (output / "notes.txt").write_text("mine")
        (output / "0" / "0" / "0" / "77").write_bytes(b"stray")
        receipt = ct.convert(scan, **OPTIONS)
        assert receipt.strays == ("0/0/0/77",)
        assert (output / "notes.txt").read_text() == "mine"
        found = ct.verify(output, scan)
        assert [str(problem) for problem in found.problems] == ["0/0/0/77 does not belong to the volume"]
        assert not found.sound

    def test_compressed_pages_too(self, scan: Path) -> None:
        import tifffile

        tifffile.imwrite(scan, VOXELS, photometric="minisblack", metadata=None, compression="zlib")
        output = interrupt(scan, 1)
        ct.convert(scan, **OPTIONS, max_memory="8G")
        assert ct.verify(output, scan).problems == ()

    def test_lost_metadata_are_written_again_without_making_blocks_again(self, scan: Path) -> None:
        output = ct.convert(scan, **OPTIONS).output
        before = pyramid_files(output)
        (output / METADATA).unlink()
        planned = ct.plan(scan, **OPTIONS)
        assert planned.blocks_done == planned.blocks
        ct.convert(scan, **OPTIONS)
        assert pyramid_files(output) == before


def test_a_chunk_that_changed_is_not_read_back_and_is_made_again(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second stage reads what the first one wrote. What is wrong then is an error, and the next run makes it."""
    whole = pyramid_files(ct.convert(scan, scan.with_name("whole.ome.zarr"), **OPTIONS).output)
    output = scan.with_name("scan.ome.zarr")
    read_back = Engine._read_back

    def damage(self: Engine, *args: Any) -> None:
        path = output / "1" / "1" / "1" / "0"
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        read_back(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "_read_back", damage)
        with pytest.raises(ct.ConversionError, match=r"chunk 1/1/1/0 could not be read back") as caught:
            ct.convert(scan, **OPTIONS)
    assert Advice(RESUME) in caught.value.message.parts
    assert is_unfinished(output)
    ct.convert(scan, **OPTIONS)
    whole[METADATA] = whole[METADATA].replace(b'"whole"', b'"scan"')
    assert pyramid_files(output) == whole


@pytest.mark.parametrize("size", [0, 1, 2, 3, 8, 100, 997])
def test_a_sample_of_chunks_looks_everywhere_from_the_beginning(size: int) -> None:
    order = list(sample_order(size))
    assert sorted(order) == list(range(size))
    for n in (5, 10, 40):
        found = sorted([0, *order[:n], size])
        assert max(b - a for a, b in pairwise(found)) <= max(1, 3 * size / n)


class TestOneAtATime:
    def test_a_second_conversion_is_refused_while_the_first_runs(self, scan: Path) -> None:
        with closing(ct.iter_convert(scan, **OPTIONS)) as steps:
            next(steps)
            for overwrite in (False, True):
                with pytest.raises(ct.OutputBusyError):
                    ct.convert(scan, **OPTIONS, overwrite=overwrite)
        assert ct.convert(scan, **OPTIONS).output == scan.with_name("scan.ome.zarr")

    def test_a_repair_is_refused_too(self, scan: Path) -> None:
        output = ct.convert(scan, **OPTIONS).output
        with hold(output), pytest.raises(ct.OutputBusyError):
            ct.verify(output, scan, repair=True)

    def test_the_lock_file_is_removed(self, scan: Path) -> None:
        output = ct.convert(scan, **OPTIONS).output
        assert not lock_file(output).exists()
        with hold(scan.with_name("new.zarr")):
            pass
        assert not scan.with_name("new.zarr").exists()


SERVER = f"""
import faulthandler, json, os, sys, time
import ome_zarr.writer, ome_zarr_models, zarr
import napari_ct_pyramid as ct
from napari_ct_pyramid.conversion import convert as _, engine, receipt
from napari_ct_pyramid.model import blocks as stages
from napari_ct_pyramid.omezarr import journal
from napari_ct_pyramid.sources.tiff import open as _opener  # otherwise each child imports all of this
import filelock, imagecodecs._blosc
for name, size in {SMALL_BLOCKS!r}.items():
    setattr(stages, name, size)
done = []
append = journal.Journal.append
journal.Journal.append = lambda *args: (append(*args), done.append(1))
for line in sys.stdin:
    ask = json.loads(line)
    report, watch, after = ask.pop("report"), ask.pop("watch"), ask.pop("after")
    child = os.fork()
    if not child:
        faulthandler.dump_traceback_later({PATIENCE}, exit=True)
        try:
            ct.convert(**ask)
        except BaseException as error:
            open(report, "w").write(json.dumps(f"{{type(error).__name__}}: {{error}}"))
            os._exit(1)
        open(report, "w").write(json.dumps(len(done)))
        os._exit(0)
    # Seconds that the child has had of a processor, however busy the machine is: see clock_getcpuclockid(3).
    clock = lambda: time.clock_gettime(~child << 3 | 2)
    ended = lambda wait=os.WNOHANG: os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | wait)
    begun = 0
    if watch:  # not while it plans, but as soon as there is anything to lose
        while not os.path.exists(ask["dst"] + "/.ct-pyramid/journal.jsonl") and not ended():
            time.sleep(0.0005)
        begun = clock()
    if after is not None:
        while clock() < begun + after and not ended():
            time.sleep(0.0005)
        os.kill(child, 9)
    ended(0)
    seconds = clock() - begun
    print(os.waitpid(child, 0)[1], seconds, flush=True)
"""


class Server:
    """Starts conversions at once, each in a process of its own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self, source: Path, output: Path, *, watch: bool = False, kill_after: float | None = None
    ) -> tuple[int, float]:
        """Convert, or have it killed after so many seconds of a processor; returns the status, and how many it took.

        With `watch` they count from the moment when the journal is there, and else from the beginning.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        ask = {"src": str(source), "dst": str(output), "report": f"{output}.report", **OPTIONS}
        print(json.dumps({**ask, "watch": watch, "after": kill_after}), file=self.process.stdin, flush=True)
        status, seconds = self.process.stdout.readline().split()
        return int(status), float(seconds)

    def convert(self, source: Path, output: Path, *, watch: bool = False) -> tuple[int, float]:
        """Convert to the end; returns how many blocks were done, and the seconds."""
        status, seconds = self.run(source, output, watch=watch)
        report = Path(f"{output}.report").read_text()
        assert status == 0, report
        return int(json.loads(report)), seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as started:
        yield started


@pytest.mark.once
@pytest.mark.skipif(sys.platform != "linux", reason="takes processes that start at once, and their clocks")
def test_killed_at_random_moments_it_resumes_and_makes_the_same(
    server: Server, in_memory: Path, times: Callable[[int], int]
) -> None:
    """`kill -9`, again and again. Killed conversions have done none, some or all of their blocks."""
    scan = write_scan(in_memory)
    (in_memory / "whole").mkdir()
    whole = in_memory / "whole" / "scan.ome.zarr"
    took = []
    for watch in (True, False, True, False):
        shutil.rmtree(whole, ignore_errors=True)
        blocks, seconds = server.convert(scan, whole, watch=watch)
        took.append(seconds)
    expected = pyramid_files(whole)
    rng = np.random.default_rng(9)
    kills, done_at_kill = 0, []
    for number in range(times(KILLS)):
        output = in_memory / str(number) / "scan.ome.zarr"
        output.parent.mkdir()
        watch = bool(number % 4)
        moment = rng.uniform(0, min(took[0::2] if watch else took[1::2]))
        kills += server.run(scan, output, watch=watch, kill_after=moment)[0] == signal.SIGKILL
        record = read_journal(output)
        done = len(record.done) if record else 0
        if not (output / METADATA).exists():
            assert server.convert(scan, output)[0] == blocks - done  # what was done is not done again
        done_at_kill.append(done)
        assert pyramid_files(output) == expected
        shutil.rmtree(output)
    print(f"{kills} killed; of {blocks} blocks, done by then: {sorted(done_at_kill)}")  # noqa: T201
    assert kills > times(KILLS) / 2
    assert len(set(done_at_kill)) > 2
