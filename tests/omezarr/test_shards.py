"""OME-Zarr 0.5 with and without shards: other programs read it, and it is as safe as 0.4."""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import ome_zarr_models
import pytest
import tensorstore
import yaozarrs
import zarr

import napari_ct_pyramid as ct
from napari_ct_pyramid.errors import RESUME, Advice
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.model.plan import make_plan
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.omezarr.journal import Journal
from napari_ct_pyramid.omezarr.kind import is_unfinished
from napari_ct_pyramid.omezarr.writer import OmeZarrWriter
from napari_ct_pyramid.options import ConversionOptions
from tests.helpers.scans import OPTIONS, VOXELS, pyramid_files, small_blocks, write_scan

V05: dict[str, Any] = {**OPTIONS, "ome_zarr_version": "0.5"}


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_scan(tmp_path)


def levels_of(output: Path) -> list[np.ndarray]:
    group = zarr.open_group(output, mode="r")
    return [np.asarray(group[str(k)]) for k in range(3)]


def chunk_files(output: Path) -> list[Path]:
    return sorted(path for path in output.rglob("*") if path.is_file() and path.name.isdigit())


@pytest.mark.parametrize("compressor", ["lz4", "zstd", "none"])
@pytest.mark.parametrize("shards", ["auto", "none", (16, 16, 32), (8, 8, 48)])
def test_every_level_equals_that_of_0_4(scan: Path, shards: Any, compressor: str) -> None:
    of_0_4 = ct.convert(scan, scan.with_name("a.zarr"), **OPTIONS, compressor=compressor)
    receipt = ct.convert(scan, scan.with_name("b.zarr"), **V05, shards=shards, compressor=compressor)
    for k, (expected, found) in enumerate(zip(levels_of(of_0_4.output), levels_of(receipt.output), strict=True)):
        np.testing.assert_array_equal(found, expected)
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(receipt.output / str(k))}}
        np.testing.assert_array_equal(tensorstore.open(spec).result().read().result(), expected)
        level = ct.open_pyramid(receipt.output).levels[k].array
        np.testing.assert_array_equal(level[:], expected[: level.shape[0]])
        np.testing.assert_array_equal(level[3], expected[3])  # a thin box: parts of chunks are decoded
    assert receipt.ome_zarr_version == "0.5"
    assert (receipt.minimum, receipt.maximum, receipt.window) == (of_0_4.minimum, of_0_4.maximum, of_0_4.window)
    files = [path for path in receipt.output.rglob("*") if path.is_file() and ".ct-pyramid" not in path.parts]
    assert len(files) == ct.plan(scan, scan.with_name("c.zarr"), **V05, shards=shards).files


