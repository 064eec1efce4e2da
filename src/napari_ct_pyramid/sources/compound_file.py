"""The streams of a compound file (OLE structured storage), and where their bytes lie in the file: [MS-CFB].

olefile reads such files too, but the time that it takes to open one grows with the square of the file's size, and it
does not say where the bytes of a stream are: https://learn.microsoft.com/openspecs/windows_protocols/ms-cfb
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_ct_pyramid.sources.recognize import COMPOUND_FILE

_END, _MOST_REGULAR = 0xFFFFFFFE, 0xFFFFFFFA  # sector numbers above the second one are no sectors
_NO_STREAM = 0xFFFFFFFF
_ENTRY_BYTES = 128
_MINI = 64  # bytes of a sector of the streams that are too small for whole sectors
_STORAGE, _STREAM, _ROOT = 1, 2, 5


class FlawError(ValueError):
    """The file is damaged. The text says where."""


class Extent(NamedTuple):
    """Bytes that lie together in the file."""

    offset: int
    size: int


class _Header(NamedTuple):
    """The header, but for what is not needed; in its order."""

    major_version: int
    byte_order: int
    sector_shift: int
    mini_shift: int
    directory_sectors: int
    table_sectors: int
    directory: int
    transaction: int
    cutoff: int
    mini_table: int
    mini_table_sectors: int
    more_table: int
    more_table_sectors: int


class _Entry(NamedTuple):
    name: str
    kind: int
    left: int
    right: int
    child: int
    start: int
    size: int


class _Chains:
    """The table that says which sector follows which, searched by runs of sectors that follow each other."""

    def __init__(self, table: npt.NDArray[np.uint32]) -> None:
        following = np.arange(1, len(table), dtype=np.uint32)
        self._table = table
        self._ends = np.append(np.flatnonzero(table[:-1] != following), len(table) - 1)

    def runs(self, first: int, count: int | None) -> list[tuple[int, int]]:
        """The first sector and the number of sectors of each run, of `count` sectors in all, or up to the end."""
        found = []
        left = len(self._table) if count is None else count
        sector = first
        while left > 0 and not (count is None and sector == _END):
            if sector >= len(self._table):
                raise FlawError(f"a chain of sectors leads to sector {sector:,}, which does not exist")
            end = int(self._ends[np.searchsorted(self._ends, sector)])
            number = min(end - sector + 1, left)
            found.append((sector, number))
            left -= number
            sector = int(self._table[end])
        if count is None and sector != _END:
            raise FlawError("a chain of sectors has no end")
        return found


class CompoundFile:
    """The streams of a compound file. It is read once, when this is made.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    sizes : dict
        The bytes of each stream, by its path in lower case: ``"imageinfo/imagewidth"``.

    Raises
    ------
    FlawError
        If it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            self._file_size = file.seek(0, 2)
            header, listed = self._read_header(file)
            self._sector = 1 << header.sector_shift
            self._cutoff = header.cutoff
            self._chains = _Chains(self._read_table(file, header, listed))
            sizes = 0xFFFFFFFF if header.major_version == 3 else 0xFFFFFFFFFFFFFFFF
            entries = self._entries(file, header.directory, sizes)
            root = entries[0]
            has_mini = header.mini_table <= _MOST_REGULAR
            mini_table = self._bytes(file, self._runs(header.mini_table, None)) if has_mini else b""
        self._mini_chains = _Chains(np.frombuffer(mini_table, "<u4")) if mini_table else None
        self._mini_stream = self._regular(root) if root.size and root.start <= _MOST_REGULAR else []
        self._streams = _streams(entries)
        self.sizes = {name: entry.size for name, entry in self._streams.items()}

    def extents(self, name: str) -> list[Extent]:
        """Where the bytes of a stream lie in the file, in their order.

        Raises
        ------
        FlawError
            If its sectors are not all in the file.
        """
        entry = self._streams[name.lower()]
        if entry.size >= self._cutoff:
            return self._regular(entry)
        found: list[Extent] = []
        for first, number in self._mini_chains.runs(entry.start, -(-entry.size // _MINI)) if self._mini_chains else []:
            size = min(_MINI * number, entry.size - sum(extent.size for extent in found))
            found += _part(self._mini_stream, _MINI * first, size)
        if sum(extent.size for extent in found) < entry.size:
            raise FlawError(f"its stream {name} has fewer bytes than its directory states")
        return found

    def read(self, name: str) -> bytes:
        """All bytes of a small stream."""
        with self._path.open("rb") as file:
            return b"".join(_read(file, extent) for extent in self.extents(name))

    def _read_header(self, file: IO[bytes]) -> tuple[_Header, list[int]]:
        """The header, and the sectors of the table that it lists."""
        file.seek(0)
        data = file.read(512)
        if len(data) < 512 or data[:8] != COMPOUND_FILE:
            raise FlawError("its header is not complete")
        header = _Header(*struct.unpack("<HHHH6x9I", data[26:76]))
        if header.byte_order != 0xFFFE or header.sector_shift not in (9, 12) or header.mini_shift != 6:
            raise FlawError("its header has sizes of sectors that do not exist")
        return header, list(struct.unpack("<109I", data[76:]))

    def _read_table(self, file: IO[bytes], header: _Header, listed: list[int]) -> npt.NDArray[np.uint32]:
        """The table of all sectors. The header lists its first sectors, and further sectors list the others."""
        count, sector = header.table_sectors, header.more_table
        if not count or count * self._sector > self._file_size:
            raise FlawError("its table of sectors is larger than the file, or empty")
        while len(listed) < count:
            *more, sector = np.frombuffer(self._read_sectors(file, sector, 1), "<u4").tolist()
            listed += more
        table = np.empty((count, self._sector // 4), np.uint32)
        for number, row in zip(listed[:count], table, strict=True):
            row[:] = np.frombuffer(self._read_sectors(file, number, 1), "<u4")
        return table.reshape(-1)

    def _entries(self, file: IO[bytes], first: int, sizes: int) -> list[_Entry]:
        """The entries of the directory. `sizes` is a mask: old versions leave anything in the upper half of a size."""
        data = self._bytes(file, self._runs(first, None))
        found = []
        for at in range(0, len(data), _ENTRY_BYTES):
            entry = data[at : at + _ENTRY_BYTES]
            length, kind = struct.unpack("<HB", entry[64:67])
            left, right, child = struct.unpack("<III", entry[68:80])
            start, size = struct.unpack("<IQ", entry[116:128])
            name = entry[: max(0, min(length, 64) - 2)].decode("utf-16-le", "replace")
            found.append(_Entry(name, kind, left, right, child, start, size & sizes))
        if not found or found[0].kind != _ROOT:
            raise FlawError("its directory has no root")
        return found

    def _runs(self, first: int, count: int | None) -> list[tuple[int, int]]:
        return self._chains.runs(first, count)

    def _regular(self, entry: _Entry) -> list[Extent]:
        """Where the bytes of a stream of whole sectors lie."""
        size, found = entry.size, []
        for first, number in self._runs(entry.start, -(-size // self._sector)):
            extent = Extent((first + 1) * self._sector, min(number * self._sector, size))
            if extent.offset + extent.size > self._file_size:
                raise FlawError(f"it ends at byte {self._file_size:,}, within a stream")
            found.append(extent)
            size -= extent.size
        return found

    def _bytes(self, file: IO[bytes], runs: list[tuple[int, int]]) -> bytes:
        return b"".join(self._read_sectors(file, first, number) for first, number in runs)

    def _read_sectors(self, file: IO[bytes], first: int, number: int) -> bytes:
        return _read(file, Extent((first + 1) * self._sector, number * self._sector))


def _read(file: IO[bytes], extent: Extent) -> bytes:
    file.seek(extent.offset)
    data = file.read(extent.size)
    if len(data) < extent.size:
        raise FlawError("it is cut short")
    return data


def _part(extents: list[Extent], start: int, size: int) -> list[Extent]:
    """A part of the bytes of some extents."""
    found = []
    for offset, length in extents:
        first, last = max(start, 0), min(start + size, length)
        if first < last:
            found.append(Extent(offset + first, last - first))
        start -= length
    return found


def _streams(entries: list[_Entry]) -> dict[str, _Entry]:
    """The streams by path. Each storage is a tree of its entries."""
    found: dict[str, _Entry] = {}
    seen: set[int] = set()
    waiting = [("", entries[0].child)]
    while waiting:
        folder, number = waiting.pop()
        if number == _NO_STREAM or number in seen:
            continue
        if number >= len(entries):
            raise FlawError("its directory leads to an entry that does not exist")
        seen.add(number)
        entry = entries[number]
        path = f"{folder}{entry.name.lower()}"
        waiting += [(folder, entry.left), (folder, entry.right)]
        if entry.kind == _STORAGE:
            waiting.append((f"{path}/", entry.child))
        elif entry.kind == _STREAM:
            found[path] = entry
    return found
