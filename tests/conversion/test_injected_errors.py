"""If the disk fails at any operation, nothing looks whole that is not, the error is true, and the next call goes on.

A request error means that nothing was touched.
"""

from __future__ import annotations

import errno
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.conversion.receipt import read_receipt
from napari_ct_pyramid.storage.lock import lock_file
from tests.helpers.place import OPTIONS, Place, a_place
from tests.helpers.scans import pyramid_files

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="takes processes that start at once"),
]

ERRORS = 4  # in each test; with --thorough, one at every operation
FAULTS = [
    pytest.param({"error": errno.ENOSPC, "reads": False, "lasting": True}, id="full"),
    pytest.param({"error": errno.EIO, "reads": True, "lasting": False}, id="one error"),
    pytest.param({"error": errno.EIO, "reads": True, "lasting": True}, id="broken"),
    pytest.param({"error": errno.EACCES, "reads": False, "lasting": True}, id="no permission"),
]
UNTOUCHED = {"RequestError", "SourceError"}


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with a_place() as place:
        yield place


def all_files(place: Place) -> dict[str, bytes]:
    """All files but a lock, and those that are being written: they may stay where nothing can be removed."""
    lock = lock_file(place.output).name
    return {
        path.relative_to(place.folder).as_posix(): path.read_bytes()
        for path in place.folder.rglob("*")
        if path.is_file() and path.name != lock and ".new" not in str(path)
    }


def finished_files(place: Place) -> dict[str, bytes]:
    return {key: data for key, data in pyramid_files(place.output).items() if not key.endswith(".new")}


def sweep(
    place: Place,
    begin: Callable[[], None],
    call: tuple[Any, ...],
    options: dict[str, Any],
    fault: dict[str, Any],
    some: Callable[[int, int], list[int]],
    notes: Sequence[str] = (),
) -> Iterator[tuple[set[str], str]]:
    """Have the operations of a call fail one after another; yields the classes of its error, and its text."""
    begin()
    operations = place.killer.call_failing(*call, at=0, **fault, **options)[0]
    assert operations
    for n in some(operations, ERRORS):
        begin()
        before = all_files(place)
        _, kinds, text = place.killer.call_failing(*call, at=n, **fault, **options)
        assert not kinds or "CtPyramidError" in kinds, (n, text)
        if UNTOUCHED & set(kinds):
            now = all_files(place)
            assert {**now, **dict.fromkeys(notes)} == {**before, **dict.fromkeys(notes)}, (n, text)
        yield set(kinds), f"{n}: {text}"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fresh_conversion(place: Place, fault: dict[str, Any], some: Callable[[int, int], list[int]]) -> None:
    for kinds, text in sweep(place, place.clear, ("convert", place.scan), OPTIONS, fault, some):
        place.check_state(old_may_be_there=False)
        if not kinds:
            assert finished_files(place) == place.new, text
        place.killer.call("convert", place.scan, overwrite=True, **OPTIONS)
        place.check_made()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_resume(place: Place, fault: dict[str, Any], some: Callable[[int, int], list[int]]) -> None:
    place.put_half()
    for kinds, text in sweep(place, place.put_half, ("convert", place.scan), OPTIONS, fault, some):
        place.check_state(old_may_be_there=False)
        if not kinds:
            assert finished_files(place) == place.new, text
        place.killer.call("convert", place.scan, overwrite=True, **OPTIONS)
        place.check_made()


@pytest.mark.parametrize("fault", FAULTS)
def test_overwriting(place: Place, fault: dict[str, Any], some: Callable[[int, int], list[int]]) -> None:
    options = {**OPTIONS, "overwrite": True}
    for kinds, text in sweep(place, place.put_old, ("convert", place.scan), options, fault, some):
        place.check_state(old_may_be_there=bool(kinds))
        if UNTOUCHED & kinds:
            assert pyramid_files(place.output) == place.old, text
        place.killer.call("convert", place.scan, **options)
        place.check_made()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_repair(place: Place, fault: dict[str, Any], some: Callable[[int, int], list[int]]) -> None:
    def damage() -> None:
        for name in ("0/0/0/1", "0/1/1/0", "1/0/0/0"):
            (place.output / name).write_bytes(b"damaged")

    place.put_new()
    call, options = ("verify", place.output, place.scan), {"repair": True, "threads": 1}
    for kinds, text in sweep(place, damage, call, options, fault, some):
        if not kinds:
            assert finished_files(place) == place.new, text
        place.killer.call(*call, **options)
        place.check_made()


@pytest.mark.parametrize("fault", FAULTS)
def test_an_edit(place: Place, fault: dict[str, Any], some: Callable[[int, int], list[int]]) -> None:
    place.put_new()
    place.killer.call("edit", place.output, name="old", voxel_size="1 um")
    old = pyramid_files(place.output)
    place.killer.call("edit", place.output, name="new", voxel_size="2 um")
    new = pyramid_files(place.output)

    def begin() -> None:
        place.killer.call("edit", place.output, name="old", voxel_size="1 um")

    options = {"name": "new", "voxel_size": "2 um"}
    for kinds, text in sweep(place, begin, ("edit", place.output), options, fault, some):
        found = finished_files(place)
        assert found in ((old, new) if kinds else (new,)), text
        assert ct.verify(place.output).problems == (), text
        assert ((read_receipt(place.output) or {})["edited"]["name"] == "new") == (found == new)
        place.killer.call("edit", place.output, **options)
        assert pyramid_files(place.output) == new
        assert ct.verify(place.output).problems == ()


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_rebuild(place: Place, fault: dict[str, Any], some: Callable[[int, int], list[int]], ours: bool) -> None:
    """No half level is listed, and the same call completes it."""
    place.put_new()
    if not ours:
        shutil.rmtree(place.output / ".ct-pyramid")
    good, kept = of_image(place), place.folder.parent / f"damaged-{ours}-{fault}"
    (place.output / "1/0/0/0").write_bytes(b"damaged")
    shutil.copytree(place.output, kept)

    def begin() -> None:
        place.clear()
        shutil.copytree(kept, place.output)

    call, options = ("rebuild_levels", place.output), {"threads": 1}
    notes = ["scan.ome.zarr/.ct-pyramid/receipt.json"] if ours else []  # it notes that it was verified first
    for kinds, text in sweep(place, begin, call, options, fault, some, notes):
        found = of_image(place)
        if json.loads(found[".zattrs"]) == json.loads(good[".zattrs"]):  # it lists all levels
            assert {**found, ".zattrs": b""} == {**good, ".zattrs": b""} or (
                kinds and found["1/0/0/0"] == b"damaged"
            ), text
        else:
            assert len(json.loads(found[".zattrs"])["multiscales"][0]["datasets"]) == 1, text
            assert kinds, text
        place.killer.call(*call, **options)
        found = of_image(place)
        assert not (place.output / ".ct-pyramid" / "rebuild.json").exists(), text
        assert json.loads(found.pop(".zattrs")) == json.loads(good[".zattrs"]), text
        assert found == {key: data for key, data in good.items() if key != ".zattrs"}, text
        assert ct.verify(place.output, place.scan).problems == () if ours else ct.audit(place.output).sound


def of_image(place: Place) -> dict[str, bytes]:
    """The files of the image alone."""
    return {key: data for key, data in finished_files(place).items() if not key.startswith(".ct-pyramid/")}
