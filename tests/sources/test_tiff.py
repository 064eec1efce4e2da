"""Reading volumes: every kind of TIFF, whole and in blocks, against tifffile reading it whole."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import psutil
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.sources import row_reader as file_rows
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.sources.tiff import pages as tiff_pages
from napari_ct_pyramid.sources.tiff.segments import EncodedSegments
from tests.helpers.tiffs import ASCII, BYTE, LONG, SHORT, UNDEFINED, Array, Page, coordinates, pages_of, write_pages

SHAPE = (6, 45, 37)
VOLUME = coordinates(SHAPE)
INTEGERS = coordinates(SHAPE, "uint16")
BYTES = coordinates(SHAPE, "uint8")
Writer = Callable[[Path], Array]
Kind = tuple[str, Source, Array]


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
    """Strips that follow one another in all pages but one."""
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
    """Pages in the opposite order, as the OME-XML says."""
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
    """Zeiss LSM: a thumbnail after each slice, and places that are told modulo 4 GB."""
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
    """JPEG strips without the tables that they need: each page has its own, in a tag."""
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
    """A JPEG stream without its tables of quantization and codes, and a stream of these alone."""
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


@pytest.fixture(params=KINDS, scope="module")
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kind]:
    """A source of every kind, and what it holds."""
    path = tmp_path_factory.mktemp("kind") / "volume.tif"
    written = KINDS[request.param][0](path)
    with open_source(path) as source:
        expected = tifffile.imread(path)
        if KINDS[request.param][2] != "JPEG":  # the only one that loses something
            np.testing.assert_array_equal(expected.squeeze(), written.squeeze())
        yield request.param, source, expected.squeeze()


def block(source: Source, z0: int, z1: int, y0: int, y1: int, wider: int = 0) -> Array:
    """A block of rows, read into a part of a larger buffer whose rest must stay as it was."""
    x = source.volume.shape[2]
    buffer = np.full((z1 - z0 + 2, y1 - y0 + 3, x + wider), 77, source.volume.dtype)
    out = buffer[1:-1, 1:-2, :x]
    source.read(z0, z1, y0, y1, out)
    rest = np.ones(buffer.shape, bool)
    rest[1:-1, 1:-2, :x] = False
    assert (buffer[rest] == 77).all()
    return out


def blocks(seed: int, shape: tuple[int, int, int], count: int) -> Iterator[tuple[int, int, int, int]]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        z0, z1 = sorted(rng.choice(shape[0] + 1, 2, replace=False))
        y0, y1 = sorted(rng.choice(shape[1] + 1, 2, replace=False))
        yield int(z0), int(z1), int(y0), int(y1)


def test_whole_and_in_blocks(kind: Kind) -> None:
    _, source, expected = kind
    whole = np.empty(source.volume.shape, source.volume.dtype)
    source.read(0, SHAPE[0], 0, SHAPE[1], whole)
    np.testing.assert_array_equal(whole, expected)
    for z0, z1, y0, y1 in blocks(1, SHAPE, 15):
        for wider in (0, 5):  # rows that follow one another in memory, and rows apart
            np.testing.assert_array_equal(block(source, z0, z1, y0, y1, wider), expected[z0:z1, y0:y1])


@pytest.mark.parametrize("name", ["lzw", "deflate", "zstd", "lzma", "packbits", "predictor", "imagej, compressed"])
def test_whole_strips_are_decoded_in_place(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise AssertionError("decoded elsewhere, to be copied")

    written = KINDS[name][0](tmp_path / "volume.tif")
    monkeypatch.setattr(EncodedSegments, "_decoded", fail)
    with open_source(tmp_path / "volume.tif") as source:
        np.testing.assert_array_equal(block(source, 0, SHAPE[0], 0, SHAPE[1]), written)


def test_rows_in_steps_of_any_height(kind: Kind) -> None:
    _, source, expected = kind
    # a view that is contiguous along y too, as most buffers are
    for step in (1, 8, 16):
        for y0 in range(0, SHAPE[1], step):
            y1 = min(y0 + step, SHAPE[1])
            out = np.empty((SHAPE[0], y1 - y0, SHAPE[2]), source.volume.dtype)
            source.read(0, SHAPE[0], y0, y1, out)
            np.testing.assert_array_equal(out, expected[:, y0:y1])


def test_what_it_is(kind: Kind) -> None:
    name, source, expected = kind
    volume = source.volume
    assert (volume.name, volume.shape, volume.dtype) == ("volume", SHAPE, expected.dtype)
    assert volume.dtype.isnative
    assert (volume.format, volume.compression, volume.row_step) == KINDS[name][1:]


def test_many_threads_at_once(kind: Kind) -> None:
    _, source, expected = kind
    together = threading.Barrier(4)

    def read(seed: int) -> int:
        together.wait()
        good = 0
        for z0, z1, y0, y1 in blocks(seed, SHAPE, 25):
            good += np.array_equal(block(source, z0, z1, y0, y1), expected[z0:z1, y0:y1])
        return good

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(4))) == [25] * 4


@pytest.mark.parametrize(
    "dtype",
    ["float16", "float32", "float64", "uint8", "uint16", "uint32", "int8", "int16", "int32"],
)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=["plain", "compressed"])
def test_types(tmp_path: Path, dtype: str, order: str, options: dict[str, Any]) -> None:
    volume = coordinates((3, 10, 12), dtype)
    if np.dtype(dtype).kind != "u":
        volume -= np.array(50, dtype)
    tifffile.imwrite(tmp_path / "v.tif", volume, byteorder=order, photometric="minisblack", **options)
    with open_source(tmp_path / "v.tif") as source:
        assert source.volume.dtype == dtype
        np.testing.assert_array_equal(block(source, 0, 3, 0, 10), volume)


@given(data=st.data())
def test_plain_rows_wherever_they_lie(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.tuples(st.integers(2, 5), st.integers(1, 9), st.integers(1, 9)), "shape"))
    volume = coordinates(shape, data.draw(st.sampled_from(["float32", "uint8", "int16", "float64"])))
    path = write_pages(
        tmp_path_factory.mktemp("plain") / "v.tif",
        pages_of(volume, data.draw(st.integers(1, 10), "rows in a strip"), data.draw(st.integers(0, 3), "gap")),
        big=data.draw(st.booleans(), "big"),
        order=data.draw(st.sampled_from("<>"), "order"),
        backwards=data.draw(st.booleans(), "backwards"),
        directory_first=data.draw(st.booleans(), "directory first"),
    )
    z0 = data.draw(st.integers(0, shape[0] - 1))
    z1 = data.draw(st.integers(z0, shape[0]))
    y0 = data.draw(st.integers(0, shape[1] - 1))
    y1 = data.draw(st.integers(y0, shape[1]))
    with open_source(path) as source:
        assert source.volume.shape == shape
        np.testing.assert_array_equal(block(source, z0, z1, y0, y1), volume[z0:z1, y0:y1])


def test_slices_beyond_4_gb_in_one_page(tmp_path: Path) -> None:
    """ImageJ's way: a classic TIFF with one directory, and slices one after another past what it can point at."""
    shape = (5000, 1000, 1000)
    text = f"ImageJ=1.54f\nimages={shape[0]}\nslices={shape[0]}\nunit=um\nspacing=3\nloop=false\n\0".encode()
    page = Page(np.zeros(shape[1:], "uint8"), tags={270: (ASCII, text)})
    path = write_pages(tmp_path / "huge.tif", [page], big=False, order=">", directory_first=True)
    begin = path.stat().st_size - 1_000_000
    with path.open("r+b") as file:  # sparse: takes next to no disk
        file.truncate(begin + shape[0] * 1_000_000)
        for z in (0, 4294, 4999):
            file.seek(begin + z * 1_000_000 + 700 * 1000)
            file.write(bytes([z % 251] * 1000))
    with open_source(path) as source:
        assert (source.volume.shape, source.volume.dtype) == (shape, np.uint8)
        for z in (0, 4294, 4999):
            rows = block(source, z, z + 1, 699, 702)
            assert (rows[0, 1] == z % 251).all()
            assert not rows[0, [0, 2]].any()


