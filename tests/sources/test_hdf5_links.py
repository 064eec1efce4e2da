"""HDF5 volumes in several files, by links, virtual datasets and external storage: right, or the file is named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.errors import Advice
from napari_ct_pyramid.options import SourceOptions
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.sources import INTEGERS, SHAPE, VOLUME, read_whole

Written = tuple[str, list[str], np.ndarray]
"""The dataset, the files besides ``scan.h5`` on which it depends, and the voxels."""


def write_decoys(path: Path) -> None:
    """Content of which no voxel may be read."""
    with h5py.File(path, "a") as file:
        file["decoy"] = np.full(20_000, 77, "u1")


def linked(file: Path, name: str, target: str, path: str) -> None:
    with h5py.File(file, "a") as opened:
        opened[name] = h5py.ExternalLink(target, path)


def written(path: Path, name: str = "v", volume: np.ndarray = VOLUME, **options: object) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    with h5py.File(path, "a") as file:
        file.create_dataset(name, data=volume, **options)


def one_link(folder: Path) -> Written:
    written(folder / "part.h5")
    linked(folder / "scan.h5", "entry/data", "part.h5", "/v")
    return "entry/data", ["part.h5"], VOLUME


def link_to_group(folder: Path) -> Written:
    written(folder / "raw" / "part.h5", "a/b/v", INTEGERS, chunks=(2, 8, 8), compression="gzip")
    linked(folder / "scan.h5", "entry/data", "raw/part.h5", "/a")
    return "entry/data/b/v", ["raw/part.h5"], INTEGERS


def chain(folder: Path) -> Written:
    """A link to a soft link to a link in another folder."""
    written(folder / "raw" / "deep" / "part.h5", volume=VOLUME.astype(">f8"))
    linked(folder / "raw" / "middle.h5", "m/link", "deep/part.h5", "v")
    with h5py.File(folder / "raw" / "middle.h5", "a") as file:
        file["soft"] = h5py.SoftLink("/m/link")
    linked(folder / "scan.h5", "data", "raw/middle.h5", "soft")
    return "data", ["raw/middle.h5", "raw/deep/part.h5"], VOLUME


def virtual(folder: Path, parts: str = "part{}.h5", to: str = "scan.h5", name: str = "v") -> Written:
    layout = h5py.VirtualLayout(SHAPE, "f4")
    files = [parts.format(z) for z in range(SHAPE[0])]
    for z, file in enumerate(files):
        written(folder / file, "image", VOLUME[z])
        layout[z] = h5py.VirtualSource(file, "image", shape=SHAPE[1:])
    with h5py.File(folder / to, "a") as opened:
        opened.create_virtual_dataset(name, layout, fillvalue=-1)
    return name, files, VOLUME


def link_to_virtual(folder: Path) -> Written:
    (folder / "raw").mkdir()
    _, files, _ = virtual(folder / "raw", to="virtual.h5")
    linked(folder / "scan.h5", "data", "raw/virtual.h5", "v")
    return "data", ["raw/virtual.h5", *(f"raw/{file}" for file in files)], VOLUME


def virtual_of_virtual(folder: Path) -> Written:
    _, files, _ = virtual(folder, to="inner.h5")
    layout = h5py.VirtualLayout(SHAPE, "f4")
    layout[...] = h5py.VirtualSource("inner.h5", "v", shape=SHAPE)
    with h5py.File(folder / "scan.h5", "a") as opened:
        opened.create_virtual_dataset("w", layout)
    return "w", ["inner.h5", *files], VOLUME


def virtual_of_links(folder: Path) -> Written:
    """The datasets of a virtual dataset are themselves links."""
    written(folder / "part.h5")
    linked(folder / "middle.h5", "link", "part.h5", "v")
    layout = h5py.VirtualLayout(SHAPE, "f4")
    layout[...] = h5py.VirtualSource("middle.h5", "link", shape=SHAPE)
    with h5py.File(folder / "scan.h5", "a") as opened:
        opened.create_virtual_dataset("w", layout)
    return "w", ["middle.h5", "part.h5"], VOLUME


def numbered_files(folder: Path) -> Written:
    """An unlimited virtual dataset, which numbers its files."""
    for z in range(SHAPE[0]):
        written(folder / f"f_{z}.h5", "image", VOLUME[z][None])
    space = h5py.h5s.create_simple(SHAPE, (h5py.h5s.UNLIMITED, *SHAPE[1:]))
    space.select_hyperslab((0, 0, 0), (h5py.h5s.UNLIMITED, 1, 1), (1, 1, 1), (1, *SHAPE[1:]))
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_virtual(space, b"f_%b.h5", b"image", h5py.h5s.create_simple((1, *SHAPE[1:])))
    with h5py.File(folder / "scan.h5", "a") as opened:
        whole = h5py.h5s.create_simple(SHAPE, (h5py.h5s.UNLIMITED, *SHAPE[1:]))
        h5py.h5d.create(opened.id, b"v", h5py.h5t.IEEE_F32LE, whole, plist)
    return "v", [f"f_{z}.h5" for z in range(SHAPE[0])], VOLUME


def external_storage(folder: Path) -> Written:
    """Raw voxels in two files of their own."""
    data = INTEGERS.astype(">u2").tobytes()
    first = 4 * SHAPE[1] * SHAPE[2] * 2
    (folder / "a.raw").write_bytes(b"header" + data[:first])
    (folder / "b.raw").write_bytes(data[first:])
    with h5py.File(folder / "scan.h5", "a") as file:
        parts = [("a.raw", 6, first), ("b.raw", 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("v", SHAPE, ">u2", external=parts)
    return "v", ["a.raw", "b.raw"], INTEGERS


KINDS: dict[str, Callable[[Path], Written]] = {
    "link": one_link,
    "link to group": link_to_group,
    "chain": chain,
    "virtual": virtual,
    "virtual in folders": lambda folder: virtual(folder, "parts/{}.h5"),
    "link to virtual": link_to_virtual,
    "virtual of virtual": virtual_of_virtual,
    "virtual of links": virtual_of_links,
    "numbered files": numbered_files,
    "external storage": external_storage,
}


@pytest.mark.parametrize("name", [True, False], ids=["named", "found"])
@pytest.mark.parametrize("kind", KINDS)
def test_voxels_of_linked_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: bool) -> None:
    """From any working folder, and every file counts for whether the source has changed."""
    write_decoys(tmp_path / "scan.h5")
    dataset, files, expected = KINDS[kind](tmp_path)
    monkeypatch.chdir("/")
    with open_source(f"{tmp_path / 'scan.h5'}{f'::{dataset}' if name else ''}") as source:
        np.testing.assert_array_equal(read_whole(source), expected)
        assert {file.resolve() for file in source.files} == {tmp_path / file for file in ["scan.h5", *files]}
        assert source.volume.notes == ()


@pytest.mark.parametrize("kind", KINDS)
def test_every_missing_or_damaged_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    dataset, files, _ = KINDS[kind](tmp_path)
    monkeypatch.chdir(tmp_path / ("raw" if (tmp_path / "raw").exists() else ""))
    for file in [*files[:2], files[-1 if kind != "numbered files" else 5]]:  # HDF5 itself does not know the last number
        kept = (tmp_path / file).read_bytes()
        (tmp_path / file).unlink()
        for given in (f"{tmp_path / 'scan.h5'}::{dataset}", tmp_path / "scan.h5"):
            with pytest.raises(ct.SourceNotFoundError) as caught:
                open_source(given)
            assert str(Path(file).name) in str(caught.value)
        for content in (b"", kept[: len(kept) // 2]):
            (tmp_path / file).write_bytes(content)
            with pytest.raises(ct.SourceError) as caught:
                open_source(f"{tmp_path / 'scan.h5'}::{dataset}")
            unlimited = kind == "numbered files"  # HDF5 cannot open the dataset then
            assert ("scan.h5" if unlimited else str(Path(file).name)) in str(caught.value)
        (tmp_path / file).write_bytes(kept)


@pytest.mark.parametrize("kind", KINDS)
def test_files_in_other_folders_are_read_only_if_asked_for(tmp_path: Path, kind: str) -> None:
    """The source is moved, so that what it names is in another folder, by an absolute path or a symbolic link."""
    (tmp_path / "away").mkdir()
    (tmp_path / "here").mkdir()
    dataset, files, expected = KINDS[kind](tmp_path / "away")
    for file in dict.fromkeys(Path(file).parts[0] for file in files):
        (tmp_path / "here" / file).symlink_to(tmp_path / "away" / file)
    shutil.move(tmp_path / "away" / "scan.h5", tmp_path / "here" / "scan.h5")
    given = f"{tmp_path / 'here' / 'scan.h5'}::{dataset}"
    with pytest.raises(ct.SourceError) as caught:
        open_source(given)
    assert Advice("follow_links", True) in caught.value.message.parts
    with open_source(given, SourceOptions(follow_links=True)) as source:
        np.testing.assert_array_equal(read_whole(source), expected)


def test_a_link_out_of_the_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(range(60)))
    (tmp_path / "scan").mkdir()
    for target in (str(secret), "../secret.bin"):
        path = tmp_path / "scan" / "scan.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("v", (3, 4, 5), "u1", external=[(target, 0, 60)])
        with pytest.raises(ct.SourceError, match="secret") as caught:
            ct.convert(path, tmp_path / "out.ome.zarr", chunks=4)
        assert Advice("follow_links", True) in caught.value.message.parts
        assert not (tmp_path / "out.ome.zarr").exists()


def test_a_source_that_is_a_symbolic_link(tmp_path: Path) -> None:
    """What is beside the file itself belongs to it."""
    (tmp_path / "real").mkdir()
    _, _, expected = chain(tmp_path / "real")
    (tmp_path / "scan.h5").symlink_to(tmp_path / "real" / "scan.h5")
    with open_source(tmp_path / "scan.h5") as source:
        np.testing.assert_array_equal(read_whole(source), expected)


def test_an_absolute_link_to_a_folder_that_was_moved(tmp_path: Path) -> None:
    """As HDF5 does, a file of the same name beside the source is taken."""
    written(tmp_path / "part.h5")
    linked(tmp_path / "scan.h5", "v", "/no/such/folder/part.h5", "v")
    with open_source(tmp_path / "scan.h5") as source:
        np.testing.assert_array_equal(read_whole(source), VOLUME)


def test_links_in_a_circle(tmp_path: Path) -> None:
    linked(tmp_path / "scan.h5", "a", "other.h5", "a")
    linked(tmp_path / "other.h5", "a", "scan.h5", "a")
    with pytest.raises(ct.SourceError, match="circle"):
        open_source(f"{tmp_path / 'scan.h5'}::a")
    with h5py.File(tmp_path / "groups.h5", "w") as file:
        file["a/v"] = VOLUME
        file["a/b"] = file["a"]
        file["a/c"] = h5py.SoftLink("/a")
        file["a/d"] = h5py.ExternalLink("groups.h5", "/")
    with open_source(tmp_path / "groups.h5") as source:
        np.testing.assert_array_equal(read_whole(source), VOLUME)


@pytest.mark.parametrize("change", ["no dataset", "smaller"])
def test_a_virtual_dataset_whose_parts_have_changed(tmp_path: Path, change: str) -> None:
    virtual(tmp_path)
    with h5py.File(tmp_path / "part4.h5", "w") as file:
        if change == "smaller":
            file["image"] = VOLUME[4, :-1]
    with pytest.raises(ct.SourceError, match=r"part4\.h5"):
        open_source(tmp_path / "scan.h5")


def test_voxels_that_no_file_holds_are_told(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout(SHAPE, "f4")
    written(tmp_path / "part.h5", volume=VOLUME[:6])
    layout[:6] = h5py.VirtualSource("part.h5", "v", shape=(6, *SHAPE[1:]))
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_virtual_dataset("w", layout, fillvalue=-5)
    with open_source(tmp_path / "scan.h5") as source:
        assert ["33" in note and "-5" in note for note in source.volume.notes] == [True]
        np.testing.assert_array_equal(read_whole(source)[6:], -5)


def test_a_converted_link_is_verified_and_its_file_counts(tmp_path: Path) -> None:
    write_decoys(tmp_path / "scan.h5")
    _, (part,), _ = one_link(tmp_path)
    receipt = ct.convert(tmp_path / "scan.h5", chunks=(4, 8, 8), num_levels=1)
    np.testing.assert_array_equal(ct.open_pyramid(receipt.output).levels[0].array[:], VOLUME)
    assert ct.verify(receipt.output, tmp_path / "scan.h5").sound
    with h5py.File(tmp_path / part, "a") as file:
        file["v"][0] = 0
    os.utime(tmp_path / part, (1, 1))
    with pytest.raises(ct.RequestError):
        ct.verify(receipt.output, tmp_path / "scan.h5")


@pytest.mark.parametrize("options", [{}, {"chunks": (2, 8, 8), "compression": "gzip"}], ids=["plain", "chunks"])
def test_a_block_of_the_user_before_the_data(tmp_path: Path, options: dict[str, object]) -> None:
    """As in MATLAB's files of version 7.3."""
    for size in (512, 4096):
        path = tmp_path / f"{size}.mat"
        with h5py.File(path, "w", userblock_size=size) as file:
            file.create_dataset("v", data=VOLUME, **options)
            file["v"].attrs["MATLAB_class"] = np.bytes_("single")
        with path.open("r+b") as raw:
            raw.write(b"MATLAB 7.3 MAT-file")
        with open_source(path) as source:
            np.testing.assert_array_equal(read_whole(source), VOLUME)
            assert ["reverse" in note for note in source.volume.notes] == [True]
