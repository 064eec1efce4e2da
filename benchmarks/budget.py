"""How much of its budget a conversion takes at the smallest budget that works, for sources that are hard on memory.

    python benchmarks/budget.py [CASE ...]

Prints the table of `benchmarks/README.md`. A ratio over 1.00 is a broken promise.
"""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile

SIDE = 2560  # of the slices of TIFFs, in voxels: large ones are hard on memory
SMALL_SIDE = 1280  # of those in other formats, which are read in rows
CHUNKS = "64"

CHILD = """
import json, sys
import napari_ct_pyramid as ct
source, output, budget = sys.argv[1:]
options = dict(chunks={chunks}, num_levels=3, edges="pad", overwrite=True, max_memory=budget) | {options}
try:
    receipt = ct.convert(source, output, **options)
    from napari_ct_pyramid.model.memory import peak_resident_memory
    print(json.dumps([receipt.peak_memory_bytes, peak_resident_memory()]))
except ct.BudgetError as error:
    print(json.dumps(error.smallest))
"""


def blobs(shape: tuple[int, int, int], dtype: str = "f4") -> np.ndarray:
    """A volume that compresses about as well as a scan does."""
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    waves = np.sin(z / 7) + np.sin(y / 11) + np.sin(x / 13) + np.random.default_rng(0).normal(0, 0.05, shape)
    if dtype.startswith("f"):
        return waves.astype(dtype)
    top = np.iinfo(dtype).max
    return ((waves + 4) / 8 * top).clip(0, top).astype(dtype)


def tiff(dtype: str = "u2", depth: int = 16, **how: Any) -> Callable[[Path], Path]:
    """A TIFF written by tifffile with these settings."""

    def write(folder: Path) -> Path:
        path = folder / "scan.tif"
        tifffile.imwrite(path, blobs((depth, SIDE, SIDE), dtype), photometric="minisblack", **how)
        return path

    return write


def many_strips(folder: Path, pages: int = 10_000, strips: int = 512) -> Path:
    """Small pages with a strip for each row, compressed so that the strips cannot be joined."""
    path = folder / "scan.tif"
    page = blobs((1, strips, 16), "u1")[0]
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        for _ in range(pages):
            tif.write(
                page, rowsperstrip=1, compression="packbits", photometric="minisblack", contiguous=False, metadata=None
            )
    return path


def hdf5(chunks: tuple[int, int, int] | None, shape: tuple[int, int, int], **how: Any) -> Callable[[Path], Path]:
    """An HDF5 file with these chunks."""

    def write(folder: Path) -> Path:
        import h5py

        path = folder / "scan.h5"
        with h5py.File(path, "w") as file:
            data = file.create_dataset("data", shape, "u2", chunks=chunks, **how)
            for z in range(0, shape[0], 64):
                data[z : z + 64] = blobs((min(64, shape[0] - z), *shape[1:]), "u2")
        return path

    return write


def slices(
    ending: str, encode: Callable[[np.ndarray], bytes], dtype: str = "u2", depth: int = 16
) -> Callable[[Path], Path]:
    """A folder of slices."""

    def write(folder: Path) -> Path:
        (folder / "scan").mkdir()
        for z, voxels in enumerate(blobs((depth, SMALL_SIDE, SMALL_SIDE), dtype)):
            (folder / "scan" / f"scan_{z:04}.{ending}").write_bytes(encode(voxels))
        return folder / "scan"

    return write


def tiff_bytes(voxels: np.ndarray) -> bytes:
    """A slice as a TIFF in one LZW strip."""
    file = io.BytesIO()
    tifffile.imwrite(file, voxels, photometric="minisblack", compression="lzw", rowsperstrip=SMALL_SIDE)
    return file.getvalue()


def with_header(name: str, header: str, *, deflated: str = "", data: str = "") -> Callable[[Path], Path]:
    """Voxels after a text header, or in a file `data` beside it; compressed by gzip or zlib if `deflated`."""

    def write(folder: Path) -> Path:
        voxels = blobs((16, SMALL_SIDE, SMALL_SIDE), "u2").tobytes()
        voxels = {"": bytes, "zlib": partial(zlib.compress, level=1), "gzip": partial(gzip.compress, compresslevel=1)}[
            deflated
        ](voxels)
        text = header.format(side=SMALL_SIDE).encode()
        (folder / name).write_bytes(text if data else text + voxels)
        if data:
            (folder / data).write_bytes(voxels)
        return folder / name

    return write


