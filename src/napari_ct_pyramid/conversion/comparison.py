"""A chunk store that compares chunks with those of an output instead of writing them, and what it finds."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np

from napari_ct_pyramid.model.blocks import BlockId
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.volume import box_shape, chunk_box
from napari_ct_pyramid.omezarr.checksums import Checksum, Checksums
from napari_ct_pyramid.omezarr.codec import ChunkReader, DamagedChunkError, chunk_name
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.storage.paths import AnyPath


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with an output.

    Attributes
    ----------
    level : int or None
        Of the chunk that is wrong; None if it is something else that is wrong.
    chunk : tuple of int or None
        The index of the chunk along z, y, x.
    what : str
        For people.
    is_stray : bool
        Whether it is a file that does not belong to the volume. A repair leaves it alone.
    block : BlockId or None
        The block that is wrong, if no chunk of it is.
    """

    level: int | None
    chunk: Triple | None
    what: str
    is_stray: bool = False
    block: BlockId | None = None

    def __str__(self) -> str:
        if self.level is None or self.chunk is None:
            return self.what
        return f"level {self.level}, chunk {chunk_name(self.level, self.chunk)}: {self.what}"


@dataclass(frozen=True)
class Verification:
    """The outcome of verifying an output.

    Attributes
    ----------
    output : Path or RemotePath
    problems : tuple of Problem
        All that was wrong.
    chunks : int
        Number of chunks that were compared.
    with_source : bool
        Whether level 0 was compared with the source itself.
    seconds : float
    peak_memory_bytes : int
        Peak resident memory of the process.
    repaired : bool
        Whether all that was wrong has been made again. Files that do not belong to the volume stay.
    """

    output: AnyPath
    problems: tuple[Problem, ...]
    chunks: int
    with_source: bool
    seconds: float
    peak_memory_bytes: int
    repaired: bool = False

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong, or everything was repaired: the output is complete and correct."""
        return all(self.repaired and not problem.is_stray for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {
            "output": str(self.output),
            "sound": self.sound,
            "problems": [
                {"level": p.level, "chunk": list(p.chunk) if p.chunk else None, "what": p.what} for p in self.problems
            ],
            "repaired": self.repaired,
            "chunks": self.chunks,
            "with_source": self.with_source,
            "seconds": round(self.seconds, 3),
            "peak_memory_bytes": self.peak_memory_bytes,
        }


class ComparingStore:
    """Compares each chunk that the engine writes, which is as it should be, with the one in the output.

    Parameters
    ----------
    files : ChunkReader
    plan : Plan
    checksums : Checksums
        Those that the conversion wrote. Where one is not known, the chunk is compared without it.
    """

    def __init__(self, files: ChunkReader, plan: Plan, checksums: Checksums) -> None:
        self._files = files
        self._plan = plan
        self._checksums = checksums
        self._lock = threading.Lock()
        self._damaged: dict[tuple[int, Triple], str] = {}
        self._different: dict[tuple[int, Triple], str] = {}

    def read_chunk(self, level: int, index: Triple) -> np.ndarray:
        """The voxels of a chunk of the output; zeros if it cannot be read."""
        return self._read(level, index)[0]

    def begin_chunk(self, level: int, index: Triple) -> _Comparison:
        """A chunk that is compared instead of written."""
        return _Comparison(self, level, index)

    def compare(self, level: int, index: Triple, voxels: np.ndarray) -> Future[Checksum]:
        """Compare a chunk with the one in the output."""
        found, checksum = self._read(level, index)
        bits = f"u{voxels.itemsize}"  # as bits, a NaN equals itself
        same = all(np.array_equal(a.view(bits), b.view(bits)) for a, b in zip(found, voxels, strict=True))
        if not same and level and voxels.dtype.kind == "f":  # of several NaNs, any may be the result
            same = np.array_equal(found, voxels, equal_nan=True)
        if not same:
            what = f"it is not the {self._plan.options.method} of the level below"
            what = what if level else "it differs from the source"
            with self._lock:
                self._different[level, index] = what
        done: Future[Checksum] = Future()
        done.set_result(checksum)
        return done

    def problems(self) -> list[Problem]:
        """All problems, by level and chunk."""
        # A chunk that is made from a damaged one cannot be equal, and need not be wrong itself.
        unknown = {
            (k, _coarser(index, stage.span(k)))
            for stage in self._plan.stages
            for level, index in self._damaged
            if level == stage.base and not stage.from_source
            for k in range(level + 1, stage.top + 1)
        }
        unknown |= set(self._damaged)
        found = self._damaged | {place: what for place, what in self._different.items() if place not in unknown}
        return [Problem(level, index, what) for (level, index), what in sorted(found.items())]

    def _read(self, level: int, index: Triple) -> tuple[np.ndarray, Checksum]:
        try:
            return self._files.read_checked(level, index, self._checksums.get(level, index))
        except FileNotFoundError:
            damage = "it is missing"
        except DamagedChunkError as error:
            damage = str(error)
        except (OSError, ValueError, imagecodecs.BloscError) as error:
            why = (isinstance(error, OSError) and error.strerror) or error
            damage = f"it cannot be read: {why}"
        with self._lock:
            self._damaged[level, index] = damage
        made = self._plan.levels[level]
        shape = box_shape(chunk_box(index, made.chunks, made.shape))
        return np.broadcast_to(made.dtype.type(0), shape), Checksum(0, 0, 0)


class _Comparison:
    """A chunk that is to be compared with the one in the output."""

    def __init__(self, store: ComparingStore, level: int, index: Triple) -> None:
        self._store = store
        self._chunk = (level, index)

    def write(self, voxels: np.ndarray) -> Future[Checksum]:
        return self._store.compare(*self._chunk, voxels)

    def cancel(self) -> None:
        """Nothing was begun."""


def _coarser(index: Triple, span: Triple) -> Triple:
    z, y, x = (i // n for i, n in zip(index, span, strict=True))
    return z, y, x
