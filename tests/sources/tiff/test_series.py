"""TIFFs of microscopes, against tifffile reading them whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

import napari_ct_pyramid as ct
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.microscopes import INTEGERS, KINDS, metamorph


@pytest.mark.parametrize("name", KINDS)
def test_every_slice_is_read(tmp_path: Path, name: str) -> None:
    write, kind = KINDS[name]
    path = tmp_path / "scan.tif"
    write(path)
    np.testing.assert_array_equal(tifffile.imread(path).squeeze(), INTEGERS)
    with open_source(path) as source:
        assert source.volume.format == kind
    output = ct.convert(path, chunks=(4, 16, 16), num_levels=1).output
    np.testing.assert_array_equal(np.asarray(ct.open_pyramid(output).levels[0].array), INTEGERS)


def test_a_stack_that_is_cut_short_is_an_error(tmp_path: Path) -> None:
    metamorph(tmp_path / "scan.stk")
    data = (tmp_path / "scan.stk").read_bytes()
    (tmp_path / "scan.stk").write_bytes(data[: -(INTEGERS[0].nbytes + 100)])
    with pytest.raises(ct.SourceError, match=r"scan\.stk"):
        open_source(tmp_path / "scan.stk")
