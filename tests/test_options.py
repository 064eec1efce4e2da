"""The options: what users write becomes plain values or one sentence, and faces can be made of them."""

from __future__ import annotations

import os
import pickle
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ct_pyramid.errors import Advice, RequestError
from napari_ct_pyramid.options import (
    COMPRESSORS,
    DTYPES,
    EDGES,
    METHODS,
    NAMED_CHUNKS,
    OME_ZARR_VERSIONS,
    ConversionOptions,
    available_cores,
)
from napari_ct_pyramid.parsing import parse_size
from napari_ct_pyramid.units import UNITS


def options(**asked: Any) -> ConversionOptions:
    return ConversionOptions(**{"chunks": (16, 16, 16)} | asked)


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("chunks", "visualization", (128, 128, 128)),
        ("chunks", "conversion", (32, 256, 256)),
        ("chunks", ["conversion"], (32, 256, 256)),
        ("chunks", "128 64 32", (128, 64, 32)),
        ("chunks", ["128", "64", "32"], (128, 64, 32)),
        ("chunks", np.array([128, 64, 32]), (128, 64, 32)),
        ("chunks", (128.0, 64, 32), (128, 64, 32)),
        ("chunks", 128, (128, 128, 128)),
        ("chunks", "128", (128, 128, 128)),
        ("chunks", "128,64,32", (128, 64, 32)),
        ("chunks", "128, 64, 32", (128, 64, 32)),
        ("chunks", "128x64×32", (128, 64, 32)),
        ("channel", None, None),
        ("channel", "0", 0),
        ("time", 12, 12),
        ("num_levels", "auto", None),
        ("num_levels", None, None),
        ("num_levels", "4", 4),
        ("num_levels", 1, 1),
        ("max_memory", "500M", 500_000_000),
        ("max_memory", 2**30, 2**30),
        ("method", "mode", "mode"),
        ("downsample", "auto", None),
        ("downsample", "1 2 2", (1, 2, 2)),
        ("downsample", (2, 2, 1), (2, 2, 1)),
        ("edges", "pad", "pad"),
        ("compressor", "zstd", "zstd"),
        ("compressor", "none", "none"),
        ("voxel_size", None, None),
        ("voxel_size", 0.65, (0.65, 0.65, 0.65)),
        ("voxel_size", np.float32(0.5), (0.5, 0.5, 0.5)),
        ("voxel_size", 2, (2.0, 2.0, 2.0)),
        ("voxel_size", "0.65", (0.65, 0.65, 0.65)),
        ("voxel_size", "1 0.65 6.5e-1", (1.0, 0.65, 0.65)),
        ("voxel_size", (1, 2, 3), (1.0, 2.0, 3.0)),
        ("voxel_size", "0,65", (0.65, 0.65, 0.65)),
        ("voxel_size", "650 nm", (650.0, 650.0, 650.0)),
        ("unit", None, None),
        *(
            ("unit", unit, "micrometer")
            for unit in (
                "micrometer",
                "um",
                "µm",
                "\N{GREEK SMALL LETTER MU}m",
                "micron",
                "microns",
                "Micrometers",
                "micrometre",
            )
        ),
        ("unit", "mm", "millimeter"),
        ("unit", "nm", "nanometer"),
        ("threads", None, None),
        ("threads", "3", 3),
        ("overwrite", True, True),
    ],
)
def test_what_users_write_becomes_a_plain_value(name: str, given: Any, value: Any) -> None:
    found = getattr(options(**{name: given}), name)
    assert found == value
    assert type(found) is type(value)
    if isinstance(found, tuple):
        assert [type(item) for item in found] == [type(item) for item in value]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("chunks", "0 128 128"),
        ("chunks", (128, -1, 128)),
        ("chunks", "128 128"),
        ("chunks", "1 2 3 4"),
        ("chunks", ""),
        ("chunks", ()),
        ("chunks", "visualisation"),
        ("chunks", "128.5 128 128"),
        ("chunks", (None, 1, 1)),
        ("chunks", (float("inf"), 1, 1)),
        ("chunks", (float("nan"), 1, 1)),
        ("num_levels", 0),
        ("num_levels", "-2"),
        ("num_levels", "2.5"),
        ("num_levels", "many"),
        ("max_memory", "4X"),
        ("max_memory", None),
        ("downsample", "1 1 1"),
        ("downsample", "3 3 3"),
        ("downsample", "2"),
        ("edges", "crop"),
        ("method", "best"),
        ("compressor", "gzip"),
        ("voxel_size", 0),
        ("voxel_size", "-1"),
        ("voxel_size", "1 2"),
        ("voxel_size", "0.65 px"),
        ("voxel_size", "1,625"),
        ("voxel_size", float("nan")),
        ("voxel_size", "inf"),
        ("voxel_size", (1, None, 1)),
        ("voxel_size", ""),
        ("unit", "parsnip"),
        ("unit", "second"),
        ("unit", ""),
        ("threads", 0),
        ("threads", "all"),
        ("chunks", "0"),
        ("chunks", "128,-1,128"),
        ("downsample", "1,1,1"),
        ("shards", "1 2"),
        ("shards", "0 1 1"),
        ("shards", "some"),
        ("dtype", "float16"),
        ("axes", "zzx"),
        ("axes", ""),
        ("crop", "1:2"),
        ("crop", "1:2,3,4"),
        ("crop", "a:b,,"),
        ("crop", 7),
        ("channel", -1),
        ("channel", "red"),
        ("time", 1.5),
        ("ome_zarr_version", "0.3"),
    ],
)
def test_nonsense_is_refused_in_one_sentence_that_shows_it(name: str, given: Any) -> None:
    with pytest.raises(RequestError) as raised:
        options(**{name: given})
    said = str(raised.value)
    shown = given if isinstance(given, str) else " ".join(map(str, given)) if isinstance(given, tuple) else str(given)
    assert repr(shown).strip("'") in said
    assert "\n" not in said
    assert said.endswith(".")


