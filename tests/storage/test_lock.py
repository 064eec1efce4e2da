"""The lock of an output on a disk: beside it, one holder at a time, also on file systems that have no locks."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.storage.lock import hold, lock_file


def test_it_excludes_others_and_changes_nothing(tmp_path: Path) -> None:
    output = tmp_path / "scan.ome.zarr"
    with hold(output):
        assert not output.exists()
        with pytest.raises(ct.OutputBusyError), hold(tmp_path / "." / "scan.ome.zarr"):
            pass
    assert list(tmp_path.iterdir()) == []


def test_the_longest_names_have_a_lock_too(tmp_path: Path) -> None:
    output = tmp_path / ("x" * 255)
    with hold(output):
        assert lock_file(output).exists()
        with pytest.raises(ct.OutputBusyError), hold(output):
            pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other locks")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
@pytest.mark.filterwarnings("ignore:.*flock.*")
def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(number, "refused by the test")

    monkeypatch.setattr(fcntl, "flock", refuse)
    output = tmp_path / "scan.ome.zarr"
    with hold(output):
        with pytest.raises(ct.OutputBusyError), hold(output):
            pass
        assert any(path.name.startswith(".scan.ome.zarr.") for path in tmp_path.iterdir())
    with hold(output):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other locks")
def test_the_lock_of_a_dead_machine_is_named_and_can_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "refused by the test")

    monkeypatch.setattr(fcntl, "flock", refuse)
    output = tmp_path / "scan.ome.zarr"
    left = lock_file(output).with_suffix(".softlock")
    left.write_text("4711\nnode-12\n")
    with pytest.raises(ct.OutputBusyError) as caught, hold(output):
        pass
    assert all(word in str(caught.value) for word in ("4711", "node-12", str(left)))
    left.unlink()
    with hold(output):
        pass
