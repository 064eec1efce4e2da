"""The public functions: their parameters are the options, and their messages are for Python."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import napari_ct_pyramid as ct
from tests.helpers.scans import write_scan

OPTIONS = {option.name: option.default for option in fields(ct.ConversionOptions)}
CONVERTING = [ct.plan, ct.convert, ct.iter_convert, ct.convert_many, ct.iter_plan_many]
VERIFYING = [ct.verify, ct.iter_verify, ct.iter_verify_many]
OTHERS = {"src", "dst", "sources", "output_dir", "outputs", "output", "source", "repair", "client", "progress", "batch"}


def parameters(function: Callable[..., Any]) -> dict[str, Any]:
    """The options among a function's parameters, with their defaults."""
    signature = inspect.signature(function)
    return {name: one.default for name, one in signature.parameters.items() if name not in OTHERS}


@pytest.mark.parametrize("function", CONVERTING, ids=lambda f: f.__name__)
def test_the_parameters_are_the_options_with_their_defaults(function: Callable[..., Any]) -> None:
    assert parameters(function) == OPTIONS
    kinds = {one.kind for name, one in inspect.signature(function).parameters.items() if name in OPTIONS}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("function", VERIFYING, ids=lambda f: f.__name__)
def test_the_parameters_of_verifying_are_two_of_them(function: Callable[..., Any]) -> None:
    assert parameters(function) == {name: OPTIONS[name] for name in ("max_memory", "threads")}


@pytest.mark.parametrize("function", CONVERTING + VERIFYING, ids=lambda f: f.__name__)
def test_help_describes_every_parameter(function: Callable[..., Any]) -> None:
    text = inspect.getdoc(function) or ""
    entries = [line.partition(" : ")[0] for line in text.splitlines() if " : " in line and not line.startswith(" ")]
    assert entries == list(dict.fromkeys(entries))
    assert set(entries) == set(inspect.signature(function).parameters)
    assert "{" not in text
    assert max(map(len, text.splitlines())) <= 120
    for name, default in parameters(function).items():
        assert name == "chunks" or f", default {default!r}\n" in text


@pytest.mark.parametrize("function", CONVERTING, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("misspelt", "meant"), [("chunk", "chunks"), ("voxelsize", "voxel_size"), ("level", "num_levels")]
)
def test_a_misspelt_parameter_is_named_with_the_nearest(
    function: Callable[..., Any], misspelt: str, meant: str
) -> None:
    with pytest.raises(TypeError, match=f"{function.__name__}.*{misspelt!r}.*{meant!r}"):
        function("scan.tif", **{misspelt: 1})


def test_a_parameter_unlike_any_other_lists_all_parameters() -> None:
    with pytest.raises(TypeError, match=r"'qqq'.*output, source, repair, max_memory, threads, progress"):
        ct.verify("scan.ome.zarr", qqq=1)  # type: ignore[call-arg]


def ask(scan: Path, **options: Any) -> None:
    ct.plan(scan, **{"chunks": (8, 8, 8), **options})


BAD: dict[str, Callable[[Path], object]] = {
    "no chunks": lambda scan: ct.plan(scan),
    "zero chunks": lambda scan: ask(scan, chunks=0),
    "too many levels": lambda scan: ask(scan, num_levels=9),
    "much too many levels": lambda scan: ask(scan, num_levels=1000, edges="pad"),
    "no levels": lambda scan: ask(scan, num_levels=0),
    "a window without a type": lambda scan: ask(scan, window=(0, 1)),
    "a window upside down": lambda scan: ask(scan, dtype="uint8", window=(1, 0)),
    "a type of 64-bit integers only": lambda scan: ask(scan, dtype="int16"),
    "an unknown type": lambda scan: ask(scan, dtype="float16"),
    "an unknown method": lambda scan: ask(scan, method="best"),
    "factors of three": lambda scan: ask(scan, downsample=(3, 3, 3)),
    "unknown edges": lambda scan: ask(scan, edges="cut"),
    "no budget": lambda scan: ask(scan, max_memory="many"),
    "a small budget": lambda scan: ask(scan, max_memory=1),
    "an unknown compressor": lambda scan: ask(scan, compressor="gzip"),
    "shards in 0.4": lambda scan: ask(scan, shards=(16, 16, 16)),
    "shards of no whole chunks": lambda scan: ask(scan, ome_zarr_version="0.5", shards=(9, 9, 9)),
    "an unknown version": lambda scan: ask(scan, ome_zarr_version="0.3"),
    "a voxel size below zero": lambda scan: ask(scan, voxel_size=-1),
    "an unknown unit": lambda scan: ask(scan, voxel_size=1, unit="parrot"),
    "two axes": lambda scan: ask(scan, axes="zy"),
    "nothing of the source": lambda scan: ask(scan, crop="5:5,,"),
    "more than the source": lambda scan: ask(scan, crop="50:60,,"),
    "no threads": lambda scan: ask(scan, threads=0),
    "no source": lambda scan: ct.plan(scan.with_name("nothing.tif"), chunks=8),
    "a source of no volume": lambda scan: ct.plan(Path(__file__), chunks=8),
    "the output is the source": lambda scan: ct.plan(scan, scan, chunks=8),
    "no folder for the output": lambda scan: ct.plan(scan, scan.parent / "no" / "scan.zarr", chunks=8),
    "an output that exists": lambda scan: ct.plan(scan, scan.parent / "made.zarr", chunks=8),
    "no sources": lambda scan: ct.convert_many([], chunks=8),
    "no folder for the outputs": lambda scan: ct.convert_many([scan], scan.parent / "no" / "outputs", chunks=8),
    "a repair without a source": lambda scan: ct.verify(scan.parent / "made.zarr", repair=True),
    "nothing to verify": lambda scan: ct.verify(scan),
    "a source for an image of no conversion": lambda scan: ct.verify(scan.parent),
}


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_scan(tmp_path_factory.mktemp("asked"))
    ct.convert(path, path.parent / "made.zarr", chunks=8)
    return path


@pytest.mark.parametrize("request_name", BAD)
def test_no_message_for_python_names_a_flag_of_the_command_line(scan: Path, request_name: str) -> None:
    with pytest.raises(ct.CtPyramidError) as caught:
        BAD[request_name](scan)
    text = str(caught.value)
    for flag in (" -c", " -l", " --", "(--", "(-"):
        assert flag not in text
    assert "ct-pyramid convert" not in text
