"""Reads boxes of voxels from a Zarr array: planes by way of the cache of decoded chunks."""

from __future__ import annotations

import itertools
import json
import math
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.model.volume import Box, overlap, touched
from napari_ct_pyramid.options import available_cores
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import AnyPath
from napari_ct_pyramid.storage.remote_path import RemotePath
from napari_ct_pyramid.storage.zip_path import ZipPath

from .chunk_cache import chunk_cache
from .codec import decode_range
from .metadata import ChunkLocator, codecs_of, describe_codecs, dtype_in_frames, first_line, read_array_metadata
from .remote_chunks import RemoteChunks

_PLANES = 16  # that are kept of a chunk at the first look; of large arrays, always
_THIN = 0.25  # boxes up to this part of a chunk's thickness are decoded in part
_PIECE_BYTES = 8_000_000  # read at a time by each core: a chunk of 128 x 128 x 128 float32
_REMOTE_PIECE_BYTES = 128_000_000  # fetched in parallel
_FILES_AT_ONCE = 4  # hides the time that a disk takes to find a file
_LISTS, _LIST_BYTES = "cache_pool#lists", 100_000_000  # for the lists of the members of zip archives


class ZarrArray:
    """A Zarr array, on a disk or in an object store.

    Parameters
    ----------
    path : Path or RemotePath
        The array's folder, which holds ``.zarray`` or ``zarr.json``.
    likely : str
        Which of them it holds probably.
    metadata : dict, optional
        What they hold, if that is known.

    Raises
    ------
    SourceError
        If there is no array, or it cannot be read.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...]

    def __init__(self, path: AnyPath, *, likely: str = ".zarray", metadata: dict[str, Any] | None = None) -> None:
        self.path = path
        self.metadata = metadata or read_array_metadata(path, likely=likely)
        self._store, self._read = _open(path, self.metadata)
        self.shape = tuple(int(n) for n in self._store.shape)
        dtype = self._store.dtype
        self.dtype = np.dtype(getattr(dtype, "numpy_dtype", dtype))
        layout = getattr(self._store, "chunk_layout", None)
        self.chunks = tuple(int(n) for n in (layout.read_chunk.shape if layout else self._store.chunks))
        if min(self.shape, default=0) < 0 or min(self.chunks, default=1) < 1:
            raise SourceError(f"{path} is a Zarr array whose metadata are broken: its chunks are {times(self.chunks)}.")
        self._files = ChunkLocator(path, self.metadata)
        self._frames_dtype = dtype_in_frames(self.metadata, self.dtype)
        self._remote: RemoteChunks | None = None
        if self._frames_dtype is not None and _is_far(path):
            self._remote = RemoteChunks(self._files, self.chunks, self._frames_dtype)
        self._cache = chunk_cache()
        self._number = self._cache.owner(self)
        # Of a level that fits, whole chunks are kept: they serve planes of every direction. Of a larger level, some
        # planes of each chunk are kept: the 44 chunks of 128 x 128 x 128 float32 that a plane of 1400 x 512 needs are
        # 370 MB, and these planes of them 46 MB.
        whole = math.prod(-(-n // c) * c for n, c in zip(self.shape, self.chunks, strict=True)) * self.dtype.itemsize
        self._keeps_whole_chunks = whole <= self._cache.limit
        self._seen: set[tuple[int, ...]] = set()  # indices of chunks of which a plane was read

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, it is a path: another process, such as a worker of a Dask cluster, opens the array itself."""
        return partial(ZarrArray, metadata=self.metadata), (self.path.absolute(),)

    @property
    def compression(self) -> str:
        """For people: ``"blosc lz4, level 1, bitshuffle"``, or ``"none"``."""
        return describe_codecs(codecs_of(self.metadata)) or "none"

    @property
    def fill_value(self) -> Any:
        """What the voxels of missing chunks are; None if the metadata do not state it, and they count as 0."""
        return getattr(self._store, "fill_value", None)

    def files(self, box: Box) -> Iterator[AnyPath]:
        """The files of the chunks that hold voxels of a box, whether they exist or not."""
        return self._files.paths(box)

    def read(self, box: Box) -> np.ndarray:
        """The voxels in `box`, as they are on disk now; missing chunks have the fill value.

        Parameters
        ----------
        box : tuple of slice
            One an axis, start and stop within `shape`, step at least 1.

        Raises
        ------
        SourceError
            If a chunk cannot be read or decoded.
        """
        try:
            if self._frames_dtype is not None and self._remote is None and self._is_thin(box):
                voxels = self._read_thin(tuple(slice(s.start, s.stop, 1) for s in box), self._frames_dtype)
                return voxels[tuple(slice(None, None, s.step) for s in box)]
            if (axis := self._axis_of_plane(box)) is not None:
                return self._read_plane(box, axis)
            return self._read_pieces(box)
        except (ValueError, RuntimeError, OSError) as error:
            raise SourceError(f"{self.path} cannot be read: {first_line(error)}") from error

    def read_once(self, box: Box) -> np.ndarray:
        """Like `read`, but without the cache, for voxels that are read only once. Several threads may call it."""
        try:
            if self._remote is not None:
                return self._read_remote(box)
            return np.asarray(self._begin(box)())
        except (ValueError, RuntimeError, OSError) as error:
            raise SourceError(f"{self.path} cannot be read: {first_line(error)}") from error

    def read_into(self, box: Box, out: np.ndarray) -> None:
        """Fill `out`, of the box's shape and any strides, like `read_once`, but without another copy of the voxels."""
        if not hasattr(self._store, "domain"):
            out[...] = self.read_once(box)
            return
        import tensorstore as ts

        try:
            self._files.check_ordinary(box)
            target = ts.array(out, copy=False)[ts.d[:].translate_to[tuple(s.start for s in box)]]
            target.write(self._store[box]).result()
        except (ValueError, RuntimeError, OSError) as error:
            raise SourceError(f"{self.path} cannot be read: {first_line(error)}") from error

    def _begin(self, box: Box) -> Callable[[], np.ndarray]:
        """Begin to read a box. Returns a function that waits for the voxels."""
        self._files.check_ordinary(box)
        return self._read(box)

    def _read_remote(self, box: Box) -> np.ndarray:
        assert self._remote is not None
        fill = self.fill_value
        whole = tuple(slice(s.start, s.stop, 1) for s in box)
        out = np.full([s.stop - s.start for s in whole], 0 if fill is None else fill, self.dtype)
        self._remote.read(whole, out)
        return out[tuple(slice(None, None, s.step) for s in box)]

    def _is_thin(self, box: Box) -> bool:
        axis = _slowest_axis(self.chunks)
        return bool(box[axis].stop - box[axis].start <= self.chunks[axis] * _THIN)

    def _read_thin(self, box: Box, dtype: np.dtype) -> np.ndarray:
        """Decode of each chunk only the planes that are needed, and keep a single one: users step back and forth."""
        out = np.empty([s.stop - s.start for s in box], self.dtype)
        axis = _slowest_axis(self.chunks)

        def read(index: tuple[int, ...]) -> None:
            inside, target = overlap(box, index, self.chunks)
            first, last = inside[axis].start, inside[axis].stop
            state, begin = self._state(index), 0
            planes = self._cache.get((self._number, index), state) if self._keeps_whole_chunks else None
            if planes is None:
                key, begin = (self._number, index, axis, first, last), first
                planes = self._cache.get(key, state)
                if planes is None:
                    planes = self._decode(index, dtype, first, last)
                    if last - first == 1:
                        self._cache.put(key, state, planes.copy())  # the bytes around it are freed
            out[target] = planes[(*inside[:axis], slice(first - begin, last - begin), *inside[axis + 1 :])]

        self._all(read, list(touched(box, self.chunks)))
        return out

    def _decode(self, index: tuple[int, ...], dtype: np.dtype, first: int, last: int) -> np.ndarray:
        """Planes of a chunk along its slowest axis, which is a Blosc frame."""
        axis = _slowest_axis(self.chunks)
        shape = (*self.chunks[:axis], last - first, *self.chunks[axis + 1 :])
        plane_bytes = math.prod(self.chunks[axis + 1 :]) * dtype.itemsize
        data = decode_range(self._files.path(index), first * plane_bytes, last * plane_bytes, self._files.slot(index))
        if data is None:
            fill = self.fill_value
            return np.broadcast_to(np.asarray(0 if fill is None else fill, self.dtype), shape)
        return np.frombuffer(data, dtype).reshape(shape)

    def _all(self, read: Callable[[tuple[int, ...]], None], indices: list[tuple[int, ...]]) -> None:
        """Read the chunks at these indices with several threads."""

        def read_some(first: int) -> None:
            for index in indices[first::_FILES_AT_ONCE]:
                read(index)

        for _ in _threads().map(read_some, range(_FILES_AT_ONCE)):
            pass  # raises the error of a thread

    def _state(self, index: tuple[int, ...]) -> Hashable:
        """A value that changes when the file of a chunk changes."""
        return self._files.state(tuple(slice(i * c, i * c + 1) for i, c in zip(index, self.chunks, strict=True)))

    def _axis_of_plane(self, box: Box) -> int | None:
        """The axis along which `box` is one voxel thick and chunks are not, if there is one."""
        if self._remote is None and any(s.step != 1 for s in box):
            return None
        axes = [axis for axis, s in enumerate(box) if s.stop - s.start == 1 and self.chunks[axis] > 1]
        return axes[-1] if axes else None

    def _read_plane(self, box: Box, axis: int) -> np.ndarray:
        """Read a plane, and keep more of its chunks: the next planes are likely to be needed soon."""
        if self._remote:
            return self._read_remote_plane(box, axis)
        out = np.empty([s.stop - s.start for s in box], self.dtype)

        def read(index: tuple[int, ...]) -> None:
            inside, target = overlap(box, index, self.chunks)
            voxels, first = self._planes_around(index, axis, inside[axis].start)
            at = inside[axis].start - first
            out[target] = voxels[(*inside[:axis], slice(at, at + 1), *inside[axis + 1 :])]

        self._all(read, list(touched(box, self.chunks)))
        return out

    def _planes_around(self, index: tuple[int, ...], axis: int, at: int) -> tuple[np.ndarray, int]:
        """Planes of a chunk, from the cache or to be kept there, and which of its planes is the first of them.

        At the first look at a chunk, these are a few. To keep all of it takes twice as long, most of that for new pages
        of memory, so it waits for the second look.
        """
        size, state = self.chunks[axis], self._state(index)
        first = at // _PLANES * _PLANES
        whole, few = (self._number, index), (self._number, index, axis, first)
        for key, begin in ((whole, 0), (few, first)):
            voxels = self._cache.get(key, state)
            if voxels is not None:
                return voxels, begin
        key, last = few, min(first + _PLANES, size)
        if self._keeps_whole_chunks:
            if index in self._seen:
                key, first, last = whole, 0, size
            self._seen.add(index)
        voxels = self._read_planes(index, axis, first, last)
        self._cache.put(key, state, voxels)
        return voxels, first

    def _read_planes(self, index: tuple[int, ...], axis: int, first: int, last: int) -> np.ndarray:
        """Part of a chunk, from one plane to another along an axis, in memory of its own."""
        box = [slice(i * c, min((i + 1) * c, n), 1) for i, c, n in zip(index, self.chunks, self.shape, strict=True)]
        begin = index[axis] * self.chunks[axis]
        box[axis] = slice(begin + first, min(begin + last, self.shape[axis]), 1)
        voxels = np.empty([s.stop - s.start for s in box], self.dtype)  # in huge pages, unlike tensorstore's own
        self.read_into(tuple(box), voxels)
        return voxels

    def _read_remote_plane(self, box: Box, axis: int) -> np.ndarray:
        """Read several planes of the same chunks together, in few requests, and keep them: nothing is fetched twice."""
        plane_bytes = math.prod(len(range(s.start, s.stop, s.step)) for s in box) * self.dtype.itemsize
        at, size = box[axis].start, self.chunks[axis]
        count = max(1, min(size, _REMOTE_PIECE_BYTES // plane_bytes))
        corner = at // size * size
        begin = corner + (at - corner) // count * count
        planes = slice(begin, min(begin + count, corner + size, self.shape[axis]), 1)
        larger = (*box[:axis], planes, *box[axis + 1 :])
        key = (self._number, *((s.start, s.stop, s.step) for s in larger))
        state = self._files.state(larger)
        voxels = self._cache.get(key, state)
        if voxels is None:
            voxels = self._read_pieces(larger)
            self._cache.put(key, state, voxels)
        return voxels[(slice(None),) * axis + (slice(at - begin, at - begin + 1),)].copy()

    def _read_pieces(self, box: Box) -> np.ndarray:
        """All of `box`, a few chunks at a time, so that only a few decoded chunks are in memory."""
        if self._remote and math.prod(s.stop - s.start for s in box) * self.dtype.itemsize <= _REMOTE_PIECE_BYTES:
            return self._read_remote(box)
        out = np.empty([len(range(s.start, s.stop, s.step)) for s in box], self.dtype)
        waiting: deque[tuple[Box, Callable[[], np.ndarray]]] = deque()
        size = _REMOTE_PIECE_BYTES if self._remote else _PIECE_BYTES
        for piece, target in _pieces(box, self.chunks, size // self.dtype.itemsize):
            if self._remote is not None:
                out[target] = self._read_remote(piece)
                continue
            if len(waiting) > available_cores():
                done, result = waiting.popleft()
                out[done] = result()
            waiting.append((target, self._begin(piece)))
        for done, result in waiting:
            out[done] = result()
        return out


def zarr_store(path: AnyPath, metadata: dict[str, Any] | None = None) -> Any:
    """A path in the form that zarr-python opens. `metadata` are those of the array there, if they are known."""
    if not isinstance(path, RemotePath):
        return path
    from .store import PathStore

    known = None
    if metadata is not None:
        names = (".zarray", "zarr.json") if metadata["zarr_format"] == 2 else ("zarr.json", ".zarray")
        known = {names[0]: json.dumps(metadata).encode(), names[1]: None, ".zattrs": None}
    return PathStore(path, known)


def _slowest_axis(chunks: tuple[int, ...]) -> int:
    """The axis along which neighbouring voxels of a chunk are furthest apart in the file."""
    return next((axis for axis, size in enumerate(chunks) if size > 1), len(chunks) - 1)


def _pieces(box: Box, chunks: tuple[int, ...], voxels: int) -> Iterator[tuple[Box, Box]]:
    """Cut a box at the edges of chunks: yields pieces of about `voxels` voxels, and the place of each in the box."""
    sizes = list(chunks)
    for axis in reversed(range(len(sizes))):
        sizes[axis] *= max(1, voxels // math.prod(sizes))
    cuts = []
    for s, size in zip(box, sizes, strict=True):
        places = range(s.start, s.stop, s.step)
        edges = [math.ceil((edge - s.start) / s.step) for edge in range(s.start // size * size + size, s.stop, size)]
        bounds = itertools.pairwise([0, *edges, len(places)])
        cuts.append([(slice(places[a], places[b - 1] + 1, s.step), slice(a, b)) for a, b in bounds if a < b])
    for parts in itertools.product(*cuts):
        yield tuple(piece for piece, _ in parts), tuple(target for _, target in parts)


def _open(path: AnyPath, metadata: dict[str, Any]) -> tuple[Any, Callable[[Box], Callable[[], np.ndarray]]]:
    """The opened array, and a function that begins to read a box. That returns a function that waits for the voxels."""
    files = _files_for_tensorstore(path)
    if files is None:
        return _open_with_zarr(path, metadata)
    import tensorstore as ts

    try:
        store = ts.open(
            {"driver": "zarr" if metadata["zarr_format"] == 2 else "zarr3", "kvstore": files},
            read=True,
            open=True,
            # `ChunkCache` keeps them: freed with the array, and of large arrays less than whole chunks.
            context=ts.Context({"cache_pool": {"total_bytes_limit": 0}, _LISTS: {"total_bytes_limit": _LIST_BYTES}}),
        ).result()
        return store, lambda box: store[box].read().result
    except (ValueError, NotImplementedError) as error:
        return _open_with_zarr(path, metadata, f"{first_line(error)}; ")


def _is_far(path: AnyPath) -> bool:
    """Whether each look into a file is a request to another machine."""
    return storage_of(path).is_remote and not (isinstance(path, ZipPath) and path.is_local)


def _files_for_tensorstore(path: AnyPath) -> dict[str, Any] | None:
    """The files below a path as tensorstore opens them; None if it does not."""
    if isinstance(path, ZipPath) and isinstance(path.archive, Path):
        base = {"driver": "file", "path": str(path.archive.absolute())}
        return {"driver": "zip", "base": base, "path": f"{path.location}/", "cache_pool": _LISTS}
    if storage_of(path).is_remote:
        return None
    return {"driver": "file", "path": str(path) + "/"}


def _open_with_zarr(
    path: AnyPath, metadata: dict[str, Any], before: str = ""
) -> tuple[Any, Callable[[Box], Callable[[], np.ndarray]]]:
    import zarr

    try:
        version = metadata["zarr_format"]
        array: Any = zarr.open_array(zarr_store(path, metadata), mode="r", zarr_format=version)
    except Exception as error:  # zarr-python passes on the errors of its many codecs
        raise SourceError(f"{path} cannot be read: {before}{first_line(error)}") from error
    return array, lambda box: lambda: np.asarray(array[box])


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_FILES_AT_ONCE, "ct-pyramid-read")
