"""Convert CT volumes of any size to multiscale OME-Zarr in a memory budget, and look at them.

The public names are loaded when they are first used, so that ``import napari_ct_pyramid`` (napari does it at
every start, ``ct-pyramid --help`` too) costs next to nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batch import Batch, BatchItem, convert_many, iter_convert_many, iter_plan_many, iter_verify_many
    from .checking import Problem, Verification
    from .convert import convert, iter_convert, plan
    from .errors import (
        BudgetError,
        ConversionError,
        CtPyramidError,
        DiskSpaceError,
        LevelsError,
        OutputBusyError,
        OutputExistsError,
        RequestError,
        SourceError,
        SourceNotFoundError,
        UnfinishedError,
    )
    from .levels import Level
    from .options import ConversionOptions
    from .plan import Plan
    from .pyramid import Pyramid, open_pyramid
    from .report import Progress, Receipt
    from .verify import iter_verify, verify

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "BatchItem",
    "BudgetError",
    "ConversionError",
    "ConversionOptions",
    "CtPyramidError",
    "DiskSpaceError",
    "Level",
    "LevelsError",
    "OutputBusyError",
    "OutputExistsError",
    "Plan",
    "Problem",
    "Progress",
    "Pyramid",
    "Receipt",
    "RequestError",
    "SourceError",
    "SourceNotFoundError",
    "UnfinishedError",
    "Verification",
    "convert",
    "convert_many",
    "iter_convert",
    "iter_convert_many",
    "iter_plan_many",
    "iter_verify",
    "iter_verify_many",
    "open_pyramid",
    "plan",
    "verify",
]

_ROOM_OF = {
    **dict.fromkeys(
        ("Batch", "BatchItem", "convert_many", "iter_convert_many", "iter_plan_many", "iter_verify_many"), "batch"
    ),
    **dict.fromkeys(("Problem", "Verification"), "checking"),
    **dict.fromkeys(("convert", "iter_convert", "plan"), "convert"),
    "Level": "levels",
    "Plan": "plan",
    **dict.fromkeys(("Pyramid", "open_pyramid"), "pyramid"),
    **dict.fromkeys(("Progress", "Receipt"), "report"),
    "ConversionOptions": "options",
    **dict.fromkeys(("iter_verify", "verify"), "verify"),
}  # every other public name is an error


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_ROOM_OF.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """This package, where ``convert`` and ``plan`` are the functions and not the modules of that name.

    Python binds a module to its package whenever it is first imported, by whomever. Without this, ``convert`` would
    be one or the other depending on what was imported before. ``from napari_ct_pyramid.plan import Plan`` works all
    the same: it does not look here.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
