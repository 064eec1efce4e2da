"""Compresses chunks, and decodes them as a whole or in part."""

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
from napari_ct_pyramid.model.volume import box_shape, chunk_box
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import AnyPath, OpenFile

from .checksums import Checksum, crc32
from .metadata import file_key
from .shards import read_place

_TRIES = 3  # to read a chunk

_BLOSC_OVERHEAD = 16  # a frame is at most so many bytes larger than its content


class DamagedChunkError(ValueError):
    """A chunk is not as it was written."""


class ChunkReader:
    """Reads the chunks of an output. Several threads may read at once.

    Parameters
    ----------
    output : path
    plan : Plan
        Gives the levels, dtype and compressor. All levels have chunks of one size.
    """

    def __init__(self, output: AnyPath, plan: Plan) -> None:
        self._output = output
        self._levels = plan.levels
        self._version = plan.options.ome_zarr_version
        self._codec_arguments = (plan.levels[0].chunks, plan.levels[0].dtype, plan.options.compressor)
        self._of_thread = threading.local()

    def own_codec(self) -> Codec:
        """The codec of this thread."""
        if not hasattr(self._of_thread, "codec"):
            self._of_thread.codec = Codec(*self._codec_arguments)
        codec: Codec = self._of_thread.codec
        return codec

    def file(self, level: int, index: Triple) -> AnyPath:
        """The file of a chunk, or of a shard if the level has shards."""
        return self._output / file_key(self._levels[level], self._version, index)

    def read(self, level: int, index: Triple) -> tuple[np.ndarray, Checksum]:
        """The voxels (z, y, x) of a chunk, cut at the level's edges, and its checksum.

        The voxels are in a buffer of this thread, which its next chunk overwrites.

        Raises
        ------
        OSError
            If there is no such file, or it cannot be read.
        ValueError, imagecodecs.BloscError
            If it cannot be decoded.
        """
        array = self._levels[level]
        if array.shards:
            number, slot = array.place_in_shard(index)
            with storage_of(self.file(level, number)).open() as file:
                place = read_place(file, array.chunks_per_shard, slot)
                if place is None:
                    raise ValueError("it is not in its shard")
                file.seek(place.offset)
                voxels, checksum = self.own_codec().decode(file, place.size)
        else:
            with storage_of(self.file(level, index)).open(whole=True) as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(0)
                voxels, checksum = self.own_codec().decode(file, size)
        z, y, x = box_shape(chunk_box(index, array.chunks, array.shape))
        return voxels[:z, :y, :x], checksum

    def read_checked(self, level: int, index: Triple, written: Checksum | None) -> tuple[np.ndarray, Checksum]:
        """The voxels of a chunk, as `read` gives them, if they are as they were written.

        A disk or a network may give wrong bytes once: what cannot be read, or is wrong, is read again before it is
        called damaged.

        Parameters
        ----------
        level : int
        index : tuple of int
        written : Checksum or None
            Of the chunk when it was written; None if that is not known.

        Raises
        ------
        DamagedChunkError
            If it is not as it was written.
        OSError, ValueError, imagecodecs.BloscError
            As `read`.
        """
        for tries_left in reversed(range(_TRIES)):
            try:
                voxels, found = self.read(level, index)
                if written and found.file != written.file:
                    raise DamagedChunkError("its file is not as it was written")
                if written and found.voxels != written.voxels:
                    raise DamagedChunkError("its voxels are not those that the conversion made")
            except FileNotFoundError:
                raise
            except (OSError, ValueError, imagecodecs.BloscError):
                if not tries_left:
                    raise
            else:
                return voxels, found
        raise AssertionError("the last try returns or raises")


