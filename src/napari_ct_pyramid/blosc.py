"""A part of a Blosc frame, without reading or decoding the rest of it.

A slice along z crosses a chunk of 128 x 128 x 128 in one plane of 128. Blosc compresses a chunk in blocks (of 64 KiB,
for the fast compressors) and keeps a table of where each begins, so that one plane can be had for a hundredth of the
chunk. No zarr library does so. The blocks wanted are copied into a small frame of their own, which is decoded as
usual. https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst
"""

from __future__ import annotations

import struct
from itertools import accumulate

import numpy as np

from .files import open_file
from .paths import AnyPath, OpenFile
from .shardindex import read_place

_HEADER = struct.Struct("<BBBBIII")  # version, version of the codec, flags, typesize, nbytes, blocksize, cbytes
_MEMCPYED = 0x2  # the frame holds the bytes as they are, without blocks
_AT_FIRST = 4096  # enough for the header and the table of a thousand blocks


def read_range(path: AnyPath, first: int, last: int, slot: tuple[int, int] | None = None) -> memoryview | None:
    """Decoded bytes `first` to `last` of a chunk that is a Blosc frame; None where there is none.

    Parameters
    ----------
    path : Path or RemotePath
        Of the file that is the chunk, or of the shard that it is in.
    first, last : int
    slot : (int, int), optional
        How many chunks the shard has room for, and the chunk's number in it.

    Raises
    ------
    ValueError
        If it is no whole Blosc frame of at least `last` bytes.
    """
    from numcodecs import blosc

    try:
        with open_file(path) as file:
            base = 0
            if slot:
                place = read_place(file, *slot)
                if place is None:
                    return None
                base = place.offset
            frame, begin = _cut_out(file, first, last, base)
    except FileNotFoundError:
        return None
    try:
        return memoryview(blosc.decompress(frame))[first - begin : last - begin]
    except RuntimeError as error:
        raise ValueError(f"{path} is damaged") from error


def _cut_out(file: OpenFile, first: int, last: int, base: int) -> tuple[bytes, int]:
    """A frame of only those blocks that hold bytes `first` to `last`, and which byte is the first in it.

    `base` is where the whole frame begins in the file.
    """
    file.seek(base)
    head = file.read(_AT_FIRST)

    def read(begin: int, end: int) -> bytes:
        data = head[begin:end]
        if end > len(head):
            file.seek(base + begin)
            data = file.read(end - begin)
        if len(data) != end - begin:
            raise ValueError(f"{file.name} is cut short")
        return data

    *fixed, nbytes, blocksize, cbytes = _HEADER.unpack(read(0, _HEADER.size))
    if last > nbytes or not blocksize:
        raise ValueError(f"{file.name} holds {nbytes} bytes where {last} were expected")
    if fixed[2] & _MEMCPYED:
        data = read(_HEADER.size + first, _HEADER.size + last)
        return _HEADER.pack(*fixed, len(data), min(blocksize, len(data)), _HEADER.size + len(data)) + data, first
    starts = np.frombuffer(read(_HEADER.size, _HEADER.size + 4 * -(-nbytes // blocksize)), "<u4")
    k0, k1 = first // blocksize, -(-last // blocksize)
    # Blocks compressed by several threads lie in any order: each ends where the next in the file begins.
    blocks = [read(int(k), int(starts.min(where=starts > k, initial=cbytes))) for k in starts[k0:k1]]
    begin, end = k0 * blocksize, min(k1 * blocksize, nbytes)
    *offsets, size = accumulate(map(len, blocks), initial=_HEADER.size + 4 * len(blocks))
    header = _HEADER.pack(*fixed, end - begin, blocksize, size)
    return b"".join([header, struct.pack(f"<{len(blocks)}I", *offsets), *blocks]), begin
