"""Order statistics of voxels that are read twice: counted first by the upper 16 bits of their order, then by the next.

The bits of a floating-point number, taken as an integer, are in the order of the numbers (IEEE 754), once those of
negative numbers are inverted. So the first counts say in which bin of 65,536 a rank lies, and the second ones where in
that bin: exactly for voxels of at most 32 bits. Of float64, 32 bits are known: sign, exponent, and 20 of the mantissa,
so that a value is found to a millionth of itself.
"""

from __future__ import annotations

import numpy as np

from .histogram import from_order

KEYS = 65_536
_PIECE = 32_768  # voxels at a time: their indices fit in a core's second-level cache


def count_keys(voxels: np.ndarray) -> np.ndarray:
    """Voxels of an array by the upper 16 bits of their patterns; by their patterns, if these have at most 16 bits."""
    table = np.zeros(KEYS, np.int64)
    indices = np.empty(min(_PIECE, voxels.size), np.intp)
    keys = upper_bits(np.ascontiguousarray(voxels).ravel())
    for at in range(0, keys.size, _PIECE):
        piece = keys[at : at + _PIECE]
        indices[: piece.size] = piece
        np.add.at(table, indices[: piece.size], 1)
    return table


def upper_bits(flat: np.ndarray) -> np.ndarray:
    """The upper 16 bits of each pattern."""
    size = flat.dtype.itemsize
    bits = flat.view(f"u{size}")
    return bits if size <= 2 else (bits >> (8 * size - 16)).astype(np.uint16)


def in_order(counts: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """The keys of finite voxels in the order of their values, and the counts of each.

    Parameters
    ----------
    counts : numpy.ndarray
        As `count_keys` makes them.
    dtype : numpy.dtype
        Of the voxels.
    """
    if dtype.itemsize == 1:
        keys = np.roll(np.arange(256), 128 if dtype.kind == "i" else 0)
    elif dtype.kind == "i":
        keys = np.roll(np.arange(KEYS), KEYS // 2)
    elif dtype.kind == "f":
        keys = from_order(np.arange(KEYS, dtype=np.uint16)).astype(np.intp)
        keys = keys[np.isfinite(_lowest(keys, dtype))]
    else:
        keys = np.arange(KEYS)
    return keys, counts[keys]


def values_of(keys: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The values of patterns with at most 16 bits, as float64."""
    values: np.ndarray = keys.astype(f"u{dtype.itemsize}").view(dtype).astype(np.float64)
    return values


def _lowest(keys: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A number with these upper 16 bits."""
    shift = 8 * dtype.itemsize - 16
    numbers: np.ndarray = (keys.astype(f"u{dtype.itemsize}") << shift).view(dtype)
    return numbers


class Ranks:
    """The ranks that percentiles need, and the keys in which they lie.

    Parameters
    ----------
    counts : numpy.ndarray
        As `count_keys` makes them.
    dtype : numpy.dtype
    percentiles : tuple of float
        From 0 to 100.

    Attributes
    ----------
    slots : numpy.ndarray
        For each key, the number of its table of lower bits plus 1; 0 if it needs none. Shape (65536,).
    tables : int
        How many tables of lower bits are needed: none for voxels of at most 16 bits.
    """

    def __init__(self, counts: np.ndarray, dtype: np.dtype, percentiles: tuple[float, ...]) -> None:
        self._dtype = dtype
        keys, ordered = in_order(counts, dtype)
        self._before = np.cumsum(ordered) - ordered
        self.total = int(ordered.sum())
        self._places = [q / 100 * (self.total - 1) for q in percentiles]
        ranks = sorted({rank for place in self._places for rank in self._around(place)}) if self.total else []
        at = np.searchsorted(self._before + ordered, ranks, side="right") if ranks else np.zeros(0, np.intp)
        self._key_of = {rank: int(keys[i]) for rank, i in zip(ranks, at, strict=True)}
        self._first_of = {rank: int(self._before[i]) for rank, i in zip(ranks, at, strict=True)}
        self.slots = np.zeros(KEYS, np.uint8)
        self.tables = 0
        if dtype.itemsize > 2:
            for key in dict.fromkeys(self._key_of.values()):
                self.tables += 1
                self.slots[key] = self.tables

    def count_lower(self, voxels: np.ndarray) -> np.ndarray:
        """The voxels with these keys by their lower bits. Shape (tables, 65536)."""
        flat = np.ascontiguousarray(voxels).ravel()
        table = np.zeros(self.tables * KEYS, np.int64)
        for at in range(0, flat.size, _PIECE):
            piece = flat[at : at + _PIECE]
            slots = self.slots[upper_bits(piece)]
            chosen = np.flatnonzero(slots)
            if not chosen.size:
                continue
            bits = piece[chosen].view(f"u{self._dtype.itemsize}")
            lower = ((bits >> max(0, 8 * self._dtype.itemsize - 32)) & 0xFFFF).astype(np.intp)
            np.add.at(table, lower + (slots[chosen].astype(np.intp) - 1) * KEYS, 1)
        return table.reshape(self.tables, KEYS)

    def percentiles(self, lower: np.ndarray | None) -> tuple[float, ...] | None:
        """The percentiles, interpolated between two ranks as numpy does it; None if there is no finite voxel."""
        if not self.total:
            return None
        found = []
        for place in self._places:
            first, second = (self._value(rank, lower) for rank in self._around(place))
            share = place - int(place)
            found.append(first * (1 - share) + second * share if abs(second - first) == np.inf else
                         first + (second - first) * share)  # fmt: skip
        return tuple(found)

    def _around(self, place: float) -> tuple[int, int]:
        first = min(int(place), self.total - 1)
        return first, min(first + (place > first), self.total - 1)

    def _value(self, rank: int, lower: np.ndarray | None) -> float:
        key = self._key_of[rank]
        if self._dtype.itemsize <= 2:
            return float(values_of(np.array([key]), self._dtype)[0])
        assert lower is not None
        counts = lower[self.slots[key] - 1]
        falls = self._dtype.kind == "f" and key >= KEYS // 2  # of negative numbers, more bits mean less
        order = np.arange(KEYS)[::-1] if falls else np.arange(KEYS)
        above = np.cumsum(counts[order])
        bits = int(order[np.searchsorted(above, rank - self._first_of[rank], side="right")])
        pattern = (key << 16 | bits) << max(0, 8 * self._dtype.itemsize - 32)
        if self._dtype.itemsize > 4:
            pattern |= 1 << 31  # the middle of what is known
        return float(np.array([pattern], f"u{self._dtype.itemsize}").view(self._dtype)[0])
