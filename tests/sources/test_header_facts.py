"""What headers may state besides shape and type: turned axes, several volumes, files elsewhere, what cannot be read."""

from __future__ import annotations

import gzip
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import mrcfile
import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK

from napari_ct_pyramid.errors import SeveralVolumesError, SourceError
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import SourceOptions
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.headers import NRRD_SPACE, metaimage, metaimage_text, mrc, nifti, nrrd_file
from tests.helpers.sources import read_whole
from tests.helpers.tiffs import coordinates

SHAPE = (9, 22, 17)
VOXELS = coordinates(SHAPE, "uint16")
TURNED = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
FLIPPED = np.diag([-1.0, -1, 1])


def volume_of(path: Path) -> Volume:
    with open_source(path) as source:
        np.testing.assert_array_equal(read_whole(source), VOXELS)
        return source.volume


class TestAxesThatAreTurnedOrFlipped:
    """The voxels keep their order, the voxel size is kept, the place is not, and that is said."""

    def check(self, path: Path) -> None:
        volume = volume_of(path)
        assert volume.voxel_size == pytest.approx((0.03, 0.02, 0.01), rel=1e-6)
        assert volume.translation == (0, 0, 0)
        assert len(volume.notes) == 1

    @pytest.mark.parametrize("matrix", [TURNED, FLIPPED])
    @pytest.mark.parametrize("name", ["scan.mha", "scan.nrrd", "scan.nii"])
    def test_by_itk(self, tmp_path: Path, name: str, matrix: np.ndarray) -> None:
        image = SimpleITK.GetImageFromArray(VOXELS)
        image.SetSpacing((0.01, 0.02, 0.03))
        image.SetOrigin((1, 2, 3))
        if name == "scan.nii" and matrix is FLIPPED:
            matrix = np.eye(3)  # ITK's axes point the other way than those of NIfTI
        image.SetDirection(matrix.ravel().tolist())
        SimpleITK.WriteImage(image, str(tmp_path / name))
        self.check(tmp_path / name)

    @pytest.mark.parametrize("matrix", [TURNED, FLIPPED])
    @pytest.mark.parametrize("form", ["sform", "qform"])
    def test_nifti(self, tmp_path: Path, form: str, matrix: np.ndarray) -> None:
        affine = np.eye(4)
        affine[:3, :3] = matrix * [0.01, 0.02, 0.03]
        affine[:3, 3] = 1, 2, 3
        image = nibabel.Nifti1Image(VOXELS.T, affine)
        image.set_sform(affine if form == "sform" else None, code=int(form == "sform"))
        image.set_qform(affine, code=int(form == "qform"))
        nibabel.save(image, tmp_path / "scan.nii")
        self.check(tmp_path / "scan.nii")


class TestCalibration:
    def test_nifti(self, tmp_path: Path) -> None:
        image = nibabel.Nifti1Image(VOXELS.T, np.eye(4))
        image.header.set_slope_inter(0.25, -1000)
        nibabel.save(image, tmp_path / "scan.nii")
        with open_source(tmp_path / "scan.nii") as source:
            stored = read_whole(source)
            calibration = source.volume.calibration
        assert calibration
        expected = nibabel.load(tmp_path / "scan.nii").get_fdata().T
        np.testing.assert_allclose(stored * calibration.slope + calibration.intercept, expected)
        assert stored.dtype == "uint16"

    @pytest.mark.parametrize(("slope", "intercept"), [(0, 5), (float("nan"), 0), (1, 0)])
    def test_nifti_without_one(self, tmp_path: Path, slope: float, intercept: float) -> None:
        path = nifti("scan.nii")(tmp_path, VOXELS)
        with path.open("r+b") as file:
            file.seek(112)
            file.write(struct.pack("<ff", slope, intercept))
        assert volume_of(path).calibration is None

    def test_nifti_with_an_infinite_intercept(self, tmp_path: Path) -> None:
        path = nifti("scan.nii")(tmp_path, VOXELS)
        with path.open("r+b") as file:
            file.seek(112)
            file.write(struct.pack("<ff", 2, float("inf")))
        with pytest.raises(SourceError, match=r"scan\.nii"):
            open_source(path)


