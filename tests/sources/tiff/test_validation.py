"""TIFFs that are not a volume: each error names the file and what is wrong, and nothing else is printed or logged."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.helpers.damage import INTEGERS, VOLUME, Make, content, cut, error_of, patched, written
from tests.helpers.tiffs import ASCII, LONG, LONG8, SHORT, Page, pages_of, write_pages

PAGE_BYTES = 24 * 20 * 4


def with_page(number: int, page: Page) -> Make:
    """A correct file, except for one page."""

    def make(path: Path) -> None:
        pages = pages_of(VOLUME)
        pages[number - 1] = page
        write_pages(path, pages)

    return make


def with_tags(tags: dict[int, Any], **options: Any) -> Make:
    """A correct file, except for these tags of all pages."""
    return lambda path: write_pages(path, [Page(image, 6, tags=dict(tags)) for image in VOLUME], **options)


def directories_first(**options: Any) -> Make:
    return lambda path: write_pages(path, pages_of(VOLUME), directory_first=True, **options)


def leads_back(data: bytearray) -> None:
    """The last directory leads to the first."""
    first = struct.unpack_from("<Q", data, 8)[0]
    last = first
    while following := struct.unpack_from("<Q", data, last + 8 + 20 * struct.unpack_from("<Q", data, last)[0])[0]:
        last = following
    struct.pack_into("<Q", data, last + 8 + 20 * struct.unpack_from("<Q", data, last)[0], first)


def many_tags(data: bytearray) -> None:
    struct.pack_into("<Q", data, struct.unpack_from("<Q", data, 8)[0], 70_000)


def two_images(path: Path, **options: Any) -> None:
    with tifffile.TiffWriter(path, **options) as tif:
        tif.write(INTEGERS[:5], metadata={"axes": "ZYX"})
        tif.write(INTEGERS[:3], metadata={"axes": "ZYX"}, photometric="minisblack")


def imagej_without_end(path: Path) -> None:
    tifffile.imwrite(path, VOLUME, imagej=True, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path) as tif:
        at = tif.pages.first.dataoffsets[0]
        text = tif.pages.first.description
    page = Page(VOLUME[0], tags={270: (ASCII, text.encode() + b"\0")})
    write_pages(path, [page], directory_first=True, big=False)
    with tifffile.TiffFile(path) as tif:
        at = tif.pages.first.dataoffsets[0]
    path.write_bytes(path.read_bytes()[:at] + VOLUME.tobytes()[: 4 * PAGE_BYTES + 500])


def ome_with_missing_file(path: Path) -> None:
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="float" SizeX="20" SizeY="24" '
        'SizeZ="3" SizeC="1" SizeT="1"><Channel ID="Channel:0:0"/>'
        + "".join(
            f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1"><UUID FileName="p{z}.tif">urn:uuid:{z}</UUID></TiffData>'
            for z in range(3)
        )
        + "</Pixels></Image></OME>"
    )
    tifffile.imwrite(path, VOLUME[0], description=xml, metadata=None)


def ome_with_missing_planes(path: Path) -> None:
    tifffile.imwrite(path, VOLUME, ome=True, metadata={"axes": "ZYX"}, compression="zlib")
    data = path.read_bytes()
    assert data.count(b'SizeZ="8"') == 1
    path.write_bytes(data.replace(b'SizeZ="8"', b'SizeZ="9"').replace(b'PlaneCount="8"', b'PlaneCount="9"'))


BAD: dict[str, tuple[Make, tuple[str, ...]]] = {
    # name: how the file is written, and what the message must have in it
    # --- cut short
    "header only": (content(b"II*\0"), ("header", "4 to 8", "byte 4")),
    "no page": (lambda path: write_pages(path, []), ("no page",)),
    "no directory": (
        cut(lambda path: write_pages(path, pages_of(VOLUME)), lambda _: 9000),
        ("page 1", "15,376", "15,384", "9,000"),
    ),
    "directories cut": (
        cut(lambda path: write_pages(path, pages_of(VOLUME)), lambda size: size - 300),
        ("cut short", "page 7"),
    ),
    "data cut within a page": (
        cut(directories_first(), lambda size: size - 3 * PAGE_BYTES + 700),
        ("cut short", "page 6 of 8", "700", "1,920"),
    ),
    "data cut between pages": (
        cut(directories_first(big=False), lambda size: size - PAGE_BYTES), ("page 8 of 8", " 0 ", "1,920"),
    ),
    "data cut within a strip": (
        cut(with_tags({}, directory_first=True), lambda size: size - 100), ("page 8 of 8", "1,820", "1,920"),
    ),
    "compressed data cut": (
        cut(written(INTEGERS, compression="packbits", metadata=None), lambda _: 2800),
        ("cut short", "page 3 "),  # the number of pages is unknown then
    ),
    "tifffile's own, cut": (cut(written(VOLUME), lambda size: size // 2), ("cut short",)),
    "imagej, cut": (
        cut(written(VOLUME, imagej=True, metadata={"axes": "ZYX"}), lambda size: size // 2), ("cut short",),
    ),
    "imagej in one page, cut": (
        imagej_without_end, ("slice 5 of 8", "500", "1,920"),
    ),
    "one page for all, cut": (
        cut(written(VOLUME, volumetric=True, metadata=None), lambda _: 10_000), (" of 8", "1,920"),
    ),
    "truncated by tifffile, cut": (
        cut(written(VOLUME, contiguous=True, bigtiff=True), lambda size: size - PAGE_BYTES), ("cut short",),
    ),
    "no data": (with_page(3, Page(VOLUME[2], tags={273: (LONG, [0])})), ("page 3 of 8", " 0 ", "1,920")),
    "counts too small": (
        with_page(3, Page(VOLUME[2], tags={279: (LONG, [100])})), ("page 3 of 8", "100", "1,920"),
    ),
    "a count too small among strips": (
        with_tags({279: (LONG, [480, 100, 480, 480])}), ("page 1 of 8", "1,540", "1,920"),
    ),
    "OME-TIFF without one of its files": (ome_with_missing_file, ("no such file",)),
    "OME-TIFF without one of its planes": (ome_with_missing_planes, ("page 9 of 9",)),
    # --- pages that differ
    "another shape": (
        with_page(5, Page(VOLUME[4][:12, :11].copy())),
        ("Page 5 of 8", "12 × 11", "page 1", "24 × 20"),
    ),
    "another type": (
        with_page(8, Page(INTEGERS[7])), ("Page 8 of 8", "uint16", "page 1", "float32"),
    ),
    "integers of another sign": (
        with_page(2, Page(VOLUME[1], tags={339: (SHORT, [2])})), ("Page 2 of 8", "int32", "page 1", "float32"),
    ),
    "a colour page": (
        with_page(2, Page(VOLUME[1], tags={277: (SHORT, [3])})),
        ("Page 2 of 8", "3 samples", "page 1", "1 samples"),
    ),
    "another codec": (
        with_page(4, Page(VOLUME[3], tags={259: (SHORT, [5])})),
        ("Page 4 of 8", "LZW", "page 1", "not compressed"),
    ),
    "strips of another height": (
        with_page(4, Page(VOLUME[3], 5)), ("Page 4 of 8", "5", "rows per strip", "page 1", "24"),
    ),
    "a smaller page that is not marked as a copy": (
        with_page(8, Page(VOLUME[7][::2, ::2].copy())), ("Page 8 of 8", "12 × 10"),
    ),
    # --- not z, y, x
    "colour": (
        written(np.zeros((8, 24, 20, 3), "uint8"), photometric="rgb"), ("3 samples",),
    ),
    "colour in planes": (
        written(np.zeros((8, 3, 24, 20), "uint8"), photometric="rgb", planarconfig="separate"), ("3 samples",),
    ),
    "colour, cut": (
        cut(written(np.zeros((8, 24, 20, 3), "uint8"), photometric="rgb"), lambda size: size // 2), ("3 samples",),
    ),
    "one page": (written(VOLUME[0]), ("single image", "24 × 20")),
    "one slice": (written(VOLUME[:1], imagej=True, metadata={"axes": "ZYX"}), ("single image", "24 × 20")),
    "one page and its copies": (
        lambda path: write_pages(
            path, [Page(VOLUME[0]), *(Page(VOLUME[0][::k, ::k].copy(), tags={254: (LONG, [1])}) for k in (2, 4))]
        ),
        ("single image", "24 × 20"),
    ),
    "time and z": (
        written(INTEGERS.reshape(2, 4, 24, 20), imagej=True, metadata={"axes": "TZYX"}),
        ("2 time points",),
    ),
    "channels and z": (
        written(INTEGERS.reshape(4, 2, 24, 20), imagej=True, metadata={"axes": "ZCYX"}),
        ("2 channels",),
    ),
    "time alone": (written(INTEGERS, imagej=True, metadata={"axes": "TYX"}), ("time 8, y 24, x 20",)),
    "channels alone": (written(INTEGERS, ome=True, metadata={"axes": "CYX"}), ("channel 8, y 24, x 20",)),
    "unnamed axes": (
        written(VOLUME.reshape(2, 4, 24, 20), photometric="minisblack"),
        ("unnamed 2, unnamed 4, y 24, x 20",),
    ),
    "several pages with depth": (
        lambda path: write_pages(path, [Page(image, tags={32997: (LONG, [2]), 273: (LONG8, [16, 16]),
                                                          279: (LONG8, [1920, 1920])}) for image in VOLUME]),
        ("page 8, z 2, y 24, x 20",),
    ),
    "two images": (two_images, ("2 images", "5 × 24 × 20 uint16", "3 × 24 × 20 uint16")),
    "two images, ome": (lambda path: two_images(path, ome=True), ("2 images", "5 × 24 × 20 uint16", "3 × 24 × 20")),
    # --- types
    "complex": (written(VOLUME.astype("complex64")), ("complex, 64 bits",)),
    "20 bits": (with_tags({258: (SHORT, [20]), 339: (SHORT, [1])}), ("uint, 20 bits",)),
    "12 bits with a sign": (with_tags({258: (SHORT, [12]), 339: (SHORT, [2])}), ("int, 12 bits",)),
    "24 bits": (with_tags({258: (SHORT, [24])}), ("float, 24 bits",)),
    "64-bit integers": (written(VOLUME.astype("int64")), ("int64", "In a sample")),
    # --- damaged
    "no width": (with_tags({256: (LONG, [0])}), ("24 × 0",)),
    "no length": (with_tags({257: None}), ("0 × 20",)),
    "no rows in a strip": (with_tags({278: (LONG, [0])}), ("strips or tiles",)),
    "no tile length": (with_tags({322: (LONG, [16]), 323: (LONG, [0])}), ("strips or tiles",)),
    "too few strips": (
        with_tags({278: (LONG, [2])}), ("page 1 of 8", "12", "4"),
    ),
    "too few compressed strips": (
        with_tags({259: (SHORT, [5]), 273: (LONG, [16])}),
        ("page 1 of 8", "4", "1"),
    ),
    "a huge page": (with_tags({256: (LONG, [2**31])}), ("page 1 of 8",)),
    "a huge number of strips": (
        with_tags({257: (LONG, [2**32 - 1]), 278: (LONG, [1]), 259: (SHORT, [5])}),
        ("page 1 of 8", "4,294,967,295", "4"),
    ),
    "a page that is decoded to far too much": (
        with_tags({256: (LONG, [2**28]), 259: (SHORT, [5])}), ("page 1 of 8", "1,920 bytes", "25.8 GB"),
    ),
    "unknown codec": (
        with_tags({259: (SHORT, [64321])}), ("64321",),
    ),
    "a codec without a decoder": (with_tags({259: (SHORT, [34661])}), ("JBIG",)),
    "unknown predictor": (with_tags({259: (SHORT, [5]), 317: (SHORT, [999])}), ("LZW",)),
    "directories in a circle": (
        patched(lambda path: write_pages(path, pages_of(VOLUME)), leads_back), ("page 9",),
    ),
    "too many tags": (
        patched(lambda path: write_pages(path, pages_of(VOLUME)), many_tags),
        ("page 1", "15,376", "70,000"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_the_error_names_what_is_wrong(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    make, facts = BAD[name]
    path = tmp_path / "volume.tif"
    make(path)
    message = error_of(path, capfd, caplog)
    assert [fact for fact in facts if fact not in message] == []
