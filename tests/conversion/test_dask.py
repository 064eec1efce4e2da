"""A real Dask cluster of two processes makes what one process makes, whatever happens to them meanwhile."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import psutil
import pytest
import tifffile

import napari_ct_pyramid as ct
from napari_ct_pyramid.cli.main import main
from napari_ct_pyramid.conversion.dask import client as dask_client
from napari_ct_pyramid.conversion.dask import cluster as dask_cluster
from napari_ct_pyramid.conversion.dask import worker as dask_side
from napari_ct_pyramid.conversion.dask.cluster import Cluster
from napari_ct_pyramid.conversion.engine import Engine
from napari_ct_pyramid.errors import RESUME, Advice
from napari_ct_pyramid.omezarr.journal import Journal, read_journal
from napari_ct_pyramid.omezarr.kind import is_unfinished
from tests.helpers.command import command_after, everything
from tests.helpers.scans import OPTIONS, SMALL_BLOCKS, pyramid_files, small_blocks, write_scan

distributed = pytest.importorskip("distributed")

PATIENCE = 300  # seconds until a hang is shown

# Run in the workers' processes.
SLOW = """
import time
from napari_ct_pyramid.sources.base import Source
Source.real = Source.read
def slow(*args):
    time.sleep(0.02)  # so that there is a middle of each block
    Source.real(*args)
Source.read = slow
"""
BROKEN = """
from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.sources.base import Source
Source.real = Source.read
def broken(*args):
    raise SourceError("Page 7 could not be read")
Source.read = broken
"""
WAITING = """
import time
from pathlib import Path
from napari_ct_pyramid.sources.base import Source
Source.real = Source.read
def waiting(*args):
    while not Path({!r}).exists():
        time.sleep(0.02)
    Source.real(*args)
Source.read = waiting
"""
HELD = """
import itertools, time
from pathlib import Path
from napari_ct_pyramid.sources.base import Source
Source.real = Source.read
reads = itertools.count(1)
def held(*args):
    while next(reads) > 20 and not Path({!r}).exists():  # in the middle of the second block
        time.sleep(0.02)
    Source.real(*args)
Source.read = held
"""
RESTORED = """
from napari_ct_pyramid.sources.base import Source
if hasattr(Source, "real"):
    Source.read = Source.real