class Codec:
    """Compresses and decodes chunks of one size, in buffers that are made once."""

    def __init__(self, chunks: tuple[int, ...], dtype: np.dtype, compressor: str) -> None:
        self._voxels = own_array(chunks, dtype)
        self._compressor = compressor

    def encode(self, voxels: np.ndarray, out: memoryview) -> tuple[int, Checksum]:
        """Write a compressed chunk to `out`, which has at least `encoded_bytes`. Returns its size and checksum."""
        if voxels.shape != self._voxels.shape or not voxels.flags.c_contiguous:
            if voxels.shape != self._voxels.shape:
                self._voxels[...] = 0
            self._voxels[tuple(slice(n) for n in voxels.shape)] = voxels
            voxels = self._voxels
        checksum = crc32(voxels)
        if self._compressor == "none":
            out[: voxels.nbytes] = memoryview(voxels).cast("B")
            return voxels.nbytes, Checksum(checksum, checksum, voxels.nbytes)
        encoded = imagecodecs.blosc_encode(
            voxels,
            level=1,
            compressor=self._compressor,
            shuffle="bitshuffle",
            typesize=voxels.itemsize,
            numthreads=1,
            out=out[: encoded_bytes(voxels.nbytes)],  # a longer buffer would be filled with a longer frame
        )
        return len(encoded), Checksum(crc32(encoded), checksum, len(encoded))

    def decode(self, file: OpenFile, size: int) -> tuple[np.ndarray, Checksum]:
        """Decode a chunk from the next `size` bytes of a file. Returns the voxels, in this codec's buffer."""
        voxels = memoryview(self._voxels).cast("B")
        target = voxels if self._compressor == "none" else memoryview(self._encoded)
        if size > len(target):
            raise ValueError("it has more bytes than any chunk")
        if file.readinto(target[:size]) != size:
            raise ValueError("it is cut short")
        if self._compressor == "none":
            if size != len(voxels):
                raise ValueError(f"it has {size:,} bytes instead of {len(voxels):,}")
            checksum = crc32(voxels)
            return self._voxels, Checksum(checksum, checksum, size)
        data = memoryview(self._encoded)[:size]
        found = imagecodecs.blosc_decode(data, numthreads=1, out=voxels)
        if len(found) != len(voxels):
            raise ValueError(f"it unpacks to {len(found):,} bytes instead of {len(voxels):,}")
        return self._voxels, Checksum(crc32(data), crc32(self._voxels), size)

    @cached_property
    def _encoded(self) -> bytearray:
        return bytearray(encoded_bytes(self._voxels.nbytes))


def encoded_bytes(nbytes: int) -> int:
    """The largest size that a chunk of `nbytes` bytes can have when it is compressed."""
    return nbytes + _BLOSC_OVERHEAD


def compressed_size(array: np.ndarray, compressor: str) -> int:
    """Bytes of `array` when it is compressed as one chunk."""
    codec = Codec(array.shape, array.dtype, compressor)
    return codec.encode(array, memoryview(bytearray(encoded_bytes(array.nbytes))))[0]


def chunk_name(level: int, index: tuple[int, ...]) -> str:
    """The name of a chunk in messages: level and index, such as ``0/1/2/3``."""
    return "/".join(map(str, (level, *index)))


_HEADER = struct.Struct("<BBBBIII")  # version, version of the codec, flags, typesize, nbytes, blocksize, cbytes
_MEMCPYED = 0x2  # the frame holds the bytes as they are, without blocks
_HEAD_BYTES = 4096  # enough for the header and the table of a thousand blocks


def decode_range(path: AnyPath, first: int, last: int, slot: tuple[int, int] | None = None) -> memoryview | None:
    """Decode bytes `first` to `last` of a chunk that is a Blosc frame; None if the chunk is missing.

    Parameters
    ----------
    path : Path or RemotePath
        The file of the chunk, or of its shard.
    first, last : int
    slot : (int, int), optional
        The number of slots for chunks in the shard, and the chunk's own slot.

    Raises
    ------
    ValueError
        If it is not a complete Blosc frame of at least `last` bytes.
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
    """Make a Blosc frame of only those blocks that hold bytes `first` to `last`.

    The whole frame begins at offset `base` of the file. Also returns the number of the first decoded byte.
    """
    file.seek(base)
    head = file.read(_HEAD_BYTES)

    def read(begin: int, end: int) -> bytes:
        data = head[begin:end]
        if end > len(head):
            file.seek(base + begin)
            data = file.read(end - begin)
        if len(data) != end - begin:
            raise ValueError(f"{file.name} is cut short")
        return data

    # The format: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst
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
