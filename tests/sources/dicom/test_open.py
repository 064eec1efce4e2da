"""DICOM series and files of many frames: voxel for voxel, in the order of positions, which give the voxel size."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML, CTImageStorage, DeflatedExplicitVRLittleEndian, generate_uid

from napari_ct_pyramid.calibration import Calibration
from napari_ct_pyramid.errors import SingleSliceError, SourceError, SourceNotFoundError
from napari_ct_pyramid.sources.dicom import frames
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.dicoms import NAMES, dataset, write_frames, write_series
from tests.helpers.sources import read_whole
from tests.helpers.tiffs import coordinates

VOLUME = coordinates((6, 11, 8), "uint16")
TYPES = {"uint8": VOLUME.astype("u1"), "uint16": VOLUME, "int16": (VOLUME.astype("i4") - 300).astype("i2")}


def opened(path: Path | str) -> tuple[np.ndarray, Any]:
    with open_source(path) as source:
        return read_whole(source), source.volume


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("syntax", NAMES)
def test_a_series_and_its_frames(tmp_path: Path, syntax: str, dtype: str) -> None:
    expected = TYPES[dtype]
    for path in (write_series(tmp_path / "s", expected, syntax), write_frames(tmp_path / "m.dcm", expected, syntax)):
        voxels, volume = opened(path)
        np.testing.assert_array_equal(voxels, expected)
        assert voxels.dtype == expected.dtype
        assert (volume.voxel_size, volume.unit) == ((0.05, 0.03, 0.02), "millimeter")
        assert "ImagePositionPatient" in volume.voxel_size_from
        assert (volume.compression == "none") is (syntax in ("implicit", "explicit", "big-endian"))


@pytest.mark.parametrize("step", [0.0149, 0.005, 1.25, -0.05, 12])
def test_the_distance_is_that_of_the_positions_even_if_these_are_rounded(tmp_path: Path, step: float) -> None:
    write_series(tmp_path, VOLUME, SliceThickness=3, SpacingBetweenSlices=7)
    for file in tmp_path.iterdir():
        slice_ = dcmread(file)
        slice_.ImagePositionPatient = [0, 0, f"{(slice_.InstanceNumber - 1) * step:.4f}"]
        slice_.save_as(file)
    voxels, volume = opened(tmp_path)
    np.testing.assert_array_equal(voxels, VOLUME[:: 1 if step > 0 else -1])
    assert volume.voxel_size[0] == pytest.approx(abs(step), abs=2e-5)


def test_slices_that_are_oblique(tmp_path: Path) -> None:
    row, column = np.array([0.8, 0.6, 0]), np.array([0, 0, 1.0])
    write_series(tmp_path, VOLUME, ImageOrientationPatient=[*row, *column])
    for file in tmp_path.iterdir():
        slice_ = dcmread(file)
        slice_.ImagePositionPatient = [float(n) for n in np.cross(row, column) * slice_.InstanceNumber * 0.4]
        slice_.save_as(file)
    voxels, volume = opened(tmp_path)
    np.testing.assert_array_equal(voxels, VOLUME)
    assert volume.voxel_size == (0.4, 0.03, 0.02)


def test_the_place_of_the_first_voxel(tmp_path: Path) -> None:
    assert opened(write_series(tmp_path / "a", VOLUME))[1].translation == (10, 2.5, -1.5)
    turned = write_series(tmp_path / "b", VOLUME, ImageOrientationPatient=[0, 1, 0, -1, 0, 0])
    assert opened(turned)[1].translation == (0, 0, 0)  # its x axis is not that of space


def test_files_without_an_ending_among_other_files(tmp_path: Path) -> None:
    write_series(tmp_path, VOLUME, names=[f"1.2.840.{z}" for z in range(6)])
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / ".hidden.dcm").touch()
    directory = dataset(VOLUME[:1], SOPClassUID="1.2.840.10008.1.3.10")
    directory.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    np.testing.assert_array_equal(opened(tmp_path)[0], VOLUME)
    np.testing.assert_array_equal(opened(f"{tmp_path}/1.2.840.*")[0], VOLUME)


def test_slices_without_positions_are_ordered_by_their_numbers(tmp_path: Path) -> None:
    write_series(tmp_path / "a", VOLUME)
    strip(tmp_path / "a", "ImagePositionPatient")
    voxels, volume = opened(tmp_path / "a")
    np.testing.assert_array_equal(voxels, VOLUME)
    assert volume.voxel_size is None
    assert len(volume.notes) == 1
    write_series(tmp_path / "b", VOLUME, SpacingBetweenSlices=0.07)
    strip(tmp_path / "b", "ImagePositionPatient")
    assert opened(tmp_path / "b")[1].voxel_size == (0.07, 0.03, 0.02)


def test_positions_that_are_all_the_same_say_nothing(tmp_path: Path) -> None:
    write_series(tmp_path, VOLUME)
    every(ImagePositionPatient=[0, 0, 0])(tmp_path)
    voxels, volume = opened(tmp_path)
    np.testing.assert_array_equal(voxels, VOLUME)
    assert volume.voxel_size is None
    assert len(volume.notes) == 1


def test_frames_without_positions(tmp_path: Path) -> None:
    found = dataset(VOLUME, ImagePositionPatient=[0, 0, 0], SpacingBetweenSlices=0.5)
    found.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    voxels, volume = opened(tmp_path / "a.dcm")
    np.testing.assert_array_equal(voxels, VOLUME)
    assert volume.voxel_size == (0.5, 0.03, 0.02)


def strip(folder: Path, name: str) -> None:
    for file in folder.iterdir():
        found = dcmread(file)
        del found[name]
        found.save_as(file)


@pytest.mark.parametrize("signed", [False, True])
def test_unused_bits_are_cleared_and_signs_kept(tmp_path: Path, signed: bool) -> None:
    values = np.arange(VOLUME.size).reshape(VOLUME.shape) % 4096 - 2048 * signed
    garbage = np.random.default_rng(1).integers(0, 16, VOLUME.shape) << 12
    stored = (values & 0xFFF | garbage).astype("u2")
    write_series(tmp_path, stored, BitsStored=12, HighBit=11, PixelRepresentation=int(signed))
    voxels, _ = opened(tmp_path)
    np.testing.assert_array_equal(voxels, values)
    assert voxels.dtype == ("i2" if signed else "u2")


@pytest.mark.parametrize("syntax", ["JPEG 2000", "JPEG-LS"])
def test_twelve_bits_that_are_compressed(tmp_path: Path, syntax: str) -> None:
    values = VOLUME % 4096
    write_series(tmp_path, values, syntax, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(opened(tmp_path)[0], values)


def test_voxels_that_are_floats(tmp_path: Path) -> None:
    for z, image in enumerate(VOLUME.astype("f4")):
        found = dataset(VOLUME[z : z + 1], ImagePositionPatient=[0, 0, z], InstanceNumber=z + 1, BitsAllocated=32)
        del found.PixelData
        found.FloatPixelData = image.tobytes()
        found.save_as(tmp_path / f"{z}.dcm", enforce_file_format=True)
    voxels, volume = opened(tmp_path)
    np.testing.assert_array_equal(voxels, VOLUME)
    assert volume.dtype == "f4"


def test_inverted_grey_values_are_said(tmp_path: Path) -> None:
    write_series(tmp_path, VOLUME, PhotometricInterpretation="MONOCHROME1")
    voxels, volume = opened(tmp_path)
    np.testing.assert_array_equal(voxels, VOLUME)
    assert "MONOCHROME1" in volume.notes[0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, None),
        ({"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "US"}, None),
        ({"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU"}, Calibration(1, -1024, "HU")),
        ({"RescaleSlope": "0.25", "RescaleIntercept": "-7.5"}, Calibration(0.25, -7.5)),
        ({"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "HU"}, Calibration(1, 0, "HU")),
    ],
)
def test_what_voxels_stand_for(tmp_path: Path, values: dict[str, Any], expected: Calibration | None) -> None:
    voxels, volume = opened(write_series(tmp_path, VOLUME, **values))
    np.testing.assert_array_equal(voxels, VOLUME)
    assert volume.calibration == expected


def test_what_the_voxels_of_frames_stand_for(tmp_path: Path) -> None:
    path = write_frames(tmp_path / "a.dcm", VOLUME)
    found = dcmread(path)
    values = Dataset()
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 2, 5, "HU"
    found.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = [values]
    found.save_as(path)
    assert opened(path)[1].calibration == Calibration(2, 5, "HU")
    for group, slope in zip(found.PerFrameFunctionalGroupsSequence, range(1, 7), strict=True):
        own = Dataset()
        own.RescaleSlope, own.RescaleIntercept = slope, 0
        group.PixelValueTransformationSequence = [own]
    found.save_as(path)
    with pytest.raises(SourceError, match="slope"):
        open_source(path)


def two_series(folder: Path) -> None:
    for number in (4, 12):
        write_series(
            folder,
            VOLUME[:3] + number,
            names=[f"{number}_{z}.dcm" for z in range(3)],
            SeriesInstanceUID=generate_uid(),
            SeriesNumber=number,
            SeriesDescription=f"Series of {number}",
        )


def test_one_of_several_series(tmp_path: Path) -> None:
    two_series(tmp_path / "s")
    with pytest.raises(SourceError) as caught:
        open_source(tmp_path / "s")
    for fact in ("2 series", "4 (Series of 4, 3 × 11 × 8)", "12 (Series of 12", "s::"):
        assert fact in str(caught.value)
    for name in ("12", "Series of 12"):
        np.testing.assert_array_equal(opened(f"{tmp_path / 's'}::{name}")[0], VOLUME[:3] + 12)
    np.testing.assert_array_equal(opened(f"{tmp_path / 's'}/4_*.dcm")[0], VOLUME[:3] + 4)
    with pytest.raises(SourceError) as caught:
        open_source(f"{tmp_path / 's'}::5")
    assert "none is 5" in str(caught.value)


def change(**values: Any) -> Callable[[Path], None]:
    """Change one slice of a series."""

    def act(folder: Path) -> None:
        found = dcmread(folder / "IM0004.dcm")
        for name, value in values.items():
            setattr(found, name, value)
        found.save_as(folder / "IM0004.dcm")

    return act


def every(**values: Any) -> Callable[[Path], None]:
    """Change all slices of a series."""

    def act(folder: Path) -> None:
        for file in folder.iterdir():
            found = dcmread(file)
            for name, value in values.items():
                setattr(found, name, value)
            found.save_as(file)

    return act


def other_size(folder: Path) -> None:
    dataset(VOLUME[:1, :, :5], ImagePositionPatient=[0, 0, 10.05], InstanceNumber=2).save_as(
        folder / "IM0004.dcm", enforce_file_format=True
    )


def deflate(folder: Path) -> None:
    found = dcmread(folder / "IM0004.dcm")
    found.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    found.save_as(folder / "IM0004.dcm")


def video(folder: Path) -> None:
    for file in folder.iterdir():
        found = dcmread(file)
        found.file_meta.TransferSyntaxUID = MPEG2MPML
        found.PixelData = encapsulate([b"1234"])
        found["PixelData"].VR = "OB"
        found["PixelData"].is_undefined_length = True
        found.save_as(file)


def in_parts(folder: Path) -> None:
    found = dataset(VOLUME[:1], "JPEG 2000", ImagePositionPatient=[0, 0, 10.05])
    found.PixelData = encapsulate([b"1234" * 10], fragments_per_frame=2)
    found.save_as(folder / "IM0004.dcm", enforce_file_format=True)


def cut(folder: Path) -> None:
    data = (folder / "IM0004.dcm").read_bytes()
    (folder / "IM0004.dcm").write_bytes(data[:-10])


BAD: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    # slice 4 of 6, at 10.15 mm, is IM0000; IM0004 is slice 2, at 10.05 mm
    "gap": (lambda f: (f / "IM0004.dcm").unlink(), ("1 slice is missing", "IM0003.dcm", "IM0005.dcm", "0.1 mm")),
    "gaps": (lambda f: [(f / f"IM000{n}.dcm").unlink() for n in (5, 0)], ("2 slices are missing", "0.15 mm")),
    "twice": (change(ImagePositionPatient=[-1.5, 2.5, 10.1]), ("same position", "IM0004.dcm", "IM0005.dcm")),
    "direction": (change(ImageOrientationPatient=[0, 1, 0, 0, 0, 1]), ("IM0004.dcm", "direction")),
    "size": (other_size, ("IM0004.dcm", "11 × 5", "11 × 8")),
    "pixel size": (change(PixelSpacing=[0.03, 0.03]), ("IM0004.dcm", "size")),
    "slope": (change(RescaleSlope=2, RescaleIntercept=0), ("IM0004.dcm", "slope")),
    "colours": (every(PhotometricInterpretation="PALETTE COLOR"), ("colours", "PALETTE COLOR")),
    "bits": (every(BitsAllocated=1, BitsStored=1, HighBit=0), ("1 bits",)),
    "high bit": (every(BitsStored=12, HighBit=15), ("12 bits", "bit 15")),
    "deflated": (deflate, ("IM0004.dcm", "Deflated")),
    "video": (video, ("1.2.840.10008.1.2.4.100",)),
    "in parts": (in_parts, ("IM0004.dcm", "2 parts")),
    "cut short": (cut, ("IM0004.dcm", "166 of the 176 bytes")),
    "no dicom": (lambda f: (f / "IM0004.dcm").write_text("hello"), ("IM0004.dcm", "not a DICOM file")),
    "one": (lambda f: [(f / f"IM000{n}.dcm").unlink() for n in range(1, 6)], ("single slice", "IM0000.dcm")),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_slices_that_do_not_fit_are_named(tmp_path: Path, name: str) -> None:
    folder = write_series(tmp_path / "s", VOLUME)
    make, facts = BAD[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydicom, when it writes what is wrong
        make(folder)
    with pytest.raises(SourceError) as caught:
        open_source(folder)
    assert str(folder) in str(caught.value)
    assert [fact for fact in facts if fact not in str(caught.value)] == []


def test_numbers_that_leave_a_gap_or_occur_twice(tmp_path: Path) -> None:
    write_series(tmp_path / "a", VOLUME, ImageOrientationPatient=None)
    (tmp_path / "a" / "IM0004.dcm").unlink()
    with pytest.raises(SourceError, match="missing"):
        open_source(tmp_path / "a")
    change(InstanceNumber=3)(write_series(tmp_path / "b", VOLUME, ImageOrientationPatient=None))
    with pytest.raises(SourceError, match="same instance number"):
        open_source(tmp_path / "b")
    strip(write_series(tmp_path / "c", VOLUME, ImageOrientationPatient=None), "InstanceNumber")
    with pytest.raises(SourceError, match="order"):
        open_source(tmp_path / "c")


def test_a_lone_slice_offers_its_folder(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", VOLUME)
    with pytest.raises(SingleSliceError) as caught:
        open_source(folder / "IM0000.dcm")
    assert caught.value.volume == str(folder)


def test_a_folder_without_pixels(tmp_path: Path) -> None:
    found = dataset(VOLUME[:1], Rows=None)
    found.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(SourceNotFoundError):
        open_source(tmp_path)
    with pytest.raises(SourceError, match="without pixels"):
        open_source(tmp_path / "a.dcm")


def test_only_headers_are_read_to_open(tmp_path: Path, bytes_read: list[int]) -> None:
    with open_source(write_series(tmp_path, VOLUME)) as source:
        assert bytes_read == []
        assert source.volume.granularity == (1, 1, 8)
        out = np.empty((1, 2, 8), "u2")
        source.read(3, 4, 5, 7, out)
        np.testing.assert_array_equal(out, VOLUME[3:4, 5:7])
        assert sum(bytes_read) == out.nbytes


def test_headers_are_read_once_unless_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path, VOLUME)
    for file in tmp_path.iterdir():
        os.utime(file, (1e9, 1e9))
    monkeypatch.setattr(frames, "_SETTLED_SECONDS", -1)  # nothing can set the time of the last change of an inode
    read: list[str] = []
    monkeypatch.setattr(
        pydicom, "dcmread", lambda file, **options: (read.append(file.name), dcmread(file, **options))[1]
    )
    for _ in range(2):
        np.testing.assert_array_equal(opened(tmp_path)[0], VOLUME)
    assert len(read) == 6
    data = (tmp_path / "IM0004.dcm").read_bytes()
    (tmp_path / "IM0004.dcm").write_bytes(data[:-2])
    with pytest.raises(SourceError, match=r"IM0004\.dcm is cut short"):
        open_source(tmp_path)


def test_the_class_of_the_files_does_not_matter(tmp_path: Path) -> None:
    assert CTImageStorage == dcmread(write_series(tmp_path, VOLUME) / "IM0000.dcm").SOPClassUID
    every(SOPClassUID="1.2.840.10008.5.1.4.1.1.7")(tmp_path)
    np.testing.assert_array_equal(opened(tmp_path)[0], VOLUME)


def test_dicom_without_pydicom(tmp_path: Path) -> None:
    code = "import sys; sys.modules['pydicom'] = None\nfrom napari_ct_pyramid.cli.main import main\nsys.exit(main())"
    path = str(write_series(tmp_path / "s", VOLUME))
    done = subprocess.run([sys.executable, "-c", code, "info", path], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'napari-ct-pyramid[dicom]'" in done.stderr
    assert done.stderr.count("\n") == 1
