"""What exists is safe, and nothing that looks whole is left by an export that fails or is cancelled."""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import napari_ct_pyramid as ct
from napari_ct_pyramid.errors import CtPyramidError
from napari_ct_pyramid.exports import cells, voxel_file
from napari_ct_pyramid.exports.voxel_file import VoxelFile
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.command import everything
from tests.helpers.scans import VOXELS, write_scan

FILES = [".tif", ".ome.tif", ".mhd", ".mha", ".nrrd"]
KINDS = [*FILES, ""]
ALL = [*KINDS, ".ozx"]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return write_scan(tmp_path / "in")


@pytest.fixture(autouse=True)
def _small_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "CELL_BYTES", 8000)


def failed(scan: Any, output: Path, **options: Any) -> CtPyramidError:
    with pytest.raises(CtPyramidError) as caught:
        ct.export(scan, output, **options)
    return caught.value


@pytest.mark.parametrize("ending", ALL)
def test_an_output_that_exists_is_replaced_only_if_asked(scan: Path, ending: str, tmp_path: Path) -> None:
    output = tmp_path / f"out{ending}"
    ct.export(scan, output, crop=":7,,")
    before = everything(tmp_path)
    error = failed(scan, output)
    assert isinstance(error, ct.OutputExistsError)
    assert error.replaceable
    assert everything(tmp_path) == before
    made = ct.export(scan, output, crop=":5,:20,", overwrite=True)
    assert made.shape == (5, 20, 32)
    if ending == "":
        assert sorted(path.name for path in output.iterdir()) == [f"out_000{k}.tif" for k in range(5)]
    with open_source(output) as opened:
        assert opened.volume.shape == made.shape
        voxels = np.empty(made.shape, "u2")
        opened.read_box((0, 0, 0), voxels)
    assert np.array_equal(voxels, VOXELS[:5, :20])
    assert not list(tmp_path.glob(".*"))


def test_a_folder_with_something_else_is_left_alone(scan: Path, tmp_path: Path) -> None:
    output = tmp_path / "slices"
    output.mkdir()
    ct.export(scan, output, crop=":3,,")  # into an empty folder
    tifffile.imwrite(output / "slices_0007.tif", np.zeros((4, 4), "u1"))  # not by this package
    before = everything(tmp_path)
    error = failed(scan, output, overwrite=True)
    assert isinstance(error, ct.OutputExistsError)
    assert not error.replaceable
    assert everything(tmp_path) == before


