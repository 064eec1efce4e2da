"""Where an output goes: nothing of the user's is overwritten unless asked."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import zarr

import napari_ct_pyramid as ct
from napari_ct_pyramid.conversion.output import default_output
from napari_ct_pyramid.errors import Advice
from tests.helpers.scans import write_tiff
from tests.helpers.tiffs import coordinates


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tiff(tmp_path / "scan.tif", coordinates((4, 8, 8)))


def test_a_folder_of_something_else_is_left_alone_even_when_asked(source: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(ct.OutputExistsError, match=str(mine)) as caught:
            ct.convert(source, mine, chunks=(4, 4, 4), overwrite=overwrite)
        assert not caught.value.replaceable
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_an_ome_zarr_is_replaced_only_when_asked(source: Path) -> None:
    first = ct.convert(source, chunks=(4, 4, 4))
    with pytest.raises(ct.OutputExistsError) as caught:
        ct.convert(source, chunks=(4, 4, 4))
    assert caught.value.replaceable
    assert Advice("overwrite", True) in caught.value.message.parts
    ct.convert(source, chunks=(2, 2, 2), overwrite=True)
    assert ct.open_pyramid(first.output).levels[0].chunks == (2, 2, 2)


def test_the_input_is_never_replaced(source: Path, tmp_path: Path) -> None:
    (tmp_path / ".zgroup").touch()
    before = source.read_bytes()
    for output in (source, source / "inside.zarr", tmp_path):
        with pytest.raises(ct.RequestError, match="the input"):
            ct.convert(source, output, chunks=(4, 4, 4), overwrite=True)
    assert source.read_bytes() == before


def _closure(output: Path) -> Any:
    """A Dask array whose function reads a Zarr array, and holds a lock, which cannot be sent to another process."""
    stored, lock = zarr.open_array(output / "0", mode="r"), threading.Lock()

    def read(voxels: np.ndarray) -> np.ndarray:
        with lock:
            return voxels + stored[: voxels.shape[0], : voxels.shape[1], : voxels.shape[2]]

    return dask.array.zeros(stored.shape, dtype=stored.dtype).map_blocks(read, dtype=stored.dtype)


DASK: dict[str, Callable[[Path], Any]] = {
    "dask": lambda output: ct.open_pyramid(output).levels[0].to_dask() + 1,
    "xarray": lambda output: ct.open_pyramid(output).levels[1].to_xarray(),
    "dask from Zarr": lambda output: dask.array.from_zarr(output / "0") * 2,
    "dask from a Zarr component": lambda output: dask.array.from_zarr(output, component="1"),
    "dask from a Zarr array": lambda output: dask.array.from_array(zarr.open_array(output / "0", mode="r"))[1:],
    "dask by a function": _closure,
}
"""Arrays that Dask computes from an image."""


@pytest.mark.parametrize("taken", ["part", "level", "slices", "function", "channel", *DASK])
def test_an_image_is_not_replaced_by_what_is_read_from_it(source: Path, tmp_path: Path, taken: str) -> None:
    output = ct.convert(source, chunks=(4, 4, 4), num_levels=2).output
    image = ct.open_pyramid(output)
    level: Any = image.levels[0]
    sources: dict[str, Any] = {
        "part": image.crop("1:,,"),
        "level": image.levels[1],
        "slices": level[1:],
        "function": level.map_blocks(lambda voxels: voxels + 1),
        "channel": level.array.every((1, 2, 2)),
    }
    if taken in DASK:
        sources[taken] = DASK[taken](output)
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    for place in (output, tmp_path):
        with pytest.raises(ct.RequestError, match="the input"):
            ct.convert(sources[taken], place, chunks=2, overwrite=True)
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before
    labels = ct.convert(sources[taken], output / "labels", chunks=2, num_levels=1).output  # beside its levels
    assert np.array_equal(
        np.asarray(ct.open_pyramid(labels).levels[0]),
        np.asarray(sources[taken].levels[0] if taken == "part" else sources[taken]),
    )


def test_nothing_is_overwritten_with_an_array_of_unknown_origin(source: Path) -> None:
    class Odd:
        def __reduce__(self) -> Any:
            return 1, 2  # which is no description of an object

    output = ct.convert(source, chunks=(4, 4, 4), num_levels=2).output
    array = dask.array.zeros((4, 8, 8)).map_blocks(lambda voxels, odd: voxels, Odd(), dtype=float)
    with pytest.raises(ct.RequestError, match="not known where the voxels"):
        ct.convert(array, output, chunks=4, overwrite=True)
    other = ct.convert(array, source.with_name("other.ome.zarr"), chunks=4, num_levels=1).output
    assert not np.asarray(ct.open_pyramid(other).levels[0]).any()


def test_a_folder_that_is_not_there_is_not_made(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ct.RequestError, match=str(tmp_path / "no")):
        ct.convert(source, tmp_path / "no" / "out.zarr", chunks=(4, 4, 4))
    assert not (tmp_path / "no").exists()


def test_names_of_outputs() -> None:

    for name in ("scan.tif", "scan.ome.tiff", "scan"):
        assert default_output(Path("there") / name) == Path("there/scan.ome.zarr")
    assert default_output("a.b.tif").name == "a.b.ome.zarr"


def test_files_that_another_process_removes_meanwhile_are_no_error(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = ct.convert(source, chunks=(4, 4, 4)).output
    walk = os.walk

    def walk_and_remove(folder: Any) -> Iterator[Any]:
        for below, folders, names in walk(folder):
            for name in names:
                if name.isdigit():
                    (Path(below) / name).unlink()
            yield below, folders, names

    with monkeypatch.context() as patch:
        patch.setattr("os.walk", walk_and_remove)
        planned = ct.plan(source, chunks=(4, 4, 4), overwrite=True)
    assert planned.bytes_free
    assert not (output / "0" / "0" / "0" / "0").exists()


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="there are no links")
@pytest.mark.parametrize("name", ["loop", "n" * 300, "a\0b"])
def test_a_name_that_the_system_refuses_is_a_wrong_request(source: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ct.RequestError):
        ct.convert(source, tmp_path / name, chunks=4)
    assert {path.name for path in tmp_path.iterdir()} == {"loop", source.name}
