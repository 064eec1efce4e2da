"""Killed right before any change of a file, a conversion, an overwriting, a batch or a repair loses nothing.

Whenever it is killed, what is there is the old volume, an unfinished one, or the new one; and the same call, repeated,
makes the new one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.storage.lock import lock_file
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