@pytest.mark.parametrize("ending", ["", ".tif", ".mhd", ".ozx"])
def test_what_a_link_leads_to_is_left_alone(scan: Path, ending: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir() if not ending else (tmp_path / "elsewhere").touch()
    for target in ("elsewhere", "nowhere"):
        output = tmp_path / f"to {target}{ending}"
        output.symlink_to(tmp_path / target)
        before = everything(tmp_path)
        error = failed(scan, output, overwrite=True)
        assert isinstance(error, ct.OutputExistsError)
        assert not error.replaceable
        assert everything(tmp_path) == before


@pytest.mark.parametrize("ending", [*ALL, ".ome.zarr"])
def test_a_budget_that_is_too_small_is_a_wrong_request(scan: Path, ending: str, tmp_path: Path) -> None:
    error = failed(scan, tmp_path / f"out{ending}", max_memory="1M")
    assert isinstance(error, ct.BudgetError)
    assert "chunks need" not in str(error)


def test_labels_that_are_left_out_are_named(scan: Path, tmp_path: Path) -> None:
    image = ct.convert(scan, tmp_path / "a.ome.zarr", chunks=8, edges="pad", num_levels=1).output
    (image / "labels").mkdir()
    ct.convert(scan, image / "labels" / "cells", chunks=8, edges="pad", num_levels=1)
    (image / "labels" / ".zgroup").write_text('{"zarr_format": 2}')
    (image / "labels" / ".zattrs").write_text('{"labels": ["cells"]}')
    for ending, expected in ((".ome.zarr", True), (".ozx", True)):
        warnings = ct.plan_export(image, tmp_path / f"b{ending}").warnings
        assert any("cells" in str(warning) for warning in warnings) == expected


def test_voxels_of_another_header_are_left_alone(scan: Path, tmp_path: Path) -> None:
    (tmp_path / "out.raw").write_bytes(b"precious")
    for overwrite in (False, True):
        error = failed(scan, tmp_path / "out.mhd", overwrite=overwrite)
        assert isinstance(error, ct.OutputExistsError)
        assert not error.replaceable
    for name in ("another.raw", "my_out.raw", "out.raw.gz"):
        (tmp_path / "out.mhd").write_text(f"ElementDataFile = {name}\n")
        assert isinstance(failed(scan, tmp_path / "out.mhd", overwrite=True), ct.OutputExistsError)
    assert (tmp_path / "out.raw").read_bytes() == b"precious"


@pytest.mark.parametrize("output", ["in/scan.tif", "in", "in/../in/scan.tif"])
def test_the_source_is_never_replaced(scan: Path, tmp_path: Path, output: str) -> None:
    before = everything(tmp_path)
    for overwrite in (False, True):
        assert isinstance(failed(scan, tmp_path / output, overwrite=overwrite), ct.RequestError)
    ct.export(scan, tmp_path / "a.mhd")
    error = failed(tmp_path / "a.mhd", tmp_path / "a.mhd", overwrite=True)
    assert not isinstance(error, ct.OutputExistsError)
    (tmp_path / "a.mhd").rename(tmp_path / "b.mhd")  # its voxels are still in a.raw
    failed(tmp_path / "b.mhd", tmp_path / "a.mhd", overwrite=True)
    assert np.array_equal(np.fromfile(tmp_path / "a.raw", "u2"), VOXELS.ravel())
    assert everything(tmp_path / "in") == {key: value for key, value in before.items() if "/in" in key}


def test_an_archive_is_exported_but_not_onto_itself(scan: Path, tmp_path: Path) -> None:
    ct.export(scan, tmp_path / "a.ozx")
    before = everything(tmp_path)
    assert isinstance(failed(tmp_path / "a.ozx", tmp_path / "a.ozx", overwrite=True), ct.RequestError)
    part = ct.open_pyramid(tmp_path / "a.ozx").crop("3:,,")
    assert isinstance(failed(part, tmp_path / "a.ozx", overwrite=True), ct.RequestError)
    assert everything(tmp_path) == before
    ct.export(tmp_path / "a.ozx", tmp_path / "b.tif", crop="3:9,,")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), VOXELS[3:9])


@pytest.mark.parametrize("ending", [".png", ".tif.gz", ".h5", ".65um"])
def test_other_endings_are_refused(scan: Path, tmp_path: Path, ending: str) -> None:
    assert isinstance(failed(scan, tmp_path / f"out{ending}"), ct.RequestError)
    assert {path.name for path in tmp_path.iterdir()} == {"in"}


def test_a_name_with_a_dot_and_a_slash_is_a_folder(scan: Path, tmp_path: Path) -> None:
    ct.export(scan, f"{tmp_path}/scan.65um/", crop=":2,,")
    assert sorted(path.name for path in (tmp_path / "scan.65um").iterdir()) == [
        "scan.65um_0000.tif",
        "scan.65um_0001.tif",
    ]
    assert isinstance(failed(scan, f"{tmp_path}/scan.tif/"), ct.RequestError)  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", KINDS)
