"""Remedies: what a button can do about an error. Knows nothing of fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napari_ct_pyramid.errors import BudgetError, LevelsError, OutputExistsError
from napari_ct_pyramid.model.formatting import count, format_size
from napari_ct_pyramid.plugin.wording import enough_memory
from napari_ct_pyramid.storage.paths import OME_ZARR, any_path, image_name


@dataclass(frozen=True)
class Remedy:
    """Values that may correct a request.

    Attributes
    ----------
    words : str
        The text of its button.
    values : mapping
        New values of fields of `ConversionOptions`, or of ``"output"``.
    """

    words: str
    values: Mapping[str, Any]


def remedies(error: Exception, output: str) -> list[Remedy]:
    """The remedies for the error of one volume, the best one first."""
    if isinstance(error, LevelsError):
        pad = [Remedy("Pad the edges", {"edges": "pad"})] if error.paddable else []
        return [Remedy(f"Use {count(error.most, 'level')}", {"num_levels": error.most}), *pad]
    if isinstance(error, BudgetError):
        size = enough_memory(error)
        return [Remedy(f"Use {format_size(size)}", {"max_memory": size})]
    if isinstance(error, OutputExistsError):
        found = [Remedy("Use its options", error.options)] if error.options else []
        if error.replaceable:
            found.append(Remedy("Overwrite it", {"overwrite": True}))
        return [*found, Remedy("Use another name", {"output": free_name(output)})]
    return []


def common_remedies(errors: Sequence[Exception]) -> list[Remedy]:
    """The remedies for the errors of several volumes, each for all of them together."""
    levels = [error for error in errors if isinstance(error, LevelsError)]
    budgets = [error for error in errors if isinstance(error, BudgetError)]
    found: list[Remedy] = []
    if levels:
        found += remedies(min(levels, key=lambda error: error.most), "")
    if budgets:
        found += remedies(max(budgets, key=lambda error: error.smallest), "")
    if any(isinstance(error, OutputExistsError) and error.replaceable and not error.options for error in errors):
        found.append(Remedy("Overwrite existing outputs", {"overwrite": True}))
    return found


def free_name(output: str) -> str:
    """A path like `output` at which nothing exists yet: ``scan-2.ome.zarr`` for ``scan.ome.zarr``."""
    path = any_path(output)
    stem, suffix = (image_name(path.name), OME_ZARR) if path.name.endswith(OME_ZARR) else (path.stem, path.suffix)
    number = 2
    while (other := path.with_name(f"{stem}-{number}{suffix}")).exists():
        number += 1
    return str(other)
