"""HDF5 files: which dataset is the volume, and damage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.sources import KINDS, VOLUME, read_whole


@pytest.mark.parametrize(
    ("inside", "facts"),
    [
        ("", ("3 datasets", "/a/v (9 × 22 × 17 float32), /flags", "s.h5::/a/v")),
        ("::/lost", ("/lost", "/a/v (9 × 22 × 17 float32), /flags")),
        ("::/a", ("group", "/a.")),
        ("::/flat", ("::/flat", "4 × 5 float64", "/a/v (9 × 22 × 17 float32), /flags")),
        ("::/one", ("::/one", "int64")),
        ("::/w", ("int64", "0 to 0")),
    ],
)
def test_datasets_that_are_not_a_volume(tmp_path: Path, inside: str, facts: tuple[str, ...]) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["a/v"], file["flat"], file["one"] = VOLUME, np.zeros((4, 5)), 1
        file["w"], file["flags"] = np.zeros((3, 4, 5), "i8"), np.zeros((3, 4, 5), bool)
    with pytest.raises(ct.SourceError) as caught:
        open_source(f"{tmp_path / 's.h5'}{inside}")
    assert [fact for fact in facts if fact not in str(caught.value)] == []


def test_hdf5_that_is_damaged(tmp_path: Path) -> None:
    given, _, _ = KINDS["hdf5, gzip"](tmp_path)
    path = tmp_path / "scan.h5"
    with h5py.File(path) as file:
        at = file["entry/data/data"].id.get_chunk_info(4)
    data = bytearray(path.read_bytes())
    data[at.byte_offset : at.byte_offset + at.size] = b"\x55" * at.size
    path.write_bytes(data)
    with open_source(given) as source, pytest.raises(ct.SourceError, match=r"scan\.h5 at 0 16 0 "):
        read_whole(source)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ct.SourceError, match="an HDF5 file"):
        open_source(given)


def test_hdf5_without_h5py(tmp_path: Path) -> None:
    given, _, _ = KINDS["hdf5"](tmp_path)
    code = (
        "import sys; sys.modules['h5py'] = None\nfrom napari_ct_pyramid.cli.main import main\nraise SystemExit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code, "info", given], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "h5py" in done.stderr
    assert "pip install 'napari-ct-pyramid[hdf5]'" in done.stderr
    assert done.stderr.count("\n") == 1