@pytest.mark.parametrize("name", ["method", "edges", "compressor", "ome_zarr_version", "dtype"])
def test_a_wrong_choice_names_all_choices(name: str) -> None:
    choices = {"method": METHODS, "edges": EDGES, "compressor": COMPRESSORS, "dtype": DTYPES}.get(
        name, OME_ZARR_VERSIONS
    )
    with pytest.raises(RequestError) as raised:
        options(**{name: "best"})
    assert all(choice in str(raised.value) for choice in choices)


@pytest.mark.parametrize("chunks", ["5000", "5000 5000 5000", (513, 512, 512)])
def test_a_chunk_too_large_to_be_compressed_in_one_piece_is_refused(chunks: Any) -> None:
    assert ConversionOptions(chunks=512).chunks == (512, 512, 512)
    with pytest.raises(RequestError, match=r"\d,\d{3} voxels"):
        ConversionOptions(chunks=chunks)


def test_a_missing_chunk_size_is_an_error_that_explains_both_names() -> None:
    with pytest.raises(RequestError) as raised:
        ConversionOptions()
    for name, chunks in NAMED_CHUNKS.items():
        assert Advice("chunks", name) in raised.value.message.parts
        assert " ".join(map(str, chunks)) in str(raised.value)


def test_shards_need_a_version_and_a_window_a_type() -> None:
    with pytest.raises(RequestError) as raised:
        options(shards=(32, 32, 32))
    assert Advice("ome_zarr_version", "0.5") in raised.value.message.parts
    with pytest.raises(RequestError) as raised:
        options(window=(0, 1))
    assert Advice("dtype", "uint8") in raised.value.message.parts
    assert options(dtype="uint8").window == "auto"
    assert options().shards is None
    assert options(ome_zarr_version="0.5").shards == "auto"