def nifti(name: str) -> Callable[[Path], Path]:
    """A NIfTI by nibabel, compressed if its name says so."""

    def write(folder: Path) -> Path:
        import nibabel

        nibabel.save(nibabel.Nifti1Image(blobs((16, SMALL_SIDE, SMALL_SIDE), "i2").T, np.eye(4)), folder / name)
        return folder / name

    return write


def mrc(folder: Path) -> Path:
    """An MRC by mrcfile."""
    import mrcfile

    with mrcfile.new(folder / "scan.mrc") as file:
        file.set_data(blobs((16, SMALL_SIDE, SMALL_SIDE), "f4"))
    return folder / "scan.mrc"


def npy(folder: Path) -> Path:
    """An array of NumPy."""
    np.save(folder / "scan.npy", blobs((16, SMALL_SIDE, SMALL_SIDE), "f4"))
    return folder / "scan.npy"


def zarr_array(chunks: tuple[int, int, int], shards: tuple[int, int, int] | None = None) -> Callable[[Path], Path]:
    """A Zarr array by zarr-python, in version 3 if it has shards."""

    def write(folder: Path) -> Path:
        import zarr

        made = zarr.create_array(
            folder / "scan.zarr", shape=(64, 1280, 1280), dtype="u2", chunks=chunks, shards=shards,
            zarr_format=3 if shards else 2,
        )  # fmt: skip
        made[:] = blobs((64, 1280, 1280), "u2")
        return folder / "scan.zarr"

    return write


def dicom(compression: str | None) -> Callable[[Path], Path]:
    """A folder of DICOM slices by pydicom."""

    def write(folder: Path) -> Path:
        import pydicom
        from pydicom.dataset import FileDataset, FileMetaDataset

        (folder / "scan").mkdir()
        for z, voxels in enumerate(blobs((16, SMALL_SIDE, SMALL_SIDE), "u2")):
            meta = FileMetaDataset()
            meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
            meta.MediaStorageSOPInstanceUID = f"1.2.3.{z + 1}"
            meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
            slice_ = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
            slice_.SOPClassUID, slice_.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
            slice_.SeriesInstanceUID, slice_.InstanceNumber, slice_.Modality = "1.2.3", z + 1, "CT"
            slice_.ImagePositionPatient, slice_.ImageOrientationPatient = [0, 0, z], [1, 0, 0, 0, 1, 0]
            slice_.PixelSpacing, slice_.SliceThickness = [1, 1], 1
            slice_.Rows, slice_.Columns, slice_.SamplesPerPixel = SMALL_SIDE, SMALL_SIDE, 1
            slice_.PhotometricInterpretation, slice_.PixelRepresentation = "MONOCHROME2", 0
            slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit = 16, 16, 15
            slice_.PixelData = voxels.tobytes()
            slice_["PixelData"].VR = "OW"
            if compression:
                slice_.compress(compression)
            slice_.save_as(folder / "scan" / f"{z:04}.dcm", enforce_file_format=True)
        return folder / "scan"

    return write