class TestUnits:
    def test_nifti_without_a_unit(self, tmp_path: Path) -> None:
        volume = volume_of(nifti("scan.nii", unit="unknown")(tmp_path, VOXELS))
        assert (volume.voxel_size, volume.unit) == ((0.03, 0.02, 0.01), None)

    def test_nifti_without_a_place(self, tmp_path: Path) -> None:
        image = nibabel.Nifti1Image(VOXELS.T, None)
        image.header.set_zooms((0.01, 0.02, 0.03))
        nibabel.save(image, tmp_path / "scan.nii")
        assert volume_of(tmp_path / "scan.nii").translation == (0, 0, 0)

    @pytest.mark.parametrize(
        ("fields", "size", "unit"),
        [
            ({"spacings": [0.01, 0.02, 0.03], "units": ["mm", "mm", "mm"]}, (0.03, 0.02, 0.01), "millimeter"),
            ({"spacings": [10, 20, 0.03], "units": ["um", "um", "mm"]}, (0.03, 0.02, 0.01), "millimeter"),
            ({"spacings": [0.01, 0.02, 0.03]}, (0.03, 0.02, 0.01), None),
            ({"spacings": [0.01, 0.02, float("nan")]}, None, None),
            ({**NRRD_SPACE, "space units": ["mm", "um", "mm"]}, (0.03, 0.02, 0.01), None),
            ({}, None, None),
        ],
    )
    def test_nrrd(
        self, tmp_path: Path, fields: dict[str, object], size: tuple[float, ...] | None, unit: str | None
    ) -> None:
        nrrd.write(str(tmp_path / "scan.nrrd"), VOXELS, {"encoding": "raw", **fields}, index_order="C")
        volume = volume_of(tmp_path / "scan.nrrd")
        assert (volume.voxel_size and pytest.approx(volume.voxel_size), volume.unit) == (size, unit)

    @pytest.mark.parametrize("lines", [("ElementSpacing = 0.01 0.02 0",), ("ElementSpacing = 0 0 0",)])
    def test_metaimage_with_a_spacing_of_zero(self, tmp_path: Path, lines: tuple[str, ...]) -> None:
        (tmp_path / "scan.raw").write_bytes(VOXELS.tobytes())
        volume = volume_of(metaimage_text(tmp_path, VOXELS, "scan.raw", lines))
        assert (volume.voxel_size, volume.unit, volume.translation) == (None, None, (0, 0, 0))

    def test_metaimage_with_the_size_that_programs_write_without_one(self, tmp_path: Path) -> None:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VOXELS), str(tmp_path / "scan.mha"))
        volume = volume_of(tmp_path / "scan.mha")
        assert (volume.voxel_size, volume.unit, len(volume.notes)) == ((1, 1, 1), "millimeter", 1)

    def test_mrc_without_a_cell(self, tmp_path: Path) -> None:
        with mrcfile.new(tmp_path / "scan.mrc") as file:
            file.set_data(VOXELS)
        assert volume_of(tmp_path / "scan.mrc").voxel_size is None