def test_pages_that_share_their_pixels(tmp_path: Path) -> None:
    """Any number of pages may point at the same place: the volume is larger than the file."""
    with tifffile.TiffFile(write_pages(tmp_path / "v.tif", pages_of(VOLUME[:2]))) as tif:
        at = tif.pages.first.dataoffsets[0]
    pages = [*pages_of(VOLUME[:1]), *(Page(VOLUME[0][:0].reshape(0, 37), 45) for _ in range(40))]
    for page in pages[1:]:
        page.tags = {257: (LONG, [45]), 273: (LONG, [at]), 279: (LONG, [VOLUME[0].nbytes])}
    path = write_pages(tmp_path / "v.tif", pages)
    with open_source(path) as source:
        assert source.volume.shape == (41, 45, 37)
        assert source.volume.nbytes > 10 * path.stat().st_size
        assert (block(source, 0, 41, 5, 9) == VOLUME[0, 5:9]).all()


@pytest.mark.parametrize("name", ["core.tif", "core.tiff", "core.ome.tif", "core.TIF", "core.btf"])
def test_the_name_of_a_volume(tmp_path: Path, name: str) -> None:
    with open_source(write_pages(tmp_path / name, pages_of(VOLUME))) as source:
        assert source.volume.name == "core"


def test_counts_may_be_left_out_of_plain_pages(tmp_path: Path) -> None:
    pages = pages_of(VOLUME)
    for page in pages:
        page.tags[279] = None
    with open_source(write_pages(tmp_path / "v.tif", pages)) as source:
        np.testing.assert_array_equal(block(source, 0, 6, 0, 45), VOLUME)


