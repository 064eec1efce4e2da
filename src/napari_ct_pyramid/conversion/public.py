"""A decorator of public functions: documents their options, and suggests the right name for a misspelt parameter."""

from __future__ import annotations

import difflib
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from napari_ct_pyramid.options import ConversionOptions, ExportOptions

P = ParamSpec("P")
R = TypeVar("R")

_OPTIONS = "{options}\n"
"""Stands in a docstring for the options."""


def public(function: Callable[P, R]) -> Callable[P, R]:
    """Document the options of a function, and have it suggest the nearest parameter where a name is misspelt."""
    names = list(inspect.signature(function).parameters)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else f" Its parameters are {', '.join(names)}."
                raise TypeError(f"{function.__name__}() has no parameter {name!r}.{hint}")
        return function(*args, **kwargs)

    checked.__doc__ = inspect.cleandoc(function.__doc__ or "").replace(_OPTIONS, _option_docs(function))
    return checked


def _option_docs(function: Callable[..., Any]) -> str:
    """The entries of all options for the section "Parameters" of a function's docstring."""
    parameters = inspect.signature(function).parameters
    entries = []
    own = {option.name: option for option in fields(ConversionOptions)}
    if "grey_values" in parameters:
        own = {option.name: option for option in fields(ExportOptions)}
    for option in own.values():
        if option.name in parameters:
            parameter = parameters[option.name]
            default = "required" if option.name == "chunks" else f"default {parameter.default!r}"
            text = option.metadata["help"]
            entries.append(f"{option.name} : {parameter.annotation}, {default}")
            entries += textwrap.wrap(
                text[:1].upper() + text[1:] + ".", 110, initial_indent=" " * 4, subsequent_indent=" " * 4
            )
    return "\n".join(entries) + "\n"