class TestSeveralVolumes:
    VOLUMES = np.stack([VOXELS, VOXELS + 1, VOXELS + 2])

    def check(self, path: Path) -> None:
        with pytest.raises(SeveralVolumesError) as caught:
            open_source(path)
        assert caught.value.times == 3
        for number in range(3):
            with open_source(path, SourceOptions(time=number)) as source:
                np.testing.assert_array_equal(read_whole(source), VOXELS + number)

    @pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
    def test_nifti(self, tmp_path: Path, name: str) -> None:
        self.check(nifti(name)(tmp_path, self.VOLUMES))

    @pytest.mark.parametrize("encoding", ["raw", "gzip"])
    def test_nrrd(self, tmp_path: Path, encoding: str) -> None:
        nrrd.write(str(tmp_path / "scan.nrrd"), self.VOLUMES, {"encoding": encoding}, index_order="C")
        self.check(tmp_path / "scan.nrrd")

    @pytest.mark.parametrize("compressed", [False, True])
    def test_metaimage(self, tmp_path: Path, compressed: bool) -> None:
        image = SimpleITK.JoinSeries([SimpleITK.GetImageFromArray(volume) for volume in self.VOLUMES])
        SimpleITK.WriteImage(image, str(tmp_path / "scan.mha"), compressed)
        self.check(tmp_path / "scan.mha")

    def write_metaimage(self, folder: Path, data: str, skip: int) -> Path:
        path = metaimage_text(folder, VOXELS, data, (f"HeaderSize = {skip}",))
        of_four = {"NDims = 3": "NDims = 4", "17 22 9": "17 22 9 3", "0.03": "0.03 1", "1 2 3\n": "1 2 3 0\n"}
        text = path.read_text()
        for before, after in of_four.items():
            text = text.replace(before, after)
        path.write_text(text)
        return path

    PARTS: ClassVar[dict[str, tuple[int, str]]] = {
        "volumes": (3, "LIST\n{0}\n{1}\n{2}"),
        "also volumes": (3, "LIST 3\n{0}\n{1}\n{2}"),
        "slices": (27, "LIST 2\n" + "\n".join(f"{{{n}}}" for n in range(27))),
        "numbered": (3, "p%d.raw"),
        "numbered from 0": (3, "p%d.raw 0"),
        "numbered in steps": (3, "p%d.raw 0 4 2"),
    }

    @pytest.mark.parametrize("kind", PARTS)
    @pytest.mark.parametrize("skip", [0, 5, -1])
    def test_metaimage_in_several_files(self, tmp_path: Path, kind: str, skip: int) -> None:
        count, data = self.PARTS[kind]
        numbers = {"numbered": range(1, 4), "numbered in steps": range(0, 6, 2)}.get(kind, range(count))
        names = [f"p{number}.raw" for number in numbers]
        for name, part in zip(names, self.VOLUMES.reshape(count, -1), strict=True):
            (tmp_path / name).write_bytes(b"h" * abs(skip) + part.tobytes())
        path = self.write_metaimage(tmp_path, data.format(*names), skip)
        self.check(path)
        itk = SimpleITK.ReadImage(str(path))
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(itk), self.VOLUMES)

    def test_metaimage_in_files_with_numbers_and_spaces_in_their_names(self, tmp_path: Path) -> None:
        for z, voxels in enumerate(VOXELS):
            (tmp_path / f"scan 5 {z + 3}.raw").write_bytes(voxels.tobytes())
        volume_of(metaimage_text(tmp_path, VOXELS, "scan 5 %d.raw 3"))

    @pytest.mark.parametrize("name", ["scan.mha", "scan.mhd"])
    def test_metaimage_at_the_end_of_its_file(self, tmp_path: Path, name: str) -> None:
        local = name == "scan.mha"
        path = self.write_metaimage(tmp_path, "LOCAL" if local else "scan.raw", -1)
        with (path if local else tmp_path / "scan.raw").open("ab") as file:
            file.write(b"other" + self.VOLUMES.tobytes())
        self.check(path)

    def test_a_last_axis_of_one_is_none(self, tmp_path: Path) -> None:
        volume_of(nifti("scan.nii")(tmp_path, VOXELS[None]))

    def test_colours_are_refused(self, tmp_path: Path) -> None:
        colours = SimpleITK.GetImageFromArray(np.stack([VOXELS] * 3, axis=-1), isVector=True)
        for name in ("scan.mha", "scan.nrrd", "scan.nii"):
            SimpleITK.WriteImage(colours, str(tmp_path / name))
            with pytest.raises(SourceError) as caught:
                open_source(tmp_path / name)
            assert str(tmp_path / name) in str(caught.value)

    def test_a_stack_of_mrc_volumes_is_refused(self, tmp_path: Path) -> None:
        with mrcfile.new(tmp_path / "scan.mrc") as file:
            file.set_data(VOXELS.reshape(3, 3, 22, 17))
        with pytest.raises(SourceError, match="3 volumes of 3 slices"):
            open_source(tmp_path / "scan.mrc")

    def test_an_image_is_not_a_volume(self, tmp_path: Path) -> None:
        image = SimpleITK.GetImageFromArray(VOXELS[0])
        for name in ("scan.mha", "scan.nrrd", "scan.nii"):
            SimpleITK.WriteImage(image, str(tmp_path / name))
            with pytest.raises(SourceError, match="22 × 17"):
                open_source(tmp_path / name)


