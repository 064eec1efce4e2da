"""Volumes with a header, by other writers: voxel for voxel, voxel size and unit, place, files, damage, and refusals."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.options import SourceOptions
from napari_ct_pyramid.sources import deflated_rows
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.units import UNITS
from tests.helpers.headers import KINDS, SIZES_MM
from tests.helpers.sources import blocks, read_box, read_whole
from tests.helpers.tiffs import coordinates

SHAPE = (9, 22, 17)
VOXELS = {"uint16": coordinates(SHAPE, "uint16"), "float32": coordinates(SHAPE)}


@pytest.fixture(autouse=True)
def _small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compressed volumes of several units, as large ones have."""
    monkeypatch.setattr(deflated_rows, "UNIT_BYTES", 1)
    monkeypatch.setattr(deflated_rows, "MOST_POINTS", 4)


@pytest.mark.parametrize("dtype", VOXELS)
@pytest.mark.parametrize("name", KINDS)
def test_voxel_for_voxel(tmp_path: Path, name: str, dtype: str) -> None:
    path = KINDS[name](tmp_path, VOXELS[dtype])
    with open_source(path) as source:
        assert (source.volume.shape, source.volume.dtype) == (SHAPE, np.dtype(dtype))
        assert source.volume.name == "scan"
        np.testing.assert_array_equal(read_whole(source), VOXELS[dtype])
        for z0, z1, y0, y1 in blocks(3, SHAPE, 20):
            np.testing.assert_array_equal(read_box(source, z0, z1, y0, y1, wider=3), VOXELS[dtype][z0:z1, y0:y1])


@pytest.mark.parametrize("name", KINDS)
def test_voxel_size_unit_and_place(tmp_path: Path, name: str) -> None:
    with open_source(KINDS[name](tmp_path, VOXELS["uint16"])) as source:
        volume = source.volume
    assert volume.voxel_size
    assert volume.voxel_size_from
    if name == "NRRD, by ITK":  # it writes no unit
        assert (volume.voxel_size, volume.unit) == (pytest.approx(SIZES_MM), None)
        return
    assert volume.unit
    assert np.array(volume.voxel_size) * UNITS[volume.unit] == pytest.approx(np.array(SIZES_MM) / 1000, rel=1e-9)
    if not name.startswith(("NRRD, list", "NRRD, pattern", "V")):  # these have none
        assert np.array(volume.translation) * UNITS[volume.unit] == pytest.approx([0.003, 0.002, 0.001], rel=1e-6)
    assert volume.notes == ()


@pytest.mark.parametrize("name", KINDS)
def test_all_files_are_files_of_the_source(tmp_path: Path, name: str) -> None:
    path = KINDS[name](tmp_path, VOXELS["uint16"])
    with open_source(path) as source:
        assert set(source.files) == {file for file in tmp_path.iterdir() if file.is_file()}
    moved = tmp_path.with_name(f"{tmp_path.name} moved")
    shutil.move(tmp_path, moved)  # nothing keeps a file open
    with open_source(moved / path.name) as source:
        np.testing.assert_array_equal(read_whole(source), VOXELS["uint16"])


@pytest.mark.parametrize("name", KINDS)
def test_axes_and_crop(tmp_path: Path, name: str) -> None:
    path = KINDS[name](tmp_path, VOXELS["uint16"])
    with open_source(path, SourceOptions(axes="xzy", crop="1:-1,2:7,3:9")) as source:
        expected = VOXELS["uint16"].transpose(1, 2, 0)[1:-1, 2:7, 3:9]
        np.testing.assert_array_equal(read_whole(source), expected)


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_is_cut_anywhere_is_an_error(tmp_path: Path, name: str) -> None:
    path = KINDS[name](tmp_path, VOXELS["uint16"])
    for file in sorted(tmp_path.iterdir()):
        data = file.read_bytes()
        is_header = file.suffix in (".mhd", ".nhdr", ".vgi", ".hdr") or file.name.endswith(".hdr.gz")
        from_end = "at the end" in name  # what is missing may be a part of what comes before the voxels
        for size in {0, 1, len(data) // 3, len(data) // 2, *([] if is_header or from_end else [len(data) - 1])}:
            file.write_bytes(data[:size])
            with pytest.raises(SourceError) as caught:
                open_source(path)
            assert str(tmp_path) in str(caught.value)
            assert "\n" not in str(caught.value)
        file.write_bytes(data)


COMPRESSED = [name for name in KINDS if any(word in name for word in ("compressed", "gzip", "ITK"))]


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_compressed_file_with_one_wrong_byte_is_an_error(tmp_path: Path, name: str) -> None:
    path = KINDS[name](tmp_path, VOXELS["uint16"])
    file = next(file for file in tmp_path.iterdir() if file.suffix not in (".mhd", ".nhdr") and ".hdr" not in file.name)
    data = bytearray(file.read_bytes())
    for at in range(len(data) // 2, len(data) - 8, len(data) // 20):
        data[at] ^= 0x10
        file.write_bytes(data)
        with pytest.raises(SourceError):
            open_source(path)
        data[at] ^= 0x10


@pytest.mark.once
@pytest.mark.parametrize("name", KINDS)
def test_damage_is_never_a_traceback(tmp_path: Path, name: str, times: Callable[[int], int]) -> None:
    path = KINDS[name](tmp_path, VOXELS["uint16"])
    header = path.read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(times(40)):
        data = bytearray(header)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(min(len(data), 600)))
            data[at : at + int(rng.integers(0, 3))] = bytes(rng.integers(0, 256, int(rng.integers(0, 3)), "u1"))
        path.write_bytes(data)
        with suppress(SourceError), open_source(path) as source:
            if source.volume.nbytes < 1e6:
                read_whole(source)
