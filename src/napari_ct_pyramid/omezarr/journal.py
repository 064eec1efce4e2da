"""The journal of a conversion, a file in the output: what is converted and how, and which blocks are done.

The first line states what is converted and how. Every other line states a block that is done, with the checksums of its
chunks; it is written when all chunks of the block are on disk. Each line carries a checksum of itself. An interrupted
conversion is resumed from the journal. A finished one keeps it, for verify and repair. The metadata decide whether a
volume is finished, not the journal.

So that a power cut at any moment loses nothing that was reported as done, each of these is safely on disk before the
next one begins:

1. the name of the output's folder in its parent, and that of the state folder in it;
2. the journal's first line, and the name of the journal;
3. where an output is overwritten: the new output's name in place of the old one's; only then are old files removed;
4. the folders of the levels and the metadata of their arrays;
5. of each block: the bytes of its chunks, then their names, then those of the folders above them;
6. the block's line in the journal;
7. when all blocks are listed: the receipt;
8. the group's metadata, which make the volume a finished one.

A repair begins by removing the blocks from the journal; when that is safe, it removes the group's metadata. In the
other order, the next conversion could take damaged blocks for done.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_ct_pyramid.model.blocks import BlockId
from napari_ct_pyramid.model.statistics import Statistics
from napari_ct_pyramid.parsing import parse_json
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import AnyPath
from napari_ct_pyramid.storage.sealed import seal, unseal

from .kind import JOURNAL

FORMAT = 2
"""Of the journals that are written. Journals of version 0.1.0 have none, and hold no checksums."""


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
    checksums : mapping of BlockId to bytes
        The packed checksums of the chunks of the blocks that are done; see `checksums.Checksums`.
    is_old : bool
        Whether version 0.1.0 wrote the journal: it holds no checksums, and cannot be resumed.
    """

    identity: dict[str, Any]
    blocks: int
    done: Mapping[BlockId, Statistics]
    seconds: float
    size: int
    checksums: Mapping[BlockId, bytes] = field(default_factory=dict)
    is_old: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether all blocks are done."""
        return len(self.done) == self.blocks

    def without(self, blocks: set[BlockId]) -> Record:
        """The record of the same conversion in which these blocks are not done. It is not written."""
        return Record(
            self.identity,
            self.blocks,
            {block: statistics for block, statistics in self.done.items() if block not in blocks},
            self.seconds,
            0,
            {block: packed for block, packed in self.checksums.items() if block not in blocks},
        )


def read_journal(output: AnyPath) -> Record | None:
    """The content of an output's journal; None if there is no valid one."""
    try:
        data = storage_of(output / JOURNAL).read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    first, *lines = data.splitlines(keepends=True) or [b""]
    try:
        return _read(first, lines) if b'"crc32"' in first or b'"format_version"' in first else _read_old(first, lines)
    except _DAMAGE:
        return None


_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def _read(first: bytes, lines: list[bytes]) -> Record:
    head = _unseal_line(first)
    if head["format_version"] != FORMAT:
        raise ValueError("a later version of this package wrote it")
    done: dict[BlockId, Statistics] = {}
    checksums: dict[BlockId, bytes] = {}
    seconds, size = 0.0, len(first)
    for line in lines:
        try:
            entry = _unseal_line(line)
            block = entry["stage"], entry["block"]
            statistics, packed = Statistics.from_json(entry), b64decode(entry["checksums"])
        except _DAMAGE:
            break  # power failed while this line was written: later lines cannot be trusted either
        done[block], checksums[block] = statistics, packed
        seconds = float(entry["seconds"])
        size += len(line)
    return Record(dict(head["identity"]), int(head["blocks"]), done, seconds, size, checksums)


def _unseal_line(line: bytes) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise ValueError("the line is cut short")
    return unseal(line[:-1])


def _read_old(first: bytes, lines: list[bytes]) -> Record:
    """The content of a journal that version 0.1.0 wrote."""
    head = parse_json(first)
    done, seconds = {}, 0.0
    for line in lines:
        try:
            entry = parse_json(line)
            done[int(entry["stage"]), int(entry["block"])] = Statistics.from_json(entry)
            seconds = float(entry["seconds"])
        except _DAMAGE:
            break
    return Record(dict(head["identity"]), int(head["blocks"]), done, seconds, len(first), is_old=True)


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

    def append(self, block: BlockId, statistics: Statistics, checksums: bytes, seconds: float) -> None:
        """Record that a block is done, with the packed checksums of its chunks, and wait until that is safe."""
        line = _line(block, statistics, checksums, seconds)
        self._file.write(self._end, line)
        self._file.sync()
        self._end += len(line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def write_journal(output: AnyPath, record: Record) -> Record:
    """Replace the journal of an output by a new one, in one atomic step.

    Returns
    -------
    Record
        With the size of the new journal.
    """
    head = {"format_version": FORMAT, "identity": record.identity, "blocks": record.blocks}
    lines = [seal(head) + b"\n"]
    for block, statistics in record.done.items():
        lines.append(_line(block, statistics, record.checksums[block], record.seconds))
    data = b"".join(lines)
    storage_of(output / JOURNAL).replace(data)
    return Record(record.identity, record.blocks, record.done, record.seconds, len(data), record.checksums)


def _line(block: BlockId, statistics: Statistics, checksums: bytes, seconds: float) -> bytes:
    entry = {
        "stage": block[0],
        "block": block[1],
        **statistics.to_json(),
        "checksums": b64encode(checksums).decode(),
        "seconds": round(seconds, 3),
    }
    return seal(entry) + b"\n"