class TestWhatCannotBeRead:
    def test_nrrd_of_other_encodings(self, tmp_path: Path) -> None:
        for encoding in ("bzip2", "ascii"):
            nrrd.write(str(tmp_path / "scan.nrrd"), VOXELS, {"encoding": encoding}, index_order="C")
            with pytest.raises(SourceError, match=encoding):
                open_source(tmp_path / "scan.nrrd")

    @pytest.mark.parametrize(
        "lines",
        [("BinaryData = False",), ("ObjectType = Tube",), ("ElementType = MET_STRING",), ("DimSize = 17 22 9.5",),
         ("ElementNumberOfChannels = 2",), ("Offset = a b c",), ("TransformMatrix = 1 0 0",), ("HeaderSize = x",),
         ("HeaderSize = -2",), ("HeaderSize = -1", "CompressedData = True")],
    )  # fmt: skip
    def test_metaimage(self, tmp_path: Path, lines: tuple[str, ...]) -> None:
        (tmp_path / "scan.raw").write_bytes(VOXELS.tobytes())
        with pytest.raises(SourceError) as caught:
            open_source(metaimage_text(tmp_path, VOXELS, "scan.raw", lines))
        assert str(tmp_path / "scan.mhd") in str(caught.value)

    @pytest.mark.parametrize("data", ["LIST\na.raw", "LIST 2\na.raw", "s_%03d.raw 1 3 1", "s_%03d.raw 1 9 0"])
    def test_metaimage_with_another_number_of_files(self, tmp_path: Path, data: str) -> None:
        with pytest.raises(SourceError, match="9 slices"):
            open_source(metaimage_text(tmp_path, VOXELS, data))

    def test_metaimage_whose_voxels_would_begin_in_its_header(self, tmp_path: Path) -> None:
        path = metaimage_text(tmp_path, VOXELS, "LOCAL", ("HeaderSize = 4",))
        with path.open("ab") as file:
            file.write(VOXELS.tobytes())
        with pytest.raises(SourceError, match="HeaderSize"):
            open_source(path)

    def test_complex_nifti(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="complex64"):
            open_source(nifti("scan.nii")(tmp_path, VOXELS.astype("c8")))

    def test_modes_of_mrc(self, tmp_path: Path) -> None:
        path = mrc()(tmp_path, VOXELS)
        for mode in (3, 4, 101):
            with path.open("r+b") as file:
                file.seek(12)
                file.write(struct.pack("<i", mode))
            with pytest.raises(SourceError) as caught:
                open_source(path)
            assert str(path) in str(caught.value)


class TestFilesElsewhere:
    @pytest.mark.parametrize("make", [metaimage("scan.mhd"), nrrd_file("scan.nhdr")])
    @pytest.mark.parametrize("absolute", [False, True])
    def test_need_the_users_word(
        self, tmp_path: Path, make: Callable[[Path, np.ndarray], Path], absolute: bool
    ) -> None:
        (tmp_path / "in").mkdir()
        path = make(tmp_path / "in", VOXELS)
        data = next(file for file in path.parent.iterdir() if file != path)
        elsewhere = data.rename(tmp_path / data.name)
        path.write_text(path.read_text().replace(data.name, str(elsewhere) if absolute else f"../{data.name}"))
        with pytest.raises(SourceError) as caught:
            open_source(path)
        assert data.name in str(caught.value)
        with open_source(path, SourceOptions(follow_links=True)) as source:
            np.testing.assert_array_equal(read_whole(source), VOXELS)
            assert elsewhere.resolve() in {file.resolve() for file in source.files}


