"""The journal of a conversion and the checksums of its chunks: two files in the output.

The journal's first line states what is converted and how. Every other line states a block that is done; it is written
when all chunks of the block are on disk. An interrupted conversion is resumed from the journal. A finished one keeps
it, for a repair. The metadata decide whether a volume is finished, not the journal.
"""

from __future__ import annotations

import json
import math
import struct
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import imagecodecs

from napari_ct_pyramid.model.levels import Level
from napari_ct_pyramid.model.statistics import Statistics
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import STATE_FOLDER, AnyPath

from .kind import JOURNAL

BlockId = tuple[int, int]
"""Number of the stage, and of the block within the stage."""


@dataclass(frozen=True)
class Record:
    """The content of a journal.

    Attributes
    ----------
    identity : dict
        Of the conversion: two conversions with the same identity make the same output.
    blocks : int
        Number of blocks of the conversion.
    done : mapping of BlockId to Statistics
        The blocks that are done, with the statistics of their voxels.
    seconds : float
        Time that these blocks took.
    size : int
        Bytes of the journal that are valid.
    """

    identity: dict[str, Any]
    blocks: int
    done: Mapping[BlockId, Statistics]
    seconds: float
    size: int


def read_journal(output: AnyPath) -> Record | None:
    """The content of an output's journal; None if there is no valid one."""
    try:
        data = (output / JOURNAL).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        first, *lines = data.splitlines(keepends=True)
        head = json.loads(first)
        identity, blocks, size = dict(head["identity"]), int(head["blocks"]), len(first)
    except (ValueError, KeyError, TypeError):
        return None
    done, seconds = {}, 0.0
    for line in lines:
        try:
            if not line.endswith(b"\n"):
                break
            entry = json.loads(line)
            statistics = Statistics(
                math.inf if entry["minimum"] is None else entry["minimum"],
                -math.inf if entry["maximum"] is None else entry["maximum"],
                entry["nans"],
                entry["infinities"],
                entry.get("clipped", 0),
            )
            done[entry["stage"], entry["block"]] = statistics
            seconds = float(entry["seconds"])
        except (ValueError, KeyError, TypeError):
            break  # power failed while this line was written: later lines cannot be trusted either
        size += len(line)
    return Record(identity, blocks, done, seconds, size)


class Journal:
    """A journal that is being written.

    Parameters
    ----------
    output : path
    record : Record
        Its valid content so far. The rest of the file is cut off.
    """

    def __init__(self, output: AnyPath, record: Record) -> None:
        self._file = storage_of(output / JOURNAL).open_state(record.size)
        self._end = record.size

    def append(self, block: BlockId, statistics: Statistics, seconds: float) -> None:
        """Record that a block is done, and wait until that is safe."""
        line = _line(block, statistics, seconds)
        self._file.write(self._end, line)
        self._file.sync()
        self._end += len(line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def write_journal(
    output: AnyPath,
    identity: dict[str, Any],
    blocks: int,
    done: Mapping[BlockId, Statistics] | None = None,
    seconds: float = 0,
) -> Record:
    """Replace the journal of an output by a new one, in one atomic step. `done` are blocks that are done already."""
    lines = [json.dumps({"identity": identity, "blocks": blocks}).encode() + b"\n"]
    lines += [_line(block, statistics, seconds) for block, statistics in (done or {}).items()]
    data = b"".join(lines)
    storage_of(output / JOURNAL).replace(data)
    return Record(identity, blocks, dict(done or {}), seconds, len(data))


def _line(block: BlockId, statistics: Statistics, seconds: float) -> bytes:
    entry: dict[str, Any] = {"stage": block[0], "block": block[1], **asdict(statistics), "seconds": round(seconds, 3)}
    if statistics.minimum > statistics.maximum:
        entry["minimum"] = entry["maximum"] = None  # JSON has no infinity
    return json.dumps(entry).encode() + b"\n"


CHECKSUMS = f"{STATE_FOLDER}/checksums"

_PAIR = struct.Struct("<II")

# That of libdeflate is ten times as fast as that of zlib.
crc32: Callable[[Any], int] = imagecodecs.deflate_crc32 if imagecodecs.DEFLATE.available else zlib.crc32


class Checksum(NamedTuple):
    """The checksums (CRC-32) of a chunk: of its bytes in the file, and of its voxels."""

    file: int
    voxels: int


class Checksums:
    """The checksums of an output. Several threads may read them at once.

    Parameters
    ----------
    output : path
    levels : sequence of Level
    write : bool
        Open the file for writing, and make a new one if there is none of the right size.
    """

    def __init__(self, output: AnyPath, levels: Sequence[Level], *, write: bool = False) -> None:
        self._grids = [
            tuple(math.ceil(n / c) for n, c in zip(level.shape, level.chunks, strict=True)) for level in levels
        ]
        self._starts = list(accumulate((level.chunk_count for level in levels), initial=0))
        self._lock = threading.Lock()
        exists = checksums_are_there(output, levels)
        self._file = storage_of(output / CHECKSUMS).open_state(
            _size(levels) if write else None, fresh=write and not exists
        )

    def put(self, level: int, index: Triple, checksum: Checksum) -> None:
        """Write the checksum of a chunk."""
        with self._lock:
            self._file.write(self._place(level, index), _PAIR.pack(*checksum))

    def get(self, level: int, index: Triple) -> Checksum:
        """Read the checksum of a chunk."""
        with self._lock:
            return Checksum(*_PAIR.unpack(self._file.read(self._place(level, index), _PAIR.size)))

    def sync(self) -> None:
        """Wait until all that was written is safe."""
        self._file.sync()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _place(self, level: int, index: Triple) -> int:
        _, rows, columns = self._grids[level]
        number = (index[0] * rows + index[1]) * columns + index[2]
        return (self._starts[level] + number) * _PAIR.size


def checksums_are_there(output: AnyPath, levels: Sequence[Level]) -> bool:
    """Whether an output has a file of checksums, of the right size."""
    path = output / CHECKSUMS
    return path.is_file() and path.stat().st_size == _size(levels)


def _size(levels: Sequence[Level]) -> int:
    return sum(level.chunk_count for level in levels) * _PAIR.size