"""
OLDER = "from napari_ct_pyramid.conversion.dask import worker; worker.__version__ = '0.0.9'"
NEWER = """
from napari_ct_pyramid.conversion.dask import worker
from napari_ct_pyramid.model.version import __version__
worker.__version__ = __version__
"""
GONE = """
import sys
sys.gone = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("napari_ct_pyramid")}
sys.modules["napari_ct_pyramid"] = None
"""
BACK = "import sys; sys.modules.update(sys.gone)"

PRELUDE = "".join(
    f"import napari_ct_pyramid.model.blocks as s; s.{name} = {size}\n" for name, size in SMALL_BLOCKS.items()
)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    local = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        memory_limit=0,
        host="127.0.0.1",
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # its own port: other clusters run on this machine
        silence_logs=50,
    )
    with local, distributed.Client(local, set_as_default=False) as client:
        yield client


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small_blocks(monkeypatch)
    return write_scan(tmp_path)


@pytest.fixture
def whole(scan: Path) -> dict[str, bytes]:
    """What one process makes."""
    return files_of_one_process(scan)


def files_of_one_process(scan: Path, **options: Any) -> dict[str, bytes]:
    folder = scan.parent / "one"
    folder.mkdir()
    return pyramid_files(ct.convert(scan, folder / "scan.ome.zarr", **OPTIONS, **options).output)


def asked(scan: Path, client: Any) -> list[Any]:
    """The conversion as a command."""
    return ["convert", scan, "-c", "8", "8", "16", "-l", "3", "--dask", client.scheduler.address, "--quiet"]


@contextmanager
def changed_workers(client: Any, change: str, back: str = RESTORED) -> Iterator[None]:
    """Run some code in all workers, and other code afterwards that undoes it."""
    client.run(exec, change, {})
    try:
        yield
    finally:
        client.run(exec, back, {})


def is_busy(client: Any) -> bool:
    """Whether a worker process has threads that make a block: only they change an output."""
    threads = client.run(lambda: [thread.name for thread in threading.enumerate()]).values()
    return any(name.startswith("ct-pyramid") for names in threads for name in names)


def jobs_left(client: Any) -> list[str]:
    """What the scheduler or a worker knows of jobs."""
    names = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.worker_plugins))
    names += [name for there in client.run(lambda dask_worker: list(dask_worker.plugins)).values() for name in there]
    return [name for name in names if name.startswith("ct-pyramid")]


class LateWorker:
    """A worker in a thread of this process. It joins when it is made, but cannot open a source before `go` is set."""

    def __init__(self, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opening, self.go = threading.Event(), threading.Event()
        self.opened: list[Any] = []
        self.closed: list[Any] = []
        self._client = client
        open_source = dask_side.open_source

        def slowly(*args: Any) -> Any:
            self.opening.set()
            assert self.go.wait(PATIENCE)
            source = open_source(*args)
            self.opened.append(source)
            close = source.close
            monkeypatch.setattr(source, "close", lambda: (self.closed.append(source), close()))
            return source

        monkeypatch.setattr(dask_side, "open_source", slowly)
        self.worker = client.sync(self._make)
        self._joining = asyncio.run_coroutine_threadsafe(self._join(), client.loop.asyncio_loop)

    async def _make(self) -> Any:
        return distributed.Worker(self._client.scheduler.address, nthreads=1, host="127.0.0.1")

    async def _join(self) -> None:
        await self.worker

    def joined(self) -> None:
        """Wait until it has joined."""
        self._joining.result(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self.joined()
        self._client.sync(self.worker.close)


def wait_for(what: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def interrupt(steps: Any, output: Path, blocks: int) -> None:
    """Cancel after so many blocks."""
    with closing(steps):
        for progress in steps:
            if progress.blocks_done >= blocks:
                break
    assert is_unfinished(output)


@pytest.mark.parametrize("version", [{}, {"ome_zarr_version": "0.5", "shards": (16, 16, 32)}])
def test_many_processes_make_the_same_files_as_one(
    client: Any, scan: Path, monkeypatch: pytest.MonkeyPatch, version: dict[str, Any]
) -> None:
    expected = files_of_one_process(scan, **version)
    with pytest.raises(ct.BudgetError) as refusal:
        ct.plan(scan, client=client, **OPTIONS, **version, max_memory=1)
    budget = refusal.value.smallest
    shown: list[ct.Progress] = []
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "start", None)  # nothing is made here
        receipt = ct.convert(
            scan, client=client, progress=shown.append, **{**OPTIONS, **version, "threads": 1, "max_memory": budget}
        )
    assert pyramid_files(receipt.output) == expected
    alone = json.loads((scan.parent / "one" / "scan.ome.zarr" / ".ct-pyramid" / "receipt.json").read_text())
    assert receipt.histogram == alone["histogram"]
    assert receipt.workers == shown[0].plan.workers == 2
    assert 0 < receipt.peak_memory_bytes <= budget
    fractions = [progress.fraction for progress in shown]
    assert fractions == sorted(fractions)
    assert (shown[0].fraction, shown[-1].fraction) == (0, 1)
    assert shown[-1].blocks_done == shown[-1].blocks > 6
    assert shown[-1].bytes_done == shown[-1].bytes_total == receipt.bytes_read
    assert ct.verify(receipt.output, scan).sound
    receipt_json = json.loads((receipt.output / ".ct-pyramid" / "receipt.json").read_text())
    assert (receipt_json["workers"], receipt_json["peak_memory_bytes"]) == (2, receipt.peak_memory_bytes)
    assert {path.name for path in (receipt.output / ".ct-pyramid").iterdir()} == {"journal.jsonl", "receipt.json"}
    assert not list(scan.parent.glob(".*"))  # nor is anything left beside it


def test_a_worker_that_is_killed_costs_its_block_only(client: Any, scan: Path, whole: dict[str, bytes]) -> None:
    victim = next(iter(client.run(os.getpid).values()))
    done: list[int] = []
    with changed_workers(client, SLOW), closing(ct.iter_convert(scan, client=client, **OPTIONS)) as steps:
        for progress in steps:
            if len(done) < 3 <= progress.blocks_done:
                os.kill(victim, getattr(signal, "SIGKILL", signal.SIGTERM))
            done.append(progress.blocks_done)
            assert 0 <= progress.fraction <= 1
    output = scan.with_name("scan.ome.zarr")
    assert pyramid_files(output) == whole
    record = read_journal(output)
    assert record is not None
    lines = (output / ".ct-pyramid" / "journal.jsonl").read_bytes().splitlines()
    assert len(lines) == 1 + len(record.done) == 1 + done[-1]  # no block was done twice
    assert ct.verify(output, scan).sound


def test_a_block_that_a_silent_worker_hands_over_late_is_taken(
    client: Any, scan: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    result, silent = dask_cluster._result, [True]

    def late(future: Any) -> Any:
        if silent and silent.pop():
            raise TimeoutError
        return result(future)

    monkeypatch.setattr(dask_cluster, "_result", late)
    assert pyramid_files(ct.convert(scan, client=client, **OPTIONS).output) == whole
    assert not silent


def test_the_parts_of_a_job_and_their_numbers(client: Any) -> None:
    with Cluster(client).prepared() as job:
        done = [found for found in job.do(str, [10, 11, 12]) if found]
    assert sorted(done) == [(0, "10"), (1, "11"), (2, "12")]
    assert job.workers <= client.nthreads().keys()
    assert job.peak_memory_bytes > 0


def test_a_worker_that_joins_later_makes_blocks(
    client: Any, scan: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    go = scan.with_name("go")
    with (
        changed_workers(client, WAITING.format(str(go))),
        closing(ct.iter_convert(scan, client=client, **OPTIONS)) as steps,
    ):
        next(steps)
        with LateWorker(client, monkeypatch) as late:
            late.go.set()
            for progress in steps:
                if progress.blocks_done >= 3:  # only the new worker can have made them
                    go.touch()
    assert pyramid_files(scan.with_name("scan.ome.zarr")) == whole
    assert late.closed == late.opened != []


def test_the_end_of_a_job_when_a_worker_has_just_joined(client: Any) -> None:
    with Cluster(client).prepared() as job:
        topic = job.topic
        client.run(lambda dask_worker: dask_worker.plugins.pop(topic).job.end())
    assert not jobs_left(client)


def test_a_worker_that_takes_the_place_of_the_only_one_goes_on(
    client: Any, scan: Path, whole: dict[str, bytes]
) -> None:
    client.cluster.scale(1)
    wait_for(lambda: len(client.nthreads()) == 1)
    victim = client.run(os.getpid).popitem()[1]
    with changed_workers(client, SLOW), closing(ct.iter_convert(scan, client=client, **OPTIONS)) as steps:
        for progress in steps:
            if victim and progress.blocks_done:
                os.kill(victim, getattr(signal, "SIGKILL", signal.SIGTERM))
                victim = 0
                client.cluster.scale(2)
    wait_for(lambda: len(client.nthreads()) == 2)
    assert pyramid_files(scan.with_name("scan.ome.zarr")) == whole


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda scan: scan.write_bytes(b"another file"), ""),
        (lambda scan: os.utime(scan, (1, 1)), r": .*scan\.tif is another file there.* 1970-01-01"),
    ],
)
def test_a_worker_that_joins_later_and_cannot_read_the_source_is_one_error(
    client: Any, scan: Path, change: Callable[[Path], Any], why: str
) -> None:
    steps = ct.iter_convert(scan, client=client, **OPTIONS)
    with changed_workers(client, SLOW), closing(steps):
        next(steps)
        change(scan)

        async def join() -> Any:
            return await distributed.Worker(client.scheduler.address, nthreads=1, host="127.0.0.1")

        late = client.sync(join)
        try:
            with pytest.raises(ct.ConversionError, match=rf"^Worker {late.address} on .* cannot do this{why}"):
                list(steps)
        finally:
            client.sync(late.close)


def test_when_it_is_cancelled_the_workers_stop(client: Any, scan: Path, whole: dict[str, bytes]) -> None:
    output = scan.with_name("scan.ome.zarr")
    with changed_workers(client, SLOW.replace("0.02", "0.1")):  # in which this process hears of two of the blocks
        interrupt(ct.iter_convert(scan, client=client, **OPTIONS), output, 2)
        assert not is_busy(client)
        assert not jobs_left(client)
    planned = ct.plan(scan, **OPTIONS)
    assert 2 <= planned.blocks_done < planned.blocks
    assert pyramid_files(ct.convert(scan, **OPTIONS).output) == whole  # without the cluster


def test_it_resumes_what_one_process_began(
    client: Any, scan: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = scan.with_name("scan.ome.zarr")
    append = Journal.append

    def then_fail(self: Journal, *args: Any) -> None:
        append(self, *args)
        raise OSError(5, "stopped by the test")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", then_fail)
        with pytest.raises(ct.ConversionError, match="stopped by the test"):
            ct.convert(scan, **OPTIONS)
        before = ct.plan(scan, client=client, **OPTIONS).blocks_done
        with pytest.raises(ct.ConversionError, match="stopped by the test"):  # on the side of the cluster, too
            ct.convert(scan, client=client, **OPTIONS)
    assert not is_busy(client)
    planned = ct.plan(scan, client=client, **OPTIONS)
    assert 1 <= before < planned.blocks_done < planned.blocks
    assert ct.convert(scan, client=client, **OPTIONS).output == output
    assert pyramid_files(output) == whole


def test_when_the_client_is_killed_the_workers_stop(client: Any, scan: Path, whole: dict[str, bytes]) -> None:
    output = scan.with_name("scan.ome.zarr")
    go = scan.with_name("go")
    with changed_workers(client, HELD.format(str(go))):
        process = subprocess.Popen(command_after(PRELUDE, *asked(scan, client)))
        wait_for(lambda: is_unfinished(output) and ct.plan(scan, **OPTIONS).blocks_done)
        wait_for(lambda: is_busy(client))
        process.kill()
        process.wait()
        go.touch()
        wait_for(lambda: not is_busy(client))
        wait_for(lambda: not jobs_left(client))  # otherwise workers that join later would open the source
    assert is_unfinished(output)
    ct.convert(scan, client=client, **OPTIONS)
    assert pyramid_files(output) == whole


def test_when_the_client_is_killed_while_a_worker_opens_the_source_it_is_closed(
    client: Any, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LateWorker(client, monkeypatch) as late:
        late.joined()
        process = subprocess.Popen(command_after("", *asked(scan, client)))
        assert late.opening.wait(PATIENCE)
        process.kill()
        process.wait()
        wait_for(lambda: not any(name.startswith("ct-pyramid") for name in late.worker.plugins))
        late.go.set()
        wait_for(lambda: late.closed)
    assert late.closed == late.opened
    assert not jobs_left(client)


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot pause a process")
def test_workers_that_were_paused_change_nothing_after_another_has_taken_over(
    client: Any, scan: Path, whole: dict[str, bytes]
) -> None:
    """They go on in the middle of a block when the volume is published, and may even be another one by then."""
    output = scan.with_name("scan.ome.zarr")
    processes = client.run(os.getpid).values()
    go = scan.with_name("go")
    with changed_workers(client, HELD.format(str(go))):
        process = subprocess.Popen(command_after(PRELUDE, *asked(scan, client)))
        wait_for(lambda: is_unfinished(output) and ct.plan(scan, **OPTIONS).blocks_done)
        wait_for(lambda: is_busy(client))
        for worker in processes:
            os.kill(worker, signal.SIGSTOP)
        try:
            process.kill()
            process.wait()
            ct.convert(scan, **OPTIONS)
            before = everything(output)
        finally:
            go.touch()
            for worker in processes:
                os.kill(worker, signal.SIGCONT)
        wait_for(lambda: not is_busy(client))
        assert everything(output) == before
    assert pyramid_files(output) == whole


@pytest.mark.skipif(sys.platform != "linux", reason="takes a path that is another for each process")
@pytest.mark.parametrize("unseen", ["source", "output"])
def test_a_worker_that_does_not_see_a_path_is_one_error(
    client: Any, scan: Path, monkeypatch: pytest.MonkeyPatch, unseen: str
) -> None:
    monkeypatch.chdir(scan.parent)
    here = Path("/proc/self/cwd")  # the workers' is not ours
    source = (here if unseen == "source" else scan.parent) / "scan.tif"
    output = (here if unseen == "output" else scan.parent) / "made.zarr"
    before = everything(scan.parent)
    what = f"There is no file {source}" if unseen == "source" else f"It does not see the output {output}"
    with pytest.raises(ct.RequestError, match=rf"^Worker tcp://127.0.0.1:\d+ on .* cannot do this: {what}.* workers"):
        ct.convert(source, output, client=client, **OPTIONS)
    assert everything(scan.parent).keys() == before.keys()


def test_a_worker_without_the_package_or_with_another_version_is_one_error(client: Any, scan: Path) -> None:
    before = everything(scan.parent)
    worker = r"^Worker tcp://127.0.0.1:\d+"
    with (
        changed_workers(client, OLDER, NEWER),
        pytest.raises(ct.RequestError, match=worker + r" .* 0\.0\.9, and here it is 0"),
    ):
        ct.convert(scan, client=client, **OPTIONS)
    with (
        changed_workers(client, GONE, BACK),
        pytest.raises(ct.RequestError, match=worker + " cannot run .*napari_ct_pyramid"),
    ):
        ct.convert(scan, client=client, **OPTIONS)
    assert everything(scan.parent) == before


def test_an_error_on_a_worker_is_one_error(client: Any, scan: Path, whole: dict[str, bytes]) -> None:
    with changed_workers(client, BROKEN), pytest.raises(ct.ConversionError) as error:
        ct.convert(scan, client=client, **OPTIONS)
    said = str(error.value)
    assert said.startswith("Worker tcp://127.0.0.1:")
    assert "Page 7 could not be read. The output" in said
    assert Advice(RESUME) in error.value.message.parts
    assert pyramid_files(ct.convert(scan, client=client, **OPTIONS).output) == whole


def test_a_worker_that_dask_would_pause_is_refused(client: Any, scan: Path) -> None:
    cluster = Cluster(client)
    plan = ct.plan(scan, client=client, **OPTIONS)
    cluster.check_memory(plan)
    address, worker = next(iter(cluster.workers.items()))
    cluster.workers[address] = worker._replace(memory_limit=100_000_000)
    with pytest.raises(ct.RequestError, match=f"^Worker {address} .* paused by Dask when it holds 100 MB"):
        cluster.check_memory(plan)


def test_many_files(client: Any, scan: Path) -> None:
    other = scan.with_name("other.tif")
    other.write_bytes(scan.read_bytes())
    batch = ct.convert_many([scan, other], client=client, **OPTIONS)
    assert [item.result and item.result.workers for item in batch.items] == [2, 2]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("tcp://127.0.0.1:9", "at tcp://127.0.0.1:9"),
        ("scheduler.json", "'scheduler.json' is not a Dask scheduler"),
        ("scan.tif", "at scan.tif"),
    ],
)
def test_no_scheduler(
    scan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], address: str, words: str
) -> None:
    monkeypatch.chdir(scan.parent)
    monkeypatch.setattr(dask_client, "CONNECT_SECONDS", 0.5)
    assert main(["convert", "scan.tif", "-c", "8", "8", "16", "--dask", address]) == 2
    text = capsys.readouterr().err
    assert text.startswith("ct-pyramid: error: ")
    assert words in text
    assert text.count("\n") == 1
    assert not scan.with_name("scan.ome.zarr").exists()
    gc.collect()  # so that a client that failed to connect is not finalized in another test's thread


def test_a_scheduler_file(client: Any, scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan.with_name("scheduler.json").write_text(json.dumps({"address": client.scheduler.address}))
    command = ["convert", str(scan), "-c", "8", "8", "16", "--dask", str(scan.with_name("scheduler.json"))]
    assert main([*command, "--dry-run"]) == 0
    assert "with 1 thread on each of 2 workers" in capsys.readouterr().out
    assert main(command) == 0
    assert ", the most of 2 workers\n" in capsys.readouterr().out


def test_processes_of_this_machine(scan: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_client, "available_cores", lambda: 2)
    with dask_client.connect("local") as client:
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        ports = {end.laddr for one in family for end in one.net_connections() if end.status == psutil.CONN_LISTEN}
        assert {end.ip for end in ports} == {"127.0.0.1"}
        # A scheduler runs any code that a client sends.
        with pytest.raises(OSError, match="certificate does not match"):
            distributed.Client(client.scheduler.address, security=distributed.Security.temporary(), timeout=PATIENCE)
        if hasattr(signal, "pthread_sigmask"):  # a terminal sends Ctrl-C to all of its processes
            blocked = client.run(signal.pthread_sigmask, signal.SIG_BLOCK, [])
            assert all(signal.SIGINT in signals for signals in blocked.values())
            assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        receipt = ct.convert(scan, client=client, **OPTIONS)
        workers = client.run(os.getpid).values()
    assert pyramid_files(receipt.output) == whole
    assert receipt.workers == len(workers) == 2
    assert not any(map(psutil.pid_exists, workers))


def test_levels_and_statistics_are_read_by_the_workers(client: Any, tmp_path: Path) -> None:
    scan = write_scan(tmp_path)
    image = ct.convert(scan, **OPTIONS).output
    expected = tifffile.imread(scan)
    part = ct.open_pyramid(image).crop("1:,,2:").levels[0]
    for array in (part.to_dask(), part.to_xarray().data):
        np.testing.assert_array_equal(client.compute(array).result(), expected[1:, :, 2:])
    factor = 3
    mapped = part.map_blocks(lambda block: factor * block.astype("i4"), dtype="i4")
    np.testing.assert_array_equal(client.submit(np.asarray, mapped).result(), 3 * expected[1:, :, 2:].astype("i4"))
    found = ct.stats(image, client=client, per_slice=True)
    assert (found.count, found.minimum, found.maximum) == (expected.size, expected.min(), expected.max())
    assert found.mean == pytest.approx(expected.mean(dtype="f8"))
    assert found.slices
    np.testing.assert_allclose(found.slices.std, expected.std((1, 2), dtype="f8"))


SBATCH = """#!/bin/sh
# A job here and now; like SLURM, it keeps a copy of the script.
cp "$1" "$0.job.$$"
setsid sh "$0.job.$$" >/dev/null 2>&1 </dev/null &
echo "Submitted batch job $!"
"""
SCANCEL = '#!/bin/sh\nfor job; do kill -- -"$job"; done\n'


@pytest.mark.skipif(sys.platform != "linux", reason="there is no SLURM elsewhere")
def test_the_script_for_slurm(tmp_path: Path) -> None:
    """With a SLURM that runs its jobs on this machine."""
    pytest.importorskip("dask_jobqueue")
    scan = write_scan(tmp_path)
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    script = Path(__file__).parents[2] / "examples" / "convert_on_slurm.py"
    options = [scan, tmp_path / "scan.ome.zarr", "-c", "8", "8", "16", "--jobs", "1", "--cores", "1", "--memory", "1"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, *map(str, options), "--home", str(tmp_path)],
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith(" by 1 workers")
    assert ct.verify(tmp_path / "scan.ome.zarr", scan).sound
    assert not list(tmp_path.glob(".dask-jobqueue.*"))
