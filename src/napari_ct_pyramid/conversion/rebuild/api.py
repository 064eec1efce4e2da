"""The public functions that make coarser levels again."""

from __future__ import annotations

from collections.abc import Callable, Generator

from napari_ct_pyramid.conversion.audit.run import AuditProgress
from napari_ct_pyramid.conversion.progress import Progress, run_through
from napari_ct_pyramid.conversion.public import public
from napari_ct_pyramid.conversion.unfinished import explained
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.parsing import parse_size
from napari_ct_pyramid.storage.paths import PathLike, image_path

from .planning import check_method, iter_planning
from .run import Rebuild, RebuildProgress, iter_rebuilding


@public
def rebuild_levels(
    path: PathLike,
    *,
    method: str | None = None,
    max_memory: str | int = "4G",
    threads: int | None = None,
    progress: Callable[[AuditProgress | Progress | RebuildProgress], None] | None = None,
) -> Rebuild:
    """Rebuild the coarser levels of an OME-Zarr that are missing or wrong, in place.

    The image is verified first, with all its voxels; levels that are right stay as they are. In an image of another
    program, all levels after the first wrong one are made again, since each is made of the one before. Level 0 is never
    written, nor are the image's labels. Chunks, shards, codecs and type of a level stay, and so does its place. While
    levels are being made, the image does not list them, so that no viewer shows half of one; they are published last.
    If that is interrupted, the same call completes it.

    Parameters
    ----------
    path : path
        An OME-Zarr image of any program, in a folder or an object store.
    method : str, optional
        How voxels become one voxel of the next level, as for `convert`. By default as in the levels that are right; if
        there is none, ``"mean"``, and for labels ``"mode"``.
    {options}
    progress : callable, optional
        Called with how far it is, first of verifying and then of making levels, at least every half second.

    Returns
    -------
    Rebuild
        Its `errors` are what else is wrong.

    Raises
    ------
    SourceError
        If there is no image, or its level 0 itself is damaged.
    RequestError
        If its levels cannot be made or written. Nothing was changed.
    BudgetError
        If the memory budget is too small for its chunks. Nothing was changed.
    ConversionError
        If the disk or the store failed. The same call completes it.
    """
    return run_through(iter_rebuild_levels(path, method=method, max_memory=max_memory, threads=threads), progress)


@public
def iter_rebuild_levels(
    path: PathLike, *, method: str | None = None, max_memory: str | int = "4G", threads: int | None = None
) -> Generator[AuditProgress | Progress | RebuildProgress, None, Rebuild]:
    """Rebuild coarser levels step by step: a generator that yields how far it is.

    Parameters
    ----------
    path : path
    method : str, optional
        As for `rebuild_levels`.
    {options}

    Returns
    -------
    Generator
        It returns the `Rebuild`. Errors are those of `rebuild_levels`, raised when it is iterated over.
    """
    check_method(method)
    limits = ConversionOptions(chunks=(1, 1, 1), max_memory=parse_size(max_memory), threads=threads)
    place = image_path(path)
    with explained(f"The levels of {place} could not be rebuilt"):
        plan = yield from iter_planning(place, method, max_memory=max_memory, threads=threads)
    return (yield from iter_rebuilding(plan, limits))
