"""What makes a conversion fail at its end, and how its errors state that the output is unfinished."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_ct_pyramid.errors import RESUME, Advice, ConversionError, CtPyramidError, Part, without_period
from napari_ct_pyramid.model.formatting import count, first_names
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.omezarr.chunk_files import missing_files
from napari_ct_pyramid.omezarr.writer import LostChunkError
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.storage.paths import AnyPath

from .recheck import forget
from .same_source import SourceChangedError, check_unchanged


def check_complete(source: Source, plan: Plan, output: AnyPath, identity: dict[str, Any]) -> None:
    """Make sure that nobody has changed the source or removed chunks meanwhile."""
    check_unchanged(source, identity, output)
    missing = list(missing_files(output, plan))
    if missing:
        raise ConversionError(
            f"{count(len(missing), 'file')} of chunks were removed while others were being written: "
            f"{first_names(missing)}"
        )


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn an error of the disk or the store, where it is not explained yet, into one that states what failed."""
    try:
        yield
    except CtPyramidError:
        raise
    except OSError as error:
        raise ConversionError(f"{what}: {_reason(error)}.") from error


@contextmanager
def unfinished_on_error(output: AnyPath, plan: Plan, *, resumable: bool) -> Iterator[None]:
    """Have every error state that the output is unfinished, and how to resume it or start again."""
    try:
        yield
    except SourceChangedError:
        forget(output, set(plan.block_ids))
        raise
    except (CtPyramidError, OSError, MemoryError) as error:
        if isinstance(error, LostChunkError):
            forget(output, {plan.block_of(error.level, error.index)})
        why: tuple[Part, ...]
        if isinstance(error, CtPyramidError):
            why = without_period(error.message.parts)
        elif isinstance(error, MemoryError):
            why = ("There was not enough memory",)
        else:
            why = (_reason(error),)
        rest: tuple[Part, ...] = "; ", Advice(RESUME), "."
        if not resumable:
            rest = (
                ", and cannot be resumed, because its source is an array. Overwrite it (",
                Advice("overwrite", True),
                ") to start again.",
            )
        raise ConversionError(*why, f". The output {output} is unfinished", *rest) from error


def _reason(error: OSError) -> str:
    if not error.strerror:
        return str(error).rstrip(".")
    return f"{Path(error.filename).name}: {error.strerror}" if error.filename else error.strerror
