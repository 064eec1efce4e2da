"""Chunks as they are in files: compressed, decoded whole, or decoded in part."""

from __future__ import annotations

import os
import struct
import threading
from functools import cached_property
from itertools import accumulate

import imagecodecs
import numpy as np

from napari_ct_pyramid.model.memory import own_array
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import AnyPath, OpenFile

from .journal import Checksum, crc32
from .metadata import file_key
from .shards import read_place

_BLOSC_OVERHEAD = 16  # bytes that a frame may be larger than what it holds


class ChunkReader:
    """The chunks of an output. Several threads read them at once.

    Parameters
    ----------
    output : path
    plan : Plan
        Its levels, dtype and compressor. All levels have chunks of one size.
    """

    def __init__(self, output: AnyPath, plan: Plan) -> None:
        self._output = output
        self._levels = plan.levels
        self._version = plan.options.ome_zarr_version
        self._codec_of = (plan.levels[0].chunks, plan.levels[0].dtype, plan.options.compressor)
        self._own = threading.local()

    def own_codec(self) -> Codec:
        """This thread's."""
        if not hasattr(self._own, "codec"):
            self._own.codec = Codec(*self._codec_of)
        codec: Codec = self._own.codec
        return codec

    def file(self, level: int, index: Triple) -> AnyPath:
        """Where a chunk is, or a shard of a level that has shards."""
        return self._output / file_key(self._levels[level], self._version, index)

    def read(self, level: int, index: Triple) -> tuple[np.ndarray, Checksum]:
        """The voxels (z, y, x) of a chunk without what lies beyond the level's edges, and its checksum.

        They are in this thread's own buffer: use them before this thread's next chunk.

        Raises
        ------
        OSError
            If there is no such file, or it cannot be read.
        ValueError, imagecodecs.BloscError
            If it cannot be decoded.
        """
        made = self._levels[level]
        if made.shards:
            number, slot = made.place_in_shard(index)
            with storage_of(self.file(level, number)).open() as file:
                place = read_place(file, made.chunks_per_shard, slot)
                if place is None:
                    raise ValueError("it is not in its shard")
                file.seek(place.offset)
                voxels, checksum = self.own_codec().decode(file, place.size)
        else:
            with storage_of(self.file(level, index)).open(whole=True) as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(0)
                voxels, checksum = self.own_codec().decode(file, size)
        shape, chunks = self._levels[level].shape, self._levels[level].chunks
        z, y, x = (min(c, n - i * c) for n, c, i in zip(shape, chunks, index, strict=True))
        return voxels[:z, :y, :x], checksum


class Codec:
    """Compresses and decodes chunks of one size, in buffers made once."""

    def __init__(self, chunks: tuple[int, ...], dtype: np.dtype, compressor: str) -> None:
        self._voxels = own_array(chunks, dtype)
        self._compressor = compressor

    def encode(self, voxels: np.ndarray, out: memoryview) -> tuple[int, Checksum]:
        """Make a chunk's file in `out`, which holds `encoded_bytes` at least; its size."""
        if voxels.shape != self._voxels.shape or not voxels.flags.c_contiguous:
            if voxels.shape != self._voxels.shape:
                self._voxels[...] = 0
            self._voxels[tuple(slice(n) for n in voxels.shape)] = voxels
            voxels = self._voxels
        checksum = crc32(voxels)
        if self._compressor == "none":
            out[: voxels.nbytes] = memoryview(voxels).cast("B")
            return voxels.nbytes, Checksum(checksum, checksum)
        encoded = imagecodecs.blosc_encode(
            voxels,
            level=1,
            compressor=self._compressor,
            shuffle="bitshuffle",
            typesize=voxels.itemsize,
            numthreads=1,
            out=out[: encoded_bytes(voxels.nbytes)],  # it would take more
        )
        return len(encoded), Checksum(crc32(encoded), checksum)

    def decode(self, file: OpenFile, size: int) -> tuple[np.ndarray, Checksum]:
        """A chunk's voxels, in this codec's buffer, from the next `size` bytes of a file."""
        voxels = memoryview(self._voxels).cast("B")
        room = voxels if self._compressor == "none" else memoryview(self._encoded)
        if size > len(room):
            raise ValueError("it has more bytes than any chunk")
        if file.readinto(room[:size]) != size:
            raise ValueError("it is cut short")
        if self._compressor == "none":
            if size != len(voxels):
                raise ValueError(f"it has {size:,} bytes and not {len(voxels):,}")
            checksum = crc32(voxels)
            return self._voxels, Checksum(checksum, checksum)
        data = memoryview(self._encoded)[:size]
        found = imagecodecs.blosc_decode(data, numthreads=1, out=voxels)
        if len(found) != len(voxels):
            raise ValueError(f"it unpacks to {len(found):,} bytes and not {len(voxels):,}")
        return self._voxels, Checksum(crc32(data), crc32(self._voxels))

    @cached_property
    def _encoded(self) -> bytearray:
        return bytearray(encoded_bytes(self._voxels.nbytes))


def encoded_bytes(nbytes: int) -> int:
    """The most that a chunk of so many bytes can take as a file."""
    return nbytes + _BLOSC_OVERHEAD


def compressed_size(array: np.ndarray, compressor: str) -> int:
    """Bytes that `array` takes as one chunk."""
    codec = Codec(array.shape, array.dtype, compressor)
    return codec.encode(array, memoryview(bytearray(encoded_bytes(array.nbytes))))[0]


def key_of(level: int, index: tuple[int, ...]) -> str:
    """Of a chunk, or of a folder of chunks, in the group."""
    return "/".join(map(str, (level, *index)))


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
        with storage_of(path).open() as file:
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
