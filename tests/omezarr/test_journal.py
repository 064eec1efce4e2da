"""The journal: what it records, and what remains of it after a power failure in the middle of a line."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ct_pyramid.model.statistics import Statistics, voxel_statistics
from napari_ct_pyramid.omezarr.checksums import Checksum, pack
from napari_ct_pyramid.omezarr.journal import Journal, Record, read_journal, write_journal
from napari_ct_pyramid.omezarr.kind import JOURNAL

IDENTITY = {"source": "scan", "chunks": [1, 2, 3]}
CHECKSUMS = pack([Checksum(1, 2, 3), Checksum(2**32 - 1, 0, 2**40)])
STATISTICS = {(0, 0): Statistics(-1.5, 3, 2, 1), (0, 1): Statistics(), (1, 0): Statistics(0, 65535)}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    (tmp_path / JOURNAL).parent.mkdir()
    record = write_journal(tmp_path, Record(IDENTITY, 3, {}, 0, 0))
    with closing(Journal(tmp_path, record)) as journal:
        for seconds, (block, found) in enumerate(STATISTICS.items(), start=1):
            journal.append(block, found, CHECKSUMS, seconds)
    return tmp_path


def test_the_journal_reads_as_written(written: Path) -> None:
    size = (written / JOURNAL).stat().st_size
    assert read_journal(written) == Record(IDENTITY, 3, STATISTICS, 3.0, size, dict.fromkeys(STATISTICS, CHECKSUMS))


def test_no_journal(tmp_path: Path) -> None:
    assert read_journal(tmp_path) is None
    assert read_journal(tmp_path / "not there") is None


@pytest.mark.parametrize("head", [b"", b"\n", b"null\n", b'{"blocks": 3}\n', b"\xff\xfe\n"])
def test_an_invalid_first_line_is_not_a_journal(written: Path, head: bytes) -> None:
    (written / JOURNAL).write_bytes(head)
    assert read_journal(written) is None


def test_a_journal_cut_anywhere_keeps_its_valid_lines_and_can_be_continued(written: Path) -> None:
    whole = (written / JOURNAL).read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in range(len(lines[0]), len(whole)):
        for rest in (b"", b"\0" * 7):  # some file systems leave zeros
            (written / JOURNAL).write_bytes(whole[:cut] + rest)
            record = read_journal(written)
            assert record is not None
            count = sum(cut >= sum(map(len, lines[: n + 1])) for n in range(1, len(lines)))
            assert list(record.done) == list(STATISTICS)[:count]
            with closing(Journal(written, record)) as journal:
                journal.append((7, 7), Statistics(), b"", 9)
            after = read_journal(written)
            assert after is not None
            assert list(after.done) == [*list(STATISTICS)[:count], (7, 7)]


def test_a_flipped_bit_anywhere_is_recognized(written: Path) -> None:
    """What is left are lines that are as they were written, and never another one."""
    whole = (written / JOURNAL).read_bytes()
    original = read_journal(written)
    assert original is not None
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 1 << at % 8
        (written / JOURNAL).write_bytes(data)
        record = read_journal(written)
        if record is not None:
            assert record.identity == original.identity
            assert record.done.items() < original.done.items()
            assert record.checksums.items() < original.checksums.items()


@pytest.mark.parametrize("head", [b"[" * 100_000, b'{"identity": 5, "blocks": []}', b'{"format_version": 3}'])
def test_odd_content_is_not_a_journal(written: Path, head: bytes) -> None:
    (written / JOURNAL).write_bytes(head + b"\n")
    assert read_journal(written) is None


def test_a_new_journal_replaces_the_old_one(written: Path) -> None:
    write_journal(written, Record(IDENTITY, 5, {(0, 1): Statistics()}, 2.5, 0, {(0, 1): CHECKSUMS}))
    record = read_journal(written)
    assert record is not None
    assert (record.blocks, dict(record.done), record.seconds) == (5, {(0, 1): Statistics()}, 2.5)
    assert [path.name for path in (written / JOURNAL).parent.iterdir()] == [Path(JOURNAL).name]


@given(
    st.lists(
        st.lists(st.floats(width=32) | st.sampled_from([np.nan, np.inf, -np.inf]), min_size=1), min_size=1, max_size=5
    )
)
def test_statistics_add_up(parts: list[list[float]]) -> None:
    arrays = [np.array(part, "f4") for part in parts]
    whole = np.concatenate(arrays)
    found = sum(map(voxel_statistics, arrays), Statistics())
    finite = whole[np.isfinite(whole)]
    assert found.nans == np.isnan(whole).sum()
    assert found.infinities == np.isinf(whole).sum()
    assert (found.minimum, found.maximum) == (
        (finite.min(), finite.max()) if finite.size else (np.inf, -np.inf)
    )  # fmt: skip
