"""Histograms as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ct_pyramid.cli.plot import plot_histogram
from tests.helpers.examples import FEW

_BLOCKS = " ▁▂▃▄▅▆▇█"


@FEW
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=300).filter(any))
def test_every_bin_with_voxels_is_seen_and_no_other(counts: list[int]) -> None:
    *rows, ends = plot_histogram({"edges": list(range(len(counts) + 1)), "counts": counts}, encoding="utf-8")
    width = max(map(len, rows))
    assert width <= 64
    assert len({*map(len, rows), width}) >= 1
    assert "█" in rows[0]
    if len(counts) <= 64:
        repeat = 64 // len(counts)
        lowest = rows[-1].ljust(len(counts) * repeat)
        assert [lowest[i * repeat] != " " for i in range(len(counts))] == [count > 0 for count in counts]
    assert ends.split() == ["0", f"{len(counts):g}"]


def test_higher_counts_are_higher_columns() -> None:
    rows = plot_histogram({"edges": list(range(6)), "counts": [1, 10, 100, 1000, 0]}, encoding="utf-8")[:-1]
    heights = [sum(_BLOCKS.index(row.ljust(64)[12 * i]) for row in rows) for i in range(5)]
    assert heights == [*sorted(heights[:4]), 0]
    assert len(set(heights)) == 5


def test_wide_ends_are_left_out() -> None:
    shown = plot_histogram({"edges": [-1000, 0, 1, 2, 3, 9999], "counts": [1, 5, 5, 5, 1]}, encoding="utf-8")
    assert shown[-1].split() == ["0", "3"]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "no-such-encoding"])
def test_a_terminal_without_blocks_gets_plain_characters(encoding: str) -> None:
    shown = plot_histogram({"edges": [0, 1, 2], "counts": [1, 100]}, encoding=encoding)
    assert "\n".join(shown).isascii()
    assert any("#" in row for row in shown)
