"""A part of a Blosc frame, without reading or decoding the rest of it.

A slice along z crosses a chunk of 128 x 128 x 128 in one plane of 128. Blosc compresses a chunk in blocks (of 64 KiB, for
the fast compressors) and keeps a table of where each begins, so that one plane can be had for a hundredth of the
chunk. No zarr library does so. The blocks wanted are copied into a small frame of their own, which is
decoded as usual. https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst
"""

from __future__ import annotations

import struct
from itertools import accumulate
from pathlib import Path

import numpy as np

_HEADER = struct.Struct("<BBBBIII")  # version, version of the codec, flags, typesize, nbytes, blocksize, cbytes
_MEMCPYED = 0x2  # the frame holds the bytes as they are, without blocks
_AT_FIRST = 4096  # enough for the header and the table of a thousand blocks


def read_range(path: Path, first: int, last: int) -> memoryview | None:
    """Decoded bytes `first` to `last` of the Blosc frame that is the file `path`; None where there is no file.

    Raises
    ------
    ValueError
        If it is no whole Blosc frame of at least `last` bytes.
    """
    from numcodecs import blosc

    try:
        file = open(path, "rb", buffering=0)
    except FileNotFoundError:
        return None
    with file:
        head = file.read(_AT_FIRST)
        if len(head) < _HEADER.size:
            raise ValueError(f"{path} is cut short")
        *fixed, nbytes, blocksize, cbytes = _HEADER.unpack_from(head)
        if last > nbytes or not blocksize:
            raise ValueError(f"{path} holds {nbytes} bytes where {last} were expected")

        def read(begin: int, end: int) -> bytes:
            if end <= len(head):
                return head[begin:end]
            file.seek(begin)
            data = file.read(end - begin)
            if len(data) != end - begin:
                raise ValueError(f"{path} is cut short")
            return data

        if fixed[2] & _MEMCPYED:
            return memoryview(read(_HEADER.size + first, _HEADER.size + last))
        count = -(-nbytes // blocksize)
        starts = np.frombuffer(read(_HEADER.size, _HEADER.size + 4 * count), "<u4")
        k0, k1 = first // blocksize, -(-last // blocksize)
        blocks = []
        for start in starts[k0:k1]:
            # Blocks compressed by several threads lie in any order: each ends where the next in the file begins.
            blocks.append(read(int(start), int(starts.min(where=starts > start, initial=cbytes))))
    begin, end = k0 * blocksize, min(k1 * blocksize, nbytes)
    offsets = list(accumulate(map(len, blocks), initial=_HEADER.size + 4 * len(blocks)))
    header = _HEADER.pack(*fixed, end - begin, blocksize, offsets.pop())
    frame = b"".join([header, struct.pack(f"<{len(blocks)}I", *offsets), *blocks])
    try:
        decoded = blosc.decompress(frame)
    except RuntimeError as error:
        raise ValueError(f"{path} is damaged") from error
    return memoryview(decoded)[first - begin : last - begin]
