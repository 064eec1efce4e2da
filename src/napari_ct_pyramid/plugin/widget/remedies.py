"""Offers: what the buttons of the message box do. A remedy is an offer that may help with an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from napari_ct_pyramid.errors import (
    BudgetError,
    DiskSpaceError,
    LevelsError,
    MissingFolderError,
    OutputBusyError,
    OutputExistsError,
    SourceError,
    UnfinishedError,
    UnknownShapeError,
)
from napari_ct_pyramid.model.formatting import count, format_size, times
from napari_ct_pyramid.plugin.wording import enough_memory
from napari_ct_pyramid.storage.paths import OME_ZARR, any_path, image_name
from napari_ct_pyramid.units import UNIT_SYMBOLS

from .fields import MachineMemoryError, UnknownUnitError


class Act(Enum):
    """What a button does. Its value is in `Offer.value`."""

    SET = "set values of fields: a mapping of names of options, or “output”"
    CHECK_AGAIN = "plan again"
    MAKE_FOLDER = "make a folder: its path"
    SHOW = "show outputs in napari: their paths"
    NEUROGLANCER = "show outputs in Neuroglancer: their paths"
    EXPORT = "export an output: its path"
    OPEN_FOLDER = "show a folder in the file manager: its path"
    VERIFY = "verify the output, against the source if there is one"
    VERIFY_ALONE = "verify an output by its checksums: its path"
    AUDIT = "verify an OME-Zarr of another program: its path"
    REPAIR = "repair the output"


@dataclass(frozen=True)
class Offer:
    """A button of the message box.

    Attributes
    ----------
    words : str
        Its text.
    act : Act
    value : object
    """

    words: str
    act: Act
    value: Any = None


CHECK_AGAIN = Offer("Check again", Act.CHECK_AGAIN)


def remedies(error: Exception, output: str) -> list[Offer]:
    """The remedies for the error of one volume, the best one first."""
    if isinstance(error, LevelsError):
        pad = [_set("Pad the edges", edges="pad")] if error.paddable else []
        return [*pad, _set(f"Use {count(error.most, 'level')}", num_levels=error.most)]
    if isinstance(error, BudgetError):
        size = enough_memory(error)
        return [_set(f"Use {format_size(size)}", max_memory=size)]
    if isinstance(error, MachineMemoryError):
        return [_set(f"Use {format_size(error.most)}", max_memory=error.most)]
    if isinstance(error, UnknownUnitError):
        return [_set(UNIT_SYMBOLS[unit], unit=unit) for unit in ("micrometer", "nanometer", "millimeter")]
    if isinstance(error, OutputExistsError):
        found = [Offer("Use its options", Act.SET, error.options)] if error.options else []
        if error.replaceable:
            found.append(_set("Overwrite it", overwrite=True))
        return [*found, _set("Use another name", output=free_name(output))]
    if isinstance(error, MissingFolderError):
        return [Offer("Make it", Act.MAKE_FOLDER, error.folder), CHECK_AGAIN]
    if isinstance(error, (DiskSpaceError, OutputBusyError)):
        return [CHECK_AGAIN]
    return _for_source(error) if isinstance(error, SourceError) else []


def common_remedies(errors: Sequence[Exception]) -> list[Offer]:
    """The remedies for the errors of several volumes, each for all of them together."""
    levels = [error for error in errors if isinstance(error, LevelsError)]
    budgets = [error for error in errors if isinstance(error, BudgetError)]
    found: list[Offer] = []
    if levels:
        found += remedies(min(levels, key=lambda error: error.most), "")
    if budgets:
        found += remedies(max(budgets, key=lambda error: error.smallest), "")
    if any(isinstance(error, OutputExistsError) and error.replaceable and not error.options for error in errors):
        found.append(_set("Overwrite existing outputs", overwrite=True))
    if any(CHECK_AGAIN in remedies(error, "") or isinstance(error, (SourceError, OSError)) for error in errors):
        found.append(CHECK_AGAIN)
    return found


def free_name(output: str) -> str:
    """A path like `output` at which nothing exists yet: ``scan-2.ome.zarr`` for ``scan.ome.zarr``."""
    path = any_path(output)
    stem, suffix = (image_name(path.name), OME_ZARR) if path.name.endswith(OME_ZARR) else (path.stem, path.suffix)
    number = 2
    while (other := path.with_name(f"{stem}-{number}{suffix}")).exists():
        number += 1
    return str(other)


def _for_source(error: SourceError) -> list[Offer]:
    if isinstance(error, UnknownShapeError):
        if not (error.shape and error.dtype):
            return []
        words = f"Read it as {times(error.shape)}, {error.dtype}"
        return [_set(words, raw_shape=error.shape, raw_dtype=error.dtype)]
    return [] if isinstance(error, UnfinishedError) else [Offer("Try again", Act.CHECK_AGAIN)]


def _set(words: str, **values: Any) -> Offer:
    return Offer(words, Act.SET, values)
