"""Keeps boxes of voxels for a while, as long as the files that they came from are unchanged.

It knows neither zarr nor images.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np


class Slabs:
    """The boxes that were wanted last.

    Parameters
    ----------
    limit : int
        Bytes to keep at most.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[Hashable, tuple[Hashable, np.ndarray]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, state: Hashable, read: Callable[[], np.ndarray]) -> np.ndarray:
        """What is kept as `key`, if that was read in this `state` of its files, or else what `read` gives."""
        with self._lock:
            known, voxels = self._kept.get(key, (None, None))
            if voxels is not None and known == state:
                self._kept.move_to_end(key)
                return voxels
        voxels = read()
        with self._lock:
            self._kept[key] = (state, voxels)
            self._kept.move_to_end(key)
            while sum(kept.nbytes for _, kept in self._kept.values()) > self._limit:
                self._kept.popitem(last=False)
        return voxels
