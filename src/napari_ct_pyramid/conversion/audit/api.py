"""The public functions that verify an OME-Zarr of any program."""

from __future__ import annotations

from collections.abc import Callable, Generator

from napari_ct_pyramid.conversion.progress import run_through
from napari_ct_pyramid.conversion.public import public
from napari_ct_pyramid.storage.paths import PathLike

from .findings import Audit
from .run import AuditProgress, iter_audit_steps


@public
def audit(
    path: PathLike,
    *,
    deep: bool | None = None,
    max_memory: str | int = "4G",
    threads: int | None = None,
    progress: Callable[[AuditProgress], None] | None = None,
) -> Audit:
    """Verify an OME-Zarr that any program wrote, without its source. Nothing is written.

    Metadata are compared with the specification, the shapes and places of levels with each other, and the files with
    the chunks that there should be. The voxels are read: every chunk must decode, and every level follow from the
    finer one, by whatever method.

    Parameters
    ----------
    path : path
        An OME-Zarr of any version from 0.1 to 0.6: an image, or a plate, well or collection, whose images are all
        verified. In a folder, a zip archive, on a web server or in an object store.
    deep : bool, optional
        Whether to read the voxels. By default, only those of more than 4 GB that are not on this machine are left out.
    {options}
    progress : callable, optional
        Called with an `AuditProgress` at least every half second.

    Returns
    -------
    Audit

    Raises
    ------
    SourceError
        If there is no image (`SourceNotFoundError`), or an unfinished one (`UnfinishedError`).
    BudgetError
        If the memory budget is too small for its chunks.
    ConversionError
        If the disk or the store failed.
    """
    return run_through(iter_audit_steps(path, deep=deep, max_memory=max_memory, threads=threads), progress)


@public
def iter_audit(
    path: PathLike, *, deep: bool | None = None, max_memory: str | int = "4G", threads: int | None = None
) -> Generator[AuditProgress, None, Audit]:
    """Verify an OME-Zarr of any program step by step: a generator that yields an `AuditProgress`.

    Parameters
    ----------
    path : path
    deep : bool, optional
        As for `audit`.
    {options}

    Returns
    -------
    Generator
        It returns the `Audit`. Errors are those of `audit`, raised when it is iterated over.
    """
    return iter_audit_steps(path, deep=deep, max_memory=max_memory, threads=threads)
