"""The lock of an output on a disk: beside it, one holder at a time, also on file systems that have no locks."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.storage.lock import check_free, hold, lock_file
from tests.helpers.omezarr import flat_indices, write_image


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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other locks")
def test_the_lock_of_an_ended_process_stops_nobody_on_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "refused by the test")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    output = tmp_path / "scan.ome.zarr"
    script = (
        "import sys, fcntl, os\n"
        "def refuse(*_): raise OSError(37, 'refused by the test')\n"
        "fcntl.flock = refuse\n"
        "from pathlib import Path\n"
        "from napari_ct_pyramid.storage.lock import hold\n"
        "with hold(Path(sys.argv[1])): os._exit(9)\n"
    )
    killed = subprocess.Popen([sys.executable, "-c", script, str(output)])
    assert killed.wait() == 9
    assert list(tmp_path.iterdir())
    check_free(output)
    with hold(output):
        pass
    assert list(tmp_path.iterdir()) == []
    assert ended.returncode == 0


def test_it_states_who_holds_it(tmp_path: Path) -> None:
    output = tmp_path / "scan.ome.zarr"
    with hold(output):
        for ask in (lambda: check_free(output), lambda: hold(output).__enter__()):
            with pytest.raises(ct.OutputBusyError) as caught:
                ask()
            assert (caught.value.process, caught.value.machine) == (os.getpid(), socket.gethostname())
    check_free(output)


@pytest.mark.parametrize("content", [b"my notes", b"12\n", b"x" * 5000, None, "link", "folder"])
def test_what_has_the_name_of_a_lock_and_is_none_stays(tmp_path: Path, content: bytes | str | None) -> None:
    output = tmp_path / "scan.ome.zarr"
    path = lock_file(output)
    precious = tmp_path / "precious"
    precious.write_bytes(b"")
    if content == "link":
        path.symlink_to(precious)
    elif content == "folder":
        path.mkdir()
    elif content is None:
        os.mkfifo(path)
    else:
        assert isinstance(content, bytes)
        path.write_bytes(content)
    with pytest.raises(ct.RequestError) as caught, hold(output):
        pass
    assert str(path) in str(caught.value)
    assert os.path.lexists(path)
    assert precious.exists()
    if isinstance(content, bytes):
        assert path.read_bytes() == content


def test_the_empty_lock_of_an_older_version_is_taken(tmp_path: Path) -> None:
    output = tmp_path / "scan.ome.zarr"
    lock_file(output).touch()
    with hold(output):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seen", ["before", "by the lock"])
def test_an_image_in_a_folder_that_is_read_only_cannot_be_changed_and_it_is_said_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: str
) -> None:
    path = write_image(tmp_path / "others" / "a.ome.zarr", [flat_indices((4, 8, 8))])
    access, opens = os.access, os.open

    def may(place: object, mode: int, **more: bool) -> bool:
        return access(place, mode, **more) and not (Path(str(place)) == path.parent and mode & os.W_OK)  # type: ignore[arg-type]

    def refuse(place: object, flags: int, *args: int, **more: int) -> int:
        if flags & os.O_CREAT and Path(str(place)) == lock_file(path):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), place)
        return opens(place, flags, *args, **more)  # type: ignore[arg-type]

    if seen == "before":
        monkeypatch.setattr(os, "access", may)
    else:
        monkeypatch.setattr(os, "open", refuse)
    for change in (lambda: ct.edit(path, name="new"), lambda: ct.rebuild_levels(path)):
        if seen == "by the lock" and "rebuild" in change.__code__.co_names[-1]:
            continue  # there is nothing to make
        with pytest.raises(ct.RequestError) as caught:
            change()
        assert str(path.parent) in str(caught.value)
        assert "copy it" in str(caught.value)
        assert "another place" not in str(caught.value)