@pytest.mark.parametrize(
    ("downsample", "shards"),
    [("1 2 2", (16, 16, 32)), ("1 2 2", (24, 40, 48)), ("2 2 2", (24, 8, 16)), ("1 1 2", (1024, 64, 32))],
)
def test_blocks_become_whole_shards(scan: Path, downsample: str, shards: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    of_0_4 = ct.convert(scan, scan.with_name("a.zarr"), **OPTIONS, downsample=downsample).output
    output = ct.convert(scan, scan.with_name("b.zarr"), **V05, downsample=downsample, shards=shards).output
    for expected, found in zip(levels_of(of_0_4), levels_of(output), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert zarr.open_group(output, mode="r")["0"].shards == shards
    assert ct.verify(output, scan).sound


def test_large_shards_give_a_warning() -> None:
    volume = Volume(name="large", shape=(2160, 2560, 2560), dtype=np.dtype("float32"), format="BigTIFF")
    asked: dict[str, Any] = {"chunks": (128, 128, 128), "ome_zarr_version": "0.5", "downsample": "1 2 2"}
    plans = [make_plan(volume, ConversionOptions(**asked, shards=s)) for s in ((512, 512, 512), (1024, 512, 512))]
    assert [plan.levels[0].shards for plan in plans] == [(512, 512, 512), (1024, 512, 512)]
    assert not any(Advice("shards") in warning.parts for warning in plans[0].warnings)
    assert Advice("shards") in plans[1].warnings[-1].parts
    assert "5.37 GB" in str(plans[1].warnings[-1])


def test_strict_validators_agree_and_the_metadata_is_that_of_0_4(scan: Path) -> None:
    of_0_4 = ct.convert(scan, scan.with_name("scan.zarr"), **OPTIONS, voxel_size=0.5, unit="micrometer").output
    old = json.loads((of_0_4 / ".zattrs").read_text())
    of_0_4.rename(scan.with_name("away"))
    output = ct.convert(scan, scan.with_name("scan.zarr"), **V05, voxel_size=0.5, unit="micrometer").output
    new = json.loads((output / "zarr.json").read_text())["attributes"]["ome"]
    assert new.pop("version") == "0.5"
    old["multiscales"][0].pop("version")
    assert new == old
    ome_zarr_models.open_ome_zarr(zarr.open_group(output, mode="r"))
    yaozarrs.validate_zarr_store(str(output))


def test_one_shard_holds_a_whole_small_volume_and_a_large_one_is_dozens_of_files() -> None:
    volume = Volume(name="large", shape=(2160, 2560, 2560), dtype=np.dtype("float32"), format="BigTIFF")
    options = ConversionOptions(chunks=(128, 128, 128), ome_zarr_version="0.5")
    plan = make_plan(volume, options)
    assert plan.files < 150
    for level in plan.levels:
        assert level.shards is not None
        assert math.prod(level.shards) * 4 <= 2**30
        stage = next(stage for stage in plan.stages if stage.first <= int(level.path) <= stage.top)
        z, y = stage.extent(int(level.path))
        assert (z % level.shards[0], y % level.shards[1]) == (0, 0)  # whole shards in every block


@pytest.mark.parametrize("n", [1, 5, 21, 46, 56])
def test_an_interrupted_conversion_resumes_to_the_same_bytes(
    scan: Path, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    output = ct.convert(scan, **V05).output
    whole = pyramid_files(output)
    assert len([key for key in whole if "/c/" in key]) > 10
    shutil.rmtree(output)
    write, calls = OmeZarrWriter.write_encoded, iter(range(1, 1000))

    def fail(self: OmeZarrWriter, *args: Any) -> None:
        if next(calls) >= n:
            raise OSError(28, "No space left on device")
        write(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(OmeZarrWriter, "write_encoded", fail)
        with pytest.raises(ct.ConversionError, match="No space left on device") as caught:
            ct.convert(scan, **V05)
        assert Advice(RESUME) in caught.value.message.parts
    assert is_unfinished(output)
    with pytest.raises(ct.UnfinishedError):
        ct.open_pyramid(output)
    ct.convert(scan, **V05)
    assert pyramid_files(output) == whole


def test_any_number_of_threads_makes_the_same_bytes(scan: Path) -> None:
    made = [
        pyramid_files(ct.convert(scan, scan.with_name("scan.zarr"), **{**V05, "threads": n}, overwrite=True).output)
        for n in (1, 2, 4, 4)
    ]
    assert made[1:] == made[:-1]


def test_a_cancelled_conversion_closes_all_files(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    append = Journal.append
    steps = ct.iter_convert(scan, **V05)
    output = next(steps).output

    def then_stop(self: Journal, *args: Any) -> None:
        append(self, *args)
        raise OSError(5, "stopped by the test")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", then_stop)
        with pytest.raises(ct.ConversionError, match="stopped by the test"):
            list(steps)
    assert ct.plan(scan, **V05).blocks_done > 0
    assert ct.verify(ct.convert(scan, **V05).output, scan).sound
    assert not list(output.rglob("*.part"))


def test_one_bit_in_every_shard_is_found_and_repaired(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    output = ct.convert(scan, **V05).output
    before = pyramid_files(output)
    rng = np.random.default_rng(2)
    chosen = set()
    for path in chunk_files(output):
        data = bytearray(path.read_bytes())
        offset, size = struct.unpack_from("<QQ", data, len(data) - 4 - 16 * shard_slots(output, path))
        data[offset + int(rng.integers(size))] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        chosen.add(path.relative_to(output).parts[0])
    found = ct.verify(output)
    assert len([p for p in found.problems if p.chunk]) == len(chunk_files(output))
    assert {str(p.level) for p in found.problems if p.chunk} == chosen
    assert ct.verify(output, scan, repair=True).repaired
    assert pyramid_files(output) == before


def shard_slots(output: Path, path: Path) -> int:
    metadata = json.loads((output / path.relative_to(output).parts[0] / "zarr.json").read_text())
    shard = metadata["chunk_grid"]["configuration"]["chunk_shape"]
    chunk = metadata["codecs"][0]["configuration"]["chunk_shape"]
    return math.prod(s // c for s, c in zip(shard, chunk, strict=True))


@pytest.mark.parametrize("damage", ["cut", "gone", "index"])
def test_a_damaged_shard_is_found(scan: Path, damage: str) -> None:
    output = ct.convert(scan, **V05).output
    path = chunk_files(output)[0]
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        os.truncate(path, path.stat().st_size // 2)
    else:
        data = bytearray(path.read_bytes())
        data[-6] ^= 1
        path.write_bytes(data)
    assert not ct.verify(output).sound
    if damage != "gone":
        with pytest.raises(ct.SourceError):
            ct.open_pyramid(output).levels[0].array[3]


@pytest.mark.parametrize(
    ("asked", "facts"),
    [
        ({"ome_zarr_version": "0.3"}, ["'0.3'", "0.4", "0.5"]),
        ({"shards": (16, 16, 16)}, [Advice("ome_zarr_version", "0.5")]),
        (
            {"ome_zarr_version": "0.5", "shards": (12, 16, 32)},
            [times((12, 16, 32)), times((8, 8, 16)), Advice("shards", "auto")],
        ),
        ({"ome_zarr_version": "0.5", "shards": "big"}, ["'big'"]),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    scan: Path, asked: dict[str, Any], facts: list[str | Advice]
) -> None:
    with pytest.raises(ct.RequestError) as caught:
        ct.convert(scan, **{**OPTIONS, **asked})
    message = caught.value.message
    assert all(fact in message.parts if isinstance(fact, Advice) else fact in str(message) for fact in facts)
    assert not scan.with_name("scan.ome.zarr").exists()


def test_a_volume_of_one_version_is_overwritten_by_the_other(scan: Path) -> None:
    for options in (OPTIONS, V05, OPTIONS):
        output = ct.convert(scan, **options, overwrite=True).output
        np.testing.assert_array_equal(levels_of(output)[0][:46], VOXELS)
        assert (output / "zarr.json").exists() is (options is V05)
        assert (output / ".zattrs").exists() is (options is OPTIONS)
