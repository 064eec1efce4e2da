"""Chunks of HDF5 datasets, read and decoded without h5py, by any number of threads at once.

The filters are those that the HDF Group registers: https://github.com/HDFGroup/hdf5_plugins/blob/master/docs/RegisteredFilterPlugins.md
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import imagecodecs
import numpy as np
import numpy.typing as npt

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.volume import overlaps
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.sources.base import Voxels
from napari_ct_pyramid.sources.row_reader import FileHandles, RowReader

_NAMES = {
    1: "Deflate", 2: "shuffle", 3: "Fletcher-32", 4: "SZIP", 5: "N-bit", 6: "scale-offset", 32000: "LZF",
    32001: "Blosc", 32004: "LZ4", 32008: "bitshuffle", 32013: "ZFP", 32015: "Zstandard", 32026: "Blosc2",
}  # fmt: skip
_NO_COMPRESSION = (2, 3)  # these filters only reorder or check bytes

Filter = Callable[[Any, int], Any]


def _unshuffle(data: Any, itemsize: int) -> bytes:
    """Undo the shuffle filter, which stores the first bytes of all numbers first, then the second ones, and so on."""
    return np.frombuffer(data, np.uint8).reshape(itemsize, -1).T.tobytes()


def names_of_filters(where: str, dataset: h5py.Dataset) -> list[str]:
    """The names of the filters that compress a dataset, for people.

    Raises
    ------
    SourceError
        If one of them cannot be decoded here.
    """
    codes = [code for code, *_ in _filters(dataset)]
    for code in codes:
        if code not in _DECODERS and not h5py.h5z.filter_avail(code):
            raise SourceError(
                f"{where} is compressed with {_NAMES.get(code, f'filter {code}')}, which cannot be decoded here. Try "
                "`pip install hdf5plugin`, or saving it with another compression."
            )
    return [_NAMES.get(code, f"filter {code}") for code in codes if code not in _NO_COMPRESSION]


def _filters(dataset: h5py.Dataset) -> list[tuple[int, tuple[int, ...]]]:
    plist = dataset.id.get_create_plist()
    found = (plist.get_filter(i) for i in range(plist.get_nfilters()))
    return [(code, values) for code, _, values, _ in found]


_DECODERS: dict[int, Callable[[Any, int, int], Any]] = {
    # by registered number: a function of encoded bytes, size of a decoded chunk, size of a voxel
    1: lambda data, size, _: imagecodecs.zlib_decode(data, out=size),
    2: lambda data, _, itemsize: _unshuffle(data, itemsize),
    32000: lambda data, size, _: imagecodecs.lzf_decode(data, header=False, out=size),
    32001: lambda data, size, _: imagecodecs.blosc_decode(data, out=size),
    32004: lambda data, size, _: imagecodecs.lz4h5_decode(data, out=size),
    32015: lambda data, size, _: imagecodecs.zstd_decode(data, out=size),
}


@dataclass(frozen=True)
class EncodedChunks:
    """A `RowReader` for chunks whose positions in the file are known.

    Attributes
    ----------
    offsets, sizes, masks : numpy.ndarray
        For each chunk, by its index along z, y, x: its position, its size in bytes (0: it was never written), and a
        mask with a bit for each filter that was not applied.
    chunk : tuple of int
        Voxels in a chunk along z, y, x.
    dtype : numpy.dtype
        The type in the file, with its byte order.
    fill : scalar
        The value of chunks that were never written.
    filters : tuple of int
        The numbers of the filters, in the order in which they were applied.
    """

    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    masks: npt.NDArray[np.int64]
    chunk: Triple
    dtype: np.dtype
    fill: Any
    filters: tuple[int, ...]

    def read(self, files: FileHandles, start: Triple, out: Voxels) -> None:
        box = tuple(slice(a, a + n) for a, n in zip(start, out.shape, strict=True))
        for index, inside, target in overlaps(box, self.chunk):
            out[target] = self._decoded(files, index)[inside] if self.sizes[index] else self.fill

    def _decoded(self, files: FileHandles, index: tuple[int, ...]) -> Voxels:
        size = int(np.prod(self.chunk)) * self.dtype.itemsize
        mask = int(self.masks[index])
        try:
            data: Any = bytearray(int(self.sizes[index]))
            if files.readinto(0, int(self.offsets[index]), memoryview(data)) < len(data):
                raise EOFError("the file ends early")
            for place in reversed(range(len(self.filters))):
                if not mask >> place & 1:
                    data = _DECODERS[self.filters[place]](data, size, self.dtype.itemsize)
            return np.frombuffer(data, self.dtype).reshape(self.chunk)
        except OSError:
            raise
        except Exception as exc:  # codecs raise errors of every kind on damaged data
            corner = " ".join(str(i * c) for i, c in zip(index, self.chunk, strict=True))
            raise SourceError(
                f"The chunk of {files.paths[0]} at {corner} (z y x) could not be decoded: "
                f"{str(exc) or type(exc).__name__}. The file is damaged there: try copying it again."
            ) from exc


def find_chunks(dataset: h5py.Dataset, place: Sequence[int | None], stored: np.dtype) -> RowReader | None:
    """A reader of the chunks of a dataset; None if only h5py can read them.

    Parameters
    ----------
    dataset : h5py.Dataset
    place : sequence of int or None
        For each axis the index to read, or None for the three axes of the volume.
    stored : numpy.dtype
        The type of the voxels in the file, with its byte order.
    """
    filters = tuple(code for code, _ in _filters(dataset))
    axes = [axis for axis, index in enumerate(place) if index is None]
    others = [(axis, index) for axis, index in enumerate(place) if index is not None]
    if any(code not in _DECODERS for code in filters) or dataset.file.userblock_size:
        return None
    if any(dataset.chunks[axis] != 1 for axis, _ in others):
        return None
    chunk = dataset.chunks[axes[0]], dataset.chunks[axes[1]], dataset.chunks[axes[2]]
    grid = [-(-dataset.shape[axis] // dataset.chunks[axis]) for axis in axes]
    table = np.zeros((3, *grid), np.int64)

    def note(found: Any) -> None:
        if all(found.chunk_offset[axis] == index for axis, index in others):
            number = tuple(found.chunk_offset[axis] // dataset.chunks[axis] for axis in axes)
            table[(slice(None), *number)] = found.byte_offset, found.size, found.filter_mask

    try:
        dataset.id.chunk_iter(note)
    except (AttributeError, RuntimeError):  # an old HDF5
        return None
    fill = np.asarray(dataset.fillvalue, dataset.dtype).view(stored).astype(stored.newbyteorder("="))
    return EncodedChunks(table[0], table[1], table[2], chunk, stored, fill, filters)