class TestMrc:
    """https://bio3d.colorado.edu/imod/doc/mrc_format.txt: IMOD writes bytes without a sign unless a flag says so."""

    @pytest.mark.parametrize(("flags", "dtype"), [(None, "int8"), (0, "uint8"), (1, "int8"), (16, "uint8")])
    def test_bytes(self, tmp_path: Path, flags: int | None, dtype: str) -> None:
        path = mrc()(tmp_path, (VOXELS % 251).astype("u1").view("i1"))
        if flags is not None:
            with path.open("r+b") as file:
                file.seek(152)
                file.write(struct.pack("<ii", 1146047817, flags))
        with open_source(path) as source:
            np.testing.assert_array_equal(read_whole(source), (VOXELS % 251).astype("u1").view(dtype))
            assert source.volume.dtype == dtype
            assert len(source.volume.notes) == (flags is not None)  # the origin

    @pytest.mark.parametrize("axes", ["zyx", "yxz", "xzy", "xyz"])
    def test_starts_without_an_origin(self, tmp_path: Path, axes: str) -> None:
        path = mrc(axes=axes)(tmp_path, VOXELS)
        with mrcfile.open(path, "r+") as file:
            file.header.origin.x = file.header.origin.y = file.header.origin.z = 0
            starts = {"x": 2, "y": 3, "z": -4}
            file.header.nzstart, file.header.nystart, file.header.nxstart = (starts[axis] for axis in axes)
        assert volume_of(path).translation == pytest.approx((-4 * 0.03e7, 3 * 0.02e7, 2 * 0.01e7))

    @pytest.mark.parametrize("dtype", [">i1", ">i2", ">f4"])
    @pytest.mark.parametrize("stamp", [bytes(4), b"DD\0\0"])
    def test_sizes_tell_the_byte_order_where_the_stamp_is_missing_or_wrong(
        self, tmp_path: Path, dtype: str, stamp: bytes
    ) -> None:
        voxels = (VOXELS % 100).astype(dtype)
        path = mrc(">")(tmp_path, voxels)
        with path.open("r+b") as file:
            file.seek(212)
            file.write(stamp)
        with open_source(path) as source:
            np.testing.assert_array_equal(read_whole(source), voxels)
            assert source.volume.voxel_size == pytest.approx((0.03e7, 0.02e7, 0.01e7))

    def test_angles_are_said(self, tmp_path: Path) -> None:
        path = mrc()(tmp_path, VOXELS)
        with mrcfile.open(path, "r+") as file:
            file.header.cellb.gamma = 120
        assert len(volume_of(path).notes) == 1


@pytest.mark.parametrize(
    ("name", "image", "at", "kind", "first"),
    [
        ("scan.nii", nibabel.Nifti1Image, 108, "<f", 352),
        ("scan.nii.gz", nibabel.Nifti1Image, 108, "<f", 352),
        ("scan.nii", nibabel.Nifti2Image, 168, "<q", 544),
        ("scan.hdr", nibabel.Nifti1Pair, 108, "<f", 0),
    ],
)
def test_voxels_of_nifti_begin_after_the_header_whatever_the_offset(
    tmp_path: Path, name: str, image: type, at: int, kind: str, first: int
) -> None:
    """nifti1.h: an offset of less than 352 in a .nii file means 352, and 0 is the default where voxels have a file."""
    path = nifti(name, image)(tmp_path, VOXELS)
    stored = path.read_bytes()
    whole = bytearray(gzip.decompress(stored) if path.suffix == ".gz" else stored)
    assert struct.unpack_from(kind, whole, at) == (first,)
    for offset in sorted({-1, 0, min(1, first), first - 1}):
        struct.pack_into(kind, whole, at, offset)
        path.write_bytes(gzip.compress(whole) if path.suffix == ".gz" else whole)
        volume_of(path)


@pytest.mark.parametrize(("name", "library"), [("nrrd", "nrrd"), ("nii", "nibabel"), ("mrc", "mrcfile")])
def test_without_the_library_the_error_names_the_extra(
    tmp_path: Path, name: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = {"nrrd": nrrd_file("scan.nrrd"), "nii": nifti("scan.nii"), "mrc": mrc()}[name](tmp_path, VOXELS)
    module = {"nii": "nifti"}.get(name, name)
    monkeypatch.delitem(sys.modules, f"napari_ct_pyramid.sources.{module}", raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SourceError) as caught:
        open_source(path)
    assert f"napari-ct-pyramid[{module}]" in str(caught.value)


def test_a_gzip_of_something_else_is_an_archive(tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(gzip.compress(bytes(1000)))
    with pytest.raises(SourceError, match="gzip archive"):
        open_source(tmp_path / "scan.nii.gz")
