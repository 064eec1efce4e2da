"""Volumes whose voxels are one deflate stream (gzip or zlib), as in compressed NIfTI, NRRD and MetaImage files.

Such a stream can only be decoded from its beginning. So it is decoded once when it is opened, which finds every damage,
and the state of the decoder is kept at regular *restart points*. Later reads begin at the restart point before them, in
any number of threads.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import Triple

from .base import VolumeReader, Voxels
from .row_reader import FileHandles, FileVolumeReader, is_swapped

MOST_POINTS = 512
"""Restart points of a volume, at most: each takes about 60 kB."""

UNIT_BYTES = 1_000_000
"""Decoded bytes between two restart points, at least."""

_INPUT_BYTES = 16_384  # read at a time: each restart point keeps up to so many
_OUTPUT_BYTES = 262_144  # decoded at a time: fits in the processor's cache
_END_BYTES = 64_000_000  # decoded after the volume, at most, to find the end of the stream
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # finds out which of the two it is

_SETTLED_SECONDS = 4  # some file systems store the time of a change in steps of 2 seconds
_remembered: dict[tuple[int, ...], tuple[_Point, ...]] = {}


@dataclass(frozen=True)
class _Point:
    """A place in a stream: the position in the file from which to go on, and the decoder there."""

    position: int
    decoder: Any


class _DamagedError(Exception):
    """The stream cannot be decoded any further."""


class _Stream:
    """Decoded bytes, from a restart point on."""

    def __init__(self, files: FileHandles, point: _Point) -> None:
        self._files = files
        self._position = point.position
        self._decoder = point.decoder.copy()
        self._input = b""

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes, in pieces."""
        while size:
            piece = self._decode(min(size, _OUTPUT_BYTES))
            size -= len(piece)
            yield piece

    def skip(self, size: int) -> None:
        """Decode some bytes without using them."""
        for _ in self.pieces(size):
            pass

    def point(self) -> _Point:
        """The place that is reached."""
        return _Point(self._position - len(self._input), self._decoder.copy())

    def check_end(self) -> None:
        """Compare the checksum at the end of the stream, if that is not far away."""
        for _ in range(_END_BYTES // _OUTPUT_BYTES):
            if self._decoder.eof:
                return
            self._decode(_OUTPUT_BYTES, needed=False)

    def _decode(self, most: int, *, needed: bool = True) -> bytes:
        while True:
            if self._decoder.eof:  # a gzip file may have several parts, each with a decoder of its own
                self._input = self._decoder.unused_data
                self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
            if not self._input:
                buffer = bytearray(_INPUT_BYTES)
                count = self._files.readinto(0, self._position, memoryview(buffer))
                if not count:
                    raise _DamagedError("it ends early")
                self._input = bytes(buffer[:count])
                self._position += count
            try:
                found = bytes(self._decoder.decompress(self._input, most))
            except zlib.error as exc:
                raise _DamagedError(str(exc).rpartition(": ")[2]) from exc
            self._input = self._decoder.unconsumed_tail
            if found or (self._decoder.eof and not needed):
                return found


@dataclass(frozen=True)
class DeflatedRows:
    """A `RowReader` of rows in a deflate stream.

    Attributes
    ----------
    points : tuple
        The restart points: one at the beginning of each unit.
    unit : int
        Slices in a unit.
    shape : tuple of int
        Of the volume.
    swap : bool
        Whether the file's byte order differs from the machine's.
    """

    points: tuple[_Point, ...]
    unit: int
    shape: Triple
    swap: bool

    def read(self, files: FileHandles, start: Triple, out: Voxels) -> None:
        z = start[0]
        stop = z + out.shape[0]
        while z < stop:
            end = min(stop, (z // self.unit + 1) * self.unit)
            target = out[z - start[0] : end - start[0]]
            try:
                self._read_unit(files, (z, *start[1:]), target)
            except _DamagedError as exc:
                raise _damaged(files.paths[0], exc) from exc
            z = end

    def _read_unit(self, files: FileHandles, start: Triple, out: Voxels) -> None:
        z, y, x = start
        _, height, width = self.shape
        row_bytes = width * out.itemsize
        at_once = max(1, _OUTPUT_BYTES // row_bytes)
        buffer = np.empty((at_once, width), out.dtype)
        stream = _Stream(files, self.points[z // self.unit])
        stream.skip((z % self.unit * height + y) * row_bytes)
        for k, image in enumerate(out):
            if k:
                stream.skip((height - len(image)) * row_bytes)
            for first in range(0, len(image), at_once):
                target = image[first : first + at_once]
                rows = buffer[: len(target)]
                _fill(rows.reshape(-1).view(np.uint8), stream.pieces(rows.nbytes))
                target[...] = rows[:, x : x + target.shape[1]]
        if self.swap:
            out.byteswap(inplace=True)


def _fill(buffer: Voxels, pieces: Iterator[bytes]) -> None:
    at = 0
    for piece in pieces:
        buffer[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
        at += len(piece)


def open_deflated_rows(
    volume: Volume, dtype: np.dtype, path: Path, *, position: int = 0, skip: int = 0, headers: Sequence[Path] = ()
) -> VolumeReader:
    """Open a volume whose voxels follow each other in one deflate stream, the last axis fastest.

    Parameters
    ----------
    volume : Volume
        Its axes are those of the file, the slowest first. Its granularity is not used.
    dtype : numpy.dtype
        Of the voxels in the file, with their byte order.
    path : Path
    position : int
        Where the stream begins in the file, in bytes.
    skip : int
        Decoded bytes before the first voxel.
    headers : sequence of Path
        Other files on which the volume depends.

    Raises
    ------
    SourceError
        If the stream is damaged or too short.
    """
    depth, height, width = volume.shape
    slice_bytes = height * width * dtype.itemsize
    unit = min(depth, max(math.ceil(depth / MOST_POINTS), math.ceil(UNIT_BYTES / slice_bytes)))
    sizes = [min(unit, depth - z) * slice_bytes for z in range(0, depth, unit)]
    points = _restart_points(path, position, skip, sizes)
    rows = DeflatedRows(points, unit, volume.shape, is_swapped(dtype))
    volume = replace(volume, granularity=(unit, height, width), compression="gzip")
    return FileVolumeReader(volume, rows, [path], headers)


def _restart_points(path: Path, position: int, skip: int, sizes: Sequence[int]) -> tuple[_Point, ...]:
    """The place of each unit. The last result is kept while the file is unchanged: every change of an option asks."""
    status = path.stat()
    state = (
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, position, skip, *sizes,
    )  # fmt: skip
    if state in _remembered:
        return _remembered[state]
    files = FileHandles([path])
    points: list[_Point] = []
    try:
        stream = _Stream(files, _Point(position, zlib.decompressobj(_GZIP_OR_ZLIB)))
        stream.skip(skip)
        for size in sizes:
            points.append(stream.point())
            stream.skip(size)
        stream.check_end()
    except _DamagedError as exc:
        raise _damaged(path, exc) from exc
    finally:
        files.close()
    # A file that has just changed may change again and keep the same time stamp.
    if time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED_SECONDS:
        _remembered.clear()
        _remembered[state] = tuple(points)
    return tuple(points)


def _damaged(path: Path, reason: Exception) -> SourceError:
    return SourceError(
        f"The compressed voxels of {path} could not be decoded: {reason}. The file is damaged there: try copying or "
        "writing it again."
    )
