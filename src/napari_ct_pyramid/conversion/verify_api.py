"""The public functions that verify an output."""

from __future__ import annotations

from collections.abc import Callable, Generator

from napari_ct_pyramid.sources.inputs import SourceLike
from napari_ct_pyramid.storage.paths import PathLike

from .comparison import Verification
from .progress import Progress, run_through
from .public import public
from .verify import iter_verification


@public
def verify(
    output: PathLike,
    source: SourceLike | None = None,
    *,
    repair: bool = False,
    max_memory: str | int = "4G",
    threads: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Verification:
    """Read an output, and check whether it is complete and correct.

    Its metadata must meet the specification and be what the conversion wrote. Every chunk must exist, decode, and be
    as it was written. Every level must be the mean of the finer one, or what the method makes of it. Level 0 must hold
    the voxels of the source; if no source is given, those that the conversion read, by their checksums.

    Parameters
    ----------
    output : path
        A finished OME-Zarr that this package made.
    source : path or array, optional
        The source that it was made from.
    repair : bool, default False
        Make again what is wrong, from the source.
    {options}
    progress : callable, optional
        Called with a `Progress` at least every half second.

    Returns
    -------
    Verification

    Raises
    ------
    SourceError
        If the output does not exist (`SourceNotFoundError`), is unfinished (`UnfinishedError`), or was not made by
        this package, or if the source cannot be read.
    RequestError
        If the output was made from another source, or the memory budget is too small.
    ConversionError
        If the repair failed.
    """
    return run_through(
        iter_verification(output, source, repair=repair, max_memory=max_memory, threads=threads), progress
    )


@public
def iter_verify(
    output: PathLike,
    source: SourceLike | None = None,
    *,
    repair: bool = False,
    max_memory: str | int = "4G",
    threads: int | None = None,
) -> Generator[Progress, None, Verification]:
    """Verify an output step by step: a generator that yields a `Progress` at least every half second.

    Parameters
    ----------
    output : path
    source : path, optional
    repair : bool, default False
        As for `verify`.
    {options}

    Returns
    -------
    Generator
        It returns the `Verification`. Errors are those of `verify`, raised when it is iterated over.
    """
    return iter_verification(output, source, repair=repair, max_memory=max_memory, threads=threads)
