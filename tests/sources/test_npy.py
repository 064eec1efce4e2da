"""NumPy files that are not a volume, or are damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.sources import VOLUME


@pytest.mark.parametrize(
    ("array", "fact"),
    [
        (np.zeros((4, 5)), "4 × 5"),
        (np.zeros((2, 2, 4, 5)), "2 × 2 × 4 × 5"),
        (np.zeros((2, 4, 5), "S3"), "bytes24"),
        (np.zeros((2, 4, 5), "c8"), "complex64"),
        (np.zeros((2, 4, 5), "u8"), "uint64"),
        (np.zeros((2, 4, 5), [("a", "f4")]), "void"),
        (np.zeros((0, 4, 5)), "0 × 4 × 5"),
    ],
)
def test_arrays_that_are_not_a_volume(tmp_path: Path, array: np.ndarray, fact: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ct.SourceError) as caught:
        open_source(tmp_path / "a.npy")
    assert str(tmp_path / "a.npy") in str(caught.value)
    assert fact in str(caught.value)


def test_an_array_that_is_cut_short(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VOLUME)
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data[:-1])
    with pytest.raises(ct.SourceError, match=r"13,463 of the 13,464 bytes"):
        open_source(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(data[:40])
    with pytest.raises(ct.SourceError, match="a NumPy array"):
        open_source(tmp_path / "a.npy")
