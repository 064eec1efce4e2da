"""Outputs in an object store: a real S3 server on this machine, and a store in memory."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

import napari_ct_pyramid as ct
from napari_ct_pyramid.cli import main as cli
from napari_ct_pyramid.conversion.rebuild import note
from napari_ct_pyramid.errors import RESUME, Advice
from napari_ct_pyramid.neuroglancer.server import FolderServer
from napari_ct_pyramid.neuroglancer.viewer import Neuroglancer
from napari_ct_pyramid.omezarr.journal import Journal, read_journal
from napari_ct_pyramid.omezarr.kind import JOURNAL
from napari_ct_pyramid.omezarr.writer import OmeZarrWriter
from napari_ct_pyramid.storage import remote_path, store_access
from napari_ct_pyramid.storage.lock import hold
from napari_ct_pyramid.storage.paths import any_path
from napari_ct_pyramid.storage.remote_path import RemotePath
from tests.helpers.command import MODULE
from tests.helpers.neuroglancer import install_client, state_in
from tests.helpers.omezarr import flat_indices, write_image
from tests.helpers.s3 import BUCKET, S3
from tests.helpers.scans import SMALL_BLOCKS, VOXELS, pyramid_files, small_blocks, write_scan

pytestmark = pytest.mark.once

URL = f"s3://{BUCKET}"
MEMORY = f"memory://{BUCKET}"
OPTIONS: dict[str, Any] = {"chunks": (8, 16, 16), "num_levels": 3, "threads": 2}  # five blocks of few objects
OF_TIME = (".ct-pyramid/journal.jsonl", ".ct-pyramid/receipt.json")
SHARDED = {"ome_zarr_version": "0.5", "shards": (16, 16, 32)}


@pytest.fixture
def scan(in_memory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small_blocks(monkeypatch)
    return write_scan(in_memory)


def pyramid_objects(s3: S3, name: str) -> dict[str, bytes]:
    return {key: data for key, data in s3.objects(name).items() if key not in OF_TIME}


def objects(output: str) -> dict[str, bytes]:
    """As far as `pyramid_files` has them of a folder."""
    return {key: data for key, data in all_objects(output).items() if key not in OF_TIME}


def all_objects(output: str) -> dict[str, bytes]:
    """All but locks."""
    root = RemotePath(output)
    found = {path.url.removeprefix(f"{root}/"): path for path, _ in root.below()}
    return {key: path.read_bytes() for key, path in found.items() if "/lock-" not in key}


def stop_after(blocks: int, scan: Path, output: str, **options: Any) -> None:
    """Convert, and have it fail once so many blocks are done."""
    append = Journal.append
    with pytest.MonkeyPatch.context() as patch:

        def then_stop(self: Journal, *args: Any) -> None:
            append(self, *args)
            record = read_journal(any_path(output))
            assert record
            if len(record.done) >= blocks:
                raise OSError(5, "stopped by the test")

        patch.setattr(Journal, "append", then_stop)
        with pytest.raises(ct.ConversionError, match="stopped by the test") as caught:
            ct.convert(scan, output, **{**OPTIONS, **options})
        assert Advice(RESUME) in caught.value.message.parts


@pytest.mark.parametrize("options", [{}, SHARDED])
def test_the_same_objects_as_files(s3: S3, scan: Path, options: dict[str, Any]) -> None:
    name = f"same-{len(options)}.ome.zarr"
    local = ct.convert(scan, scan.with_name(name), **OPTIONS, **options)
    assert not s3.objects(name)
    planned = ct.plan(scan, f"{URL}/{name}", **OPTIONS, **options)
    assert planned.bytes_free is None
    receipt = ct.convert(scan, f"{URL}/{name}/", **OPTIONS, **options)
    assert str(receipt.output) == f"{URL}/{name}"
    assert pyramid_objects(s3, name) == pyramid_files(scan.with_name(name))
    assert set(OF_TIME) <= set(s3.objects(name))
    assert receipt.bytes_written == sum(map(len, s3.objects(name).values()))
    same = ("levels", "minimum", "maximum", "nans", "window", "bytes_read")
    assert [getattr(receipt, what) for what in same] == [getattr(local, what) for what in same]
    with pytest.raises(ct.OutputExistsError) as caught:
        ct.convert(scan, f"{URL}/{name}", **OPTIONS, **options)
    assert caught.value.replaceable
    assert Advice("overwrite", True) in caught.value.message.parts
    stored = {key: default_buffer_prototype().buffer.from_bytes(data) for key, data in s3.objects(name).items()}
    group = zarr.open_group(MemoryStore(stored), mode="r")
    assert np.array_equal(group["0"][: len(VOXELS)], VOXELS)
    assert ct.verify(f"{URL}/{name}", scan).problems == ()


@pytest.mark.parametrize(("place", "options"), [(MEMORY, {}), (URL, SHARDED)])
@pytest.mark.usefixtures("s3")
def test_an_interrupted_conversion_resumes(
    scan: Path, monkeypatch: pytest.MonkeyPatch, place: str, options: dict[str, Any]
) -> None:
    output = f"{place}/stopped.ome.zarr"
    local = ct.convert(scan, scan.with_name("stopped.ome.zarr"), **OPTIONS, **options).output
    stop_after(2, scan, output, **options)
    assert not {".zattrs", "zarr.json"} & set(objects(output))
    with pytest.raises(ct.UnfinishedError):
        ct.open_pyramid(output)
    planned = ct.plan(scan, output, **OPTIONS, **options)
    assert 2 <= planned.blocks_done < planned.blocks
    begun: list[Any] = []
    begin = OmeZarrWriter.begin_chunk
    monkeypatch.setattr(OmeZarrWriter, "begin_chunk", lambda *args: (begun.append(args[1:]), begin(*args))[1])
    receipt = ct.convert(scan, output, **OPTIONS, **options)
    assert receipt.output == RemotePath(output)
    assert 0 < len(begun) < sum(level.chunk_count for level in receipt.levels)
    assert objects(output) == pyramid_files(local)


def test_an_output_is_replaced_only_when_asked_and_nothing_else(s3: S3, scan: Path) -> None:
    output = f"{URL}/old.ome.zarr"
    ct.convert(scan, output, chunks=(16, 8, 16), num_levels=2)
    s3.put("old.ome.zarr.txt", b"mine")
    s3.put("old.ome.zarr-2/0/0/0/0", b"mine")
    s3.put("thesis/years.txt", b"of work")
    for overwrite in (False, True):
        with pytest.raises(ct.OutputExistsError) as caught:
            ct.convert(scan, f"{URL}/thesis", **OPTIONS, overwrite=overwrite)
        assert not caught.value.replaceable
    ct.convert(scan, output, **OPTIONS, overwrite=True)
    ct.convert(scan, scan.with_name("old.ome.zarr"), **OPTIONS)
    assert pyramid_objects(s3, "old.ome.zarr") == pyramid_files(scan.with_name("old.ome.zarr"))
    assert (s3.get("old.ome.zarr.txt"), s3.get("old.ome.zarr-2/0/0/0/0")) == (b"mine", b"mine")
    assert s3.get("thesis/years.txt") == b"of work"


@pytest.mark.parametrize(("place", "options"), [(URL, {}), (MEMORY, SHARDED)])
@pytest.mark.usefixtures("s3")
def test_damage_is_found_and_repaired(scan: Path, place: str, options: dict[str, Any]) -> None:
    output = f"{place}/damaged.ome.zarr"
    ct.convert(scan, output, **OPTIONS, **options)
    before = objects(output)
    first, second = (max(key for key in before if key.startswith(f"{n}/") and key[-1].isdigit()) for n in (0, 1))
    RemotePath(f"{output}/{first}").write_bytes(before[first][:20] + b"X" + before[first][21:])
    RemotePath(f"{output}/{second}").unlink()
    found = ct.verify(output)
    assert {problem.level for problem in found.problems} == {0, 1}
    assert "it is missing" in {problem.what for problem in found.problems}
    assert ct.verify(output, scan, repair=True).repaired
    assert objects(output) == before
    RemotePath(f"{output}/{JOURNAL}").unlink()
    with pytest.raises(ct.SourceError, match=JOURNAL):
        ct.verify(output)


def test_an_ome_zarr_in_a_store_is_shown_and_converted(s3: S3, scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = f"{URL}/looked.ome.zarr"
    ct.convert(scan, output, **OPTIONS, voxel_size=0.5, unit="micrometer")
    pyramid = ct.open_pyramid(output)
    assert pyramid.name == "looked"
    level = pyramid.levels[0].array
    assert np.array_equal(level[21], VOXELS[21])
    assert np.array_equal(level[:, 9], VOXELS[:, 9])
    assert np.array_equal(np.asarray(level), VOXELS)
    assert cli.main(["info", output, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["path"], told["shape"], told["unit"]) == (output, list(VOXELS.shape), "micrometer")
    assert told["receipt"]["source"]["name"] == "scan"
    again = ct.convert(output, chunks=(16, 16, 16), num_levels=2)
    assert str(again.output) == f"{URL}/looked-2.ome.zarr"
    assert np.array_equal(np.asarray(ct.open_pyramid(again.output).levels[0].array), VOXELS)
    planned = ct.plan(f"{output}::/0", scan.with_name("here.ome.zarr"), **OPTIONS)
    assert planned.volume.shape == (48, 32, 32)  # an array does not say what of it is padding
    with pytest.raises(ct.SourceNotFoundError, match="There is nothing at"):
        ct.plan(f"{URL}/nothing.ome.zarr", **OPTIONS)
    with pytest.raises(ct.SourceNotFoundError):
        ct.open_pyramid(f"{URL}/nothing.ome.zarr")


def change(patch: pytest.MonkeyPatch, act: Callable[[int, Callable[[], Any]], Any]) -> None:
    """Have a function carry out the requests that change the store, of which it learns the number, from 1."""
    calls = itertools.count(1)

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **more: act(next(calls), lambda: real(*args, **more))

    for name in ("write_bytes", "unlink", "remove"):
        patch.setattr(RemotePath, name, counted(getattr(RemotePath, name)))


class Killed(BaseException):
    """Ends a conversion as a signal would."""


def kill_at(patch: pytest.MonkeyPatch, n: int) -> None:
    """Have the n-th request that changes the store end the conversion instead."""

    def act(number: int, request: Callable[[], Any]) -> Any:
        if number == n:
            raise Killed
        return request()

    change(patch, act)


def fail_at(patch: pytest.MonkeyPatch, n: int, *, done: bool, lasting: bool) -> None:
    """Have the n-th request that changes the store fail, after it was carried out if `done`; then all if `lasting`."""

    def act(number: int, request: Callable[[], Any]) -> Any:
        fails = number == n or (lasting and number > n)
        answer = request() if done or not fails else None
        if fails:
            raise OSError(5, "the connection broke")
        return answer

    change(patch, act)


def test_an_overwriting_that_is_killed_at_any_request_resumes(scan: Path, times: Callable[[int], int]) -> None:
    """What is there then is a correct volume, or an unfinished one; and the same call makes the new one."""
    output = f"{MEMORY}/replaced.ome.zarr"
    other: dict[str, Any] = {**OPTIONS, "chunks": (16, 16, 16), "num_levels": 2}
    ct.convert(scan, output, **OPTIONS)
    new = objects(output)
    ct.convert(scan, output, **other, overwrite=True)
    old = objects(output)
    assert {key for key in old if key.startswith("2/")} == set()  # nothing of the first is left
    rare = itertools.count(9, max(1, 60 // times(6)))
    for n in itertools.chain(range(1, 9), rare):  # the first requests begin it, and remove the old metadata
        killed = False
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, n)
            try:
                ct.convert(scan, output, **OPTIONS, overwrite=True)
            except Killed:
                killed = True
        with suppress(ct.SourceError):
            ct.open_pyramid(output)
            assert ct.verify(output, scan).problems == ()
        ct.convert(scan, output, **OPTIONS, overwrite=True)
        assert objects(output) == new
        ct.convert(scan, output, **other, overwrite=True)
        assert objects(output) == old
        if not killed:
            return


@pytest.mark.parametrize(("done", "lasting"), [(False, True), (True, False), (True, True)])
def test_an_overwriting_whose_request_fails_leaves_the_old_volume_or_resumes(
    scan: Path, done: bool, lasting: bool
) -> None:
    """Also if the store has done what was asked, and only its answer is an error. `lasting`: all later ones fail."""
    output = f"{MEMORY}/failed.ome.zarr"
    other: dict[str, Any] = {**OPTIONS, "chunks": (16, 16, 16), "num_levels": 2}
    ct.convert(scan, output, **OPTIONS, overwrite=True)
    new = objects(output)
    ct.convert(scan, output, **other, overwrite=True)
    old = all_objects(output)
    for n in (*range(2, 8), 20):
        RemotePath(output).remove(path for path, _ in RemotePath(output).below())
        for key, data in old.items():
            (RemotePath(output) / key).write_bytes(data)
        with pytest.MonkeyPatch.context() as patch:
            fail_at(patch, n, done=done, lasting=lasting)
            try:
                ct.convert(scan, output, **OPTIONS, overwrite=True)
            except ct.RequestError:
                assert all_objects(output) == old, n
            except ct.ConversionError:
                pass
        with suppress(ct.UnfinishedError):
            assert ct.verify(output, scan).problems == (), n
        ct.convert(scan, output, **OPTIONS, overwrite=True)
        assert objects(output) == new, n


@pytest.mark.parametrize("done", [False, True])
def test_a_fresh_output_that_cannot_be_begun_leaves_nothing(scan: Path, done: bool) -> None:
    output = RemotePath(f"{MEMORY}/fresh.ome.zarr")
    with pytest.MonkeyPatch.context() as patch:
        fail_at(patch, 2, done=done, lasting=False)  # after the lock
        with pytest.raises(ct.RequestError):
            ct.convert(scan, output, **OPTIONS)
    assert not output.exists()


def test_other_objects_in_an_output_are_named_and_kept(scan: Path) -> None:
    output = f"{MEMORY}/mine.ome.zarr"
    ct.convert(scan, output, **OPTIONS)
    (RemotePath(output) / "thesis.txt").write_bytes(b"years of work")
    before = objects(output)
    with pytest.raises(ct.OutputExistsError) as caught:
        ct.convert(scan, output, **{**OPTIONS, "num_levels": 2}, overwrite=True)
    assert "thesis.txt" in str(caught.value)
    assert not caught.value.replaceable
    assert objects(output) == before


def test_only_one_conversion_at_a_time_on_this_machine(s3: S3, scan: Path) -> None:
    output = RemotePath(f"{URL}/busy.ome.zarr")
    with hold(output), pytest.raises(ct.OutputBusyError):
        ct.convert(scan, output, **OPTIONS)
    assert not s3.objects("busy.ome.zarr")


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_output_that_is_written_is_busy_also_for_other_options(s3: S3, scan: Path, overwrite: bool) -> None:
    url = f"{URL}/busy-{overwrite}.ome.zarr"
    other: dict[str, Any] = {**OPTIONS, "chunks": (16, 16, 16), "overwrite": overwrite}
    ct.convert(scan, url, **OPTIONS)
    with hold(RemotePath(url)):
        before = s3.objects(f"busy-{overwrite}.ome.zarr")
        writers: list[Callable[[], Any]] = [
            lambda: ct.convert(scan, url, **other), lambda: ct.edit(url, name="new"), lambda: ct.rebuild_levels(url),
            lambda: ct.verify(url, scan, repair=True),
        ]  # fmt: skip
        for write in writers:
            with pytest.raises(ct.OutputBusyError) as caught:
                write()
            assert (caught.value.process, caught.value.machine) == (os.getpid(), socket.gethostname())
        assert s3.objects(f"busy-{overwrite}.ome.zarr") == before
    if not overwrite:
        with pytest.raises(ct.OutputExistsError):
            ct.convert(scan, url, **other)


def test_places_where_no_output_can_be_made(s3: S3, scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["-c", "8", "8", "16", "--quiet"]
    assert cli.main(["convert", str(scan), "s3://nobodys-bucket/scan.ome.zarr", *ask]) == 2
    assert "There is no bucket nobodys-bucket" in capsys.readouterr().err
    assert cli.main(["convert", str(scan), URL, *ask]) == 2
    assert "is a bucket" in capsys.readouterr().err
    assert cli.main(["convert", str(scan), "https://example.org/scan.ome.zarr", *ask]) == 2
    assert "on a web server" in capsys.readouterr().err
    assert cli.main(["convert", str(scan), "ftpx://example.org/scan.ome.zarr", *ask]) == 2
    assert "ftpx://" in capsys.readouterr().err
    assert [path.name for path in scan.parent.iterdir()] == [scan.name]


def test_a_missing_package_is_named(scan: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    for scheme in ("s3", "gs"):
        assert cli.main(["convert", str(scan), f"{scheme}://bucket/scan.ome.zarr", "-c", "8", "8", "16"]) == 2
        assert "pip install 'napari-ct-pyramid[cloud]'" in capsys.readouterr().err


def test_a_store_that_does_not_answer(s3: S3, scan: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        place = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{nobody.getsockname()[1]}"}
        ask = ["convert", str(scan), f"{URL}/scan.ome.zarr", "-c", "8", "8", "16"]
        done = subprocess.run([*MODULE, *ask], env=os.environ | place, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"ct-pyramid: error: {URL}/scan.ome.zarr cannot be reached: ")
    assert done.stderr.count("\n") == 1
    assert not s3.objects("scan.ome.zarr")


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="there is no such signal")
def test_a_store_that_stops_answering(s3: S3, scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store may take the data or not, but it sends no answer. The wait has a limit."""
    monkeypatch.setattr(store_access, "ANSWER_SECONDS", 3)  # a busy machine answers sooner
    monkeypatch.setattr(remote_path, "open_store", cache(store_access.open_store.__wrapped__))
    for options in ({}, SHARDED):
        with closing(ct.iter_convert(scan, f"{URL}/silent-{len(options)}.ome.zarr", **OPTIONS, **options)) as steps:
            next(steps)
            with s3.silent(), pytest.raises(ct.ConversionError, match="no answer") as caught:
                list(steps)
            assert Advice(RESUME) in caught.value.message.parts
        receipt = ct.convert(scan, f"{URL}/silent-{len(options)}.ome.zarr", **OPTIONS, **options)
        assert ct.verify(receipt.output).problems == ()