@pytest.mark.parametrize("at", [0, 3, 30])
def test_a_full_disk_leaves_nothing_and_what_was_there(
    scan: Path, tmp_path: Path, ending: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / f"out{ending}"
    ct.export(scan, output, crop=":3,,")
    before = everything(tmp_path)
    real, calls, lock = VoxelFile.write, [0], threading.Lock()

    def write(file: Any, data: memoryview, offset: int) -> None:
        with lock:
            calls[0] += 1
            mine = calls[0]
        if mine > at:
            raise OSError(28, os.strerror(28))
        real(file, data, offset)

    threads = set(threading.enumerate())
    with monkeypatch.context() as patch:
        patch.setattr(VoxelFile, "write", write)
        error = failed(scan, output, overwrite=True)
    assert isinstance(error, ct.ConversionError)
    assert "export" not in str(error).split("was not made")[1]
    assert {**everything(tmp_path), str(tmp_path): 0} == {**before, str(tmp_path): 0}
    assert set(threading.enumerate()) <= threads
    ct.export(scan, output, overwrite=True)


@pytest.mark.parametrize("ending", ALL)
def test_a_source_that_cannot_be_read_leaves_nothing(
    scan: Path, tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Source.read_box

    def read(source: Source, start: Any, out: np.ndarray) -> None:
        if start[0] > 30:
            raise ct.SourceError("Page 31 could not be read.")
        real(source, start, out)

    monkeypatch.setattr(Source, "read_box", read)
    assert isinstance(failed(scan, tmp_path / f"out{ending}"), (ct.ConversionError, ct.SourceError))
    assert {path.name for path in tmp_path.iterdir()} == {"in"}


@pytest.mark.parametrize("ending", ALL)
def test_a_cancelled_export_leaves_nothing(scan: Path, tmp_path: Path, ending: str) -> None:
    steps = ct.iter_export(scan, tmp_path / f"out{ending}", threads=1)
    first = next(steps)
    assert (first.blocks_done, first.plan.volume.shape) == (0, VOXELS.shape)
    steps.close()
    assert {path.name for path in tmp_path.iterdir()} == {"in"}
    steps = ct.iter_export(scan, tmp_path / f"out{ending}")
    last = next(step for step in steps if step.blocks_done == step.blocks)
    assert last.fraction == 1
    assert not (tmp_path / f"out{ending}").exists()
    steps.close()
    assert {path.name for path in tmp_path.iterdir()} == {"in"}


@pytest.mark.parametrize("ending", ALL)
def test_what_a_killed_export_left_is_replaced(scan: Path, tmp_path: Path, ending: str) -> None:
    hidden = tmp_path / f".out{ending if ending != '.mhd' else '.raw'}.export"
    if ending == ".ozx":
        hidden.mkdir()
        (hidden / ".zgroup").write_bytes(b"old")
        (tmp_path / ".out.ozx.packing").write_bytes(b"old")
    elif ending == "":
        hidden.mkdir()
        (hidden / "out_0000.tif").write_bytes(b"old")
        (hidden / "out_0050.tif.part").write_bytes(b"old")
    else:
        hidden.write_bytes(b"old")
    ct.plan_export(scan, tmp_path / f"out{ending}")
    ct.export(scan, tmp_path / f"out{ending}")
    assert not list(tmp_path.glob(".*"))
    if ending == "":
        assert len(list((tmp_path / "out").iterdir())) == len(VOXELS)


def test_a_disk_that_is_full_while_it_is_packed_leaves_nothing(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pack(folder: Path, archive: Path) -> Iterator[int]:
        archive.write_bytes(b"half")
        yield 4
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("napari_ct_pyramid.exports.one_file.pack", pack)
    error = failed(scan, tmp_path / "out.ozx")
    assert isinstance(error, ct.ConversionError)
    assert {path.name for path in tmp_path.iterdir()} == {"in"}


def test_slices_moved_aside_by_a_killed_export_come_back(scan: Path, tmp_path: Path) -> None:
    ct.export(scan, tmp_path / "out", crop=":3,,")
    (tmp_path / "out").rename(tmp_path / ".out.replaced")
    assert isinstance(failed(scan, tmp_path / "out"), ct.OutputExistsError)
    assert len(list((tmp_path / "out").iterdir())) == 3
    ct.export(scan, tmp_path / "out", overwrite=True, crop=":4,,")
    assert len(list((tmp_path / "out").iterdir())) == 4
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("at", [".raw", ".mhd"])
@pytest.mark.parametrize("is_new", [False, True])
def test_an_export_that_fails_at_its_end_does_not_lock_its_output(
    scan: Path, tmp_path: Path, at: str, is_new: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.mhd"
    if not is_new:
        ct.export(scan, output, crop=":3,,")
    before = everything(tmp_path)
    real = Path.replace

    def replace(path: Path, target: Path) -> Path:
        if Path(target).suffix == at:
            raise OSError(5, os.strerror(5))
        return real(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        assert isinstance(failed(scan, output, overwrite=True), ct.ConversionError)
    if at == ".raw":
        assert {**everything(tmp_path), str(tmp_path): 0} == {**before, str(tmp_path): 0}
    steps = ct.iter_export(scan, output, overwrite=True, crop=":5,,")
    next(steps)
    steps.close()  # what was complete is still there, with the right header
    if at == ".mhd":
        with open_source(output) as opened:
            assert opened.volume.shape == VOXELS.shape
    ct.export(scan, output, overwrite=True, crop=":5,,")
    with open_source(output) as opened:
        assert opened.volume.shape[0] == 5
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("ending", ALL)
def test_what_appears_during_an_export_is_not_replaced(scan: Path, tmp_path: Path, ending: str) -> None:
    steps = ct.iter_export(scan, tmp_path / f"out{ending}")
    next(steps)
    (tmp_path / f"out{ending}").write_bytes(b"precious")
    before = {path.name for path in tmp_path.iterdir() if path.name[0] != "."}
    with pytest.raises(ct.OutputExistsError):
        list(steps)
    assert (tmp_path / f"out{ending}").read_bytes() == b"precious"
    assert {path.name for path in tmp_path.iterdir()} == before


def test_what_is_added_to_slices_during_an_export_is_kept(scan: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    ct.export(scan, output, crop=":3,,")
    steps = ct.iter_export(scan, output, overwrite=True)
    next(steps)
    (output / "out_mask.tif").write_bytes(b"precious")
    with pytest.raises(ct.OutputExistsError):
        list(steps)
    assert (output / "out_mask.tif").read_bytes() == b"precious"
    assert len(list(output.iterdir())) == 4
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}


def test_a_source_that_changes_while_it_is_read_makes_no_output(scan: Path, tmp_path: Path) -> None:
    steps = ct.iter_export(scan, tmp_path / "out.tif")
    next(steps)
    os.utime(scan, (1, 1))
    with pytest.raises(ct.ConversionError):
        list(steps)
    assert {path.name for path in tmp_path.iterdir()} == {"in"}


def test_an_error_of_the_disk_that_is_reported_early_is_not_lost(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def sync(file: VoxelFile) -> None:
        calls.append(file)
        if len(calls) == 1:
            raise OSError(5, os.strerror(5))

    monkeypatch.setattr(VoxelFile, "sync", sync)
    assert isinstance(failed(scan, tmp_path / "out.tif"), ct.ConversionError)
    assert {path.name for path in tmp_path.iterdir()} == {"in"}


def test_a_second_export_to_the_same_output_is_refused(scan: Path, tmp_path: Path) -> None:
    steps = ct.iter_export(scan, tmp_path / "out.tif")
    next(steps)
    assert isinstance(failed(scan, tmp_path / "out.tif"), ct.OutputBusyError)
    for _ in steps:
        pass
    assert np.array_equal(tifffile.imread(tmp_path / "out.tif"), VOXELS)


def test_the_disk_is_looked_at_first(scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_ct_pyramid.storage.local.LocalStorage.bytes_free", lambda _: VOXELS.nbytes)
    error = failed(scan, tmp_path / "out.tif")
    assert isinstance(error, ct.DiskSpaceError)
    assert error.needed > error.free == VOXELS.nbytes
    assert {path.name for path in tmp_path.iterdir()} == {"in"}


def test_an_object_store_takes_only_an_ome_zarr(scan: Path) -> None:
    assert isinstance(failed(scan, "s3://bucket/out.tif"), ct.RequestError)  # type: ignore[arg-type]


def test_bytes_lie_where_they_were_written_whatever_the_alignment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voxel_file, "_FEWEST_DIRECT", 4096)
    data = np.random.default_rng(1).integers(0, 256, 70_000, "u1")
    expected = np.zeros(100_000, "u1")
    with tempfile.TemporaryDirectory() as folder:  # on a disk, while other tests write to memory
        path = Path(folder) / "bytes"
        path.write_bytes(bytes(expected.size))
        with closing(VoxelFile(path)) as file:
            sizes = [0, 1, 4095, 4096, 9000, 60_001]
            for offset, first, size in itertools.product([0, 1, 4096, 5000], [0, 1, 3], sizes):
                file.write(memoryview(data)[first : first + size], offset)
                expected[offset : offset + size] = data[first : first + size]
                assert np.array_equal(np.fromfile(path, "u1"), expected), (offset, first, size)
