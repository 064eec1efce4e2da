"""Coarser levels that are missing or wrong are made new from level 0, of an image of any program."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numcodecs import LZMA, GZip
from skimage.transform import downscale_local_mean

import napari_ct_pyramid as ct
from napari_ct_pyramid.cli.main import main
from napari_ct_pyramid.conversion.progress import run_through
from napari_ct_pyramid.conversion.rebuild import note as steps
from napari_ct_pyramid.conversion.rebuild import planning
from napari_ct_pyramid.conversion.rebuild.planning import iter_planning
from napari_ct_pyramid.conversion.rebuild.run import iter_rebuilding
from napari_ct_pyramid.errors import BudgetError, ConversionError, OutputBusyError, RequestError, SourceError
from napari_ct_pyramid.omezarr.kind import EDIT, read_multiscales
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.storage import local
from napari_ct_pyramid.storage.lease import FolderLease, end_leases
from napari_ct_pyramid.storage.lock import hold
from napari_ct_pyramid.storage.paths import STATE_FOLDER
from napari_ct_pyramid.storage.sealed import seal
from tests.helpers.defects import Store
from tests.helpers.kills import Killer
from tests.helpers.omezarr import write_image, write_json


def noise(shape: tuple[int, ...], dtype: str = "u2") -> np.ndarray:
    """A slope, so that every box has a mean of its own, with noise."""
    slope = np.add.reduce(np.indices(shape)) * 30
    return (slope + np.random.default_rng(1).integers(0, 50, shape)).astype(dtype)


def halved(array: np.ndarray, factors: tuple[int, ...], *, floor: bool = False) -> np.ndarray:
    """The mean by scikit-image. Voxels that are left over make groups of their own, or are left out."""
    if floor:
        array = array[tuple(slice(n // f * f) for n, f in zip(array.shape, factors, strict=True))]
    missing = [(0, -n % f) for n, f in zip(array.shape, factors, strict=True)]
    made = downscale_local_mean(np.pad(array, missing, mode="edge").astype("f8"), factors)
    return (np.rint(made) if array.dtype.kind in "iu" else made).astype(array.dtype)


def pyramid(first: np.ndarray, factors: tuple[int, ...], *, floor: bool = False) -> list[np.ndarray]:
    levels = [first]
    while len(levels) < 4:
        levels.append(halved(levels[-1], factors, floor=floor))
    return levels


def read_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def files(path: Path) -> dict[str, bytes]:
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def of_level(path: Path, level: str) -> dict[str, bytes]:
    return {key: data for key, data in files(path).items() if key.startswith(f"{level}/")}


def voxels(path: Path, level: int | str) -> np.ndarray:
    return np.asarray(zarr.open_array(path / str(level), mode="r")[...])


CASES: dict[str, tuple[list[np.ndarray], dict[str, Any]]] = {
    "0.4": (pyramid(noise((24, 32, 40)), (2, 2, 2)), {"chunks": (8, 8, 8)}),
    "0.4, five axes, odd, gzip": (
        pyramid(noise((1, 2, 25, 33, 41)), (1, 1, 2, 2, 2)),
        {"axes": "tczyx", "compressor": GZip(1), "chunks": (1, 1, 8, 16, 16)},
    ),
    "0.4, big-endian, order F": (pyramid(noise((24, 32, 40), ">f4"), (2, 2, 2)), {"order": "F", "chunks": (8, 8, 8)}),
    "0.5, shards, odd and left out": (
        pyramid(noise((25, 33, 41), "i2"), (2, 2, 2), floor=True),
        {"version": "0.5", "chunks": (4, 4, 4), "shards": (8, 16, 16)},
    ),
    "0.6, thirds": (pyramid(noise((54, 54, 54), "f8"), (3, 3, 3)), {"version": "0.6", "chunks": (8, 8, 8)}),
}


@pytest.mark.parametrize("case", CASES)
def test_levels_that_are_missing_or_wrong_are_made_as_they_were(tmp_path: Path, case: str) -> None:
    levels, how = CASES[case]
    path = write_image(tmp_path / "scan.zarr", levels, **how)
    before = files(path)
    found = [str(finding) for finding in ct.audit(path).problems]
    array = zarr.open_array(path / "1", mode="r+")
    array[...] = np.asarray(array[...])[tuple(slice(None, None, -1) for _ in array.shape)]
    shutil.rmtree(path / "2")

    made = ct.rebuild_levels(path)

    assert made.levels[:2] == ("1", "2")
    assert made.method == "mean"
    for number, level in enumerate(levels):
        near = 1e-6 * np.abs(level).max() if level.dtype.kind == "f" else 1  # rounding of ties
        assert np.abs(voxels(path, number) - level.astype("f8")).max() <= near, number
    after = files(path)
    assert after.keys() == before.keys() - {"2/.zattrs"}  # no note, no lock, no file of another chunk
    for key, data in before.items():
        if key == "2/.zattrs":
            continue
        if key.endswith((".zarray", "zarr.json", ".zattrs")):
            assert json.loads(after[key]) == json.loads(data), key
        elif key.startswith("0/"):
            assert after[key] == data
    assert [str(finding) for finding in ct.audit(path).problems] == found
    assert ct.rebuild_levels(path).levels == ()
    assert files(path) == after


@pytest.mark.parametrize(("version", "shards"), [("0.4", None), ("0.5", "auto")])
def test_an_output_of_this_package_verifies_afterwards(tmp_path: Path, version: str, shards: str | None) -> None:
    path = tmp_path / "scan.ome.zarr"
    options = {} if shards is None else {"shards": shards}
    volume = noise((33, 37, 41), "f4")
    ct.convert(volume, path, chunks=8, ome_zarr_version=version, num_levels=3, edges="pad", method="median",
               threads=1, **options)  # fmt: skip
    good = files(path)
    store = Store(path)
    damaged = store.chunks(1)[0]
    damaged.write_bytes(damaged.read_bytes()[:-5] + b"wrong")
    assert not ct.verify(path).sound

    made = ct.rebuild_levels(path)

    assert (made.levels, made.method) == (("1",), "median")
    assert ct.verify(path).sound
    assert ct.verify(path, volume).sound
    assert {k: v for k, v in files(path).items() if k[0] == "0"} == {k: v for k, v in good.items() if k[0] == "0"}


def test_killed_at_any_write_no_half_level_is_shown_and_the_same_call_completes_it(
    tmp_path: Path, some: Callable[[int, int], list[int]]
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    path = place / "scan.zarr"
    levels = pyramid(noise((16, 16, 16)), (2, 2, 2))[:3]
    ct.convert(levels[0], tmp_path / "ours.zarr", chunks=8, num_levels=3, threads=1)
    for name in ("other.zarr", "missing.zarr"):
        write_image(tmp_path / name, levels)
    with Killer(place, tmp_path / "report") as killer:
        for kept in (tmp_path / "ours.zarr", tmp_path / "other.zarr", tmp_path / "missing.zarr"):
            good = [voxels(kept, k) for k in range(3)]
            if kept.name == "missing.zarr":
                shutil.rmtree(kept / "1")
            else:
                zarr.open_array(kept / "1", mode="r+")[...] = 7
            shutil.copytree(kept, path)
            changes = killer.call("rebuild_levels", path, threads=1)
            assert changes is not None
            assert changes > 15
            for at in some(changes, 3):
                shutil.rmtree(path)
                shutil.copytree(kept, path)
                killer.kill("rebuild_levels", path, at=at, of=changes, threads=1)
                shown = [dataset["path"] for dataset in read_multiscales(path)[0]["datasets"]]
                if shown == ["0", "1", "2"]:  # as it was, or complete
                    assert of_level(path, "1") == of_level(kept, "1") or all(
                        np.array_equal(voxels(path, k), good[k]) for k in range(3)
                    ), at
                else:
                    assert shown in (["0"], ["0", "2"])
                killer.call("rebuild_levels", path, threads=1)
                assert all(np.array_equal(voxels(path, k), good[k]) for k in range(3)), at
                assert ct.verify(path).sound if kept.name == "ours.zarr" else ct.audit(path).sound
                assert {p.name for p in place.iterdir()} <= {"scan.zarr", ".scan.zarr.lock"}, at
                assert not (path / STATE_FOLDER / "rebuild.json").exists()
            shutil.rmtree(path)


def test_a_rebuild_that_is_interrupted_goes_on_where_it_was_and_keeps_others_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_image(tmp_path / "scan.zarr", pyramid(noise((32, 32, 32)), (2, 2, 2)))
    shutil.rmtree(path / "1")
    full = local.LocalStorage.replace
    left = [5]

    def fail(storage: Any, data: bytes) -> None:
        if "/1/" in str(storage._path) and not str(storage._path).endswith("zarray"):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
        full(storage, data)

    with monkeypatch.context() as patch:
        patch.setattr(local.LocalStorage, "replace", fail)
        with pytest.raises(ConversionError, match="No space left"):
            ct.rebuild_levels(path, threads=1)
    made = {key: (path / key).stat().st_mtime_ns for key in files(path) if key.startswith("1/") and key[-1].isdigit()}
    assert len(made) == 5
    assert "rebuild-unfinished" in [finding.code for finding in ct.audit(path, deep=False).findings]
    with pytest.raises(RequestError):
        ct.edit(path, voxel_size="2 um")
    with pytest.raises(RequestError, match="mean"):
        ct.rebuild_levels(path, method="max")
    attributes = read_json(path / ".zattrs")
    (path / EDIT).write_bytes(seal({"documents": [[".zattrs", {**attributes, "edited": True}]]}))
    with pytest.raises(RequestError):
        ct.edit(path, voxel_size="2 um")
    assert read_json(path / ".zattrs") == attributes
    (path / EDIT).unlink()

    assert ct.rebuild_levels(path).resumed

    assert {key: (path / key).stat().st_mtime_ns for key in made} == made  # not made again
    assert ct.audit(path).sound


def smoothed(path: Path) -> None:
    """Level 1 is wrong, and the others are made in a way that nobody can tell."""
    from scipy.ndimage import gaussian_filter

    finer = voxels(path, 1).astype("f8")
    for level in (2, 3):
        finer = gaussian_filter(finer, 1.2)[::2, ::2, ::2]
        zarr.open_array(path / str(level), mode="r+")[...] = finer.round()
    (path / "1/0/0/0").write_bytes(b"broken")


def another_shape(path: Path) -> None:
    store = Store(path)
    store.rewrite(2, voxels(path, 2)[:5])
    store.chunks(2)[0].write_bytes(b"broken")


def unknown_codec(path: Path) -> None:
    file = path / "1/.zarray"
    write_json(file, {**read_json(file), "compressor": {"id": "of-the-future"}})


def two_in_one_folder(path: Path) -> None:
    store = Store(path)
    store.image["datasets"][1]["path"] = "./0"
    store.save()
    (path / "2/0/0/0").write_bytes(b"broken")


def outside(path: Path) -> None:
    store = Store(path)
    (path / "1").rename(path.parent / "1")
    (path.parent / "1/0/0/0").write_bytes(b"broken")
    store.image["datasets"][1]["path"] = "../1"
    store.save()


def linked(path: Path) -> None:
    (path / "1/0/0/0").write_bytes(b"broken")
    (path / "1").rename(path.parent / "1")
    (path / "1").symlink_to(path.parent / "1")


def linked_within(path: Path) -> None:
    """The chunks of level 1 are those of level 0."""
    shutil.rmtree(path / "1/0")
    (path / "1/0").symlink_to("../0/0")


def listed_twice(path: Path) -> None:
    store = Store(path)
    store.image["datasets"].append(dict(store.image["datasets"][2]))
    store.save()
    (path / "1/0/0/0").write_bytes(b"broken")


def without_a_path(path: Path) -> None:
    store = Store(path)
    del store.image["datasets"][2]["path"]
    store.save()
    (path / "1/0/0/0").write_bytes(b"broken")


def of_two_versions(path: Path) -> None:
    """An old program goes on showing the levels that zarr.json does not list while they are made."""
    attributes = read_json(path / ".zattrs")
    write_json(path / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": attributes})
    (path / "1/0/0/0").write_bytes(b"broken")


def of_another_image(path: Path) -> None:
    levels = pyramid(noise((20, 20, 20)), (2, 2, 2))
    (path / "labels").mkdir()
    write_image(path / "labels/cells", levels[:1])
    (path / "labels/cells/0/0/0/0").write_bytes(b"broken")
    store = Store(path)
    store.image["datasets"][1]["path"] = "labels/cells/0"
    store.save()


def finest_damaged(path: Path) -> None:
    (path / "0/0/0/0").write_bytes(b"broken")
    (path / "1/0/0/0").write_bytes(b"broken")


def copy_broken(path: Path) -> None:
    write_json(path / ".zmetadata", {"zarr_consolidated_format": 1})
    (path / "1/0/0/0").write_bytes(b"broken")


def edit_interrupted(path: Path) -> None:
    (path / EDIT).parent.mkdir()
    (path / EDIT).write_bytes(seal({"documents": [[".zattrs", read_json(path / ".zattrs")]]}))
    (path / "1/0/0/0").write_bytes(b"broken")


def folder_for_a_chunk(path: Path) -> None:
    (path / "1/0/0/0").unlink()
    (path / "1/0/0/0").mkdir()
    (path / "1/0/0/0/notes").write_bytes(b"mine")


def file_for_chunks(path: Path) -> None:
    shutil.rmtree(path / "1/0")
    (path / "1/0").write_bytes(b"mine")


def newer(path: Path) -> None:
    store = Store(path)
    store.image["version"] = "0.9"
    store.save()


@pytest.mark.parametrize(
    "prepare",
    [
        smoothed, another_shape, two_in_one_folder, outside, linked, linked_within, listed_twice, without_a_path,
        of_two_versions, of_another_image, finest_damaged, newer, copy_broken,
        edit_interrupted, folder_for_a_chunk, file_for_chunks,
    ],
)  # fmt: skip
def test_what_cannot_be_rebuilt_is_refused_and_nothing_is_changed(
    tmp_path: Path, prepare: Callable[[Path], None]
) -> None:
    path = write_image(tmp_path / "scan.zarr", pyramid(noise((40, 40, 40)), (2, 2, 2)))
    prepare(path)
    before = files(tmp_path)
    with pytest.raises((RequestError, SourceError)) as raised:
        ct.rebuild_levels(path)
    assert not isinstance(raised.value, ConversionError)
    assert files(tmp_path) == before


def test_a_level_of_an_unknown_codec_gets_that_of_the_finer_one(tmp_path: Path) -> None:
    levels = pyramid(noise((40, 40, 40)), (2, 2, 2))
    path = write_image(tmp_path / "scan.zarr", levels, compressor=LZMA())
    unknown_codec(path)
    assert "1" in ct.rebuild_levels(path).levels
    assert read_json(path / "1/.zarray")["compressor"]["id"] == "lzma"
    assert ct.audit(path).sound


def test_no_place_that_is_only_read_is_changed(tmp_path: Path) -> None:
    path = write_image(tmp_path / "scan.ome.zarr", pyramid(noise((16, 16, 16)), (2, 2, 2))[:2])
    ct.export(path, tmp_path / "scan.ozx")
    with pytest.raises(RequestError):
        ct.rebuild_levels(tmp_path / "scan.ozx")
    (path / "1/0/0/0").write_bytes(b"broken")
    before = files(tmp_path)
    with pytest.raises(BudgetError):
        ct.rebuild_levels(path, max_memory="100M")
    assert files(tmp_path) == before


@pytest.mark.parametrize(("labels", "expected"), [(False, "mean"), (True, "mode")])
def test_without_a_level_that_tells_the_mean_is_taken_and_for_labels_the_mode(
    tmp_path: Path, labels: bool, expected: str
) -> None:
    first = noise((16, 16, 16)) // 100
    path = write_image(tmp_path / "scan.zarr", pyramid(first, (2, 2, 2))[:2])
    shutil.rmtree(path / "1")
    if labels:
        store = Store(path)
        store.attributes["image-label"] = {"version": "0.4"}
        store.save()
    assert ct.rebuild_levels(path).method == expected
    levels = [voxels(path, 0), voxels(path, 1)]
    if labels:
        assert set(np.unique(levels[1])) <= set(np.unique(levels[0]))


def blocks_of(labels: list[int], dtype: str) -> np.ndarray:
    found = np.array(labels, dtype)[np.random.default_rng(0).integers(0, len(labels), (8, 8, 8))]
    return found.repeat(5, 0).repeat(5, 1).repeat(5, 2)


def test_labels_that_differ_by_no_more_than_rounding_are_not_averaged(tmp_path: Path) -> None:
    first = blocks_of([0, 2], "u4")
    path = write_image(tmp_path / "labels.zarr", [first, first[::2, ::2, ::2], first[::4, ::4, ::4]])
    shutil.rmtree(path / "2")
    assert ct.rebuild_levels(path).method == "stride"
    assert np.array_equal(voxels(path, 2), first[::4, ::4, ::4])


def with_labels(path: Path) -> Path:
    """An image of two levels; those of its labels, which have the same names, are made by stride."""
    write_image(path, pyramid(noise((40, 40, 40)), (2, 2, 2))[:2])
    (path / "labels").mkdir()
    write_json(path / "labels/.zgroup", {"zarr_format": 2})
    write_json(path / "labels/.zattrs", {"labels": ["cells"]})
    first = blocks_of([0, 5, 9], "u2")
    write_image(path / "labels/cells", [first, first[::2, ::2, ::2], first[::4, ::4, ::4]])
    return path


def test_the_levels_of_labels_do_not_say_how_those_of_the_image_are_made(tmp_path: Path) -> None:
    path = with_labels(tmp_path / "scan.zarr")
    good = voxels(path, 1).astype("i4")
    shutil.rmtree(path / "1")
    assert ct.rebuild_levels(path).method == "mean"
    assert np.abs(voxels(path, 1) - good).max() <= 1


def test_a_wrong_level_of_labels_is_named_and_not_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = with_labels(tmp_path / "scan.zarr")
    (path / "labels/cells/1/0/0/0").write_bytes(b"broken")
    before = files(path)
    assert main(["verify", str(path), "--rebuild-levels"]) == 1
    assert "labels/cells/1: chunk" in capsys.readouterr().out
    assert files(path) == before


def test_levels_that_fit_one_that_is_made_new_are_made_new_too(tmp_path: Path) -> None:
    old, new = pyramid(noise((40, 40, 40)), (2, 2, 2)), pyramid(noise((40, 40, 40))[::-1].copy(), (2, 2, 2))
    path = write_image(tmp_path / "scan.zarr", [new[0], *old[1:]])
    assert ct.rebuild_levels(path).levels == ("1", "2", "3")
    for number, level in enumerate(new):
        assert np.abs(voxels(path, number) - level.astype("i4")).max() <= 1, number


def test_a_rebuild_that_lost_its_lease_writes_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_image(tmp_path / "scan.zarr", pyramid(noise((16, 16, 16)), (2, 2, 2))[:2])
    (path / "1/0/0/0").write_bytes(b"broken")
    limits = ConversionOptions(chunks=(1, 1, 1), threads=1)
    plan = run_through(iter_planning(path, None, max_memory="4G", threads=1), None)
    clear = steps.clear

    def clear_and_lose(path: Path, note: steps.Note) -> steps.Note:
        cleared = clear(path, note)
        end_leases(path)
        return cleared

    with monkeypatch.context() as patch:
        patch.setattr(steps, "clear", clear_and_lose)
        with pytest.raises(ConversionError, match="lists only"):
            run_through(iter_rebuilding(plan, limits), None)
    assert of_level(path, "1").keys() == {"1/.zarray", "1/.zattrs"}
    assert [dataset["path"] for dataset in read_multiscales(path)[0]["datasets"]] == ["0"]
    assert run_through(iter_rebuilding(plan, limits), None).resumed
    assert ct.audit(path).sound


@pytest.mark.parametrize("operation", ["read", "replace"])
def test_an_error_of_the_disk_before_anything_was_changed_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    path = write_image(tmp_path / "scan.zarr", pyramid(noise((16, 16, 16)), (2, 2, 2))[:2])
    (path / "1/0/0/0").write_bytes(b"broken")
    before, full = files(path), getattr(local.LocalStorage, operation)

    def fail(storage: Any, *args: Any) -> Any:
        if storage._path.name == "rebuild.json":
            raise OSError(5, "Input/output error")
        return full(storage, *args)

    monkeypatch.setattr(local.LocalStorage, operation, fail)
    with pytest.raises(ConversionError, match="Input/output error") as raised:
        ct.rebuild_levels(path)
    assert "lists only" not in str(raised.value)
    assert files(path) == before
    assert not (path / STATE_FOLDER).exists()


def test_an_edit_of_an_image_of_another_program_is_refused_while_something_writes_there(tmp_path: Path) -> None:
    path = write_image(tmp_path / "scan.zarr", pyramid(noise((16, 16, 16)), (2, 2, 2))[:2])
    before = files(path)
    with hold(path), pytest.raises(OutputBusyError):
        ct.edit(path, voxel_size="2 um")
    assert files(path) == before


def test_an_image_with_labels_is_rebuilt_and_its_labels_stay(tmp_path: Path) -> None:
    path = with_labels(tmp_path / "scan.zarr")
    before = files(path)
    (path / "1/0/0/0").write_bytes(b"broken")
    assert ct.rebuild_levels(path).levels == ("1",)
    assert {k: v for k, v in files(path).items() if k[0] == "l"} == {k: v for k, v in before.items() if k[0] == "l"}


def test_labels_of_an_image_are_labels_without_metadata_of_their_own(tmp_path: Path) -> None:
    image = write_image(tmp_path / "scan.zarr", [noise((16, 16, 16))])
    (image / "labels").mkdir()
    write_json(image / "labels/.zgroup", {"zarr_format": 2})
    write_json(image / "labels/.zattrs", {"labels": ["cells"]})
    first = blocks_of([0, 5, 9], "u2")
    path = write_image(image / "labels/cells", [first, first[::2, ::2, ::2]])
    shutil.rmtree(path / "1")
    with pytest.raises(RequestError):
        ct.rebuild_levels(path, method="mean")
    assert ct.rebuild_levels(path).method == "mode"
    assert set(np.unique(voxels(path, 1))) == {0, 5, 9}


def test_what_was_edited_while_it_was_verified_is_kept(tmp_path: Path) -> None:
    path = write_image(tmp_path / "scan.zarr", pyramid(noise((16, 16, 16)), (2, 2, 2))[:2])
    (path / "1/0/0/0").write_bytes(b"broken")
    plan = run_through(iter_planning(path, None, max_memory="4G", threads=1), None)
    ct.edit(path, voxel_size="7 um")
    before = files(path)
    with pytest.raises(RequestError):
        run_through(iter_rebuilding(plan, ConversionOptions(chunks=(1, 1, 1))), None)
    assert files(path) == before


def test_copies_of_metadata_are_renewed_also_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_image(tmp_path / "scan.zarr", pyramid(noise((16, 16, 16)), (2, 2, 2))[:2])
    shutil.rmtree(path / "1")
    zarr.consolidate_metadata(path)
    full = local.LocalStorage.replace

    def fail(storage: Any, data: bytes) -> None:
        if storage._path.name == ".zmetadata":
            raise OSError(28, "No space left on device")
        full(storage, data)

    with monkeypatch.context() as patch:
        patch.setattr(local.LocalStorage, "replace", fail)
        with pytest.raises(ConversionError):
            ct.rebuild_levels(path)
    ct.rebuild_levels(path)
    assert read_json(path / ".zmetadata")["metadata"]["1/.zarray"] == read_json(path / "1/.zarray")


def test_empty_chunks_stay_left_out_and_copies_of_metadata_follow(tmp_path: Path) -> None:
    first = np.zeros((32, 32, 32), "u2")
    first[:16, :16, :16] = noise((16, 16, 16))
    path = write_image(tmp_path / "scan.zarr", pyramid(first, (2, 2, 2))[:3])
    zarr.consolidate_metadata(path)
    before = files(path)
    shutil.rmtree(path / "1")
    ct.rebuild_levels(path)
    after = files(path)
    assert after.keys() == before.keys() - {"1/.zattrs"}
    assert json.loads(after[".zmetadata"]) == json.loads(before[".zmetadata"])
    assert ct.audit(path).sound


def test_the_command_rebuilds_and_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_image(tmp_path / "scan.zarr", pyramid(noise((16, 16, 16)), (2, 2, 2))[:2])
    (path / "1/0/0/0").write_bytes(b"broken")
    assert main(["verify", str(path), "--rebuild-levels", "--method", "max", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["levels"], found["method"]) == (["1"], "max")
    assert voxels(path, 1)[0, 0, 0] == voxels(path, 0)[:2, :2, :2].max()
    assert main(["verify", str(path), "--rebuild-levels", "--quick"]) != 0
    assert main(["verify", str(path), "--method", "max"]) != 0


def with_fill(levels: list[np.ndarray], path: Path, fill: float, version: str) -> Path:
    """An image whose chunks of nothing but the fill value are left out."""
    write_image(path, levels, version=version)
    for number, level in enumerate(levels):
        file = path / str(number) / (".zarray" if version == "0.4" else "zarr.json")
        metadata = read_json(file)
        odd = {"nan": "NaN", "inf": "Infinity"}.get(str(fill))
        write_json(file, {**metadata, "fill_value": odd or fill})
        shutil.rmtree(path / str(number) / ("0" if version == "0.4" else "c"))
        zarr.open_array(path / str(number), mode="r+")[...] = level
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("fill", [float("nan"), float("inf"), 0.0, 3.5])
@pytest.mark.parametrize("damage", ["missing", "constant", "broken"])
def test_chunks_of_nothing_but_the_fill_value_stay_left_out(
    tmp_path: Path, version: str, fill: float, damage: str
) -> None:
    first = np.full((48, 48, 48), fill, "f4")
    first[:32, :32, :32] = noise((32, 32, 32), "f4")
    levels = [first]
    for _ in range(2):
        blocks = levels[-1].reshape([n for half in np.array(levels[-1].shape) // 2 for n in (half, 2)])
        levels.append(blocks.mean(axis=(1, 3, 5)).astype("f4"))
    path = with_fill(levels, tmp_path / "scan.zarr", fill, version)
    good, found = files(path), [str(finding) for finding in ct.audit(path).problems]
    chunk = next(key for key in good if key.startswith("1/") and key[-1].isdigit())
    assert sum(key.startswith("0/") and key[-1].isdigit() for key in good) == 4**3  # of 216
    if damage == "missing":
        for key in of_level(path, "1"):
            if key[-1].isdigit():
                (path / key).unlink()
    elif damage == "constant":
        zarr.open_array(path / "1", mode="r+")[...] = 7
    else:
        (path / chunk).write_bytes(b"broken")
    ct.rebuild_levels(path)
    assert files(path).keys() == good.keys()
    for number, level in enumerate(levels):
        np.testing.assert_allclose(voxels(path, number), level, rtol=1e-6)
    assert [str(finding) for finding in ct.audit(path).problems] == found


@pytest.mark.parametrize("fill", [float("nan"), float("inf"), 0.0, 3.5])
def test_a_file_that_was_lost_is_told_from_one_that_was_left_out(tmp_path: Path, fill: float) -> None:
    first = np.full((48, 48, 48), fill, "f4")
    first[:32, :32, :32] = noise((32, 32, 32), "f4")
    levels = [first]
    for _ in range(2):
        blocks = levels[-1].reshape([n for half in np.array(levels[-1].shape) // 2 for n in (half, 2)])
        levels.append(blocks.mean(axis=(1, 3, 5)).astype("f4"))
    path = with_fill(levels, tmp_path / "scan.zarr", fill, "0.4")
    (path / "0/1/1/1").unlink()
    assert "0" in [found.where for found in ct.audit(path).having("error")]
    (path / "1/1/1/1").write_bytes(b"broken")
    before = files(path)
    with pytest.raises(SourceError, match="no files"):
        ct.rebuild_levels(path)
    assert files(path) == before


def test_a_file_of_level_0_that_was_lost_is_told_from_a_level_that_is_wrong(tmp_path: Path) -> None:
    first = noise((32, 32, 32))
    first[16:] = 0
    path = write_image(tmp_path / "scan.zarr", pyramid(first, (2, 2, 2))[:3])
    (path / "0/0/0/0").unlink()
    before = files(path)
    with pytest.raises(SourceError, match="no files") as raised:
        ct.rebuild_levels(path)
    assert "lost" in str(raised.value)
    assert files(path) == before
    shutil.rmtree(path / "1")
    shutil.rmtree(path / "2")  # as the error says
    assert ct.rebuild_levels(path).levels == ("1", "2")
    assert ct.audit(path).sound


def test_a_rebuild_that_another_one_overtook_lists_all_levels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one has taken levels out of the list while this one verified, and has put them back."""
    path = write_image(tmp_path / "scan.zarr", pyramid(noise((16, 16, 16)), (2, 2, 2))[:3])
    (path / "1/0/0/0").write_bytes(b"broken")
    attributes, audit = read_json(path / ".zattrs"), planning.iter_audit_steps

    def overtaken(*args: Any, **options: Any) -> Any:
        found = yield from audit(*args, **options)
        store = Store(path)
        del store.image["datasets"][2]
        store.save()
        return found

    monkeypatch.setattr(planning, "iter_audit_steps", overtaken)
    plan = run_through(iter_planning(path, None, max_memory="4G", threads=1), None)
    write_json(path / ".zattrs", attributes)
    run_through(iter_rebuilding(plan, ConversionOptions(chunks=(1, 1, 1))), None)
    assert [dataset["path"] for dataset in read_multiscales(path)[0]["datasets"]] == ["0", "1", "2"]
    assert ct.audit(path).sound


