"""The lock of an output in an object store: one machine at a time, and a killed one does not keep it."""

from __future__ import annotations

import os
from typing import Any

import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.storage import store_lock
from napari_ct_pyramid.storage.remote_path import RemotePath
from napari_ct_pyramid.storage.sealed import seal
from napari_ct_pyramid.storage.store_lock import hold_in_store
from tests.helpers.s3 import BUCKET, S3

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


@pytest.fixture
def output(s3: S3, request: pytest.FixtureRequest) -> RemotePath:
    return RemotePath(f"s3://{BUCKET}/{abs(hash(request.node.name))}.ome.zarr")


def of_another_machine(**changes: Any) -> bytes:
    return seal({"id": "other", "host": "far", "machine": "far away", "process": 1, **changes})


def locks(output: RemotePath) -> list[str]:
    return [path.name for path in (output / ".ct-pyramid").iterdir()]


def test_it_excludes_others_and_is_removed(output: RemotePath) -> None:
    with hold_in_store(output) as lease:
        lease.check()
        lease.for_others().check()
        with pytest.raises(ct.OutputBusyError), hold_in_store(output):
            pass
        assert len(locks(output)) == 1
        lease.check()
    assert locks(output) == []
    for each in (lease, lease.for_others()):
        with pytest.raises(OSError, match="taken the output over"):
            each.check()


def test_a_lock_that_was_created_is_held_though_the_answer_was_lost(
    output: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = RemotePath.write_bytes

    def write_twice(path: RemotePath, data: bytes, *, new: bool = False) -> None:
        write(path, data, new=new)
        write(path, data, new=new)  # as a library does that got no answer

    monkeypatch.setattr(RemotePath, "write_bytes", write_twice)
    with hold_in_store(output) as lease:
        lease.check()


def test_another_machine_keeps_it_for_a_minute(output: RemotePath, monkeypatch: pytest.MonkeyPatch) -> None:
    path = output / ".ct-pyramid" / "lock-1"
    path.write_bytes(of_another_machine())
    with pytest.raises(ct.OutputBusyError, match="far"), hold_in_store(output):
        pass
    assert locks(output) == ["lock-1"]
    monkeypatch.setattr(store_lock, "LEASE_SECONDS", 0)
    with hold_in_store(output):
        assert locks(output) == ["lock-2"]


def test_a_process_of_this_machine_that_was_killed_loses_it_at_once(output: RemotePath) -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    content = of_another_machine(machine=store_lock._machine(), process=child)
    (output / ".ct-pyramid" / "lock-7").write_bytes(content)
    with hold_in_store(output):
        assert locks(output) == ["lock-8"]


def test_an_owner_that_was_paused_too_long_has_lost_it(output: RemotePath, monkeypatch: pytest.MonkeyPatch) -> None:
    with hold_in_store(output) as lease:
        now = store_lock._now()
        monkeypatch.setattr(store_lock, "_now", lambda: now + store_lock.LEASE_SECONDS)
        with pytest.raises(OSError, match="taken the output over"):
            lease.check()


@pytest.mark.parametrize("pause", [30, 45, 59, 61, 1000])
def test_an_owner_that_was_paused_while_it_renewed_the_lock_does_not_get_it_back(
    output: RemotePath, monkeypatch: pytest.MonkeyPatch, pause: int
) -> None:
    """It may keep it only if nobody can have taken it meanwhile."""
    with hold_in_store(output) as lease:
        look, begun = store_lock._owner, store_lock._now()

        def look_and_sleep(path: RemotePath) -> str | None:
            found = look(path)
            monkeypatch.setattr(store_lock, "_now", lambda: begun + pause)
            return found

        monkeypatch.setattr(store_lock, "_owner", look_and_sleep)
        kept = pause < store_lock.LEASE_SECONDS - store_lock._MARGIN_SECONDS
        assert lease.renew() == kept
        assert bool(locks(output)) == kept
        if kept:
            lease.check()
            return
        assert not lease.renew()
        with pytest.raises(OSError, match="taken the output over"):
            lease.check()


def test_an_owner_whose_lock_was_taken_does_not_remove_the_new_one(output: RemotePath) -> None:
    with hold_in_store(output) as lease:
        lease.path.write_bytes(of_another_machine())
        with pytest.raises(OSError, match="taken the output over"):
            lease.for_others().check()
    assert len(locks(output)) == 1
