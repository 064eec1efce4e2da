"""OME-Zarr images of any program are verified: good ones without an alarm, and each planted defect is found."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import napari_ct_pyramid as ct
from napari_ct_pyramid.conversion.audit import regions, voxels
from napari_ct_pyramid.conversion.audit.methods import Comparison, Comparisons, Method, compare, judge
from napari_ct_pyramid.errors import SourceError, SourceNotFoundError, UnfinishedError
from napari_ct_pyramid.model.downsample import reduce
from napari_ct_pyramid.storage.local import LocalStorage
from napari_ct_pyramid.storage.paths import STATE_FOLDER
from tests.helpers.command import command
from tests.helpers.defects import DEFECTS, Store, plant
from tests.helpers.omezarr import write_image, write_json, write_unfinished

pytestmark = pytest.mark.once


def volume(dtype: str = "u2") -> np.ndarray:
    z, y, x = np.indices((32, 48, 64))
    smooth = 2000 + 300 * np.sin(z / 5) + 200 * np.cos(y / 9) + 100 * np.sin(x / 7 + 1)
    return (smooth + np.random.default_rng(0).normal(0, 20, smooth.shape)).astype(dtype)


def levels_by(method: str, dtype: str = "u2", count: int = 3) -> list[np.ndarray]:
    found = [volume(dtype)]
    while len(found) < count:
        out = np.empty([n // 2 for n in found[-1].shape], dtype)
        reduce(found[-1], out, method)
        found.append(out)
    return found


def by_ome_zarr(path: Path) -> Path:
    """What the writer of ome-zarr makes, with places that are as its levels need them."""
    from ome_zarr.format import FormatV04
    from ome_zarr.writer import write_multiscale

    group = zarr.open_group(path, mode="w", zarr_format=2)
    write_multiscale(
        levels_by("mean"), group, fmt=FormatV04(), axes="zyx", scale={"z": 2.0, "y": 0.5, "x": 0.5},
        storage_options={"chunks": (16, 16, 32)},
    )  # fmt: skip
    store = Store(path)
    for level in range(3):
        scale = [size * 2**level for size in (2.0, 0.5, 0.5)]
        store.numbers(level, "scale")[:] = scale
        store.numbers(level, "translation")[:] = [
            (s - first) / 2 for s, first in zip(scale, (2, 0.5, 0.5), strict=True)
        ]
    for axis in store.axes:
        axis["unit"] = "micrometer"
    store.save()
    return path


def by_conversion(path: Path) -> Path:
    ct.convert(volume("f4"), path, chunks=16, ome_zarr_version="0.5", shards="none", num_levels=3, voxel_size="1 um")
    shutil.rmtree(path / STATE_FOLDER)
    return path


def by_hand(path: Path) -> Path:
    """0.6 with shards, whose coarser levels are the first of every two voxels."""
    write_image(path, levels_by("stride"), version="0.6", chunks=(8, 8, 8), shards=(16, 16, 16), voxel_size=0.5)
    for level in range(3):
        file = path / str(level) / "zarr.json"
        write_json(file, {**json.loads(file.read_text()), "dimension_names": ["z", "y", "x"]})
    store = Store(path)
    for level in range(3):
        store.numbers(level, "translation")[:] = [0.0] * 3
    store.save()
    return path


WRITERS: dict[str, Callable[[Path], Path]] = {"ome-zarr": by_ome_zarr, "conversion": by_conversion, "by hand": by_hand}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stores")
    return {name: write(folder / f"{name}.ome.zarr") for name, write in WRITERS.items()}


def files(path: Path) -> dict[str, bytes]:
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.mark.parametrize(("writer", "method"), [("ome-zarr", "mean"), ("conversion", "mean"), ("by hand", "stride")])
def test_a_good_image_raises_no_alarm(stores: dict[str, Path], writer: str, method: str) -> None:
    path = stores[writer]
    before = files(path)
    steps = list[ct.AuditProgress]()
    found = ct.audit(path, progress=steps.append)
    assert found.findings == ()
    assert found.sound
    assert [level.method for level in found.levels] == [method] * 2
    assert all(level.largest_difference < 1 for level in found.levels)
    assert steps[-1].bytes_done == steps[-1].bytes_total > 0
    assert found.chunks == sum(chunk_counts(path))
    assert files(path) == before
    assert ct.audit(path, deep=False).findings == ()


def chunk_counts(path: Path) -> list[int]:
    levels = ct.open_pyramid(path).levels
    return [int(np.prod([-(-n // c) for n, c in zip(level.shape, level.chunks, strict=True)])) for level in levels]


@pytest.mark.parametrize("defect", DEFECTS)
@pytest.mark.parametrize("writer", WRITERS)
def test_a_planted_defect_is_found(stores: dict[str, Path], tmp_path: Path, writer: str, defect: str) -> None:
    path = tmp_path / "a.ome.zarr"
    shutil.copytree(stores[writer], path)
    planted = plant(defect, path)
    found = ct.audit(path, deep=planted.deep)
    assert {f.code for f in found.findings} & planted.codes
    assert {f.severity for f in found.findings if f.code in planted.codes} <= {"error", "warning"}


def test_nan_and_a_window_that_hides_everything(tmp_path: Path) -> None:
    levels = levels_by("mean", "f4")
    levels[0][3, 4, 5] = np.nan
    levels[1][1, 2, 2] = np.nan
    levels[2][7, 7, 7] = np.inf
    window = {"min": 0, "max": 1e6, "start": 0, "end": 1e6}
    path = write_image(tmp_path / "a.zarr", levels, omero={"channels": [{"color": "FFFFFF", "window": window}]})
    assert {"nan", "nan-new", "window-wide"} <= {f.code for f in ct.audit(path).findings}


def judged(*blocks: Comparison) -> Method:
    table = Comparisons(len(blocks), 3)
    for block in blocks:
        table.add((slice(0, 1),) * 3, block)
    return judge(table)


@pytest.mark.parametrize("factors", [(2, 2, 2), (1, 2, 2), (3, 2, 1)])
@pytest.mark.parametrize("dtype", ["u1", "i4", "f4", "f8"])
def test_each_method_is_recognized(factors: tuple[int, int, int], dtype: str) -> None:
    """Against functions that look at one window after the other."""
    rng = np.random.default_rng(2)
    fine = rng.integers(0, 200, [6 * f for f in factors]).astype(dtype)
    made: dict[str, Callable[[np.ndarray], Any]] = {
        "mean": np.mean,
        "stride": lambda w: w[0],
        "median": np.median,
        "max": np.max,
        "min": np.min,
        "mode": lambda w: np.unique(w)[np.unique(w, return_counts=True)[1].argmax()],
    }
    for method, function in made.items():
        coarse = np.empty((6, 6, 6), dtype)
        for index in np.ndindex(*coarse.shape):
            window = fine[tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factors, strict=True))].ravel()
            value = function(window)
            coarse[index] = np.rint(value) if dtype[0] != "f" else value
        found = judged(compare(fine, coarse, factors))
        assert (found.name, list(found.wrong)) == (method, [])
        assert found.largest_difference <= 0.5


def test_a_smoothed_level_is_one_and_another_image_is_not() -> None:
    from scipy.ndimage import gaussian_filter

    fine = volume("f4")
    blurred = gaussian_filter(fine, 1.0)[::2, ::2, ::2]
    parts = [np.s_[8 * k : 8 * k + 8] for k in range(2)]
    blocks = [compare(fine[16 * k : 16 * k + 16], blurred[part], (2, 2, 2)) for k, part in enumerate(parts)]
    assert judged(*blocks).name == "gaussian-like"
    assert list(judged(*blocks).wrong) == []
    others = [compare(fine[16 * k : 16 * k + 16], blurred[::-1][part], (2, 2, 2)) for k, part in enumerate(parts)]
    assert judged(*others).name == "none"


@pytest.mark.parametrize("chunks", [(16, 16, 16), (5, 7, 11), (1, 48, 64), (32, 48, 64)])
def test_the_comparisons_of_a_level_are_as_many_as_was_counted_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: tuple[int, int, int]
) -> None:
    """Their memory is in the budget, so it must be known before."""
    path = write_image(tmp_path / "a.zarr", levels_by("mean"), chunks=chunks)
    counts = []

    def count(blocks: Comparisons) -> Method:
        counts.append((len(blocks.rows), len(blocks._rows)))
        return judge(blocks)

    monkeypatch.setattr(voxels, "_TILE", 4)
    monkeypatch.setattr(regions, "VOXELS", 3000)
    monkeypatch.setattr(voxels, "judge", count)
    assert [level.method for level in ct.audit(path).levels] == ["mean", "mean"]
    assert len(counts) == 2
    assert all(added == expected > 1 for added, expected in counts)


def test_the_memory_for_comparisons_is_in_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_image(tmp_path / "a.zarr", levels_by("mean"))
    monkeypatch.setattr(Comparisons, "nbytes", lambda *_: 10**15)
    with pytest.raises(ct.BudgetError) as caught:
        ct.audit(path)
    assert caught.value.smallest > 10**15


def test_of_many_chunks_that_are_wrong_the_first_are_named_and_the_others_counted(tmp_path: Path) -> None:
    levels = levels_by("mean", count=2)
    levels[1][:, :, :16] = levels[1][:, :, :16][::-1]
    path = write_image(tmp_path / "a.zarr", levels, chunks=(4, 8, 8))
    for chunk in ("0/0/0", "0/1/1", "0/2/2", "1/3/3", "2/0/0", "3/0/0", "3/1/1"):
        (path / "0" / chunk).write_bytes(b"damaged")
    found = [(f.code, f.where, f.what.split(":")[0]) for f in ct.audit(path).having("error")]
    damaged = [what for code, where, what in found if (code, where) == ("chunk-damaged", "0")]
    assert [what.split()[1] for what in damaged[:5]] == ["0/0/0", "0/1/1", "0/2/2", "1/3/3", "2/0/0"]
    assert damaged[5].startswith("2 more")
    differs = [what for code, where, what in found if (code, where) == ("level-differs", "1")]
    # Not the three whose finer voxels cannot be read: 0/0/0, 0/1/1 and 1/0/0.
    assert [what.split()[1] for what in differs[:5]] == ["0/0/1", "0/1/0", "0/2/0", "0/2/1", "1/0/1"]
    assert differs[5].startswith(f"{4 * 3 * 2 - 3 - 5} more")


def test_every_image_of_a_group_is_verified(tmp_path: Path) -> None:
    path = tmp_path / "plate.zarr"
    zarr.open_group(path, mode="w", zarr_format=2)
    wells = [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}]
    write_json(path / ".zattrs", {"plate": {"wells": wells, "rows": [{"name": "A"}], "columns": [{"name": "1"}]}})
    zarr.open_group(path / "A/1", mode="w", zarr_format=2)
    write_json(path / "A/1/.zattrs", {"well": {"images": [{"path": "0"}, {"path": "1"}]}})
    for name in "01":
        write_image(path / "A/1" / name, levels_by("mean"))
    plant("missing file", path / "A/1/1")
    found = ct.audit(path)
    assert found.images == 2
    assert {f.where.rpartition("/")[0] for f in found.having("error")} == {"A/1/1"}
    assert ct.audit(f"{path}::A/1/0").findings == ()


def test_what_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError):
        ct.audit(tmp_path / "nothing.zarr")
    with pytest.raises(UnfinishedError):
        ct.audit(write_unfinished(tmp_path / "unfinished.ome.zarr"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(SourceError):
        ct.audit(tmp_path / "folder")


def test_a_budget_that_is_too_small(stores: dict[str, Path]) -> None:
    with pytest.raises(ct.BudgetError) as caught:
        ct.audit(stores["conversion"], max_memory="1M")
    assert caught.value.smallest > 1_000_000
    assert ct.audit(stores["conversion"], max_memory="1M", deep=False).sound


def test_the_command(stores: dict[str, Path], tmp_path: Path) -> None:
    good = command("verify", str(stores["ome-zarr"]), "--json")
    assert good.returncode == 0
    assert json.loads(good.stdout)["findings"] == []
    path = tmp_path / "a.ome.zarr"
    shutil.copytree(stores["ome-zarr"], path)
    plant("unknown unit", path)
    warned = command("verify", str(path), "--quick", "--json")
    assert warned.returncode == 0
    assert {f["severity"] for f in json.loads(warned.stdout)["findings"]} == {"warning"}
    plant("missing file", path)
    bad = command("verify", str(path))
    assert bad.returncode == 1
    assert "warning" in bad.stdout
    assert "error" in bad.stdout


def test_a_flipped_bit_in_a_zip_archive_is_found_by_its_checksums(tmp_path: Path) -> None:
    """A voxel of a chunk that is not compressed is another voxel, and decoded all the same."""
    voxels = np.random.default_rng(2).integers(0, 65535, (20, 30, 40), dtype="u2")
    folder, archive = write_image(tmp_path / "a.ome.zarr", [voxels], compressor=None), tmp_path / "a.ozx"
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*"):
            file.write(path, path.relative_to(folder))
        chunk = max(file.infolist(), key=lambda member: member.file_size)
    assert ct.audit(archive).findings == ()
    data = bytearray(archive.read_bytes())
    data[chunk.header_offset + chunk.file_size // 2] ^= 1
    archive.write_bytes(data)
    (found,) = ct.audit(archive).findings
    assert (found.code, found.severity) == ("file-damaged", "error")
    assert chunk.filename in found.what


def test_voxels_that_are_text_are_an_error(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", [np.full((4, 4, 4), "x", "<U5")])
    assert "type" in [finding.code for finding in ct.audit(path, deep=False).having("error")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("writer", ["conversion", "by hand"])
def test_a_pipe_in_the_place_of_a_chunk_is_named_and_not_waited_for(
    stores: dict[str, Path], tmp_path: Path, writer: str
) -> None:
    path = tmp_path / "a.ome.zarr"
    shutil.copytree(stores[writer], path)
    chunk = max((path / "1").rglob("*"), key=lambda file: (file.name.isdigit() and file.is_file(), file))
    chunk.rename(tmp_path / "elsewhere")
    chunk.symlink_to(tmp_path / "elsewhere")
    assert ct.audit(path).sound
    chunk.unlink()
    os.mkfifo(chunk)
    for deep in (False, True):
        (named,) = (f for f in ct.audit(path, deep=deep).findings if f.code == "file-special")
        assert chunk.relative_to(path / "1").as_posix() in named.what
    with pytest.raises(SourceError):
        np.asarray(ct.open_pyramid(path).levels[1].array[:])


def test_a_disk_that_fails_while_files_are_listed_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_image(tmp_path / "a.zarr", [np.zeros((8, 8, 8), "u1")])

    def fail(_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(LocalStorage, "files_below", fail)
    with pytest.raises(ct.ConversionError, match="Input/output error") as caught:
        ct.audit(path)
    assert str(path) in str(caught.value)
