"""Caches the decoded chunks that were used last, of all arrays together, as long as their files are unchanged."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import deque
from collections.abc import Hashable
from functools import cache
from typing import TYPE_CHECKING

from napari_ct_pyramid.model.memory import machine_memory

if TYPE_CHECKING:
    import numpy as np

_MOST_BYTES = 2_000_000_000
_PART_OF_MEMORY = 10

_numbers = itertools.count()


class ChunkCache:
    """A cache of decoded chunks, or of parts of them. Several threads may use it at once.

    Parameters
    ----------
    limit : int
        Bytes of voxels to keep at most. The ones that were not used for longest are dropped first.

    Attributes
    ----------
    limit : int
    """

    def __init__(self, limit: int) -> None:
        from cachetools import LRUCache

        self.limit = limit
        self._kept: LRUCache[tuple[Hashable, ...], tuple[Hashable, np.ndarray]] = LRUCache(
            limit, getsizeof=lambda kept: kept[1].nbytes
        )
        self._lock = threading.Lock()
        self._freed: deque[int] = deque()

    @property
    def nbytes(self) -> int:
        """Bytes of voxels that are kept now."""
        with self._lock:
            self._drop_freed()
        return int(self._kept.currsize)

    def owner(self, array: object) -> int:
        """A number for an array, to begin its keys with. What is kept for it is dropped when the array is freed."""
        number = next(_numbers)
        weakref.finalize(array, self._drop, number)
        return number

    def get(self, key: tuple[Hashable, ...], state: Hashable) -> np.ndarray | None:
        """The voxels that are kept as `key`, if they were read in this `state` of their file."""
        with self._lock:
            self._drop_freed()
            known, voxels = self._kept.get(key, (None, None))
            return voxels if known == state else None

    def put(self, key: tuple[Hashable, ...], state: Hashable, voxels: np.ndarray) -> None:
        """Keep voxels that were read when their file was in this `state`."""
        if voxels.nbytes <= self.limit:
            with self._lock:
                self._drop_freed()
                self._kept[key] = state, voxels

    def _drop(self, number: int) -> None:
        """Drop what is kept for an array.

        The garbage collector calls this at any moment, also in a thread that holds the lock: then the next use of the
        cache drops it.
        """
        self._freed.append(number)
        if self._lock.acquire(blocking=False):
            try:
                self._drop_freed()
            finally:
                self._lock.release()

    def _drop_freed(self) -> None:
        while self._freed:
            number = self._freed.popleft()
            for key in [key for key in self._kept if key[0] == number]:
                del self._kept[key]


@cache
def chunk_cache() -> ChunkCache:
    """The cache of this process: a tenth of the machine's memory, 2 GB at most."""
    return ChunkCache(min(_MOST_BYTES, machine_memory() // _PART_OF_MEMORY))
