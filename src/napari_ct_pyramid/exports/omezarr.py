"""One export to an OME-Zarr: a conversion of the level or part, with coarser levels of its own."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import numpy as np

from napari_ct_pyramid.conversion.convert import iter_conversion, plan_conversion
from napari_ct_pyramid.conversion.progress import Pace, Steps
from napari_ct_pyramid.errors import BudgetError, Message
from napari_ct_pyramid.model.formatting import first_names
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.omezarr.labels import label_images
from napari_ct_pyramid.options import ConversionOptions, ExportOptions, SourceOptions
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.sources.inputs import Input, SourceLike, parse_input
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.storage.paths import AnyPath

from .kinds import OME_ZARR_FOLDER
from .plan import ExportPlan
from .result import Export, ExportProgress

_SHARED = [option.name for option in fields(ExportOptions) if option.name in ConversionOptions.__dataclass_fields__]


def plan_zarr(src: SourceLike, output: AnyPath, options: ExportOptions, version: str = "0.4") -> ExportPlan:
    """Plan an export, and check that it can be written."""
    opener = _Opener(options)
    with _no_chunks_to_choose():
        plan = plan_conversion(src, output, opener.conversion(src, version), opened=opener)
    return _export_plan(plan, output, options, tuple(_left_out(src)))


def iter_zarr(
    src: SourceLike, output: AnyPath, options: ExportOptions, version: str = "0.4"
) -> Generator[ExportProgress, None, Export]:
    """Export step by step. Closing the generator cancels the export; the same call resumes it.

    Parameters
    ----------
    src, output, options
    version : str
        Of OME-Zarr.
    """
    opener, notes = _Opener(options), tuple(_left_out(src))
    conversion = iter_conversion(src, output, opener.conversion(src, version), opened=opener)
    with _no_chunks_to_choose(), Steps(conversion) as steps:
        for step in steps:
            plan = _export_plan(step.plan, output, options, notes)
            shared = {item.name: getattr(step, item.name) for item in fields(Pace)}
            yield ExportProgress(plan=plan, **shared)
        receipt = steps.result
    return Export.of(
        plan,
        bytes_written=receipt.bytes_written,
        seconds=receipt.seconds,
        peak_memory_bytes=receipt.peak_memory_bytes,
        over_budget_bytes=receipt.over_budget_bytes,
        clipped=receipt.rescaled.clipped if receipt.rescaled else None,
    )


class _Opener:
    """Opens the level, the part and the grey values that an export asks for, in place of level 0."""

    def __init__(self, options: ExportOptions) -> None:
        self._options = options

    def __call__(self, src: SourceLike, _: SourceOptions) -> Source:
        return open_source(src, self._options, level=self._options.level, grey=self._options.grey_values)

    def conversion(self, src: SourceLike, version: str) -> ConversionOptions:
        """The options of the conversion. Labels stay labels."""
        with self(src, self._options) as source:
            is_labels = source.volume.is_labels
        shared: dict[str, Any] = {name: getattr(self._options, name) for name in _SHARED}
        shared |= {"chunks": "visualization", "edges": "pad", "method": "mode" if is_labels else "mean"}
        return ConversionOptions(**shared, ome_zarr_version=version)


@contextmanager
def _no_chunks_to_choose() -> Iterator[None]:
    """An export has no option for the chunks, so that none is advised."""
    try:
        yield
    except BudgetError as error:
        parts = [part.split(" Smaller chunks")[0] if isinstance(part, str) else part for part in error.message.parts]
        raise BudgetError(*parts, smallest=error.smallest, process=error.process) from error


def _left_out(src: SourceLike) -> Iterator[Message]:
    """A note on the labels of an image, which an export does not take along."""
    asked = parse_input(src)
    labels = label_images(asked.path) if isinstance(asked, Input) and not asked.inside and asked.pattern is None else []
    if labels:
        yield Message.of(
            f"The labels of the image are not exported with it: {first_names([folder.name for folder in labels])}. "
            f"Export them by their paths, such as {labels[0]}."
        )


def _export_plan(plan: Plan, output: AnyPath, options: ExportOptions, notes: tuple[Message, ...]) -> ExportPlan:
    return ExportPlan(
        volume=plan.volume,
        options=options,
        output=output,
        kind=OME_ZARR_FOLDER.name,
        dtype=np.dtype(plan.levels[0].dtype),
        rescale=plan.rescale,
        threads=plan.threads,
        memory=plan.memory,
        files=plan.files,
        bytes_out=plan.bytes_out_estimate,
        bytes_free=plan.bytes_free,
        warnings=(*plan.warnings, *notes),
        conversion=plan,
        seconds_estimate=plan.seconds_estimate,
    )
