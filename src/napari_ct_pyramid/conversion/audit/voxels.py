"""Reads all voxels of an image once or twice: does every chunk decode, what values are there, do the levels agree?

A task is one chunk of a coarser level and the same place in the finer one. A few tasks run at a time, so that the
memory stays within the budget.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.formatting import count
from napari_ct_pyramid.model.volume import Box, chunk_box, intersection, touched
from napari_ct_pyramid.omezarr.array import ZarrArray
from napari_ct_pyramid.omezarr.metadata import ChunkLocator

from .arrangement import check_offset
from .findings import LevelVerdict, Report
from .image import Image, Level, first_places
from .methods import CONSTANT, GAUSSIAN, MEAN, METHODS, NONE, Comparisons, Method, compare, judge, whole_factors
from .regions import VOXELS, cuts, finer_box, parts
from .tasks import Task

_TILE = 32  # voxels of the coarser level along each axis, judged together: what is wrong may be small
_BYTES_A_VOXEL = 40  # of the arrays of 64-bit floats that a comparison makes, beside the voxels
_NAMED = 5  # chunks with something wrong, for each level
_NARROW, _WIDE = 0.01, 1.0  # parts of the range of the data that a display window may show


@dataclass
class _Seen:
    """What was seen of a level."""

    grid: tuple[int, ...]  # of its chunks
    damaged: np.ndarray | None = None  # which of them are
    reasons: dict[tuple[int, ...], str] = field(default_factory=dict)  # of the first ones
    odd: int = 0  # NaN and infinities
    low: float = math.inf
    high: float = -math.inf
    voxels: int = 0


@dataclass
class _Pair:
    finer: Level
    coarser: Level
    factors: tuple[int, ...]
    tiles: int = 0  # that are compared
    compared: Comparisons | None = None
    new_odd: int = 0


class VoxelAudit:
    """Reads an image. Its tasks may run in several threads; `finish` reports what they found.

    Parameters
    ----------
    image : Image
    report : Report

    Attributes
    ----------
    image, report
    bytes_total, bytes_done : int
        Of voxels to read, and read so far.
    chunks : int
        Chunks that were read.
    """

    def __init__(self, image: Image, report: Report) -> None:
        self.image = image
        self.report = report
        self._levels = [
            level for level in image.levels if level.array is not None and level.shape and 0 not in level.shape
        ]
        self._seen = {level.path: _Seen(_chunk_grid(level)) for level in self._levels}
        self._lock = threading.Lock()
        self._pairs: list[_Pair] = []
        self._alone: list[Level] = self._levels[:1]
        for finer, coarser in itertools.pairwise(self._levels):
            same = len(finer.shape) == len(coarser.shape)
            factors = whole_factors(finer, coarser) if same else None
            if factors is None:
                self._alone.append(coarser)
                report.note("method-unknown", f"its shape is not a whole part of that of {finer.path}", coarser.path)
            else:
                pair = _Pair(finer, coarser, factors)
                pair.tiles = _tile_count(pair)
                self._pairs.append(pair)
        covered = {pair.finer.path for pair in self._pairs}
        self._alone = [level for level in self._alone if level.path not in covered]
        read = [*self._alone, *(level for pair in self._pairs for level in (pair.finer, pair.coarser))]
        self.bytes_total = sum(_nbytes(level) for level in read)
        self.bytes_done = 0
        self.chunks = sum(math.prod(_chunk_grid(level)) for level in self._levels)

    @property
    def bytes_of_task(self) -> int:
        """The most memory that one task takes."""
        sizes = [0]
        for pair in self._pairs:
            assert pair.finer.array is not None
            fine = max(VOXELS, math.prod(pair.finer.array.chunks))
            coarse = math.prod(_array(pair.coarser).chunks) * _array(pair.coarser).dtype.itemsize
            sizes.append(fine * (2 * _array(pair.finer).dtype.itemsize + _BYTES_A_VOXEL) + 2 * coarse)
        sizes += [3 * math.prod(_array(level).chunks) * _array(level).dtype.itemsize for level in self._alone]
        return max(sizes)

    @property
    def bytes_kept(self) -> int:
        """The most memory that all tasks together keep until `finish`."""
        tables = sum(Comparisons.nbytes(pair.tiles, len(pair.factors)) for pair in self._pairs)
        files = sum(level.missing.nbytes for level in self._levels if level.missing is not None)
        return tables + 2 * files + self.chunks

    def tasks(self) -> Iterator[Task]:
        """All that is to be done."""
        for pair in self._pairs:
            pair.compared = Comparisons(pair.tiles, len(pair.factors))
        for level in self._alone:
            array = _array(level)
            for index in touched(_whole(level), array.chunks):
                yield partial(self._look, level, chunk_box(index, array.chunks, array.shape))
        for pair in self._pairs:
            array = _array(pair.coarser)
            for index in touched(_whole(pair.coarser), array.chunks):
                yield partial(self._compare, pair, chunk_box(index, array.chunks, array.shape))

    def _look(self, level: Level, box: Box) -> None:
        self._note(level, self._read(level, box))

    def _compare(self, pair: _Pair, box: Box) -> None:
        assert pair.compared is not None
        coarse = self._read(pair.coarser, box)
        for part in parts(box, _array(pair.finer).chunks, pair.factors):
            region = _finer_box(pair, part)
            fine = self._read(pair.finer, region)
            self._note(pair.finer, fine)
            if fine is None or coarse is None:
                continue
            for tile in _tiles(part):
                inside = tuple(slice(t.start - b.start, t.stop - b.start) for t, b in zip(tile, box, strict=True))
                finer = _finer_box(pair, tile)
                there = tuple(slice(t.start - r.start, t.stop - r.start) for t, r in zip(finer, region, strict=True))
                result = compare(fine[there], coarse[inside], pair.factors)
                with self._lock:
                    pair.compared.add(tile, result)
                    pair.new_odd += result.new_odd

    def _read(self, level: Level, box: Box) -> np.ndarray | None:
        """The voxels in a box; None if one of its chunks cannot be read, which is noted."""
        array = _array(level)
        voxels = None
        try:
            voxels = array.read_once(box)
        except SourceError as error:
            self._find_damage(level, box, str(error))
        with self._lock:
            self.bytes_done += math.prod(s.stop - s.start for s in box) * array.dtype.itemsize
        return voxels

    def _find_damage(self, level: Level, box: Box, what: str) -> None:
        array = _array(level)
        found = {}
        for index in touched(box, array.chunks):
            try:
                array.read_once(intersection(chunk_box(index, array.chunks, array.shape), box))
            except SourceError as error:
                found[index] = _reason(str(error))
        with self._lock:
            seen = self._seen[level.path]
            if seen.damaged is None:
                seen.damaged = np.zeros(seen.grid, bool)
            for index in found:
                seen.damaged[index] = True
            first = sorted((seen.reasons | (found or {(): _reason(what)})).items())[:_NAMED]
            seen.reasons = dict(first)

    def _note(self, level: Level, voxels: np.ndarray | None) -> None:
        """Note the values of the finest level."""
        if voxels is None or level is not self._levels[0] or not voxels.size or voxels.dtype.kind not in "iufb":
            return
        odd = _odd(voxels)
        good = voxels[np.isfinite(voxels)] if odd else voxels
        with self._lock:
            seen = self._seen[level.path]
            seen.odd += odd
            seen.voxels += voxels.size
            if good.size:
                seen.low, seen.high = min(seen.low, float(good.min())), max(seen.high, float(good.max()))

    # What was found

    def finish(self) -> None:
        """Report it."""
        for level in self._levels:
            seen = self._seen[level.path]
            for index, what in seen.reasons.items():
                name = "/".join(map(str, index))
                self.report.error("chunk-damaged", f"chunk {name} cannot be decoded: {what}", level.path)
            damaged = 0 if seen.damaged is None else int(np.count_nonzero(seen.damaged))
            if damaged > _NAMED:
                self.report.error("chunk-damaged", f"{damaged - _NAMED:,} more chunks cannot be decoded", level.path)
        for pair in self._pairs:
            self._judge(pair)
        if self._levels:
            self._check_values(self._levels[0])

    def _judge(self, pair: _Pair) -> None:
        finer, coarser = pair.finer.path, pair.coarser.path
        assert pair.compared is not None
        method = judge(pair.compared)
        self.report.levels.append(LevelVerdict(self.report.place(coarser), method.name, method.largest_difference))
        wrong = pair.compared.rows[method.wrong]
        if method.name == NONE:
            self.report.error(
                "level-unrelated",
                f"it is not made from {finer}: its voxels do not follow those of that level (largest difference from "
                f"the mean {method.largest_difference:.4g})",
                coarser,
            )
        else:
            made = "a smoothed copy" if method.name == GAUSSIAN else f"the {method.name}"
            self._report_wrong(pair, method, made if method.name != CONSTANT else "made")
        if pair.new_odd:
            self.report.error("nan-new", f"it has NaN or infinity where {finer} has none", coarser)
        if method.name not in (NONE, CONSTANT):
            check_offset(self.image, self._levels[0], pair.coarser, method.name, self.report)
        self._settle_missing(
            pair, wrong, pair.compared.rows[pair.compared.rows["from_nothing"]], is_unrelated=method.name == NONE
        )
        pair.compared = None

    def _report_wrong(self, pair: _Pair, method: Method, made: str) -> None:
        if not method.wrong.size:
            return
        assert pair.compared is not None
        differences = pair.compared.differences(method.name if method.name in METHODS else MEAN)[method.wrong]
        at = pair.compared.rows["start"][method.wrong] // np.array(_array(pair.coarser).chunks, "u4")
        numbers = np.ravel_multi_index(tuple(at.T), _chunk_grid(pair.coarser))
        chunks = np.unique(numbers)
        for number in chunks[:_NAMED]:
            name = "/".join(map(str, np.unravel_index(number, _chunk_grid(pair.coarser))))
            difference = differences[numbers == number].max()
            self.report.error(
                "level-differs",
                f"chunk {name} is not {made} of {pair.finer.path}: the largest difference is {difference:.4g}",
                pair.coarser.path,
            )
        if len(chunks) > _NAMED:
            self.report.error(
                "level-differs",
                f"{count(len(chunks) - _NAMED, 'more chunk')} differ from {pair.finer.path}",
                pair.coarser.path,
            )

    def _settle_missing(self, pair: _Pair, wrong: np.ndarray, from_nothing: np.ndarray, *, is_unrelated: bool) -> None:
        """Say of files that are missing whether the other level has voxels there.

        `wrong` and `from_nothing` are rows of comparisons. The second ones are told where the fill value is NaN.
        A coarser level that is wrong also where the finer one has its files tells nothing of those that it has not.
        """
        for level in (pair.finer, pair.coarser):
            if level.missing is None or level.metadata is None:
                continue
            locator = ChunkLocator(self.image.path / level.path, level.metadata)
            hit, is_wrong_elsewhere = np.zeros_like(level.missing), False
            for row in itertools.chain(wrong, from_nothing if level is pair.finer else ()):
                box = tuple(slice(int(a), int(b)) for a, b in zip(row["start"], row["stop"], strict=True))
                box = _finer_box(pair, box) if level is pair.finer else box
                files = tuple(slice(s.start // n, -(-s.stop // n)) for s, n in zip(box, locator.shape, strict=True))
                hit[files] = True
                is_wrong_elsewhere |= row["tried"] and not row["fits"] and not level.missing[files].any()
            if level is pair.finer and is_unrelated and is_wrong_elsewhere:
                continue
            hit &= level.missing
            if missing := int(np.count_nonzero(hit)):
                names = ", ".join(map(locator.key, first_places(hit, _NAMED)))
                self.report.drop("files-missing", level.path)
                self.report.error(
                    "chunk-missing",
                    f"{count(missing, 'file')} {'is' if missing == 1 else 'are'} missing, where other levels have "
                    f"voxels: {names}",
                    level.path,
                )
                level.missing = None

    def _check_values(self, finest: Level) -> None:
        seen = self._seen[finest.path]
        if seen.odd:
            share = seen.odd / max(seen.voxels, 1)
            self.report.warning("nan", f"{seen.odd:,} of its voxels ({share:.2%}) are NaN or infinity", finest.path)
        if seen.high < seen.low:
            return
        if seen.high == seen.low:
            self.report.warning("constant", f"all of its voxels are {seen.low:g}", finest.path)
        elif self.image.window and "image-label" not in self.image.attributes:
            start, end = self.image.window
            stated = f"the display window is {start:g} to {end:g}, and the data are {seen.low:g} to {seen.high:g}"
            shown = min(end, seen.high) - max(start, seen.low)
            if shown <= 0:
                self.report.warning("window-outside", f"{stated}: the picture has one grey")
            elif shown < _NARROW * (seen.high - seen.low) and shown < _NARROW * (end - start):
                self.report.warning("window-outside", f"{stated}: the picture has hardly more than one grey")
            elif seen.high - seen.low < _NARROW * _WIDE * (end - start):
                self.report.warning("window-wide", f"{stated}: nearly everything has one grey")


def _array(level: Level) -> ZarrArray:
    assert level.array is not None
    return level.array


def _whole(level: Level) -> Box:
    return tuple(slice(0, n) for n in level.shape)


def _nbytes(level: Level) -> int:
    return math.prod(level.shape) * int(_array(level).dtype.itemsize)


def _chunk_grid(level: Level) -> tuple[int, ...]:
    return tuple(-(-n // c) for n, c in zip(level.shape, _array(level).chunks, strict=True))


def _odd(voxels: np.ndarray) -> int:
    return 0 if voxels.dtype.kind != "f" else int(voxels.size - np.count_nonzero(np.isfinite(voxels)))


def _tile_count(pair: _Pair) -> int:
    """The number of tiles that are compared. Along an axis, all chunks but the last have one length."""
    array = _array(pair.coarser)
    lengths = [
        Counter({c: n // c, n % c: 1} if n % c else {c: n // c}) for n, c in zip(array.shape, array.chunks, strict=True)
    ]
    total = 0
    for chunk in itertools.product(*(counts.items() for counts in lengths)):
        along_axes = cuts(tuple(slice(0, length) for length, _ in chunk), _array(pair.finer).chunks, pair.factors)
        tiles = math.prod(sum(-(-(s.stop - s.start) // _TILE) for s in along) for along in along_axes)
        total += tiles * math.prod(times for _, times in chunk)
    return total


def _tiles(box: Box) -> Iterator[Box]:
    """A box in small parts."""
    yield from itertools.product(
        *([slice(a, min(a + _TILE, s.stop)) for a in range(s.start, s.stop, _TILE)] for s in box)
    )


def _finer_box(pair: _Pair, box: Box) -> Box:
    return finer_box(box, pair.factors, pair.finer.shape, pair.coarser.shape)


def _reason(text: str) -> str:
    """The part of an error that tells why: what follows the path of the array."""
    return text.rpartition("cannot be read: ")[2].split("[")[0].strip().rstrip(":.") or text
