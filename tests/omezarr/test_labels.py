"""The metadata of label images, and which label images an image has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from ome_zarr.format import FormatV04, FormatV05
from ome_zarr.writer import write_image, write_labels

from napari_ct_pyramid.omezarr.labels import ImageLabel, is_name_in_group, label_images, read_image_label
from napari_ct_pyramid.omezarr.reader import open_pyramid
from tests.helpers.omezarr import write_json


def read(value: Any) -> tuple[ImageLabel | None, list[str]]:
    notes: list[str] = []
    return read_image_label(value, notes.append), notes


def test_colors_and_properties() -> None:
    label, notes = read(
        {
            "version": "0.4",
            "colors": [{"label-value": 1, "rgba": [255, 0, 0, 128]}, {"label-value": 2, "rgba": [0, 9, 0]}],
            "properties": [{"label-value": 1, "name": "bone", "volume": 3.5}],
        }
    )
    assert label == ImageLabel({1: (255, 0, 0, 128), 2: (0, 9, 0, 255)}, {1: {"name": "bone", "volume": 3.5}})
    assert not notes
    assert read({"version": "0.4"})[0] == ImageLabel()
    assert read(None)[0] is None


@pytest.mark.parametrize(
    "value",
    [7, {"colors": 3}, {"colors": [3]}, {"colors": [{"rgba": [1, 2, 3, 4]}]}, {"properties": [{"label-value": "a"}]},
     {"colors": [{"label-value": 1, "rgba": [1, 2, 300]}]}, {"colors": [{"label-value": True, "rgba": [1, 2, 3]}]}],
)  # fmt: skip
def test_what_is_not_understood_is_noted(value: Any) -> None:
    label, notes = read(value)
    assert label == ImageLabel()
    assert len(notes) == 1


JSON = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["label-value", "rgba", "colors", "properties"]), inner, max_size=3)
    ),
)


@given(JSON)
def test_no_metadata_of_labels_raise(value: Any) -> None:
    read(json.loads(json.dumps(value)))


@pytest.mark.parametrize(("version", "format"), [("0.4", FormatV04()), ("0.5", FormatV05())])
def test_the_labels_of_another_writer_are_found(tmp_path: Path, version: str, format: Any) -> None:
    path = tmp_path / "a.ome.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    voxels = np.arange(512, dtype="u2").reshape(8, 8, 8)
    write_image(voxels, group, axes="zyx", scale_factors=[], fmt=format)
    for name in ("cells", "pores"):
        write_labels(voxels // 100, group, name, axes="zyx", scaler=None, scale_factors=[], fmt=format)
    assert label_images(path) == [path / "labels" / "cells", path / "labels" / "pores"]
    assert open_pyramid(path).image_label is None
    assert open_pyramid(path / "labels" / "cells").image_label is not None


@pytest.mark.parametrize("listed", [["cells", "gone", "../..", "", 7, "cells"], "cells", None, {"a": 1}])
def test_only_those_that_are_there_are_listed(tmp_path: Path, listed: Any) -> None:
    (tmp_path / "labels" / "cells").mkdir(parents=True)
    write_json(tmp_path / "labels" / ".zattrs", {"labels": listed})
    assert label_images(tmp_path) == ([tmp_path / "labels" / "cells"] if isinstance(listed, list) else [])


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("a", True),
        ("a/b", True),
        ("..", False),
        ("a/../..", False),
        ("/a", False),
        ("a\\..\\..", False),
        ("C:/a", False),
    ],
)
def test_a_name_does_not_lead_out_of_the_group(name: str, inside: bool) -> None:
    assert is_name_in_group(name) is inside