@pytest.mark.parametrize("size", ["650 nm", "650 nm 650 nm 1.3 µm", [650, 650, "1300 nm"]])
def test_the_unit_in_the_text_of_a_voxel_size_is_the_unit(size: Any) -> None:
    asked = options(voxel_size=size)
    assert asked.unit == "nanometer"
    assert options(voxel_size=size, unit="nm") == replace(asked) == asked
    with pytest.raises(RequestError):
        options(voxel_size=size, unit="µm")


def test_a_voxel_size_without_a_unit_has_none() -> None:
    assert options(voxel_size="0,65").unit is None
    assert options(voxel_size="0,65", unit="mm").unit == "millimeter"


def test_the_defaults_are_accepted_as_they_stand() -> None:
    asked = {option.name: option.default for option in fields(ConversionOptions)}
    assert asked["max_memory"] == "4G"  # as a user would write it, for help texts and fields
    assert ConversionOptions(**asked | {"chunks": "visualization"}) == ConversionOptions(chunks="visualization")


def test_every_option_has_all_that_a_user_interface_needs() -> None:
    for option in fields(ConversionOptions):
        about = option.metadata
        assert about["help"]
        assert (about["metavar"] is None) == (option.type == "bool")
        assert about["rare"] in (True, False)


def test_options_are_values() -> None:
    one = options(voxel_size=1)
    assert one == options(voxel_size="1 1 1")
    assert one != options()
    assert hash(one) == hash(options(voxel_size=[1, 1, 1]))
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(FrozenInstanceError):
        one.threads = 3  # type: ignore[misc]  # that is the point


def test_units_are_those_of_the_specification() -> None:
    assert len(UNITS) == len(set(UNITS)) == 26
    assert {"angstrom", "nanometer", "micrometer", "millimeter", "meter", "yard"} <= set(UNITS)
    assert all(options(unit=unit).unit == unit for unit in UNITS)


def test_threads_are_those_asked_for_or_every_core_this_process_may_use() -> None:
    assert options(threads=7).thread_count == 7
    assert options().thread_count == available_cores()
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4G", 4_000_000_000),
        ("4g", 4_000_000_000),
        ("500M", 500_000_000),
        ("2GB", 2_000_000_000),
        ("2 GB", 2_000_000_000),
        (" 2gb ", 2_000_000_000),
        ("1.5GiB", 3 * 2**29),
        ("1T", 10**12),
        ("1TiB", 2**40),
        ("7k", 7000),
        ("7kB", 7000),
        ("7KiB", 7168),
        ("4096", 4096),
        ("4096B", 4096),
        (4096, 4096),
        (4e9, 4_000_000_000),
        ("0.1G", 100_000_000),
        ("9007199254740993", 2**53 + 1),  # the first number that a float cannot hold
    ],
)
def test_sizes_as_people_write_them(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "4X", "", " ", "G", "4GG", "4iB", "4 G B", "-4G", "+4G", "4,5G", "1e9", "0x10", "nan", "inf", ".5G", "5.G",
        "four", "4G\n4G", None, True, "9" * 5000,
    ],
)  # fmt: skip
def test_nonsense_is_an_error_that_shows_how_sizes_look(text: object) -> None:
    with pytest.raises(RequestError) as raised:
        parse_size(text)  # type: ignore[arg-type]  # that is the point
    assert repr(str(text)) in str(raised.value)
    assert all(example in str(raised.value) for example in ("4G", "500M", "2GB"))


@pytest.mark.parametrize("text", ["0", "0G", "0.0", "0.4", 0])
def test_zero_bytes_is_not_a_size(text: str | int) -> None:
    with pytest.raises(RequestError) as raised:
        parse_size(text)
    assert repr(str(text)) in str(raised.value)


@given(st.integers(1, 10**18))
def test_a_plain_number_of_bytes_is_taken_as_it_is(size: int) -> None:
    assert parse_size(size) == parse_size(str(size)) == parse_size(f"{size}B") == size
