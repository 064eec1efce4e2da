"""What an INPUT names, and the name of its volume."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_ct_pyramid.sources.inputs import parse_input
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.tiff_kinds import VOLUME
from tests.helpers.tiffs import pages_of, write_pages


@pytest.mark.parametrize("name", ["core.tif", "core.tiff", "core.ome.tif", "core.TIF", "core.btf"])
def test_the_name_of_a_volume(tmp_path: Path, name: str) -> None:
    with open_source(write_pages(tmp_path / name, pages_of(VOLUME))) as source:
        assert source.volume.name == "core"


@pytest.mark.parametrize(
    ("text", "path", "inside", "pattern", "stem"),
    [
        ("scan.tif", "scan.tif", None, None, "scan"),
        ("a/scan.ome.tif", "a/scan.ome.tif", None, None, "scan"),
        ("scan.h5::/entry/data", "scan.h5", "entry/data", None, "scan"),
        ("scan.h5::entry\\data", "scan.h5", "entry/data", None, "scan"),
        ("a/slice_*.tif", "a", None, "slice_*.tif", "slice"),
        ("a/slice_00??.tif", "a", None, "slice_00??.tif", "slice"),
        ("a/[0-9]*.tif", "a", None, "[0-9]*.tif", "a"),
    ],
)
def test_the_parts_of_an_input(text: str, path: str, inside: str | None, pattern: str | None, stem: str) -> None:
    found = parse_input(text)
    assert (found.path, found.inside, found.pattern, found.stem) == (Path(path), inside, pattern, stem)


def test_an_input_in_an_object_store() -> None:
    found = parse_input("s3://bucket/scan.ome.zarr::/0")
    assert (str(found.path), found.inside, found.stem) == ("s3://bucket/scan.ome.zarr", "0", "scan")
    with pytest.raises(TypeError):
        _ = found.local_path


@pytest.mark.parametrize("name", ["scan[1].tif", "a::b.tif", "scan*.tif"])
def test_a_file_with_exactly_this_name_is_meant(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    found = parse_input(tmp_path / name)
    assert (found.path, found.inside, found.pattern) == (tmp_path / name, None, None)
