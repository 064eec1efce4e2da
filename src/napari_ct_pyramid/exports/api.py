"""The public functions that export a volume. Their parameters are the fields of `ExportOptions`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from napari_ct_pyramid.conversion.progress import run_through
from napari_ct_pyramid.conversion.public import public
from napari_ct_pyramid.options import Dtype, ExportOptions
from napari_ct_pyramid.sources.inputs import SourceLike
from napari_ct_pyramid.storage.paths import PathLike

from .kinds import OME_ZARR_FOLDER, ONE_FILE, find_kind
from .omezarr import iter_zarr, plan_zarr
from .one_file import iter_one_file, plan_one_file
from .plan import ExportPlan
from .result import Export, ExportProgress
from .voxel_export import iter_copy, plan_copy


def plan_of(src: SourceLike, output: PathLike, options: ExportOptions) -> ExportPlan:
    """The function behind `plan_export`."""
    path, kind = find_kind(output)
    if kind is OME_ZARR_FOLDER:
        return plan_zarr(src, path, options)
    assert isinstance(path, Path)
    if kind is ONE_FILE:
        return plan_one_file(src, path, options)
    return plan_copy(src, path, kind, options)


def steps_of(src: SourceLike, output: PathLike, options: ExportOptions) -> Generator[ExportProgress, None, Export]:
    """The generator behind `iter_export`."""
    path, kind = find_kind(output)
    if kind is OME_ZARR_FOLDER:
        return iter_zarr(src, path, options)
    assert isinstance(path, Path)
    if kind is ONE_FILE:
        return iter_one_file(src, path, options)
    return iter_copy(src, path, kind, options)


def options_from(arguments: dict[str, Any]) -> ExportOptions:
    """The options among the arguments of a public function."""
    return ExportOptions(**{option.name: arguments[option.name] for option in fields(ExportOptions)})


@public
def plan_export(
    src: SourceLike,
    output: PathLike,
    *,
    level: int = 0,
    crop: str | Sequence[Sequence[int | None]] | None = None,
    axes: str = "zyx",
    dtype: Dtype | None = None,
    window: str | Sequence[float] | None = None,
    grey_values: bool = False,
    channel: int | None = None,
    time: int | None = None,
    follow_links: bool = False,
    raw_shape: str | Sequence[int] | None = None,
    raw_dtype: str | None = None,
    raw_offset: int = 0,
    max_memory: str | int = "4G",
    threads: int | None = None,
    overwrite: bool = False,
) -> ExportPlan:
    """Plan an export. Writes nothing.

    Parameters
    ----------
    src : path or array
        An OME-Zarr of any program, or any other source of a conversion.
    output : path
        What to write; see `export`.
    {options}

    Returns
    -------
    ExportPlan
        What is read and written, memory, disk space, and warnings.

    Raises
    ------
    SourceError
        If the source is not a volume that can be read.
    RequestError
        If the export cannot be done like this.
    """
    return plan_of(src, output, options_from(locals()))


@public
def export(
    src: SourceLike,
    output: PathLike,
    *,
    progress: Callable[[ExportProgress], None] | None = None,
    level: int = 0,
    crop: str | Sequence[Sequence[int | None]] | None = None,
    axes: str = "zyx",
    dtype: Dtype | None = None,
    window: str | Sequence[float] | None = None,
    grey_values: bool = False,
    channel: int | None = None,
    time: int | None = None,
    follow_links: bool = False,
    raw_shape: str | Sequence[int] | None = None,
    raw_dtype: str | None = None,
    raw_offset: int = 0,
    max_memory: str | int = "4G",
    threads: int | None = None,
    overwrite: bool = False,
) -> Export:
    """Write a volume, a level or a part of it for other programs.

    The output has its name only when it is complete. Padding is left out.

    Parameters
    ----------
    src : path or array
        An OME-Zarr of any program, or any other source of a conversion.
    output : path
        Its ending decides what is written: ``.tif`` (one page a slice), ``.ome.tif``, ``.mhd`` (with its voxels in a
        ``.raw``), ``.mha``, ``.nrrd``, ``.ome.zarr``, ``.ozx``. A name without an ending, or with a slash at its end,
        is a folder of slices ``NAME_0000.tif``.
    progress : callable, optional
        Called with an `ExportProgress` at least every half second.
    {options}

    Returns
    -------
    Export
        What was made, and what it took.

    Raises
    ------
    SourceError
        If the source is not a volume that can be read. Nothing was written.
    RequestError
        If the export cannot be done like this. Nothing was written.
    ConversionError
        If the export failed. No output is left, or an OME-Zarr that is unfinished, which the same call resumes.
    """
    return run_through(steps_of(src, output, options_from(locals())), progress)


@public
def iter_export(
    src: SourceLike,
    output: PathLike,
    *,
    level: int = 0,
    crop: str | Sequence[Sequence[int | None]] | None = None,
    axes: str = "zyx",
    dtype: Dtype | None = None,
    window: str | Sequence[float] | None = None,
    grey_values: bool = False,
    channel: int | None = None,
    time: int | None = None,
    follow_links: bool = False,
    raw_shape: str | Sequence[int] | None = None,
    raw_dtype: str | None = None,
    raw_offset: int = 0,
    max_memory: str | int = "4G",
    threads: int | None = None,
    overwrite: bool = False,
) -> Generator[ExportProgress, None, Export]:
    """Export a volume step by step: a generator that yields an `ExportProgress` at least every half second.

    Closing the generator cancels the export. No output is left then, or an OME-Zarr that is unfinished.

    Parameters
    ----------
    src : path or array
        An OME-Zarr of any program, or any other source of a conversion.
    output : path
        What to write; see `export`.
    {options}

    Returns
    -------
    Generator
        It returns the `Export`. Errors are those of `export`, raised when it is iterated over.
    """
    return steps_of(src, output, options_from(locals()))
