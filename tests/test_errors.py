"""Errors: their messages are worded by each face, and they survive a trip to another process."""

from __future__ import annotations

import io
import pickle

import pytest

from napari_ct_pyramid import errors
from napari_ct_pyramid.cli.render import wording
from napari_ct_pyramid.errors import CONVERT, RESUME, VIEW, Advice, CtPyramidError, sentence

CASES = [
    errors.BudgetError("Too small (", Advice("max_memory", "210MB"), ").", smallest=210_000_000, process=180_000_000),
    errors.MissingFolderError("There is no folder /a/b.", folder="/a/b"),
    errors.DiskSpaceError("Full.", needed=2, free=1),
    errors.LevelsError("Ask for 3 (", Advice("num_levels", 3), "), or pad (", Advice("edges", "pad"), ").", most=3),
    errors.OutputExistsError("There (", Advice("overwrite", True), ").", replaceable=False, options={"unit": "meter"}),
    errors.SourceNotFoundError("There is no file ", "a.tif", "."),
    errors.ConversionError("It failed; ", Advice(RESUME), "."),
]


@pytest.mark.parametrize("error", CASES, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_after_pickling(error: CtPyramidError) -> None:
    file = io.BytesIO()
    pickler = pickle.Pickler(file)
    pickler.dispatch_table = {}  # without what other packages, once imported, register for all exceptions
    pickler.dump(error)
    again = pickle.loads(file.getvalue())
    assert type(again) is type(error)
    assert (again.message, str(again), vars(again)) == (error.message, str(error), vars(error))


def test_each_user_interface_words_options_in_its_own_way() -> None:
    error = next(case for case in CASES if isinstance(case, errors.LevelsError))
    assert str(error) == "Ask for 3 (num_levels=3), or pad (edges='pad')."
    assert sentence(error, wording) == "Ask for 3 (-l 3), or pad (--edges pad)."
    assert sentence(error, lambda advice: advice.name.upper()) == "Ask for 3 (NUM_LEVELS), or pad (EDGES)."


@pytest.mark.parametrize("name", [RESUME, CONVERT, VIEW, "source", "max_memory"])
def test_messages_in_python_have_no_flags_or_commands(name: str) -> None:
    for value in (None, "scan.tif"):
        text = str(Advice(name, value))
        assert "-" not in text.replace("napari-ct-pyramid", "")
        assert "ct-pyramid " not in text


def test_a_message_that_begins_with_advice_begins_with_a_capital() -> None:
    assert str(errors.Message.of(Advice(RESUME), ".")) == "The same call resumes it."


def test_errors_of_python_become_one_line_too() -> None:
    assert sentence(MemoryError()) == "The machine is out of memory."
    assert "a.tif" in sentence(FileNotFoundError(2, "No such file or directory", "a.tif"))
    assert sentence(ValueError("one\ntwo")) == "ValueError: one two"
