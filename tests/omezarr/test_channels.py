"""The display settings of channels, as any program may have written them."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ct_pyramid.omezarr.channels import LARGEST, Channel, read_channels
from tests.helpers.examples import FEW

NAN, INF = math.nan, math.inf


def read(channel: Any) -> tuple[Channel, list[str]]:
    notes: list[str] = []
    (found,) = read_channels({"channels": [channel]}, notes.append)
    return found, notes


@pytest.mark.parametrize(
    ("color", "found"),
    [
        ("00ff00", "00FF00"), ("#00FF00", "00FF00"), ("0x00FF00", "00FF00"), ("0F0", "00FF00"), ("00FF0080", "00FF00"),
        ("green", "00FF00"), ("Red", "FF0000"), ("grey", "808080"), (0xFF0000, "FF0000"), (255, "0000FF"),
        (-16776961, "FF0000"), (0xFF00FFFF, "FF00FF"), ([255, 0, 0], "FF0000"), ([1.0, 0.0, 0.0, 1.0], "FF0000"),
        (None, None), ("", None),
    ],
)  # fmt: skip
def test_a_color_in_any_form(color: Any, found: str | None) -> None:
    channel, notes = read({"color": color})
    assert channel.color == found
    assert not notes


@pytest.mark.parametrize(
    "color",
    ["bluish", "000000", 0, 2**40, True, 1.5, [1, 2], [300, 0, 0], ["a", 0, 0], [NAN] * 3, [-1.0, 0.0, 0.0], {}],
)
def test_a_color_that_cannot_be_shown_is_ignored_with_a_note(color: Any) -> None:
    channel, notes = read({"color": color})
    assert channel.color is None
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("window", "found", "notes"),
    [
        ({"start": 1, "end": 5}, (1, 5, 1, 5), 0),
        ({"start": 1, "end": 5, "min": 0, "max": 9}, (0, 9, 1, 5), 0),
        ({"start": "1", "end": "5.5"}, (1, 5.5, 1, 5.5), 0),
        ({"start": 1, "end": 5, "min": NAN, "max": INF}, (1, 5, 1, 5), 0),
        ({"start": 1, "end": 5, "min": 9, "max": 0}, (0, 9, 1, 5), 0),
        ({"start": 5, "end": 1}, (1, 5, 1, 5), 1),
        ({"start": 3, "end": 3}, (3, 3, 3, 3), 0),
        ({"start": NAN, "end": 5}, None, 1),
        ({"start": 0, "end": INF}, None, 1),
        ({"start": 0, "end": 1e300}, None, 1),
        ({"start": 0, "end": 10**400}, None, 1),
        ({"start": "low", "end": 1}, None, 1),
        ({"start": 1}, None, 1),
        ({"min": 0, "max": 1}, None, 0),
        ([0, 1], None, 1),
        ("auto", None, 1),
        (None, None, 0),
    ],
)
def test_a_window_of_any_kind(window: Any, found: Any, notes: int) -> None:
    channel, said = read({"window": window})
    assert channel.window == found
    assert len(said) == notes


@pytest.mark.parametrize(
    ("omero", "count", "notes"),
    [(None, 0, 0), ({}, 0, 0), ([{}], 1, 0), ({"channels": None}, 0, 0), ({"channels": "a"}, 0, 1), (7, 0, 1),
     ({"channels": [None, 3, {}]}, 3, 2)],
)  # fmt: skip
def test_channels_of_another_type(omero: Any, count: int, notes: int) -> None:
    said: list[str] = []
    assert len(read_channels(omero, said.append)) == count
    assert len(said) == notes


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
KEYS = st.sampled_from(["label", "color", "window", "active", "lut"])
WINDOWS = st.dictionaries(st.sampled_from(["start", "end", "min", "max"]), JSON)


@FEW
@given(st.dictionaries(KEYS, JSON | WINDOWS) | JSON)
def test_whatever_is_written_the_result_can_be_shown(channel: Any) -> None:
    found, notes = read(json.loads(json.dumps(channel)))
    assert found.color is None or (len(found.color) == 6 and int(found.color, 16) >= 0)
    assert found.label is None or found.label.isprintable()
    assert all(note.endswith(".") for note in notes)
    if found.window:
        low, high, start, end = found.window
        assert max(map(abs, found.window)) <= LARGEST
        assert low <= high
        assert start <= end
