"""An extension of griffe, which reads docstrings for the documentation: the list of options stands in them, too."""

from __future__ import annotations

import inspect
from typing import Any

import griffe

import napari_ct_pyramid as ct


class CompleteDocstrings(griffe.Extension):
    """Takes the docstrings of public functions as they are when they are imported."""

    def on_function(self, *, func: griffe.Function, **kwargs: Any) -> None:  # noqa: ARG002
        """Complete a docstring."""
        if func.docstring and "{options}" in func.docstring.value:
            func.docstring.value = inspect.getdoc(getattr(ct, func.name)) or ""
