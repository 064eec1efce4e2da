"""A lease that has ended cannot be written under, not even by a process that was paused in the middle of a write."""

from __future__ import annotations

import os
import pickle
import threading
from pathlib import Path

import pytest

from napari_ct_pyramid.errors import OutputExistsError
from napari_ct_pyramid.model.memory import page_buffer
from napari_ct_pyramid.storage import local as files
from napari_ct_pyramid.storage.lease import end_trial, take_folder_lease, trial_lease
from napari_ct_pyramid.storage.local import LocalStorage


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / ".ct-pyramid").mkdir()
    (tmp_path / "0").mkdir()
    return tmp_path


def chunk(content: bytes) -> memoryview:
    buffer = page_buffer(len(content))
    buffer[: len(content)] = content
    return buffer


def test_chunks_get_their_names_when_they_are_complete(output: Path) -> None:
    path = output / "0" / "1" / "2" / "3"
    with take_folder_lease(output) as lease:
        LocalStorage(path).write(chunk(b"first"), 5, lease)
        LocalStorage(path).write(chunk(b"other!"), 6, lease)
        other_process = pickle.loads(pickle.dumps(lease))
        LocalStorage(path.with_name("4")).write(chunk(b"third"), 5, other_process)
        assert lease.new_file() != other_process.new_file()
    assert path.read_bytes() == b"other!"
    assert path.with_name("4").read_bytes() == b"third"
    assert list((output / ".ct-pyramid").iterdir()) == []


@pytest.mark.parametrize("moment", ["before", "while it is written", "before it gets its name"])
def test_a_writer_whose_lease_has_ended_changes_nothing(
    output: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Another conversion takes the output over while a process is paused, at any moment of a write."""
    path = output / "0" / "1" / "2" / "3"
    paused, go_on = threading.Event(), threading.Event()
    errors: list[OSError] = []
    write_all, replace = files.write_all, Path.replace

    def pause() -> None:
        if threading.current_thread() is zombie:
            paused.set()
            assert go_on.wait(300)

    def paused_write(*args: object) -> None:
        if moment == "while it is written":
            pause()
        write_all(*args)  # type: ignore[arg-type]

    def paused_replace(self: Path, target: Path) -> Path:
        if moment == "before it gets its name":
            pause()
        return replace(self, target)

    with take_folder_lease(output) as old:

        def write() -> None:
            if moment == "before":
                pause()
            try:
                LocalStorage(path).write(chunk(b"zombie"), 6, old)
            except OSError as error:
                errors.append(error)

        zombie = threading.Thread(target=write)
        monkeypatch.setattr(files, "write_all", paused_write)
        monkeypatch.setattr(Path, "replace", paused_replace)
        zombie.start()
        assert paused.wait(300)
        with take_folder_lease(output) as lease:
            LocalStorage(path).write(chunk(b"new"), 3, lease)
            before = path.stat()
            go_on.set()
            zombie.join()
        assert path.read_bytes() == b"new"
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    (error,) = errors
    assert error.strerror
    assert "taken it over" in error.strerror
    assert list((output / ".ct-pyramid").iterdir()) == []


def test_a_link_or_an_empty_folder_in_the_place_of_a_chunk_is_replaced(output: Path) -> None:
    elsewhere = output / "elsewhere"
    elsewhere.write_bytes(b"mine")
    folder = output / "0" / "0" / "0"
    folder.mkdir(parents=True)
    (folder / "0").symlink_to(elsewhere)
    (folder / "1").mkdir()
    (folder / "2").mkdir()
    (folder / "2" / "notes").write_bytes(b"mine")
    with take_folder_lease(output) as lease:
        for name in "01":
            LocalStorage(folder / name).write(chunk(b"chunk"), 5, lease)
            assert not (folder / name).is_symlink()
            assert (folder / name).read_bytes() == b"chunk"
        with pytest.raises(OSError):  # noqa: PT011  it depends on the system
            LocalStorage(folder / "2").write(chunk(b"chunk"), 5, lease)
    assert elsewhere.read_bytes() == b"mine"
    assert (folder / "2" / "notes").read_bytes() == b"mine"


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="there are no links")
@pytest.mark.parametrize("linked", ["0/1", "0/1/2"])
def test_chunks_are_not_written_through_links(output: Path, tmp_path: Path, linked: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "2").mkdir(parents=True)
    for file in (elsewhere / "3", elsewhere / "2" / "3"):
        file.write_bytes(b"precious")
    (output / linked).parent.mkdir(exist_ok=True)
    (output / linked).symlink_to(elsewhere, target_is_directory=True)
    path = output / "0" / "1" / "2" / "3"
    with take_folder_lease(output) as lease, pytest.raises(OSError, match="is a link"):
        LocalStorage(path).write(chunk(b"chunk"), 5, lease)
    assert path.read_bytes() == b"precious"


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="there are no links")
def test_a_link_in_the_place_of_a_lease_is_removed_and_not_followed(output: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"precious")
    link = output / ".ct-pyramid" / "writing-0123"
    link.symlink_to(tmp_path / "photos", target_is_directory=True)
    with take_folder_lease(output):
        assert not link.is_symlink()
    assert (tmp_path / "photos" / "one.jpg").read_bytes() == b"precious"


@pytest.mark.parametrize("kind", ["notes", "named alike", "folder", "file", "link"])
def test_what_has_the_name_of_a_trial_and_is_none_stays(tmp_path: Path, kind: str) -> None:
    place, precious = tmp_path / ".scan.ome.zarr.trial", tmp_path / "precious"
    precious.mkdir()
    (precious / "notes").write_bytes(b"mine")
    if kind == "file":
        place.write_bytes(b"mine")
    elif kind == "link":
        place.symlink_to(precious, target_is_directory=True)
    else:
        place.mkdir()
        name = {"notes": "notes", "named alike": "01234567-1-1", "folder": "01234567-1-2"}[kind]
        (place / name).mkdir() if kind == "folder" else (place / name).write_bytes(b"mine")
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    end_trial(place)
    with pytest.raises(OutputExistsError) as caught, trial_lease(place):
        pass
    assert str(place) in str(caught.value)
    assert not caught.value.replaceable
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    assert (precious / "notes").read_bytes() == b"mine"


def test_the_trial_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    place = tmp_path / ".scan.ome.zarr.trial"
    place.mkdir()
    (place / "01234567-4711-3").touch()
    with trial_lease(place) as lease:
        lease.new_file().touch()
    assert not place.exists()
