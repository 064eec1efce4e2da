"""Overwriting removes what a conversion or an image consists of, and never anything else of the user."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.conversion import replacement
from napari_ct_pyramid.errors import RESUME, Advice
from napari_ct_pyramid.omezarr.kind import JOURNAL, is_unfinished
from napari_ct_pyramid.storage.local import LocalStorage
from tests.helpers.omezarr import write_image
from tests.helpers.scans import write_tiff
from tests.helpers.tiffs import coordinates

OPTIONS: dict[str, Any] = {"chunks": (4, 4, 4), "num_levels": 2}
OTHER: dict[str, Any] = {"chunks": (2, 4, 4), "num_levels": 1}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tiff(tmp_path / "scan.tif", coordinates((4, 8, 8)))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.ome.zarr"


def all_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def plain_group(output: Path) -> None:
    import zarr

    group = zarr.open_group(output, mode="w", zarr_format=2)
    group.create_array("measurements", data=np.arange(9))
    (output / "thesis.txt").write_text("years of work")


def plate(output: Path) -> None:
    output.mkdir()
    (output / ".zgroup").write_text('{"zarr_format": 2}')
    (output / ".zattrs").write_text(json.dumps({"plate": {"wells": [{"path": "A/1"}]}}))
    write_image(output / "A" / "1" / "0", [np.zeros((1, 8, 8), "u1")])


def broken_json(output: Path) -> None:
    output.mkdir()
    (output / "zarr.json").write_text("{")
    (output / "data").write_bytes(b"data")


def unreadable_journal(output: Path) -> None:
    (output / JOURNAL).parent.mkdir(parents=True)
    (output / JOURNAL).write_bytes(b"\xff")
    (output / "notes.txt").write_text("mine")


def image_with(*names: str) -> Callable[[Path], None]:
    def make(output: Path) -> None:
        write_image(output, [np.zeros((4, 8, 8), "u1")])
        for name in names:
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            (output / name).write_bytes(b"mine")

    return make


def image_with_a_link(output: Path) -> None:
    image_with()(output)
    (output.parent / "elsewhere").mkdir()
    (output / "1").symlink_to(output.parent / "elsewhere", target_is_directory=True)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (plain_group, ["measurements", "thesis.txt"]),
        (plate, ["A"]),
        (broken_json, ["data"]),
        (unreadable_journal, ["notes.txt"]),
        (image_with("thesis.txt"), ["thesis.txt"]),
        (image_with("0/notes.txt"), ["0/notes.txt"]),
        (image_with("0/9/0/0"), ["0/9/0/0"]),
        (image_with("0/0/0/00"), ["0/0/0/00"]),
        (image_with("labels/cells/.zarray"), ["labels/cells/.zarray"]),
        (image_with_a_link, ["1"]),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_plainly_an_image_stays_and_is_named(
    source: Path, output: Path, make: Callable[[Path], None], names: list[str], overwrite: bool
) -> None:
    make(output)
    before = all_files(output)
    for ask in (ct.plan, ct.convert):
        with pytest.raises(ct.OutputExistsError) as caught:
            ask(source, output, **OPTIONS, overwrite=overwrite)
        assert not caught.value.replaceable
        assert all(name in str(caught.value) for name in names)
    assert all_files(output) == before
    assert {path.name for path in output.parent.iterdir()} <= {"scan.tif", "out.ome.zarr", "elsewhere"}


@pytest.mark.parametrize("make", [image_with(), image_with(".DS_Store", "0/._0", "Thumbs.db")])
def test_an_image_of_any_program_is_replaced_when_asked(
    source: Path, output: Path, make: Callable[[Path], None]
) -> None:
    make(output)
    with pytest.raises(ct.OutputExistsError) as caught:
        ct.convert(source, output, **OPTIONS)
    assert caught.value.replaceable
    ct.convert(source, output, **OPTIONS, overwrite=True)
    assert ct.verify(output, source).problems == ()


def test_notes_in_an_unfinished_output_are_not_removed(source: Path, output: Path) -> None:
    ct.convert(source, output, **OPTIONS)
    (output / ".zattrs").unlink()
    (output / "notes.txt").write_text("mine")
    with pytest.raises(ct.OutputExistsError) as caught:
        ct.convert(source, output, **OTHER, overwrite=True)
    assert "notes.txt" in str(caught.value)
    assert not caught.value.replaceable
    assert (output / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("call", [1, 2])
def test_if_beginning_fails_the_old_volume_is_still_there(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """Moving the old one aside fails, or putting the new one in its place."""
    ct.convert(source, output, **OPTIONS)
    before = all_files(output)
    rename, calls = Path.rename, [0]

    def fail(self: Path, target: Path) -> Path:
        calls[0] += 1
        if calls[0] == call:
            raise OSError(13, "Permission denied")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        with pytest.raises(ct.RequestError):
            ct.convert(source, output, **OTHER, overwrite=True)
    assert all_files(output) == before
    assert sorted(path.name for path in output.parent.iterdir()) == ["out.ome.zarr", "scan.tif"]


def test_no_space_for_the_new_journal_leaves_the_old_volume(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ct.convert(source, output, **OPTIONS)
    before = all_files(output)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "replace", full)
        with pytest.raises(ct.RequestError):
            ct.convert(source, output, **OTHER, overwrite=True)
    assert all_files(output) == before
    assert sorted(path.name for path in output.parent.iterdir()) == ["out.ome.zarr", "scan.tif"]


def test_a_file_that_is_put_into_the_old_volume_meanwhile_is_kept_and_named(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ct.convert(source, output, **OPTIONS)
    check = replacement._begin

    def then_put(*args: Any) -> Any:
        (output / "late.txt").write_text("mine")
        return check(*args)

    monkeypatch.setattr(replacement, "_begin", then_put)
    ct.convert(source, output, **OTHER, overwrite=True)
    assert ct.verify(output, source).problems == ()
    old = output.with_name(".out.ome.zarr.old")
    assert all_files(old) == {"late.txt": b"mine"}
    with pytest.raises(ct.OutputExistsError) as caught:
        ct.convert(source, output, **OTHER, overwrite=True)
    assert "late.txt" in str(caught.value)
    shutil.rmtree(old)
    ct.convert(source, output, **OTHER, overwrite=True)


@pytest.mark.parametrize("ending", ["old", "new"])
@pytest.mark.parametrize("there", ["finished", "unfinished", "nothing"])
def test_a_copy_that_a_user_keeps_under_a_name_of_ours_is_left_alone_and_named(
    source: Path, output: Path, ending: str, there: str
) -> None:
    kept = output.with_name(f".out.ome.zarr.{ending}")
    ct.convert(source, output, **OPTIONS)
    shutil.copytree(output, kept)
    if there == "unfinished":
        (output / ".zattrs").unlink()
    elif there == "nothing":
        shutil.rmtree(output)
    before = all_files(output.parent)
    for overwrite in (False, True):
        with pytest.raises(ct.OutputExistsError) as caught:
            ct.convert(source, output, **OPTIONS, overwrite=overwrite)
        if overwrite or there != "finished":
            assert str(kept) in str(caught.value)
        assert all_files(output.parent) == before
    kept.rename(output.with_name("kept.ome.zarr"))
    ct.convert(source, output, **OPTIONS, overwrite=True)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_an_old_volume_that_cannot_be_removed_is_named_and_the_new_one_goes_on(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    """The new one has its place: to say that nothing was touched would be wrong."""
    ct.convert(source, output, **OPTIONS)
    old = output.with_name(".out.ome.zarr.old")
    unlink, calls = Path.unlink, [0]

    def fail(self: Path, missing_ok: bool = False) -> None:
        if old in self.parents:
            calls[0] += 1
            if calls[0] > n:
                raise OSError(5, "Input/output error")
        unlink(self, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", fail)
        for _ in range(2):
            with pytest.raises(ct.ConversionError) as caught:
                ct.convert(source, output, **OTHER, overwrite=True)
            assert str(old) in str(caught.value)
            assert Advice(RESUME) in caught.value.message.parts
            calls[0] = n
        assert is_unfinished(output)
    ct.convert(source, output, **OTHER, overwrite=True)
    assert ct.verify(output, source).problems == ()
    assert sorted(path.name for path in output.parent.iterdir()) == ["out.ome.zarr", "scan.tif"]


@pytest.mark.parametrize(("key", "of_this_program"), [("0/.zarray", True), ("0/.zarray", False), (".zattrs", False)])
def test_an_old_volume_whose_metadata_cannot_be_read_once_is_removed_by_the_next_call(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch, key: str, of_this_program: bool
) -> None:
    ct.convert(source, output, **OPTIONS)
    if not of_this_program:
        shutil.rmtree(output / ".ct-pyramid")
    old = output.with_name(".out.ome.zarr.old")
    read = LocalStorage.read

    def fail(self: LocalStorage) -> bytes:
        if self._path == old / key:
            raise OSError(5, "Input/output error")
        return read(self)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "read", fail)
        with pytest.raises(ct.ConversionError) as caught:
            ct.convert(source, output, **OTHER, overwrite=True)
    assert str(old) in str(caught.value)
    ct.convert(source, output, **OTHER)
    assert ct.verify(output, source).problems == ()
    assert sorted(path.name for path in output.parent.iterdir()) == ["out.ome.zarr", "scan.tif"]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="there are no links")
def test_an_output_that_is_a_link_is_replaced_where_it_is(source: Path, output: Path) -> None:
    place = output.parent / "big disk"
    place.mkdir()
    output.symlink_to(place / "real.ome.zarr", target_is_directory=True)
    (place / "real.ome.zarr").mkdir()
    ct.convert(source, output, **OPTIONS)
    ct.convert(source, output, **OTHER, overwrite=True)
    assert output.is_symlink()
    assert ct.verify(output, source).problems == ()
    assert [path.name for path in place.iterdir()] == ["real.ome.zarr"]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="there are no links")
@pytest.mark.parametrize("linked", [".ct-pyramid", JOURNAL])
@pytest.mark.parametrize("how", ["resume", "repair", "edit"])
def test_nothing_is_written_through_a_link_in_the_output(source: Path, output: Path, linked: str, how: str) -> None:
    ct.convert(source, output, **OPTIONS)
    if how == "resume":
        (output / ".zattrs").unlink()
    elif how == "repair":
        (output / "0" / "0" / "0" / "0").write_bytes(b"damaged")
    outside = (output / linked).rename(output.parent / "outside")
    (output / linked).symlink_to(outside, target_is_directory=outside.is_dir())
    place = outside if outside.is_dir() else outside.parent

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in place.rglob("*") if path.is_file() and output not in path.parents}

    before = files()
    with suppress(ct.RequestError, ct.ConversionError):
        if how == "resume":
            ct.convert(source, output, **OPTIONS)
        elif how == "repair":
            ct.verify(output, source, repair=True)
        else:
            ct.edit(output, name="new")
    assert files() == before


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="there are no links")
def test_a_link_in_the_place_of_a_file_that_is_being_written_is_not_followed(source: Path, output: Path) -> None:
    precious = output.parent / "precious"
    precious.write_bytes(b"mine")
    ct.convert(source, output, **OPTIONS)
    (output / ".zattrs.new").symlink_to(precious)
    ct.edit(output, name="new")
    assert precious.read_bytes() == b"mine"
    assert ct.verify(output).problems == ()
