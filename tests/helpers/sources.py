"""Sources of every format, the views of them, and what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
import zarr
from PIL import Image

import napari_ct_pyramid as ct
from napari_ct_pyramid.options import parse_crop
from napari_ct_pyramid.sources.base import Source
from tests.helpers import headers
from tests.helpers.compound import write_txm
from tests.helpers.dicoms import write_frames, write_series
from tests.helpers.omezarr import pyramid_of, write_image
from tests.helpers.scanco import write_isq
from tests.helpers.tiffs import coordinates

SHAPE = (9, 22, 17)
VOLUME = coordinates(SHAPE)
INTEGERS = coordinates(SHAPE, "uint16")

Written = tuple[str, np.ndarray, tuple[int, int, int]]
"""The INPUT, its voxels, and its granularity."""


def hdf5(volume: np.ndarray = VOLUME, granularity: tuple[int, int, int] = (1, 1, 17), **options: Any) -> Any:
    def write(folder: Path) -> Written:
        with h5py.File(folder / "scan.h5", "w") as file:
            file.create_dataset("entry/data/data", data=volume, **options)
            file["entry/angles"] = np.arange(5)
        return f"{folder / 'scan.h5'}::/entry/data/data", volume.reshape(SHAPE), granularity

    return write


def hdf5_in_part(folder: Path) -> Written:
    """Some chunks were never written, and one was written without its filters."""
    with h5py.File(folder / "scan.h5", "w") as file:
        data = file.create_dataset("v", SHAPE, "i2", chunks=(4, 8, 8), compression="gzip", shuffle=True, fillvalue=-3)
        data[:4, 8:16, :8] = INTEGERS[:4, 8:16, :8]
        raw = np.full((4, 8, 8), 7, "i2")
        data.id.write_direct_chunk((4, 0, 0), raw.tobytes(), filter_mask=0b11)
        return f"{folder / 'scan.h5'}::v", data[:], (4, 8, 8)


def hdf5_virtual(folder: Path) -> Written:
    """Each slice in a file of its own, as detectors write them."""
    layout = h5py.VirtualLayout(SHAPE, "f4")
    for z, image in enumerate(VOLUME):
        with h5py.File(folder / f"part{z}.h5", "w") as file:
            file["image"] = image
        layout[z] = h5py.VirtualSource(folder / f"part{z}.h5", "image", shape=SHAPE[1:])
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_virtual_dataset("v", layout)
    return str(folder / "scan.h5"), VOLUME, (1, 22, 17)


def npy(volume: np.ndarray, granularity: tuple[int, int, int] = (1, 1, 17)) -> Any:
    def write(folder: Path) -> Written:
        np.save(folder / "scan.npy", volume)
        return str(folder / "scan.npy"), volume.reshape(SHAPE), granularity

    return write


def tiff(volume: np.ndarray, granularity: tuple[int, int, int], **options: Any) -> Any:
    def write(folder: Path) -> Written:
        tifffile.imwrite(folder / "scan.tif", volume, photometric="minisblack", **options)
        return str(folder / "scan.tif"), volume, granularity

    return write


def slices(folder: Path) -> Written:
    for z, image in enumerate(INTEGERS):
        tifffile.imwrite(folder / f"{z}.tif", image, compression="zlib", rowsperstrip=5)
    return str(folder), INTEGERS, (1, 5, 17)


def images(volume: np.ndarray, ending: str) -> Any:
    def write(folder: Path) -> Written:
        for z, image in enumerate(volume):
            Image.fromarray(image).save(folder / f"{z}.{ending}")
        return str(folder), volume, (1, 22, 17)

    return write


def dicom_series(syntax: str, granularity: tuple[int, int, int]) -> Any:
    def write(folder: Path) -> Written:
        return str(write_series(folder / "series", INTEGERS, syntax)), INTEGERS, granularity

    return write


def dicom_frames(folder: Path) -> Written:
    volume = INTEGERS.astype("i2")
    return str(write_frames(folder / "scan.dcm", volume)), volume, (1, 1, 17)


def zeiss(volume: np.ndarray, **options: Any) -> Any:
    def write(folder: Path) -> Written:
        return str(write_txm(folder / "scan.txm", volume, **options)), volume, (1, 1, 17)

    return write


def scanco(folder: Path) -> Written:
    volume = INTEGERS.astype("i2")
    return str(write_isq(folder / "scan.isq", volume)), volume, (1, 1, 17)


def zarr_array(volume: np.ndarray, granularity: tuple[int, int, int], **options: Any) -> Any:
    def write(folder: Path) -> Written:
        options.setdefault("chunks", granularity)
        array = zarr.create_array(folder / "v.zarr", shape=volume.shape, dtype=volume.dtype, fill_value=0, **options)
        array[...] = volume
        return str(folder / "v.zarr"), volume.reshape(SHAPE), granularity

    return write


def ome_zarr(axes: str = "zyx", **options: Any) -> Any:
    def write(folder: Path) -> Written:
        volume = VOLUME.reshape(tuple(1 if axis in "tc" else SHAPE["zyx".index(axis)] for axis in axes))
        write_image(folder / "v.ome.zarr", pyramid_of(volume, 2), axes=axes, **options)
        return str(folder / "v.ome.zarr"), VOLUME, (8, 8, 8)

    return write


def zarr_of_one(folder: Path) -> Written:
    """A group with one array of three axes, and another one."""
    group = zarr.open_group(folder / "g.zarr", mode="w", zarr_format=2)
    group.create_array("a/deep/volume", shape=SHAPE, dtype="u2", chunks=(9, 5, 17))[...] = INTEGERS
    group.create_array("flat", shape=(4, 5), dtype="u2")
    return str(folder / "g.zarr"), INTEGERS, (9, 5, 17)


def ours(folder: Path) -> Written:
    """The output of a conversion, which is padded."""
    np.save(folder / "scan.npy", VOLUME[:, :20, :16])
    ct.convert(folder / "scan.npy", folder / "scan.ome.zarr", chunks=(4, 8, 8), num_levels=2)
    return str(folder / "scan.ome.zarr"), VOLUME[:, :20, :16], (4, 8, 8)


def with_header(kind: str, volume: np.ndarray, granularity: tuple[int, int, int] = (1, 1, 17)) -> Any:
    return lambda folder: (str(headers.KINDS[kind](folder, volume)), volume, granularity)


KINDS: dict[str, Callable[[Path], Written]] = {
    "tiff": tiff(VOLUME, (1, 1, 17)),
    "tiff, big-endian": tiff(VOLUME, (1, 1, 17), byteorder=">"),
    "tiff, one strip": tiff(INTEGERS, (1, 22, 17), compression="lzw", predictor=True),
    "tiff, tiles": tiff(VOLUME, (1, 16, 16), tile=(16, 16)),
    "tiff, deep tiles": tiff(VOLUME, (4, 16, 16), tile=(4, 16, 16), compression="zlib"),
    "folder": slices,
    "folder of PNG": images(INTEGERS, "png"),
    "folder of BMP": images(INTEGERS.astype("u1"), "bmp"),
    "folder of JPEG 2000": images(INTEGERS, "jp2"),
    "Scanco": scanco,
    "Zeiss": zeiss(INTEGERS, version=4),
    "Zeiss, scattered": zeiss(VOLUME, seed=3),
    "DICOM": dicom_series("explicit", (1, 1, 17)),
    "DICOM, big-endian": dicom_series("big-endian", (1, 1, 17)),
    "DICOM, RLE": dicom_series("RLE", (1, 22, 17)),
    "DICOM, frames": dicom_frames,
    "hdf5": hdf5(),
    "hdf5, big-endian": hdf5(VOLUME.astype(">f4")),
    "hdf5, four axes": hdf5(VOLUME[None]),
    "hdf5, chunks": hdf5(VOLUME, (2, 7, 5), chunks=(2, 7, 5)),
    "hdf5, gzip": hdf5(INTEGERS, (4, 8, 16), chunks=(4, 8, 16), compression="gzip", shuffle=True),
    "hdf5, gzip, big-endian": hdf5(VOLUME.astype(">f8"), (1, 22, 17), chunks=(1, 22, 17), compression="gzip"),
    "hdf5, lzf, four axes": hdf5(VOLUME[:, None], (3, 8, 16), chunks=(3, 1, 8, 16), compression="lzf", shuffle=True),
    "hdf5, checksums": hdf5(VOLUME, (2, 8, 16), chunks=(2, 8, 16), compression="gzip", fletcher32=True),
    "hdf5, in part": hdf5_in_part,
    "hdf5, virtual": hdf5_virtual,
    "npy": npy(VOLUME),
    "npy, big-endian": npy(INTEGERS.astype(">u2")),
    "npy, four axes": npy(VOLUME[None].astype("f8")),
    "MetaImage, compressed": with_header("MetaImage, .mhd, compressed", INTEGERS, (9, 22, 17)),
    "MetaImage, list": with_header("MetaImage, list", INTEGERS),
    "NRRD, gzip": with_header("NRRD, gzip", VOLUME, (9, 22, 17)),
    "NIfTI, big-endian": with_header("NIfTI, big-endian", VOLUME),
    "MRC, xzy": with_header("MRC, xzy", INTEGERS, (1, 22, 1)),
    "VGI": with_header("VGI", VOLUME),
    "zarr 2": zarr_array(INTEGERS, (4, 7, 17), zarr_format=2),
    "zarr 2, big-endian": zarr_array(VOLUME.astype(">f4"), (4, 7, 5), zarr_format=2, order="F"),
    "zarr 3": zarr_array(VOLUME, (1, 22, 17), zarr_format=3),
    "zarr 3, shards": zarr_array(INTEGERS, (2, 4, 8), zarr_format=3, shards=(4, 8, 16)),
    "zarr 3, four axes": zarr_array(VOLUME[None], (9, 8, 8), chunks=(1, 16, 8, 8), zarr_format=3),
    "zarr, the only one": zarr_of_one,
    "ome-zarr 0.4": ome_zarr(),
    "ome-zarr 0.5": ome_zarr(version="0.5", chunks=(8, 8, 8), shards=(16, 16, 16)),
    "ome-zarr, five axes": ome_zarr("tczyx", chunks=(1, 1, 8, 8, 8)),
    "ome-zarr, ours": ours,
    "npy, Fortran": npy(np.asfortranarray(VOLUME), (9, 1, 1)),
}


VIEWS = {
    "as it is": ("zyx", None),
    "cropped": ("zyx", "3:8,-15:20,4:"),
    "narrow": ("zyx", ",,5:9"),
    **{axes: (axes, None) for axes in ("xzy", "yzx", "xyz", "zxy", "yxz")},
    "turned and cropped": ("xzy", "1:-1,2:7,3:9"),
}


def read_whole(source: Source) -> np.ndarray:
    out = np.empty(source.volume.shape, source.volume.dtype)
    source.read(0, out.shape[0], 0, out.shape[1], out)
    return out


def viewed(volume: np.ndarray, axes: str, crop: str | None) -> np.ndarray:
    """The view, as NumPy makes it."""
    turned = volume.transpose([axes.index(axis) for axis in "zyx"])
    return turned[tuple(slice(*part) for part in parse_crop(crop) or ())]


def blocks(seed: int, shape: tuple[int, int, int], count: int) -> Iterator[tuple[int, int, int, int]]:
    """Random boxes z0, z1, y0, y1."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        z0, z1 = sorted(rng.choice(shape[0] + 1, 2, replace=False))
        y0, y1 = sorted(rng.choice(shape[1] + 1, 2, replace=False))
        yield int(z0), int(z1), int(y0), int(y1)


def read_box(source: Source, z0: int, z1: int, y0: int, y1: int, wider: int = 0) -> np.ndarray:
    """A box of rows, read into a part of a larger buffer, of which nothing else may change."""
    x = source.volume.shape[2]
    buffer = np.full((z1 - z0 + 2, y1 - y0 + 3, x + wider), 77, source.volume.dtype)
    out = buffer[1:-1, 1:-2, :x]
    source.read(z0, z1, y0, y1, out)
    rest = np.ones(buffer.shape, bool)
    rest[1:-1, 1:-2, :x] = False
    assert (buffer[rest] == 77).all()
    return out
