"""TIFFs of microscopes, made byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tests.helpers.tiffs import ASCII, BYTE, LONG, RATIONAL, Page, coordinates, pages_of, write_pages

SHAPE = (6, 45, 37)
INTEGERS = coordinates(SHAPE, "uint16")


def metamorph(path: Path, *, rows: int | None = None, steps: list[int] | None = None, unit: str = "um") -> None:
    """MetaMorph: one page for the first slice, which the others follow; private tags describe them.

    `steps` are the distances between slices, in thousandths of a micrometer.
    """
    steps = [700] * SHAPE[0] if steps is None else steps
    times = [1000 + z * bool(step) for z, step in enumerate(steps)]
    planes = [n for step, time in zip(steps, times, strict=True) for n in (step, 1000, *[2_460_000, time] * 2)]
    words = unit.encode() + b"\0"
    named = b"".join([struct.pack("<I", len(words)), words, struct.pack("<4I", 13, 20, 13, 20)])
    tags: dict[int, Any] = {33629: (RATIONAL, planes), 33628: (LONG, [0] * 10), 33631: (BYTE, named)}
    write_pages(path, [Page(INTEGERS[0], rows, tags=tags)], big=False, directory_first=True)
    data = bytearray(path.read_bytes()) + INTEGERS[1:].tobytes()
    # A tag of six numbers a slice, whose count is the number of slices and whose type is a fraction.
    at = data.index(struct.pack("<HHI", 33629, 5, 3 * len(steps)))
    struct.pack_into("<I", data, at + 4, len(steps))
    at = data.index(struct.pack("<HHI", 33631, 1, len(named)))
    words_at = struct.unpack_from("<I", data, at + 8)[0]
    struct.pack_into("<HHII", data, at, 65000, 1, len(named), words_at)  # rename the tag that has the unit
    # Codes and offsets of other values, in pairs.
    at = data.index(struct.pack("<HHI", 33628, 4, 10))
    fractions_at = words_at + 4 + len(words)
    values = (3, 1, 4, fractions_at, 5, fractions_at + 8, 6, words_at, 0, 1)
    struct.pack_into("<10I", data, struct.unpack_from("<I", data, at + 8)[0], *values)
    struct.pack_into("<I", data, at + 4, 5)
    path.write_bytes(data)


def fluoview(path: Path) -> None:
    """Olympus FluoView: a header that names the axes."""
    header = np.zeros((), np.dtype(tifffile.TIFF.MM_HEADER).newbyteorder("<"))
    header["HeaderFlag"], header["ImageName"] = 1, b"scan"
    names, sizes = (b"X", b"Y", b"Z"), SHAPE[::-1]
    for place, (name, size) in enumerate(zip(names, sizes, strict=True)):
        header["Dimensions"][place] = (name, size, 0, 0.5, b"um")
    pages = pages_of(INTEGERS)
    pages[0].tags[34361] = (BYTE, header.tobytes())
    pages[0].tags[34362] = (BYTE, bytes(8))
    pages[0].tags[270] = (ASCII, b"[Acquisition Parameters]\r\n\0")
    write_pages(path, pages, big=False)


def nih_image(path: Path) -> None:
    """NIH Image: a page a slice, and a header."""
    header = np.zeros((), np.dtype(tifffile.TIFF.NIH_IMAGE_HEADER).newbyteorder(">"))
    header["FileID"], header["nSlices"] = b"IPICIMAG", SHAPE[0]
    pages = pages_of(INTEGERS)
    pages[0].tags[43314] = (BYTE, header.tobytes())
    write_pages(path, pages, big=False, order=">")


def scanimage(path: Path) -> None:
    """ScanImage: its metadata is in the description."""
    pages = pages_of(INTEGERS)
    for page in pages:
        page.tags[270] = (ASCII, b"state.configPath='C:\\'\r\nstate.acq.numberOfZSlices=6\0")
    write_pages(path, pages, big=False)


def one_page_for_all(path: Path) -> None:
    """tifffile's own, with a page for the first slice only."""
    with tifffile.TiffWriter(path, shaped=True) as tif:
        tif.write(INTEGERS, photometric="minisblack", truncate=True)


KINDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "metamorph": (metamorph, "MetaMorph stack"),
    "metamorph, strips": (lambda path: metamorph(path, rows=7), "MetaMorph stack"),
    "metamorph, no distances": (lambda path: metamorph(path, steps=[0] * 6), "MetaMorph stack"),
    "fluoview": (fluoview, "FluoView TIFF"),
    "nih image": (nih_image, "NIH Image TIFF"),
    "shaped, one page": (one_page_for_all, "TIFF, all slices in one page"),
    "scanimage": (scanimage, "ScanImage TIFF"),
}
