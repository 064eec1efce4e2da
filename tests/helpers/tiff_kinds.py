"""TIFFs of every kind, and what they hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from tests.helpers.tiffs import BYTE, LONG, SHORT, UNDEFINED, Array, Page, coordinates, pages_of, write_pages

SHAPE = (6, 45, 37)
VOLUME = coordinates(SHAPE)
INTEGERS = coordinates(SHAPE, "uint16")
BYTES = coordinates(SHAPE, "uint8")
Writer = Callable[[Path], Array]


def by_tifffile(volume: Array, **options: Any) -> Writer:
    def write(path: Path) -> Array:
        tifffile.imwrite(path, volume, **options)
        return volume

    return write


def by_hand(volume: Array, rows: int | None = None, gap: int = 0, **options: Any) -> Writer:
    def write(path: Path) -> Array:
        write_pages(path, pages_of(volume, rows, gap), **options)
        return volume

    return write


def apart_in_one_page(path: Path) -> Array:
    """Contiguous strips in all pages but one."""
    write_pages(path, [Page(image, 8, gap=3 if z == 2 else 0) for z, image in enumerate(VOLUME)])
    return VOLUME


def with_smaller_copies(path: Path) -> Array:
    """A thumbnail after each slice, as some microscopes write, and a mask at the end."""
    pages = []
    for image in VOLUME:
        pages += [Page(image), Page(image[::4, ::4].copy(), tags={254: (LONG, [1])})]
    write_pages(path, [*pages, Page(BYTES[0][:3], tags={254: (LONG, [4])})])
    return VOLUME


def with_pyramid(**options: Any) -> Writer:
    """Each page has a half-size copy beneath it."""

    def write(path: Path) -> Array:
        with tifffile.TiffWriter(path, **options) as tif:
            tif.write(VOLUME, subifds=1, photometric="minisblack", tile=(16, 16), metadata={"axes": "ZYX"})
            tif.write(VOLUME[:, ::2, ::2], subfiletype=1, photometric="minisblack", tile=(16, 16))
        return VOLUME

    return write


def ome_from_the_last(path: Path) -> Array:
    """Pages in the opposite order, which the OME-XML states."""
    planes = "".join(f'<TiffData IFD="{SHAPE[0] - 1 - z}" FirstZ="{z}" PlaneCount="1"/>' for z in range(SHAPE[0]))
    pixels = 'DimensionOrder="XYZCT" Type="float" SizeX="37" SizeY="45" SizeZ="6" SizeC="1" SizeT="1"'
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" {pixels}><Channel ID="Channel:0:0"/>{planes}</Pixels></Image></OME>'
    )
    tifffile.imwrite(path, VOLUME[::-1], description=xml, metadata=None)
    return VOLUME


def ome_in_files(path: Path) -> Array:
    """Each plane in a file of its own; any of them opens the volume."""
    names = [path.name, *(f"plane_{z}.ome.tif" for z in range(1, SHAPE[0]))]
    planes = "".join(
        f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{z}</UUID></TiffData>'
        for z, name in enumerate(names)
    )
    pixels = 'DimensionOrder="XYZCT" Type="float" SizeX="37" SizeY="45" SizeZ="6" SizeC="1" SizeT="1"'
    for z, name in enumerate(names):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{z}"><Image ID="Image:0"><Pixels ID="Pixels:0" {pixels}>'
            f'<Channel ID="Channel:0:0"/>{planes}</Pixels></Image></OME>'
        )
        tifffile.imwrite(path.with_name(name), VOLUME[z], description=xml, metadata=None, rowsperstrip=10)
    return VOLUME


def lsm_beyond_4_gb(path: Path) -> Array:
    """Zeiss LSM: a thumbnail after each slice, and offsets modulo 4 GB."""
    info = np.zeros((), tifffile.TIFF.CZ_LSMINFO)
    info["MagicNumber"], info["StructureSize"] = 67127628, info.dtype.itemsize
    info["DimensionX"], info["DimensionY"], info["DimensionZ"] = SHAPE[::-1]
    info["DimensionChannels"] = info["DimensionTime"] = 1
    pages, places = [], []
    for z, image in enumerate(INTEGERS):
        at = 100_000 + z * 1_500_000_000
        places.append((at, image))
        places.append((at + 1_000_000, thumbnail := image[::4, ::4].copy()))
        pages.append(Page(image, tags={273: (LONG, [at % 2**32])}))
        pages.append(Page(thumbnail, tags={254: (LONG, [1]), 273: (LONG, [(at + 1_000_000) % 2**32])}))
    pages[0].tags[34412] = (BYTE, info.tobytes())
    write_pages(path, pages, big=False, directory_first=True)
    with path.open("r+b") as file:  # sparse: takes next to no disk
        for at, image in places:
            file.seek(at)
            file.write(image.tobytes())
    return INTEGERS


def with_jpeg_tables(path: Path) -> Array:
    """JPEG strips without tables: each page has its own, in a tag."""
    pages = []
    for z, image in enumerate(BYTES):
        strips, tables = [], b""
        for top in range(0, SHAPE[1], 16):
            strip, tables = without_tables(imagecodecs.jpeg_encode(image[top : top + 16].copy(), level=50 + 8 * z))
            strips.append(strip)
        data = np.frombuffer(b"".join(strips), "uint8")
        ends = np.cumsum([len(strip) for strip in strips])
        at = [16 + sum(len(other.image[0]) for other in pages) + int(end) for end in (0, *ends[:-1])]
        tags = {
            256: (LONG, [SHAPE[2]]), 257: (LONG, [SHAPE[1]]), 259: (SHORT, [7]), 278: (LONG, [16]),
            273: (LONG, at), 279: (LONG, [len(strip) for strip in strips]), 347: (UNDEFINED, tables),
        }  # fmt: skip
        pages.append(Page(data[None], tags=tags))
    write_pages(path, pages)
    return BYTES


def without_tables(stream: bytes) -> tuple[bytes, bytes]:
    """A JPEG stream without its quantization and Huffman tables, and a stream with only these."""
    at, kept, tables = 2, b"", b""
    while stream[at + 1] != 0xDA:  # the data follows
        segment = stream[at : at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")]
        if segment[1] in (0xDB, 0xC4):
            tables += segment
        else:
            kept += segment
        at += len(segment)
    return stream[:2] + kept + stream[at:], stream[:2] + tables + b"\xff\xd9"


KINDS: dict[str, tuple[Writer, str, str, int]] = {
    # name: how it is written, its format, its compression, the fewest rows that can be read on their own
    "plain": (by_hand(VOLUME), "BigTIFF, one page a slice", "none", 1),
    "classic": (by_hand(VOLUME, big=False), "TIFF, one page a slice", "none", 1),
    "big-endian": (by_hand(VOLUME, order=">"), "BigTIFF, one page a slice", "none", 1),
    "big-endian classic": (by_hand(INTEGERS, 7, order=">", big=False), "TIFF, one page a slice", "none", 1),
    "big-endian bytes": (by_hand(BYTES, order=">"), "BigTIFF, one page a slice", "none", 1),
    "strips of one row": (by_hand(VOLUME, 1), "BigTIFF, one page a slice", "none", 1),
    "strips of seven rows": (by_hand(VOLUME, 7), "BigTIFF, one page a slice", "none", 1),
    "strips apart": (by_hand(VOLUME, 7, gap=5), "BigTIFF, one page a slice", "none", 1),
    "strips from the last": (by_hand(VOLUME, 4, backwards=True), "BigTIFF, one page a slice", "none", 1),
    "strips apart in one page": (apart_in_one_page, "BigTIFF, one page a slice", "none", 1),
    "directories first": (by_hand(VOLUME, 9, directory_first=True), "BigTIFF, one page a slice", "none", 1),
    "smaller copies between": (with_smaller_copies, "BigTIFF, one page a slice", "none", 1),
    "tifffile": (by_tifffile(VOLUME), "TIFF, one page a slice", "none", 1),
    "tifffile, no metadata": (by_tifffile(VOLUME, metadata=None), "TIFF, one page a slice", "none", 1),
    "tifffile, axes of 1": (by_tifffile(VOLUME[None, :, None]), "TIFF, one page a slice", "none", 1),
    "lzw": (by_tifffile(VOLUME, compression="lzw", rowsperstrip=8), "TIFF, one page a slice", "LZW", 8),
    "deflate": (by_tifffile(VOLUME, compression="deflate"), "TIFF, one page a slice", "Deflate", 45),
    "zstd": (by_tifffile(INTEGERS, compression="zstd", bigtiff=True), "BigTIFF, one page a slice", "Zstandard", 45),
    "lzma": (by_tifffile(VOLUME, compression="lzma"), "TIFF, one page a slice", "LZMA", 45),
    "packbits": (
        by_tifffile(BYTES, compression="packbits", rowsperstrip=11), "TIFF, one page a slice", "PackBits", 11,
    ),
    "jpeg 2000": (by_tifffile(INTEGERS, compression="jpeg2000"), "TIFF, one page a slice", "JPEG 2000", 45),
    "lerc": (by_tifffile(VOLUME, compression="lerc"), "TIFF, one page a slice", "LERC", 45),
    "12 bits": (
        by_tifffile(INTEGERS % 4096, bitspersample=12, rowsperstrip=8), "TIFF, one page a slice", "none", 8,
    ),
    "3 bits, tiles": (
        by_tifffile(BYTES % 8, bitspersample=3, tile=(16, 16), byteorder=">"), "TIFF, one page a slice", "none", 16,
    ),
    "predictor": (
        by_tifffile(INTEGERS, compression="lzw", predictor=True, rowsperstrip=6, byteorder=">"),
        "TIFF, one page a slice", "LZW", 6,
    ),
    "float predictor": (
        by_tifffile(VOLUME, compression="zstd", predictor=True, rowsperstrip=13, byteorder=">"),
        "TIFF, one page a slice", "Zstandard", 13,
    ),
    "tiles": (by_tifffile(VOLUME, tile=(16, 32)), "TIFF, one page a slice", "none", 16),
    "compressed tiles": (
        by_tifffile(VOLUME, tile=(32, 16), compression="zlib", byteorder=">"), "TIFF, one page a slice", "Deflate", 32,
    ),
    "tiles higher than the image": (by_tifffile(VOLUME, tile=(64, 16)), "TIFF, one page a slice", "none", 45),
    "jpeg tiles": (
        by_tifffile(BYTES, tile=(16, 16), compression="jpeg"), "TIFF, one page a slice", "JPEG", 16,
    ),
    "jpeg with tables": (with_jpeg_tables, "BigTIFF, one page a slice", "JPEG", 16),
    "lsm beyond 4 GB": (lsm_beyond_4_gb, "Zeiss LSM", "none", 1),
    "deep page": (by_tifffile(VOLUME, volumetric=True), "TIFF, all slices in one page", "none", 1),
    "deep page, no metadata": (
        by_tifffile(VOLUME, volumetric=True, metadata=None), "TIFF, all slices in one page", "none", 1,
    ),
    "deep page, compressed": (
        by_tifffile(VOLUME, volumetric=True, compression="zlib", rowsperstrip=10),
        "TIFF, all slices in one page", "Deflate", 10,
    ),
    "deep tiles": (
        by_tifffile(VOLUME, tile=(4, 16, 16), compression="zlib"), "TIFF, all slices in one page", "Deflate", 16,
    ),
    "imagej": (by_tifffile(VOLUME, imagej=True, metadata={"axes": "ZYX"}), "ImageJ TIFF stack", "none", 1),
    "imagej, compressed": (
        by_tifffile(BYTES, imagej=True, compression="zlib", metadata={"axes": "ZYX"}),
        "ImageJ TIFF stack", "Deflate", 45,
    ),
    "ome": (by_tifffile(VOLUME, ome=True, metadata={"axes": "ZYX"}), "OME-TIFF", "none", 1),
    "ome, one time and channel": (
        by_tifffile(VOLUME[None, :, None], ome=True, metadata={"axes": "TZCYX"}), "OME-TIFF", "none", 1,
    ),
    "ome with pyramid": (with_pyramid(ome=True), "OME-TIFF", "none", 16),
    "tifffile with pyramid": (with_pyramid(), "TIFF, one page a slice", "none", 16),
    "ome, pages in another order": (ome_from_the_last, "OME-TIFF", "none", 1),
    "ome in files": (ome_in_files, "OME-TIFF, 6 files", "none", 1),
}  # fmt: skip
