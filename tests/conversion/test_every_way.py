"""Each kind of source with a few options, the whole way, against what tifffile, h5py, numpy or zarr read at once.

The outputs are read back by other programs, and found valid by strict validators.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import olefile
import ome_zarr_models
import pytest
import tensorstore
import tifffile
import yaozarrs
import zarr
from PIL import Image
from pydicom import dcmread

import napari_ct_pyramid as ct
from napari_ct_pyramid.options import parse_crop
from tests.helpers import headers
from tests.helpers.compound import write_txm
from tests.helpers.dicoms import write_series
from tests.helpers.microscopes import metamorph
from tests.helpers.pyramids import pyramid_of
from tests.helpers.scanco import write_isq
from tests.helpers.scans import small_blocks
from tests.helpers.tiff_kinds import ome_in_files
from tests.helpers.tiffs import pages_of, write_pages

SHAPE = (10, 45, 37)
GREYS = np.random.default_rng(6).normal(100, 30, SHAPE).astype("f4")
COUNTS = (GREYS * 100).astype("u2")

Read = Callable[[], np.ndarray]
Written = tuple[Path | str, Read]  # the INPUT, and how somebody else reads it whole


def tiff(voxels: np.ndarray, **options: Any) -> Callable[[Path], Written]:
    def write(folder: Path) -> Written:
        path = folder / "scan.tif"
        tifffile.imwrite(path, voxels, photometric="minisblack", **options)
        return path, lambda: tifffile.imread(path)

    return write


def by_hand(folder: Path) -> Written:
    path = write_pages(folder / "scan.tif", pages_of(GREYS, 7, gap=3), order=">", backwards=True)
    return path, lambda: tifffile.imread(path)


def several_files(folder: Path) -> Written:
    path = folder / "scan.ome.tif"
    ome_in_files(path)
    return path, lambda: tifffile.imread(path)


def stk(folder: Path) -> Written:
    path = folder / "scan.stk"
    metamorph(path)
    return path, lambda: tifffile.imread(path)


def slices(folder: Path) -> Written:
    files = [folder / "slices" / f"s_{z}.tif" for z in range(len(COUNTS))]
    files[0].parent.mkdir()
    for file, image in zip(files, COUNTS, strict=True):
        tifffile.imwrite(file, image, compression="zlib")
    return folder / "slices", lambda: np.stack([tifffile.imread(file) for file in files])


def png(folder: Path) -> Written:
    (folder / "slices").mkdir()
    for z, image in enumerate(COUNTS):
        Image.fromarray(image).save(folder / "slices" / f"s_{z}.png")
    files = [folder / "slices" / f"s_{z}.png" for z in range(len(COUNTS))]
    return folder / "slices", lambda: np.stack([np.asarray(Image.open(file)) for file in files])


def dicom(folder: Path) -> Written:
    write_series(folder / "series", COUNTS, "RLE")

    def read() -> np.ndarray:
        slices = sorted(map(dcmread, (folder / "series").iterdir()), key=lambda slice_: slice_.InstanceNumber)
        return np.stack([slice_.pixel_array for slice_ in slices])

    return folder / "series", read


def zeiss(folder: Path) -> Written:
    path = write_txm(folder / "scan.txm", GREYS, seed=1)

    def read() -> np.ndarray:
        with olefile.OleFileIO(path) as file:
            data = [file.openstream(f"ImageData1/Image{z + 1}").read() for z in range(len(GREYS))]
        return np.frombuffer(b"".join(data), "<f4").reshape(SHAPE)

    return path, read


def scanco(folder: Path) -> Written:
    path = write_isq(folder / "scan.isq", (COUNTS // 2).astype("i2"))
    return path, lambda: np.fromfile(path, "<i2", offset=512).reshape(SHAPE)


def hdf5(folder: Path) -> Written:
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_dataset("entry/data", data=GREYS.astype("f8"), chunks=(4, 16, 16), compression="gzip")

    def read() -> np.ndarray:
        with h5py.File(folder / "scan.h5") as file:
            return np.asarray(file["entry/data"])

    return f"{folder / 'scan.h5'}::/entry/data", read


def npy(folder: Path) -> Written:
    np.save(folder / "scan.npy", np.asfortranarray(COUNTS.astype("i4")))
    return folder / "scan.npy", lambda: np.load(folder / "scan.npy")


def zarr_shards(folder: Path) -> Written:
    array = zarr.create_array(folder / "scan.zarr", shape=SHAPE, dtype="f2", chunks=(2, 8, 8), shards=(4, 16, 16))
    array[...] = GREYS.astype("f2")
    return folder / "scan.zarr", lambda: np.asarray(zarr.open_array(folder / "scan.zarr", mode="r"))


def with_header(kind: str, voxels: np.ndarray) -> Callable[[Path], Written]:
    return lambda folder: (headers.KINDS[kind](folder, voxels), lambda: voxels)


SOURCES: dict[str, Callable[[Path], Written]] = {
    "strips, big-endian, backwards": by_hand,
    "LZW with predictor": tiff(COUNTS, compression="lzw", predictor=True),
    "tiles": tiff(GREYS, tile=(16, 16), compression="zstd", bigtiff=True),
    "ImageJ": tiff(GREYS, imagej=True, metadata={"axes": "ZYX"}),
    "OME-TIFF": tiff(COUNTS, ome=True, metadata={"axes": "ZYX"}),
    "OME-TIFF of several files": several_files,
    "MetaMorph": stk,
    "folder of slices": slices,
    "folder of PNG": png,
    "DICOM series": dicom,
    "Zeiss": zeiss,
    "Scanco": scanco,
    "HDF5": hdf5,
    "NumPy, Fortran": npy,
    "MetaImage, compressed": with_header("MetaImage, .mha, compressed", COUNTS),
    "NRRD, list": with_header("NRRD, list", GREYS),
    "NIfTI, compressed": with_header("NIfTI, compressed", GREYS),
    "MRC, xzy": with_header("MRC, xzy", COUNTS),
    "VOL of VGI": with_header("VOL of VGI", GREYS),
    "Zarr with shards": zarr_shards,
}
CHUNKS = (4, 8, 16)
OPTIONS: dict[str, dict[str, Any]] = {
    "0.4": {"edges": "pad"},
    "0.5, maximum, cropped": {
        "ome_zarr_version": "0.5", "method": "max", "crop": "1:-1,:40,5:37", "shards": (8, 16, 32),
    },
    "0.5, turned, fewer bits": {
        "ome_zarr_version": "0.5", "axes": "yzx", "edges": "pad", "downsample": "1 2 2", "dtype": "uint8",
        "window": "20 180",
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)


def expected_levels(voxels: np.ndarray, options: dict[str, Any]) -> list[np.ndarray]:
    axes = options.get("axes", "zyx")
    voxels = voxels.transpose([axes.index(axis) for axis in "zyx"])
    voxels = voxels[tuple(slice(*part) for part in parse_crop(options.get("crop")) or ())]
    if "dtype" in options:
        low, high = map(float, options["window"].split())
        top = np.iinfo(options["dtype"]).max
        voxels = np.rint((np.clip(voxels.astype("f8"), low, high) - low) * (top / (high - low))).astype(
            options["dtype"]
        )
    factors = (1, 2, 2) if options.get("downsample") == "1 2 2" else (2, 2, 2)
    return pyramid_of(voxels.astype(voxels.dtype.newbyteorder("=")), [factors] * 2, options.get("method", "mean"))


def by_zarr(output: Path) -> list[np.ndarray]:
    group = zarr.open_group(output, mode="r")
    return [np.asarray(group[str(k)]) for k in range(3)]


def by_tensorstore(output: Path) -> list[np.ndarray]:
    driver = "zarr" if (output / ".zgroup").exists() else "zarr3"
    levels = [{"driver": driver, "kvstore": {"driver": "file", "path": str(output / str(k))}} for k in range(3)]
    return [tensorstore.open(level).result().read().result() for level in levels]


def by_ngff_zarr(output: Path) -> list[np.ndarray]:
    import ngff_zarr

    return [np.asarray(image.data) for image in ngff_zarr.from_ngff_zarr(str(output)).images]


READERS = [by_zarr, by_tensorstore]
if find_spec("ngff_zarr"):  # where the plugin is developed; it takes much that the others do without
    READERS.append(by_ngff_zarr)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", SOURCES)
def test_every_source_in_every_way(tmp_path: Path, name: str, options: str) -> None:
    asked = OPTIONS[options]
    source, read = SOURCES[name](tmp_path)
    expected = expected_levels(read(), asked)
    output = ct.convert(source, tmp_path / "out.ome.zarr", chunks=CHUNKS, num_levels=3, threads=2, **asked).output
    for reader in READERS:
        found = reader(output)
        assert len(found) == len(expected)
        for level, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
            if level and one.dtype.kind == "f":
                np.testing.assert_allclose(one, other, rtol=2e-3 if one.dtype == "f2" else 1e-5)
            else:
                np.testing.assert_array_equal(one, other)
    model = ome_zarr_models.open_ome_zarr(zarr.open_group(output, mode="r"))
    assert type(model).__module__.split(".")[1] == ("v05" if "0.5" in options else "v04")
    assert yaozarrs.validate_zarr_store(str(output)) is not None
    assert ct.verify(output, source).sound