_META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n{}"
    "DimSize = {{side}} {{side}} 16\nElementType = MET_USHORT\nElementDataFile = scan.raw\n"
)
_NRRD = "NRRD0004\ntype: uint16\ndimension: 3\nsizes: {side} {side} 16\nendian: little\nencoding: gzip\n\n"
STRIPS: dict[str, Any] = {"rowsperstrip": 256}
TILES: dict[str, Any] = {"tile": (512, 512)}
CASES: dict[str, Callable[[Path], Path]] = {
    "uncompressed": tiff("f4"),
    "LZW, strips": tiff(compression="lzw", **STRIPS),
    "zlib, one strip a page": tiff(compression="zlib", rowsperstrip=SIDE),
    "zlib, predictor 2": tiff(compression="zlib", predictor=2, **STRIPS),
    "zlib, predictor 3": tiff("f4", compression="zlib", predictor=3, rowsperstrip=SIDE),
    "zlib, predictor 3, tiles": tiff("f4", compression="zlib", predictor=3, **TILES),
    "zstd, strips": tiff("f4", compression="zstd", **STRIPS),
    "LZMA, strips": tiff(compression="lzma", **STRIPS),
    "PackBits, strips": tiff("u1", compression="packbits", **STRIPS),
    "PNG, one strip a page": tiff(compression="png", rowsperstrip=SIDE),
    "PNG, tiles": tiff(compression="png", **TILES),
    "LERC, one strip a page": tiff("f4", compression="lerc", rowsperstrip=SIDE),
    "LERC, tiles": tiff("f4", compression="lerc", **TILES),
    "JPEG, one strip a page": tiff("u1", compression="jpeg", rowsperstrip=SIDE),
    "JPEG, tiles": tiff("u1", compression="jpeg", **TILES),
    "JPEG 2000, one strip a page": tiff(depth=2, compression="jpeg2000", rowsperstrip=SIDE),
    "JPEG 2000, tiles": tiff(depth=2, compression="jpeg2000", **TILES),
    "JPEG XL, one strip a page": tiff("u2", depth=4, compression="jpegxl", rowsperstrip=SIDE),
    "JPEG XL, tiles": tiff("u2", depth=4, compression="jpegxl", **TILES),
    "10,000 pages of 512 strips": many_strips,
    "HDF5, a million chunks": hdf5((8, 8, 8), (512, 1024, 1024)),
    "HDF5, gzip": hdf5((16, 128, 128), (64, 1024, 1024), compression="gzip"),
    "HDF5, large chunks": hdf5((32, 1024, 1024), (64, 1024, 1024), compression="gzip", shuffle=True),
    "HDF5, contiguous": hdf5(None, (64, 1024, 1024)),
    "slices, TIFF in one LZW strip": slices("tif", tiff_bytes),
    "slices, PNG": slices("png", lambda voxels: imagecodecs.png_encode(voxels, level=1)),
    "slices, JPEG": slices("jpg", imagecodecs.jpeg8_encode, "u1"),
    "slices, JPEG 2000": slices("jp2", lambda voxels: imagecodecs.jpeg2k_encode(voxels, level=40), depth=4),
    "slices, BMP": slices("bmp", imagecodecs.bmp_encode, "u1"),
    "DICOM": dicom(None),
    "DICOM, RLE": dicom("1.2.840.10008.1.2.5"),
    "MetaImage, raw": with_header("scan.mhd", _META.format(""), data="scan.raw"),
    "MetaImage, compressed": with_header(
        "scan.mhd", _META.format("CompressedData = True\n"), deflated="zlib", data="scan.raw"
    ),
    "NRRD, gzip": with_header("scan.nrrd", _NRRD, deflated="gzip"),
    "NIfTI": nifti("scan.nii"),
    "NIfTI, gzip": nifti("scan.nii.gz"),
    "MRC": mrc,
    "NumPy": npy,
    "Zarr, chunks of 64": zarr_array((64, 64, 64)),
    "Zarr, chunks of slices": zarr_array((1, 1280, 1280)),
    "Zarr, shards": zarr_array((32, 64, 64), (64, 640, 640)),
    "uncompressed, to 8 bits": tiff("f4"),
    "uncompressed, to shards of 128": tiff("f4"),
    "uncompressed, by the median": tiff("f4"),
    "uncompressed, cropped": tiff("f4", depth=32),
    "uncompressed, x as z": tiff("u2"),
}
MORE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG 2000, one strip a page": {"chunks": 256},  # decodes each page ten times, not forty times
    "uncompressed, to 8 bits": {"dtype": "uint8", "window": "auto"},
    "uncompressed, to shards of 128": {"ome_zarr_version": "0.5", "shards": (128, 128, 128)},
    "uncompressed, by the median": {"method": "median"},
    "uncompressed, cropped": {"crop": ((3, 30), (100, 2400), (51, 2333))},
    "uncompressed, x as z": {"axes": "xyz"},
}


def convert(source: Path, budget: int, options: dict[str, Any]) -> Any:
    """The peak in bytes as the receipt states it and as the process ends with it; or the smallest budget."""
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        code = CHILD.format(chunks=CHUNKS, options=options)
        done = subprocess.run(
            [sys.executable, "-c", code, source, f"{folder}/out.ome.zarr", str(budget)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def main() -> None:
    """Print a line for each case."""
    asked = sys.argv[1:]  # parts of names
    print("| source | smallest budget | ratio | at twice the budget |", "| --- | ---: | ---: | ---: |", sep="\n")
    for name, write in CASES.items():
        if asked and not any(word in name for word in asked):
            continue
        with tempfile.TemporaryDirectory() as folder:
            source = write(Path(folder))
            options = MORE_OPTIONS.get(name, {})
            smallest = convert(source, 1_000_000, options)
            if not isinstance(smallest, int):
                print(f"| {name} | {smallest} | | |", flush=True)
                continue
            cells = []
            for budget in (smallest, 2 * smallest):
                peaks = convert(source, budget, options)
                cells.append(f"{max(peaks) / budget:.2f}" if isinstance(peaks, list) else str(peaks))
            print(f"| {name} | {smallest / 1e6:.0f} MB | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
