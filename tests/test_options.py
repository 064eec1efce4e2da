"""The options: what users write becomes plain values or one sentence, and faces can be made of them."""

from __future__ import annotations

import os
import pickle
from dataclasses import FrozenInstanceError, fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.options import NAMED_CHUNKS, UNITS, ConversionOptions, available_cores, parse_size


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
    ("name", "given", "sentence"),
    [
        ("chunks", "0 128 128", r"^'0 128 128' is not a chunk size: it takes three whole numbers above zero"),
        ("chunks", (128, -1, 128), "^'128 -1 128' is not a chunk size"),
        ("chunks", "128 128", "^'128 128' is not a chunk size"),
        ("chunks", "1 2 3 4", "^'1 2 3 4' is not a chunk size"),
        ("chunks", "", "^'' is not a chunk size"),
        ("chunks", (), "^'' is not a chunk size"),
        ("chunks", "visualisation", "^'visualisation' is not a chunk size.* names visualization and conversion"),
        ("chunks", "128.5 128 128", "^'128.5 128 128' is not a chunk size"),
        ("chunks", (None, 1, 1), "^'None 1 1' is not a chunk size"),
        ("chunks", (float("inf"), 1, 1), "is not a chunk size"),
        ("chunks", (float("nan"), 1, 1), "is not a chunk size"),
        ("num_levels", 0, "^0 is not a number of levels: it takes a whole number from 1 up, or auto"),
        ("num_levels", "-2", "^'-2' is not a number of levels"),
        ("num_levels", "2.5", "is not a number of levels"),
        ("num_levels", "many", "is not a number of levels"),
        ("max_memory", "4X", "^'4X' is not a size"),
        ("max_memory", None, "is not a size"),
        ("downsample", "1 1 1", "^'1 1 1' is not how levels can become smaller"),
        ("downsample", "3 3 3", "it takes 1 or 2 for each of z, y and x"),
        ("downsample", "2", "it takes 1 or 2 for each of z, y and x"),
        ("edges", "crop", "^'crop' is not a way with edges. Try one of strict, pad"),
        ("method", "best", "^'best' is not a method. Try one of mean, median, mode"),
        ("compressor", "gzip", "^'gzip' is not a compressor. Try one of lz4, zstd, none"),
        ("voxel_size", 0, "^'0' is not a voxel size: it takes one number above zero, or three"),
        ("voxel_size", "-1", "^'-1' is not a voxel size"),
        ("voxel_size", "1 2", "^'1 2' is not a voxel size"),
        ("voxel_size", "0,65", "^'0,65' is not a voxel size"),
        ("voxel_size", "0.65um", "is not a voxel size.* unit is given on its own"),
        ("voxel_size", float("nan"), "is not a voxel size"),
        ("voxel_size", "inf", "is not a voxel size"),
        ("voxel_size", (1, None, 1), "is not a voxel size"),
        ("voxel_size", "", "is not a voxel size"),
        ("unit", "parsnip", "^'parsnip' is not a unit of length that OME-Zarr knows. Try one of nanometer, micrometer"),
        ("unit", "second", "is not a unit of length"),
        ("unit", "", "is not a unit of length"),
        ("threads", 0, "^0 is not a number of threads: it takes a whole number from 1 up"),
        ("threads", "all", "is not a number of threads"),
    ],
)
def test_nonsense_is_refused_in_one_sentence_that_says_what_would_do(name: str, given: Any, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence) as raised:
        options(**{name: given})
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith(".")


def test_a_missing_chunk_size_is_an_error_that_explains_both_names() -> None:
    with pytest.raises(RequestError) as raised:
        ConversionOptions()
    for name, chunks in NAMED_CHUNKS.items():
        assert f"-c {name}" in str(raised.value)
        assert " ".join(map(str, chunks)) in str(raised.value)


def test_the_defaults_are_accepted_as_they_stand() -> None:
    asked = {option.name: option.default for option in fields(ConversionOptions)}
    assert asked["max_memory"] == "4G"  # as a user would write it, for help texts and fields
    assert ConversionOptions(**asked | {"chunks": "visualization"}) == ConversionOptions(chunks="visualization")


def test_every_option_has_all_that_a_face_needs() -> None:
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
    with pytest.raises(RequestError, match=r'is not a size\. Try "4G", "500M", "2GB"'):
        parse_size(text)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("text", ["0", "0G", "0.0", "0.4", 0])
def test_nothing_is_no_size(text: str | int) -> None:
    with pytest.raises(RequestError, match="less than one byte"):
        parse_size(text)


@given(st.integers(1, 10**18))
def test_a_plain_number_of_bytes_is_taken_as_it_is(size: int) -> None:
    assert parse_size(size) == parse_size(str(size)) == parse_size(f"{size}B") == size
