"""What is not a volume: each case one clear sentence, said before anything is written, and nothing else said."""

from __future__ import annotations

import logging
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py  # noqa: F401  what it logs for those who debug it, it logs when it is imported
import numpy as np
import pytest
import tifffile

from napari_ct_pyramid.errors import SourceError, SourceNotFoundError
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.tiffs import ASCII, LONG, LONG8, SHORT, Page, coordinates, pages_of, write_pages

VOLUME = coordinates((8, 24, 20))
INTEGERS = coordinates((8, 24, 20), "uint16")
PAGE_BYTES = 24 * 20 * 4
Make = Callable[[Path], object]


def error_of(path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> str:
    """The message of the error, which must be a sentence about this file, and all that is heard."""
    with caplog.at_level(logging.DEBUG), pytest.raises(SourceError) as caught:
        open_source(path)
    message = str(caught.value)
    assert str(path) in message
    assert message.endswith((".", "?"))
    assert "\n" not in message
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
    return message


def written(volume: Any, **options: Any) -> Make:
    return lambda path: tifffile.imwrite(path, volume, **options)


def content(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


def with_page(number: int, page: Page) -> Make:
    """A sound file, but for one page."""

    def make(path: Path) -> None:
        pages = pages_of(VOLUME)
        pages[number - 1] = page
        write_pages(path, pages)

    return make


def with_tags(tags: dict[int, Any], **options: Any) -> Make:
    """A sound file, but for these tags of all pages."""
    return lambda path: write_pages(path, [Page(image, 6, tags=dict(tags)) for image in VOLUME], **options)


def cut(make: Make, keep: Callable[[int], int]) -> Make:
    """The beginning of a file."""

    def make_cut(path: Path) -> None:
        make(path)
        os.truncate(path, keep(path.stat().st_size))

    return make_cut


def directories_first(**options: Any) -> Make:
    return lambda path: write_pages(path, pages_of(VOLUME), directory_first=True, **options)


def patched(make: Make, patch: Callable[[bytearray], None]) -> Make:
    """A file with some bytes changed."""

    def make_patched(path: Path) -> None:
        make(path)
        data = bytearray(path.read_bytes())
        patch(data)
        path.write_bytes(data)

    return make_patched


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


BAD: dict[str, tuple[Make, str]] = {
    # --- not a TIFF
    "empty": (content(b""), "is empty, where a volume"),
    "text": (content(b"z,y,x\n1,2,3\n"), r"looks like something else \(it begins with b'z,y,x"),
    "zeros": (content(bytes(5000)), r"no volume .*begins with b'\\x00\\x00"),
    "hdf5": (content(b"\x89HDF\r\n\x1a\n" + bytes(100)), "could not be read as an HDF5 file"),
    "npy": (content(b"\x93NUMPY\x01\0" + bytes(100)), "could not be read as a NumPy array"),
    "png": (content(b"\x89PNG\r\n\x1a\n" + bytes(100)), "looks like a PNG image"),
    "jpeg": (content(b"\xff\xd8\xff\xe0" + bytes(100)), "looks like a JPEG image"),
    "zip": (content(b"PK\x03\x04" + bytes(100)), "looks like a ZIP archive"),
    "dicom": (content(bytes(128) + b"DICM" + bytes(100)), "looks like a DICOM file"),
    "folder": (Path.mkdir, "holds no TIFF file"),
    "folder of empty slices": (
        lambda path: (path.mkdir(), [(path / f"s{z}.tif").touch() for z in range(3)]), r"s0\.tif is empty",
    ),
    "ome-zarr": (lambda path: (path.mkdir(), (path / ".zgroup").touch()), "is no OME-Zarr image, and no array"),
    # --- cut short
    "header only": (content(b"II*\0"), "cut short or damaged: its header should lie at bytes 4 to 8, but the file en"),
    "no page": (lambda path: write_pages(path, []), "it has no page"),
    "no directory": (
        cut(lambda path: write_pages(path, pages_of(VOLUME)), lambda _: 9000),
        "the directory of page 1 should lie at bytes 15,376 to 15,384, but the file ends at byte 9,000",
    ),
    "directories cut": (
        cut(lambda path: write_pages(path, pages_of(VOLUME)), lambda size: size - 300),
        "cut short or damaged: the directory of page 7 should lie at bytes",
    ),
    "data cut within a page": (
        cut(directories_first(), lambda size: size - 3 * PAGE_BYTES + 700),
        "cut short: page 6 of 8 has 700 of its 1,920 bytes in the file. Try copying or writing the file again",
    ),
    "data cut between pages": (
        cut(directories_first(big=False), lambda size: size - PAGE_BYTES), "page 8 of 8 has 0 of its 1,920 bytes",
    ),
    "data cut within a strip": (
        cut(with_tags({}, directory_first=True), lambda size: size - 100), "page 8 of 8 has 1,820 of its 1,920 bytes",
    ),
    "compressed data cut": (
        cut(written(INTEGERS, compression="packbits", metadata=None), lambda _: 2800),
        r"cut short: page 3 has \d+ of its \d+ bytes",  # of how many pages, the file does not tell any more
    ),
    "tifffile's own, cut": (cut(written(VOLUME), lambda size: size // 2), "cut short"),
    "imagej, cut": (
        cut(written(VOLUME, imagej=True, metadata={"axes": "ZYX"}), lambda size: size // 2), "cut short",
    ),
    "imagej in one page, cut": (
        imagej_without_end, "cut short: slice 5 of 8 has 500 of its 1,920 bytes in the file",
    ),
    "one page for all, cut": (
        cut(written(VOLUME, volumetric=True, metadata=None), lambda _: 10_000), r"slice \d of 8 has \d+ of its 1,920",
    ),
    "truncated by tifffile, cut": (
        cut(written(VOLUME, contiguous=True, bigtiff=True), lambda size: size - PAGE_BYTES), "cut short",
    ),
    "no data": (with_page(3, Page(VOLUME[2], tags={273: (LONG, [0])})), "page 3 of 8 has 0 of its 1,920 bytes"),
    "counts too small": (
        with_page(3, Page(VOLUME[2], tags={279: (LONG, [100])})), "page 3 of 8 has 100 of its 1,920 bytes",
    ),
    "a count too small among strips": (
        with_tags({279: (LONG, [480, 100, 480, 480])}), "page 1 of 8 has 1,540 of its 1,920 bytes",
    ),
    "ome, a file is missing": (ome_with_missing_file, "is not complete: page 2 of 3 of its volume is in no file here"),
    "ome, a plane is missing": (ome_with_missing_planes, "is not complete: page 9 of 9 of its volume"),
    # --- pages that differ
    "another shape": (
        with_page(5, Page(VOLUME[4][:12, :11].copy())),
        r"Page 5 of 8 of .* has 12 × 11 pixels, but page 1 has 24 × 20 pixels\. The pages of a volume must all be",
    ),
    "another type": (
        with_page(8, Page(INTEGERS[7])), r"Page 8 of 8 of .* is uint16, but page 1 is float32",
    ),
    "integers of another sign": (
        with_page(2, Page(VOLUME[1], tags={339: (SHORT, [2])})), r"Page 2 of 8 of .* is int32, but page 1 is float32",
    ),
    "a colour page": (
        with_page(2, Page(VOLUME[1], tags={277: (SHORT, [3])})),
        r"Page 2 of 8 of .* has 3 samples per pixel, but page 1 has 1 samples",
    ),
    "another codec": (
        with_page(4, Page(VOLUME[3], tags={259: (SHORT, [5])})),
        r"Page 4 of 8 of .* is compressed with LZW, but page 1 is not compressed",
    ),
    "strips of another height": (
        with_page(4, Page(VOLUME[3], 5)), r"Page 4 of 8 of .* has 5 for its rows per strip, but page 1 has 24",
    ),
    "a smaller page that does not say it is a copy": (
        with_page(8, Page(VOLUME[7][::2, ::2].copy())), r"Page 8 of 8 of .* has 12 × 10 pixels",
    ),
    # --- not z, y, x
    "colour": (
        written(np.zeros((8, 24, 20, 3), "uint8"), photometric="rgb"), "holds colour: 3 samples per pixel, where a vol",
    ),
    "colour in planes": (
        written(np.zeros((8, 3, 24, 20), "uint8"), photometric="rgb", planarconfig="separate"), "holds colour: 3 samp",
    ),
    "colour, cut": (
        cut(written(np.zeros((8, 24, 20, 3), "uint8"), photometric="rgb"), lambda size: size // 2), "holds colour",
    ),
    "one page": (written(VOLUME[0]), r"holds a single image of 24 × 20 pixels \(y, x\), where a volume needs two"),
    "one slice": (written(VOLUME[:1], imagej=True, metadata={"axes": "ZYX"}), "holds a single image of 24 × 20"),
    "one page and its copies": (
        lambda path: write_pages(
            path, [Page(VOLUME[0]), *(Page(VOLUME[0][::k, ::k].copy(), tags={254: (LONG, [1])}) for k in (2, 4))]
        ),
        "holds a single image of 24 × 20 pixels",
    ),
    "time and z": (
        written(INTEGERS.reshape(2, 4, 24, 20), imagej=True, metadata={"axes": "TZYX"}),
        r"no volume of z, y, x: its axes are time 2, z 4, y 24, x 20\. Try saving one volume",
    ),
    "channels and z": (
        written(INTEGERS.reshape(4, 2, 24, 20), imagej=True, metadata={"axes": "ZCYX"}),
        "its axes are z 4, channel 2, y 24, x 20",
    ),
    "time alone": (written(INTEGERS, imagej=True, metadata={"axes": "TYX"}), "its axes are time 8, y 24, x 20"),
    "channels alone": (written(INTEGERS, ome=True, metadata={"axes": "CYX"}), "its axes are channel 8, y 24, x 20"),
    "unnamed axes": (
        written(VOLUME.reshape(2, 4, 24, 20), photometric="minisblack"),
        "its axes are unnamed 2, unnamed 4, y 24, x 20",
    ),
    "several pages with depth": (
        lambda path: write_pages(path, [Page(image, tags={32997: (LONG, [2]), 273: (LONG8, [16, 16]),
                                                          279: (LONG8, [1920, 1920])}) for image in VOLUME]),
        "its axes are page 8, z 2, y 24, x 20",
    ),
    "two images": (two_images, "holds 2 images: 5 × 24 × 20 uint16, 3 × 24 × 20 uint16. Try saving the volume that"),
    "two images, ome": (lambda path: two_images(path, ome=True), "holds 2 images: 5 × 24 × 20 uint16, 3 × 24 × 20"),
    # --- types
    "complex": (written(VOLUME.astype("complex64")), "type that cannot be converted: complex, 64 bits. Try converting"),
    "one bit": (written(VOLUME > 3, photometric="minisblack"), "type that cannot be converted: uint, 1 bits"),
    "12 bits": (with_tags({258: (SHORT, [12]), 339: (SHORT, [1])}), "cannot be converted: uint, 12 bits"),
    "24 bits": (with_tags({258: (SHORT, [24])}), "cannot be converted: float, 24 bits"),
    "64-bit integers": (written(VOLUME.astype("int64")), "cannot be converted: int, 64 bits. Try .* 8, 16 or 32"),
    # --- damaged
    "no width": (with_tags({256: (LONG, [0])}), "holds no voxels: its pages have 24 × 0 pixels"),
    "no length": (with_tags({257: None}), "holds no voxels: its pages have 0 × 20 pixels"),
    "no rows in a strip": (with_tags({278: (LONG, [0])}), "strips or tiles of no size"),
    "no tile length": (with_tags({322: (LONG, [16]), 323: (LONG, [0])}), "strips or tiles of no size"),
    "too few strips": (
        with_tags({278: (LONG, [2])}), "damaged: page 1 of 8 should have 12 strips or tiles, and tells of 4",
    ),
    "too few compressed strips": (
        with_tags({259: (SHORT, [5]), 273: (LONG, [16])}),
        "damaged: page 1 of 8 should have 4 strips or tiles, and tells of 1",
    ),
    "a huge page": (with_tags({256: (LONG, [2**31])}), "page 1 of 8 has"),
    "a huge number of strips": (
        with_tags({257: (LONG, [2**32 - 1]), 278: (LONG, [1]), 259: (SHORT, [5])}),
        "page 1 of 8 should have 4,294,967,295 strips or tiles, and tells of 4",
    ),
    "a page that swells": (
        with_tags({256: (LONG, [2**28]), 259: (SHORT, [5])}), r"page 1 of 8 would unpack 1,920 bytes to 25\.8 GB",
    ),
    "unknown codec": (
        with_tags({259: (SHORT, [64321])}), "compressed with unknown codec 64321, which cannot be decoded here",
    ),
    "a codec without a decoder": (with_tags({259: (SHORT, [34661])}), "compressed with JBIG, which cannot be decod"),
    "unknown predictor": (with_tags({259: (SHORT, [5]), 317: (SHORT, [999])}), "LZW, which cannot be decoded here"),
    "directories in a circle": (
        patched(lambda path: write_pages(path, pages_of(VOLUME)), leads_back), "page 9 leads back to an earlier page",
    ),
    "too many tags": (
        patched(lambda path: write_pages(path, pages_of(VOLUME)), many_tags),
        r"the directory of page 1 at byte 15,376 is damaged \(it claims 70,000 tags\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_says_what_is_wrong(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    make, said = BAD[name]
    path = tmp_path / "volume.tif"
    make(path)
    assert re.search(said, error_of(path, capfd, caplog))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"There is no file .*scan\.tif\. Try its full path\."):
        open_source(tmp_path / "scan.tif")
    with pytest.raises(FileNotFoundError, match="There is no file"):  # what other code knows to catch
        open_source(tmp_path / "scan.tif")


def test_a_missing_file_with_a_neighbour_of_nearly_the_same_name(tmp_path: Path) -> None:
    write_pages(tmp_path / "scan_01.tif", pages_of(VOLUME))
    with pytest.raises(SourceNotFoundError, match=r"scan_1\.tif\. Did you mean .*scan_01\.tif\?"):
        open_source(tmp_path / "scan_1.tif")


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"scan\.tif: there is no folder .*lost\."):
        open_source(tmp_path / "lost" / "scan.tif")


def test_a_path_through_a_file(tmp_path: Path) -> None:
    path = write_pages(tmp_path / "scan.tif", pages_of(VOLUME))
    with pytest.raises(SourceNotFoundError, match="There is no file"):
        open_source(path / "scan.tif")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tif")
    with pytest.raises(SourceError, match="is not an ordinary file"):
        open_source(tmp_path / "pipe.tif")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_pages(tmp_path / "scan.tif", pages_of(VOLUME))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)  # as an administrator, the tests may read anything
    with pytest.raises(SourceError, match=r"scan\.tif may not be read by this user\. Try changing its permissions"):
        open_source(path)


def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_pages(tmp_path / "scan.tif", pages_of(VOLUME))
    source = open_source(path)

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(SourceError, match=r"scan\.tif could not be read as a volume \(Input/output error\)"):
        open_source(path)
    with pytest.raises(SourceError, match=r"scan\.tif could not be read \(Input/output error\)\. Try again"):
        source.read(0, 1, 0, 24, np.empty((1, 24, 20), "float32"))


# --- damage at random -------------------------------------------------------------------------------------------

SEEDS: list[Make] = [
    lambda path: write_pages(path, pages_of(VOLUME, 5, gap=2)),
    lambda path: write_pages(path, pages_of(INTEGERS), big=False, order=">", directory_first=True),
    written(VOLUME, compression="zlib", rowsperstrip=7, predictor=True),
    written(INTEGERS, tile=(16, 16), compression="lzw"),
    written(VOLUME, imagej=True, resolution=(2, 2), metadata={"axes": "ZYX", "unit": "um", "spacing": 2}),
    written(INTEGERS, ome=True, metadata={"axes": "ZYX"}, compression="packbits"),
    written(VOLUME, volumetric=True, tile=(4, 16, 16), compression="zlib"),
]


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_random_damage_is_an_error_or_a_volume(
    tmp_path: Path, seed: int, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Mostly in the directories, where it hurts. No other exception, and no word on the terminal."""
    path = tmp_path / "damaged.tif"
    SEEDS[seed](path)
    sound = path.read_bytes()
    with tifffile.TiffFile(path) as tif:
        directories = [(page.offset, page.offset + 350) for page in tif.pages]
    rng = np.random.default_rng(seed)
    refusals: list[str] = []
    for _ in range(40):
        data = bytearray(sound)
        for _ in range(rng.integers(1, 4)):
            low, high = (0, len(data)) if rng.random() < 0.2 else directories[rng.integers(len(directories))]
            at = int(rng.integers(low, min(high, len(data))))
            data[at] = int(rng.integers(256)) if rng.random() < 0.5 else data[at] ^ (1 << int(rng.integers(8)))
        if rng.random() < 0.15:
            del data[int(rng.integers(len(data))) :]
        path.write_bytes(data)
        try:
            with caplog.at_level(logging.DEBUG), open_source(path) as source:
                z, y, x = source.volume.shape
                if source.volume.nbytes < 2**24:
                    source.read(0, z, 0, y, np.empty((z, y, x), source.volume.dtype))
        except SourceError as error:
            refusals.append(str(error))
    assert refusals  # or the damage did none
    assert all(str(path) in refusal for refusal in refusals)
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