KILLED = f"""
import sys, napari_ct_pyramid as ct
from napari_ct_pyramid.omezarr import journal
from napari_ct_pyramid.model import blocks as stages
for name, size in {SMALL_BLOCKS!r}.items():
    setattr(stages, name, size)
append = journal.Journal.append
def tell(*args):
    append(*args)
    print("done", flush=True)
    if len(sys.argv) > 3:
        import time; time.sleep(600)
journal.Journal.append = tell
ct.convert(sys.argv[1], sys.argv[2], **{OPTIONS!r})
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no such signal")
def test_a_killed_conversion_is_resumed_by_another_process(s3: S3, scan: Path) -> None:
    output = f"{URL}/killed.ome.zarr"
    killed = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(scan), output, "stay"], stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout
    assert killed.stdout.readline() == "done\n"
    time.sleep(0.2)  # chunks of other blocks are on their way
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert ".zattrs" not in s3.objects("killed.ome.zarr")
    record = read_journal(RemotePath(output))
    assert record
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(scan), output], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("done") == record.blocks - len(record.done) < record.blocks
    ct.convert(scan, scan.with_name("killed.ome.zarr"), **OPTIONS)
    assert pyramid_objects(s3, "killed.ome.zarr") == pyramid_files(scan.with_name("killed.ome.zarr"))


MEASURED = """
import sys, json, napari_ct_pyramid as ct
options = dict(chunks=(32, 128, 128), num_levels=3, threads=2, **json.loads(sys.argv[3]))
try:
    ct.plan(*sys.argv[1:3], **options, max_memory=1)
