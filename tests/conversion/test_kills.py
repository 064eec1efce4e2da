"""Killed right before any change of a file, a conversion, an overwriting, a batch, a repair or an edit loses nothing.

Whenever it is killed, what is there is the old volume, an unfinished one, or the new one; and the same call, repeated,
makes the new one.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import napari_ct_pyramid as ct
from napari_ct_pyramid.conversion.receipt import read_receipt
from napari_ct_pyramid.storage.lock import lock_file
from tests.helpers.omezarr import write_image
from tests.helpers.place import OPTIONS, Place, a_place
from tests.helpers.scans import pyramid_files

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="takes processes that start at once"),
]

KILLS = 8  # in each test; with --thorough, one at every change


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with a_place() as place:
        yield place


def test_a_fresh_conversion(place: Place, some: Callable[[int, int], list[int]]) -> None:
    place.clear()
    changes = place.killer.call("convert", place.scan, **OPTIONS)
    for n in some(changes, KILLS):
        place.clear()
        place.killer.kill("convert", place.scan, at=n, of=changes, **OPTIONS)
        place.check_state(old_may_be_there=False)
        place.killer.call("convert", place.scan, overwrite=True, **OPTIONS)
        place.check_made()


def test_a_resume(place: Place, some: Callable[[int, int], list[int]]) -> None:
    place.put_half()
    changes = place.killer.call("convert", place.scan, **OPTIONS)
    for n in some(changes, KILLS):
        place.put_half()
        place.killer.kill("convert", place.scan, at=n, of=changes, **OPTIONS)
        place.check_state(old_may_be_there=False)
        place.killer.call("convert", place.scan, overwrite=True, **OPTIONS)
        place.check_made()


def test_overwriting(place: Place, some: Callable[[int, int], list[int]]) -> None:
    place.put_old()
    changes = place.killer.call("convert", place.scan, overwrite=True, **OPTIONS)
    for n in some(changes, KILLS):
        place.put_old()
        place.killer.kill("convert", place.scan, at=n, of=changes, overwrite=True, **OPTIONS)
        place.check_state(old_may_be_there=True)
        place.killer.call("convert", place.scan, overwrite=True, **OPTIONS)
        place.check_made()


def test_overwriting_and_then_a_run_that_may_not_overwrite(place: Place, some: Callable[[int, int], list[int]]) -> None:
    """It finds the old volume, which is all there, or goes on with the new one."""
    place.put_old()
    changes = place.killer.call("convert", place.scan, overwrite=True, **OPTIONS)
    for n in some(changes, KILLS):
        place.put_old()
        place.killer.kill("convert", place.scan, at=n, of=changes, overwrite=True, **OPTIONS)
        try:
            ct.convert(place.scan, **OPTIONS)
        except ct.OutputExistsError:
            assert pyramid_files(place.output) in (place.old, place.new)
        else:
            place.check_made()


def test_a_batch_says_done_already_only_of_the_new_volume(place: Place, some: Callable[[int, int], list[int]]) -> None:
    folder = str(place.folder)
    place.put_old()
    changes = place.killer.call("convert_many", [place.scan], folder, overwrite=True, **OPTIONS)
    for n in some(changes, KILLS):
        place.put_old()
        place.killer.kill("convert_many", [place.scan], folder, at=n, of=changes, overwrite=True, **OPTIONS)
        batch = ct.convert_many([place.scan], folder, **OPTIONS)
        (item,) = batch.items
        if item.state == "done":
            lock_file(place.output).unlink(missing_ok=True)  # it may have been killed after all was done
            place.check_made()
        else:
            assert isinstance(item.error, ct.OutputExistsError)
            assert pyramid_files(place.output) == place.old


def test_a_repair(place: Place, some: Callable[[int, int], list[int]]) -> None:
    def damage() -> None:
        for name in ("0/0/0/1", "0/1/1/0", "1/0/0/0"):
            (place.output / name).write_bytes(b"damaged")

    options: dict[str, Any] = {"repair": True, "threads": 1}
    place.put_new()
    damage()
    changes = place.killer.call("verify", place.output, place.scan, **options)
    for n in some(changes, KILLS):
        damage()
        place.killer.kill("verify", place.output, place.scan, at=n, of=changes, **options)
        place.killer.call("verify", place.output, place.scan, **options)
        place.check_made()


def test_an_edit(place: Place, some: Callable[[int, int], list[int]]) -> None:
    """What is there is the volume before it or after it, `verify` accepts both, and the same edit completes it."""
    before, after = ({"name": name, "voxel_size": size} for name, size in (("old", "1 um"), ("new", "2 um")))
    place.put_new()
    states = {}
    for asked in (after, before):
        place.killer.call("edit", place.output, **asked)
        states[asked["name"]] = pyramid_files(place.output)
    changes = place.killer.call("edit", place.output, **after)
    for n in some(changes, KILLS):
        place.killer.call("edit", place.output, **before)
        place.killer.kill("edit", place.output, at=n, of=changes, **after)
        found = {key: data for key, data in pyramid_files(place.output).items() if not key.endswith(".new")}
        assert found in states.values(), n
        assert ct.verify(place.output).problems == (), n
        noted = read_receipt(place.output)
        assert noted is not None
        assert states[noted["edited"]["name"]] == found, n
        place.killer.call("edit", place.output, **after)
        assert pyramid_files(place.output) == states["new"], n
        place.check_no_more()


@pytest.mark.parametrize("consolidated", [False, True])
def test_an_edit_of_an_image_of_another_program_with_labels(
    place: Place, some: Callable[[int, int], list[int]], consolidated: bool
) -> None:
    """Each file is as before or as after, the image's own the last one. The same edit completes all."""
    place.clear()
    kept = place.folder.parent / f"labelled-{consolidated}"
    image = np.arange(16**3, dtype="u2").reshape(16, 16, 16)
    write_image(kept, [image, image[::2, ::2, ::2]], voxel_size=0.5)
    zarr.open_group(kept / "labels", mode="w", zarr_format=2).attrs["labels"] = ["cells"]
    write_image(kept / "labels" / "cells", [image[::2, ::2, ::2]], voxel_size=1)
    for group in ("labels/cells", "labels", "") if consolidated else ():
        zarr.consolidate_metadata(kept / group)
    asked = {"voxel_size": "0.25 um", "name": "Bone"}

    def put() -> None:
        shutil.rmtree(place.output, ignore_errors=True)
        shutil.copytree(kept, place.output)

    put()
    changes = place.killer.call("edit", place.output, **asked)
    old, new = everything(kept), everything(place.output)
    for n in some(changes, KILLS):
        put()
        place.killer.kill("edit", place.output, at=n, of=changes, **asked)
        found = everything(place.output)
        assert all(found[key] in (old[key], new[key]) for key in old), n
        assert found[".zattrs"] == old[".zattrs"] or all(found[key] == new[key] for key in new), n
        place.killer.call("edit", place.output, **asked)
        assert everything(place.output) == new, n
        assert not lock_file(place.output).exists()


def everything(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