def test_tiles_that_were_left_out_are_blank(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    with tifffile.TiffWriter(path) as tif:
        for image in VOLUME:
            tiles = (image[y : y + 16, x : x + 16] for y in (0, 16, 32) for x in (0, 16, 32))
            cut = (np.pad(tile, [(0, 16 - tile.shape[0]), (0, 16 - tile.shape[1])]) for tile in tiles)
            kept = (None if k == 4 else tile for k, tile in enumerate(cut))
            tif.write(
                kept, shape=image.shape, dtype="float32", tile=(16, 16), compression="zlib", metadata=None,
                contiguous=False,
            )  # fmt: skip
    expected = tifffile.imread(path)
    assert (expected[:, 16:32, 16:32] == 0).all()
    with open_source(path) as source:
        np.testing.assert_array_equal(block(source, 0, 6, 0, 45), expected)


# --- no more is read than was asked for -------------------------------------------------------------------------


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of each read from the file."""
    sizes: list[int] = []
    original = file_rows.FileHandles.readinto

    def spy(self: file_rows.FileHandles, file: int, at: int, buffer: memoryview) -> int:
        sizes.append(len(buffer))
        return original(self, file, at, buffer)

    monkeypatch.setattr(file_rows.FileHandles, "readinto", spy)
    return sizes


@pytest.mark.parametrize("rows", [None, 1, 7])
def test_plain_rows_go_straight_into_the_array(tmp_path: Path, bytes_read: list[int], rows: int | None) -> None:
    with open_source(write_pages(tmp_path / "v.tif", pages_of(VOLUME, rows))) as source:
        out = np.empty((2, 10, 37), "float32")
        source.read(1, 3, 20, 30, out)
        assert bytes_read == [10 * 37 * 4] * 2  # strips that follow one another are read as one


@pytest.mark.parametrize("options", [{"rowsperstrip": 8}, {"tile": (16, 16)}], ids=["strips", "tiles"])
def test_only_what_is_needed_is_decoded(tmp_path: Path, bytes_read: list[int], options: dict[str, Any]) -> None:
    path = tmp_path / "v.tif"
    tifffile.imwrite(path, VOLUME, compression="zlib", **options)
    with tifffile.TiffFile(path) as tif:
        counts = [page.databytecounts for page in tif.pages]
    with open_source(path) as source:
        step, across = source.volume.row_step, 3 if "tile" in options else 1
        for y0 in range(0, 45, step):  # in steps of row_step, nothing is decoded twice
            y1 = min(y0 + step, 45)
            source.read(2, 3, y0, y1, np.empty((1, y1 - y0, 37), "float32"))
        assert bytes_read == list(counts[2])
        bytes_read.clear()
        source.read(4, 5, step + 1, step + 2, np.empty((1, 1, 37), "float32"))
        assert bytes_read == list(counts[4][across : 2 * across])


# --- handles ----------------------------------------------------------------------------------------------------


def open_files(folder: Path) -> list[str]:
    return [file.path for file in psutil.Process().open_files() if file.path.startswith(str(folder))]


@pytest.mark.parametrize("name", ["plain", "lzw", "ome in files"])
def test_files_are_open_while_they_are_read_and_no_longer(tmp_path: Path, name: str) -> None:
    path = tmp_path.resolve() / "v.tif"
    KINDS[name][0](path)
    source = open_source(path)
    assert open_files(tmp_path) == []
    together = threading.Barrier(3)

    def read(_: int) -> None:
        block(source, 0, 6, 0, 45)
        together.wait()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(read, range(3)))
    assert len(open_files(tmp_path)) == 3  # one a thread, however many files there are
    source.close()
    assert open_files(tmp_path) == []
    with pytest.raises(ValueError, match="closed"):
        block(source, 0, 1, 0, 1)


def test_a_folder_of_work_may_change_while_a_source_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pages(tmp_path / "v.tif", pages_of(VOLUME))
    monkeypatch.chdir(tmp_path)
    with open_source("v.tif") as source:
        monkeypatch.chdir(tmp_path.parent)
        np.testing.assert_array_equal(block(source, 0, 6, 0, 45), VOLUME)


@pytest.mark.parametrize(
    ("wanted", "out"),
    [
        ((0, 7, 0, 45), np.empty((7, 45, 37), "float32")),
        ((-1, 1, 0, 45), np.empty((2, 45, 37), "float32")),
        ((0, 1, 40, 46), np.empty((1, 6, 37), "float32")),
        ((0, 1, 0, 45), np.empty((1, 45, 36), "float32")),
        ((0, 1, 0, 45), np.empty((1, 45, 37), ">f4")),
        ((0, 1, 0, 45), np.empty((1, 45, 37), "float64")),
        ((0, 1, 0, 45), np.empty((1, 45, 74), "float32")[:, :, ::2]),
    ],
    ids=["z", "below", "y", "shape", "byte order", "type", "strides"],
)
def test_a_block_or_an_array_that_does_not_fit(tmp_path: Path, wanted: tuple[int, int, int, int], out: Array) -> None:
    with (
        open_source(write_pages(tmp_path / "v.tif", pages_of(VOLUME))) as source,
        pytest.raises(ValueError, match=r"not within|cannot read into"),
    ):
        source.read(*wanted, out)


def test_an_empty_block_reads_nothing(tmp_path: Path, bytes_read: list[int]) -> None:
    with open_source(write_pages(tmp_path / "v.tif", pages_of(VOLUME))) as source:
        source.read(3, 3, 0, 45, np.empty((0, 45, 37), "float32"))
        source.read(0, 6, 9, 9, np.empty((6, 0, 37), "float32"))
    assert bytes_read == []


def test_pages_are_walked_through_again_once_a_file_may_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, np.zeros((3, 8, 8), "u1"), photometric="minisblack")
    assert tiff_pages.read_pages(path) is not tiff_pages.read_pages(path)  # it was changed just now
    later = time.time() + 60
    monkeypatch.setattr(tiff_pages.time, "time", lambda: later)
    known = tiff_pages.read_pages(path)
    assert tiff_pages.read_pages(path) is known
    tifffile.imwrite(path, np.zeros((4, 8, 8), "u1"), photometric="minisblack")
    assert len(tiff_pages.read_pages(path).pages) == 4


def test_a_file_that_shrinks_while_it_is_open(tmp_path: Path) -> None:
    path = write_pages(tmp_path / "v.tif", pages_of(VOLUME), directory_first=True)
    with open_source(path) as source:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - 1000)
        with pytest.raises(SourceError, match=r"Slice 6 of 6 .*v\.tif ended early: 6,660 bytes .* 5,660 were there"):
            block(source, 0, 6, 0, 45)


def test_data_that_cannot_be_decoded(tmp_path: Path) -> None:
    path = tmp_path / "v.tif"
    tifffile.imwrite(path, VOLUME, compression="zlib", rowsperstrip=15, metadata=None)
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.get(3)
        at, count = page.dataoffsets[1], page.databytecounts[1]
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\x55" * count)
    with open_source(path) as source:
        block(source, 0, 3, 0, 45)  # the others are fine
        with pytest.raises(SourceError, match=r"Page 4 of 6, strip or tile 2 of 3, of .*v\.tif could not be decoded"):
            block(source, 0, 6, 0, 45)
