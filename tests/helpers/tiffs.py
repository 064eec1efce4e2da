"""TIFF files made byte by byte: strips anywhere, either byte order, and any tag wrong."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 1, 2, 3, 4, 5, 7, 16
_FORMATS = {BYTE: "B", UNDEFINED: "B", ASCII: "B", SHORT: "H", LONG: "I", RATIONAL: "I", LONG8: "Q"}


def coordinates(shape: tuple[int, int, int], dtype: Any = "float32") -> Array:
    """A volume whose values are the coordinates of its voxels, modulo what their type holds exactly."""
    z, y, x = np.indices(shape)
    values = z * 10_000 + y * 100 + x
    kind = np.dtype(dtype)
    values_of_type = 2048 if kind == "float16" else 2**24 if kind.kind == "f" else int(np.iinfo(kind).max) + 1
    return (values % values_of_type).astype(kind)


@dataclass
class Page:
    """A page to write.

    `gap` bytes follow each of its strips; `tags` replace the correct ones (None: the tag is left out).
    """

    image: Array
    rows: int | None = None
    gap: int = 0
    tags: dict[int, tuple[int, Sequence[int]] | None] = field(default_factory=dict)


def pages_of(volume: Array, rows: int | None = None, gap: int = 0) -> list[Page]:
    """The slices of a volume, each a page."""
    return [Page(image, rows, gap) for image in volume]


def write_pages(
    path: Path,
    pages: Sequence[Page],
    *,
    big: bool = True,
    order: str = "<",
    backwards: bool = False,
    directory_first: bool = False,
) -> Path:
    """Write pages as a TIFF.

    `backwards` puts the strips on disk in the opposite order, `directory_first` all directories before all data.
    """
    strips = [_strips(page, order) for page in pages]
    header = 16 if big else 8
    sizes = [
        len(_directory(page, cut, [0] * len(cut), 0, 0, big, order)) for page, cut in zip(pages, strips, strict=True)
    ]
    data_size = sum(len(strip) + page.gap for page, cut in zip(pages, strips, strict=True) for strip in cut)
    data_at = header + (sum(sizes) if directory_first else 0)
    directories_at = header + (0 if directory_first else data_size)

    data = bytearray()
    offsets = [[0] * len(cut) for cut in strips]
    places = [(p, s) for p, cut in enumerate(strips) for s in range(len(cut))]
    for p, s in reversed(places) if backwards else places:
        offsets[p][s] = data_at + len(data)
        data += strips[p][s] + b"\xaa" * pages[p].gap

    directories = bytearray()
    for p, page in enumerate(pages):
        at = directories_at + len(directories)
        following = at + sizes[p] if p + 1 < len(pages) else 0
        directories += _directory(page, strips[p], offsets[p], at, following, big, order)

    first = directories_at if pages else 0
    start = {"<": b"II", ">": b"MM"}[order]
    start += struct.pack(order + "HHHQ", 43, 8, 0, first) if big else struct.pack(order + "HI", 42, first)
    path.write_bytes(start + (directories + data if directory_first else data + directories))
    return path


def _strips(page: Page, order: str) -> list[bytes]:
    image, rows = page.image.astype(page.image.dtype.newbyteorder(order)), page.rows or len(page.image)
    return [image[top : top + rows].tobytes() for top in range(0, len(image), rows)]


def _directory(
    page: Page, strips: list[bytes], offsets: list[int], at: int, following: int, big: bool, order: str
) -> bytes:
    """The directory of a page at a position in the file, followed by the values that do not fit into its tags."""
    pointer, number, count_format, inline = (LONG8, "Q", "Q", 8) if big else (LONG, "H", "I", 4)
    length, width = page.image.shape
    tags: dict[int, Any] = {
        256: (LONG, [width]),
        257: (LONG, [length]),
        258: (SHORT, [page.image.dtype.itemsize * 8]),
        259: (SHORT, [1]),
        262: (SHORT, [1]),
        273: (pointer, offsets),
        277: (SHORT, [1]),
        278: (LONG, [page.rows or length]),
        279: (pointer, [len(strip) for strip in strips]),
        339: (SHORT, [{"u": 1, "i": 2, "f": 3}[page.image.dtype.kind]]),
    } | page.tags
    kept = sorted((code, *tag) for code, tag in tags.items() if tag is not None)
    head = bytearray(struct.pack(order + number, len(kept)))
    beyond_at = at + len(head) + len(kept) * (4 + 2 * inline) + inline
    beyond = bytearray()
    for code, kind, values in kept:
        raw = struct.pack(f"{order}{len(values)}{_FORMATS[kind]}", *values)
        if len(raw) > inline:
            value = struct.pack(order + count_format, beyond_at + len(beyond))
            beyond += raw
        else:
            value = raw.ljust(inline, b"\0")
        count = len(values) // (2 if kind == RATIONAL else 1)
        head += struct.pack(order + "HH" + count_format, code, kind, count) + value
    return bytes(head + struct.pack(order + count_format, following) + beyond)
