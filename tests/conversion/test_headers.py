"""Volumes of scanners, with a header, and raw ones, on the command line: convert, info, verify, resume, and faults."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from PIL import Image

import napari_ct_pyramid as ct
from napari_ct_pyramid.cli import main as cli
from napari_ct_pyramid.omezarr.kind import is_unfinished
from napari_ct_pyramid.options import SourceOptions
from napari_ct_pyramid.sources import deflated_rows
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.units import UNITS
from tests.helpers.compound import write_txm
from tests.helpers.dicoms import write_frames, write_series
from tests.helpers.headers import KINDS, SIZES_MM, vgi
from tests.helpers.scanco import write_aim
from tests.helpers.scans import OPTIONS, VOXELS, pyramid_files, small_blocks, write_scan

ASKED = ["-c", "8", "8", "16", "-l", "3", "--threads", "2", "--quiet"]
RAW = ["--raw-shape", "46", "32", "32", "--raw-dtype", "uint16"]
SOME = (
    "MetaImage, .mhd, compressed",
    "MetaImage, list",
    "NRRD, pattern",
    "NIfTI",
    "NIfTI, compressed",
    "MRC, xzy",
    "VGI",
)


def slices_with_a_log(folder: Path, volume: np.ndarray) -> Path:
    (folder / "scan_Rec").mkdir()
    for z, image in enumerate(volume):
        Image.fromarray(image).save(folder / "scan_Rec" / f"scan_rec{z:04}.png")
    (folder / "scan_Rec" / "scan_rec.log").write_text("[Reconstruction]\nPixel Size (um)=10\n")
    return folder / "scan_Rec"


WRITERS: dict[str, Callable[[Path, np.ndarray], Path]] = {
    **{name: KINDS[name] for name in SOME},
    "slices with a log": slices_with_a_log,
    "DICOM series": lambda folder, volume: write_series(folder / "series", volume),
    "DICOM series, compressed": lambda folder, volume: write_series(folder / "series", volume, "JPEG-LS"),
    "DICOM frames": lambda folder, volume: write_frames(folder / "scan.dcm", volume),
    "Zeiss": lambda folder, volume: write_txm(folder / "scan.txm", volume),
    "Zeiss, scattered": lambda folder, volume: write_txm(folder / "scan.txm", volume, seed=1),
    "Scanco": lambda folder, volume: write_aim(folder / "scan.aim", volume, "030"),
}


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    monkeypatch.setattr(deflated_rows, "UNIT_BYTES", 1)


def at_read(patch: pytest.MonkeyPatch, number: int, act: Callable[[], None]) -> list[int]:
    """Do something at a certain read of a source. Returns a list that gets an item at each read."""
    real: Any = Source.read
    calls: list[int] = []

    def read(self: Source, *args: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) == number:
            act()
        real(self, *args, **options)

    patch.setattr(Source, "read", read)
    return calls


@pytest.mark.parametrize("name", SOME)
def test_convert_info_and_verify(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = KINDS[name](tmp_path, VOXELS)
    output = tmp_path / "out.ome.zarr"
    assert cli.main(["convert", str(source), str(output), *ASKED]) == 0
    np.testing.assert_array_equal(
        np.asarray(zarr.open_array(output / "0", mode="r")), np.pad(VOXELS, ((0, 2), (0, 0), (0, 0)))
    )
    scales = json.loads((output / ".zattrs").read_text())["multiscales"][0]
    unit = scales["axes"][0]["unit"]
    (scale,) = [t["scale"] for t in scales["datasets"][0]["coordinateTransformations"] if t["type"] == "scale"]
    assert np.array(scale) * UNITS[unit] == pytest.approx(np.array(SIZES_MM) / 1000, rel=1e-6)
    capsys.readouterr()
    assert cli.main(["info", str(source)]) == 0
    assert "46 × 32 × 32" in capsys.readouterr().out
    assert cli.main(["verify", str(output), "--source", str(source)]) == 0


def test_the_files_are_those_of_the_same_tiff(tmp_path: Path) -> None:
    (tmp_path / "tiff").mkdir()
    ct.convert(write_scan(tmp_path / "tiff"), tmp_path / "tiff.ome.zarr", **OPTIONS)
    expected = pyramid_files(tmp_path / "tiff.ome.zarr")
    (tmp_path / "scan.raw").write_bytes(VOXELS.tobytes())
    raw = {"raw_shape": VOXELS.shape, "raw_dtype": "uint16"}
    ct.convert(tmp_path / "scan.raw", tmp_path / "raw.ome.zarr", **OPTIONS, **raw)
    chunks = {name: data for name, data in expected.items() if name[0].isdigit()}
    found = pyramid_files(tmp_path / "raw.ome.zarr")
    assert {name: found[name] for name in chunks} == chunks


class TestRaw:
    def test_without_its_shape_nothing_is_written(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "s_32x32x46_16bit.raw"
        path.write_bytes(VOXELS.tobytes())
        assert cli.main(["convert", str(path), *ASKED]) == 2
        said = capsys.readouterr().err
        assert "--raw-shape 46 32 32 and --raw-dtype uint16" in said
        assert [*tmp_path.iterdir()] == [path]
        assert cli.main(["convert", str(path), *ASKED, *RAW]) == 0
        assert cli.main(["verify", str(path.with_suffix(".ome.zarr")), "--source", str(path)]) == 0

    def test_info_takes_the_options(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "scan.raw").write_bytes(b"h" * 3 + VOXELS.tobytes())
        asked = ["--raw-shape", "46", "32", "32", "--raw-dtype", ">u2", "--raw-offset", "3"]
        assert cli.main(["info", str(tmp_path / "scan.raw"), *asked]) == 0
        assert "big-endian" in capsys.readouterr().out

    def test_options_that_a_message_advises_are_taken(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "scan.raw").write_bytes(b"h" * 8 + VOXELS.tobytes())
        asked = [
            "convert",
            str(tmp_path / "scan.raw"),
            *ASKED,
            *["--raw-shape", "46", "32", "32", "--raw-dtype", "uint16"],
        ]
        assert cli.main(asked) == 2
        assert "--raw-offset 8" in capsys.readouterr().err
        assert cli.main([*asked, "--raw-offset", "8"]) == 0


@pytest.mark.parametrize("name", WRITERS)
def test_interrupted_and_resumed(tmp_path: Path, name: str) -> None:
    source = WRITERS[name](tmp_path, VOXELS)

    def fail() -> None:
        raise ct.SourceError("the disk is gone")

    (tmp_path / "whole").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        reads = at_read(patch, 0, fail)
        ct.convert(source, tmp_path / "whole" / "out.ome.zarr", **OPTIONS)
    with pytest.MonkeyPatch.context() as patch:
        at_read(patch, len(reads), fail)
        with pytest.raises(ct.ConversionError):
            ct.convert(source, tmp_path / "out.ome.zarr", **OPTIONS)
    assert is_unfinished(tmp_path / "out.ome.zarr")
    assert ct.plan(source, tmp_path / "out.ome.zarr", **OPTIONS).blocks_done > 0
    ct.convert(source, tmp_path / "out.ome.zarr", **OPTIONS)
    assert pyramid_files(tmp_path / "out.ome.zarr") == pyramid_files(tmp_path / "whole" / "out.ome.zarr")


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("fault", ["shrinks", "is removed"])
def test_a_source_that_is_lost_while_it_is_read(
    tmp_path: Path, name: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "is removed" and os.name == "nt":
        pytest.skip("files that are open stay there")
    source = WRITERS[name](tmp_path, VOXELS)
    headers = (".mhd", ".nhdr", ".vgi", ".log")
    data = [file for file in tmp_path.rglob("*") if file.is_file() and file.suffix not in headers]

    def lose() -> None:
        for file in data:
            if fault == "shrinks":
                os.truncate(file, 400)
            else:
                file.unlink()

    at_read(monkeypatch, 20, lose)
    with pytest.raises(ct.ConversionError) as caught:
        ct.convert(source, tmp_path / "out.ome.zarr", **OPTIONS)
    assert any(file.name in str(caught.value) for file in [*data, source])
    assert is_unfinished(tmp_path / "out.ome.zarr")


def test_the_place_of_a_part(tmp_path: Path) -> None:
    source = KINDS["MetaImage, .mha"](tmp_path, VOXELS)
    with open_source(source, SourceOptions(crop="4:,8:,16:")) as part:
        assert part.volume.translation == pytest.approx((3 + 4 * 0.03, 2 + 8 * 0.02, 1 + 16 * 0.01))


def test_a_note_of_a_header_is_a_warning_of_the_plan(tmp_path: Path) -> None:
    path = vgi(tmp_path, VOXELS)
    path.write_text(path.read_text().replace("RegionOfInterestStart = 0 0 0", "RegionOfInterestStart = 0 2 0"))
    plan = ct.plan(path, **OPTIONS)
    assert any("RegionOfInterest" in str(warning) for warning in plan.warnings)
