"""The public functions of exports: their parameters are the options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.options import ExportOptions

OPTIONS = {option.name: option.default for option in fields(ExportOptions)}


@pytest.mark.parametrize("function", [ct.export, ct.iter_export, ct.plan_export], ids=lambda f: f.__name__)
def test_parameters_and_their_help(function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function).parameters
    options = {name: one.default for name, one in parameters.items() if one.kind is inspect.Parameter.KEYWORD_ONLY}
    options.pop("progress", None)
    assert options == OPTIONS
    text = inspect.getdoc(function) or ""
    entries = [line.partition(" : ")[0] for line in text.splitlines() if " : " in line and not line.startswith(" ")]
    assert sorted(entries) == sorted(parameters)
    with pytest.raises(TypeError, match=r"'levle'.*'level'"):
        function("scan.tif", "out.tif", levle=1)