@pytest.mark.parametrize("step", ["write_note", "withdraw", "clear", "publish", "remove_note"])
def test_a_rebuild_that_was_paused_does_not_undo_what_another_one_has_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Before any step, another process takes it over, completes it, and begins to change the image again."""
    path = write_image(tmp_path / "scan.zarr", pyramid(noise((16, 16, 16)), (2, 2, 2))[:2])
    (path / "1/0/0/0").write_bytes(b"broken")
    plan = run_through(iter_planning(path, None, max_memory="4G", threads=1), None)
    check, seen = FolderLease.check, list[str]()
    order = ["write_note", "withdraw", "clear", "chunk", "publish", "remove_note"]
    note = path / STATE_FOLDER / "rebuild.json"

    def taken_over(lease: FolderLease) -> None:
        if seen != order and order[len(seen)] == step:
            end_leases(path)
            note.write_bytes(b"of another one")
        seen.append(step)
        check(lease)

    monkeypatch.setattr(FolderLease, "check", taken_over)
    before = read_json(path / ".zattrs")
    with pytest.raises(ConversionError):
        run_through(iter_rebuilding(plan, ConversionOptions(chunks=(1, 1, 1), threads=1)), None)
    assert note.read_bytes() == b"of another one"
    if step in ("write_note", "withdraw"):
        assert read_json(path / ".zattrs") == before
    if step in ("write_note", "withdraw", "clear"):
        assert (path / "1/0/0/0").read_bytes() == b"broken"


def test_a_list_that_was_changed_after_an_interruption_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_image(tmp_path / "scan.zarr", pyramid(noise((16, 16, 16)), (2, 2, 2))[:3])
    (path / "2/0/0/0").write_bytes(b"broken")
    with monkeypatch.context() as patch:
        patch.setattr(steps, "publish", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(ConversionError):
            ct.rebuild_levels(path)
    store = Store(path)
    store.numbers(0, "scale")[:] = [0.25] * 3
    store.save()
    before = files(path)
    with pytest.raises(RequestError) as raised:
        ct.rebuild_levels(path)
    assert "rebuild.json" in str(raised.value)
    assert files(path) == before


@pytest.mark.parametrize("moment", ["clear", "publish"])
def test_a_repair_completes_an_interrupted_rebuild_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    path, volume = tmp_path / "scan.ome.zarr", noise((16, 16, 16))
    ct.convert(volume, path, chunks=8, num_levels=2, threads=1)
    (path / "1/0/0/0").write_bytes(b"broken")
    with monkeypatch.context() as patch:
        patch.setattr(steps, moment, lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(ConversionError):
            ct.rebuild_levels(path)
    assert ct.verify(path, volume, repair=True).repaired
    assert ct.verify(path, volume).problems == ()
    assert ct.rebuild_levels(path).levels == ()


def test_a_level_that_may_not_be_written_is_refused_before_anything_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_image(tmp_path / "scan.zarr", pyramid(noise((16, 16, 16)), (2, 2, 2))[:2])
    (path / "1/0/0/0").write_bytes(b"broken")
    access, before = os.access, files(path)
    monkeypatch.setattr(os, "access", lambda p, mode: Path(p) != path / "1/0" and access(p, mode))
    with pytest.raises(RequestError) as raised:
        ct.rebuild_levels(path)
    assert str(path / "1/0") in str(raised.value)
    assert files(path) == before
