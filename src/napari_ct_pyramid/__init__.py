"""Convert CT volumes of any size to multiscale OME-Zarr in a memory budget, and look at them.

The public names are loaded when they are first used, so that ``import napari_ct_pyramid`` (napari does it at
every start, ``ct-pyramid --help`` too) costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .model.version import __version__ as __version__

if TYPE_CHECKING:
    from .conversion.api import convert, iter_convert, plan
    from .conversion.audit.api import audit, iter_audit
    from .conversion.audit.findings import Audit, Finding, LevelVerdict
    from .conversion.audit.run import AuditProgress
    from .conversion.batch import Batch, BatchItem
    from .conversion.batch_api import convert_many, iter_convert_many, iter_plan_many, iter_verify_many
    from .conversion.comparison import Problem, Verification
    from .conversion.edit import Edit, edit, plan_edit
    from .conversion.output import default_output
    from .conversion.progress import Progress
    from .conversion.rebuild.api import iter_rebuild_levels, rebuild_levels
    from .conversion.rebuild.run import Rebuild, RebuildProgress
    from .conversion.receipt import Receipt
    from .conversion.verify_api import iter_verify, verify
    from .errors import (
        BudgetError,
        ConversionError,
        CtPyramidError,
        DiskSpaceError,
        LevelsError,
        MissingFolderError,
        OutputBusyError,
        OutputExistsError,
        RequestError,
        SaveError,
        SeveralVolumesError,
        SingleSliceError,
        SourceError,
        SourceNotFoundError,
        UnfinishedError,
    )
    from .exports.api import export, iter_export, plan_export
    from .exports.plan import ExportPlan
    from .exports.result import Export, ExportProgress
    from .model.levels import Level
    from .model.plan import Plan
    from .omezarr.edit import Facts
    from .omezarr.reader import Pyramid, open_pyramid
    from .options import ConversionOptions
    from .statistics.api import iter_stats, stats
    from .statistics.result import VolumeStatistics

__all__ = [
    "Audit",
    "AuditProgress",
    "Batch",
    "BatchItem",
    "BudgetError",
    "ConversionError",
    "ConversionOptions",
    "CtPyramidError",
    "DiskSpaceError",
    "Edit",
    "Export",
    "ExportPlan",
    "ExportProgress",
    "Facts",
    "Finding",
    "Level",
    "LevelVerdict",
    "LevelsError",
    "MissingFolderError",
    "OutputBusyError",
    "OutputExistsError",
    "Plan",
    "Problem",
    "Progress",
    "Pyramid",
    "Rebuild",
    "RebuildProgress",
    "Receipt",
    "RequestError",
    "SaveError",
    "SeveralVolumesError",
    "SingleSliceError",
    "SourceError",
    "SourceNotFoundError",
    "UnfinishedError",
    "Verification",
    "VolumeStatistics",
    "audit",
    "convert",
    "convert_many",
    "default_output",
    "edit",
    "export",
    "iter_audit",
    "iter_convert",
    "iter_convert_many",
    "iter_export",
    "iter_plan_many",
    "iter_rebuild_levels",
    "iter_stats",
    "iter_verify",
    "iter_verify_many",
    "open_pyramid",
    "plan",
    "plan_edit",
    "plan_export",
    "rebuild_levels",
    "stats",
    "verify",
]

_MODULES = {
    "conversion.api": ("convert", "iter_convert", "plan"),
    "conversion.audit.api": ("audit", "iter_audit"),
    "conversion.audit.findings": ("Audit", "Finding", "LevelVerdict"),
    "conversion.audit.run": ("AuditProgress",),
    "conversion.batch": ("Batch", "BatchItem"),
    "conversion.batch_api": ("convert_many", "iter_convert_many", "iter_plan_many", "iter_verify_many"),
    "conversion.comparison": ("Problem", "Verification"),
    "conversion.edit": ("Edit", "edit", "plan_edit"),
    "conversion.output": ("default_output",),
    "conversion.progress": ("Progress",),
    "conversion.rebuild.api": ("iter_rebuild_levels", "rebuild_levels"),
    "conversion.rebuild.run": ("Rebuild", "RebuildProgress"),
    "conversion.receipt": ("Receipt",),
    "conversion.verify_api": ("iter_verify", "verify"),
    "exports.api": ("export", "iter_export", "plan_export"),
    "exports.plan": ("ExportPlan",),
    "exports.result": ("Export", "ExportProgress"),
    "model.levels": ("Level",),
    "model.plan": ("Plan",),
    "omezarr.edit": ("Facts",),
    "omezarr.reader": ("Pyramid", "open_pyramid"),
    "options": ("ConversionOptions",),
    "statistics.api": ("iter_stats", "stats"),
    "statistics.result": ("VolumeStatistics",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}  # all others are errors


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