except ct.BudgetError as error:
    options["max_memory"] = error.smallest
plan = ct.plan(*sys.argv[1:3], **options)
receipt = ct.convert(*sys.argv[1:3], **options)
print(json.dumps([plan.options.max_memory, plan.peak_memory_bytes, receipt.peak_memory_bytes]))
"""


@pytest.mark.parametrize("options", [{}, {"ome_zarr_version": "0.5", "shards": "auto"}])
def test_the_ledger_bounds_what_a_real_process_takes(s3: S3, in_memory: Path, options: dict[str, Any]) -> None:
    source = in_memory / "large.tif"
    tifffile.imwrite(source, np.random.default_rng(0).random((64, 384, 768), "f4"), photometric="minisblack")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURED, str(source), f"{URL}/large-{len(options)}.ome.zarr",
         json.dumps(options)],
        capture_output=True, text=True, check=True, timeout=600,
    )  # fmt: skip
    allowed, planned, measured = json.loads(done.stdout)
    assert measured <= planned <= allowed
    assert measured >= 0.3 * planned


def test_a_browser_gets_objects_from_a_store(scan: Path) -> None:
    output = "memory://served/scan.ome.zarr"
    ct.convert(scan, output, **OPTIONS)
    data = RemotePath(f"{output}/0/0/0/0").read_bytes()
    with FolderServer({"volume": RemotePath(output)}) as server:

        def get(key: str, **headers: str) -> bytes:
            with urllib.request.urlopen(urllib.request.Request(f"{server.url}{key}", headers=headers)) as answer:
                body: bytes = answer.read()
                return body

        assert get("volume/0/0/0/0") == data
        assert get("volume/0/0/0/0", Range="bytes=3-9") == data[3:10]
        assert get("volume/0/0/0/0", Range="bytes=-5") == data[-5:]
        for key in ("volume/0/9/0/0", "volume/../scan.ome.zarr/.zattrs", "volume/0"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                get(key)


class TestPath:
    @pytest.mark.parametrize(
        ("text", "name", "parent"),
        [
            ("s3://bucket/a/scan.ome.zarr", "scan.ome.zarr", "s3://bucket/a"),
            ("S3://bucket/scan.ome.zarr/", "scan.ome.zarr", "s3://bucket"),
            ("az://container", "container", "az://container"),
        ],
    )
    def test_names(self, text: str, name: str, parent: str) -> None:
        path = any_path(text)
        assert isinstance(path, RemotePath)
        assert (path.name, str(path.parent)) == (name, parent)
        assert path / "0" / "1" == any_path(f"{text.rstrip('/')}/0/1")

    @pytest.mark.parametrize("text", ["scan.tif", "a/b:/c", "C:/scan.tif", "s3:/bucket", "scan.h5::/a"])
    def test_paths_on_this_machine(self, text: str) -> None:
        assert any_path(text) == Path(text)

    def test_a_file_url_is_a_path_on_this_machine(self, tmp_path: Path) -> None:
        assert any_path((tmp_path / "a b").as_uri()) == tmp_path / "a b"


def test_an_edit_in_a_store(scan: Path, s3: S3) -> None:
    output = f"{URL}/edited.ome.zarr"
    ct.convert(scan, output, **OPTIONS, voxel_size="1 um")
    ct.edit(output, voxel_size="650 nm", name="Bone")
    pyramid = ct.open_pyramid(output)
    assert (pyramid.levels[1].scale, pyramid.units[0], pyramid.name) == ((1300,) * 3, "nanometer", "Bone")
    assert ct.verify(output, scan).problems == ()


def test_a_store_that_denies_access(s3: S3, scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with s3.only_its_users():
        assert cli.main(["convert", str(scan), f"{URL}/forbidden.ome.zarr", "-c", "8", "8", "16"]) == 2
    said = capsys.readouterr().err
    assert "cannot be reached" in said
    assert said.count("\n") == 1


@pytest.mark.usefixtures("s3")
def test_levels_and_parts_are_exported_from_a_store_and_to_it(scan: Path) -> None:
    source = f"{URL}/exported.ome.zarr"
    ct.convert(scan, source, **OPTIONS)
    level = np.asarray(ct.open_pyramid(source).levels[1].array)
    assert np.array_equal(pickle.loads(pickle.dumps(ct.open_pyramid(source).levels[1])), level)
    ct.export(source, scan.with_name("level.tif"), level=1, crop="4:30,,:10")
    assert np.array_equal(tifffile.imread(scan.with_name("level.tif")), level[2:15, :, :5])
    ct.export(source, f"{URL}/part.ome.zarr", level=1, crop="4:30,,")
    part = ct.open_pyramid(f"{URL}/part.ome.zarr").levels[0]
    assert np.array_equal(part.array, level[2:15])
    assert part.translation[0] == 4.5


def test_levels_are_rebuilt_in_a_store_and_go_on_where_they_were(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    url, prefix = f"s3://{BUCKET}/rebuilt.ome.zarr", "rebuilt.ome.zarr"
    ct.convert(flat_indices((16, 16, 16), "u2"), url, chunks=8, num_levels=2, ome_zarr_version="0.5", shards="none")
    good = s3.objects(prefix)
    s3.put(f"{prefix}/1/c/0/0/0", b"broken")
    with monkeypatch.context() as patch:
        patch.setattr(note, "publish", lambda *_: (_ for _ in ()).throw(OSError(5, "The store does not answer")))
        with pytest.raises(ct.ConversionError):
            ct.rebuild_levels(url)
    assert [level.path for level in ct.open_pyramid(url).levels] == ["0"]
    assert ct.rebuild_levels(url).resumed
    assert ct.verify(url).sound
    now = s3.objects(prefix)
    assert {key for key in now if not key.startswith(".ct-pyramid")} == {
        key for key in good if not key.startswith(".ct-pyramid")
    }
    assert {key: data for key, data in now.items() if key[0] == "0"} == {
        key: data for key, data in good.items() if key[0] == "0"
    }
    assert ".ct-pyramid/rebuild.json" not in now


def test_an_archive_in_a_store_is_read_in_place(s3: S3, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voxels = flat_indices((16, 16, 16), "u2")
    ct.convert(voxels, tmp_path / "a.ome.zarr", chunks=8, num_levels=2)
    ct.export(tmp_path / "a.ome.zarr", tmp_path / "a.ozx")
    s3.put("a.ozx", (tmp_path / "a.ozx").read_bytes())
    url = f"s3://{BUCKET}/a.ozx"
    assert cli.main(["info", url]) == 0
    assert "16" in capsys.readouterr().out
    assert cli.main(["verify", url, "--quiet"]) == 0
    assert cli.main(["convert", url, str(tmp_path / "b.ome.zarr"), "--chunks", "8", "--quiet"]) == 0
    np.testing.assert_array_equal(np.asarray(ct.open_pyramid(tmp_path / "b.ome.zarr").levels[0].array[:]), voxels)
    with pytest.raises(ct.RequestError):
        ct.rebuild_levels(url)


@pytest.mark.parametrize("ending", [".ozx", ".zarr.zip"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_neuroglancer_gets_the_chunks_of_an_archive_in_a_store(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, version: str
) -> None:
    install_client(tmp_path, monkeypatch)
    folder = write_image(tmp_path / "a.ome.zarr", [flat_indices((16, 16, 16), "u2")], version=version)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder).as_posix())
    s3.put(f"a-{version}{ending}", (tmp_path / "a.zip").read_bytes())
    with Neuroglancer([f"{URL}/a-{version}{ending}"]) as shown:
        (layer,) = state_in(shown.state_url)["layers"]
        source, _, kind = layer["source"].partition("|")
        assert kind == {"0.4": "zarr2:", "0.5": "zarr3:"}[version]
        keys = {key.relative_to(folder).as_posix() for key in folder.rglob("*") if key.is_file()}
        for key in keys - {".zattrs", "zarr.json"}:  # those state a window, which is estimated
            with urllib.request.urlopen(source + key) as answer:
                assert answer.read() == (folder / key).read_bytes(), key
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(source + "0/c/9/9/9")


@pytest.mark.parametrize("what", ["info", "view", "verify", "convert"])
def test_a_folder_on_a_web_server_is_no_image_and_the_error_says_what_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    write_image(tmp_path / "scans" / "a.ome.zarr", [flat_indices((4, 8, 8), "u2")])
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/scans"
        more = [str(tmp_path / "b.ome.zarr"), "-c", "8"] if what == "convert" else []
        for path in (url, f"{url}/"):
            assert cli.main([what, path, *more]) in (1, 2)
            said = "".join(capsys.readouterr())
            assert "does not tell what is in a folder" in said
            assert "nothing at" not in said
            assert "does not exist" not in said
        assert cli.main(["info", f"{url}/a.ome.zarr"]) == 0
        server.shutdown()
