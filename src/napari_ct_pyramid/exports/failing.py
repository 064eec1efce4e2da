"""What an export does if it fails or is cancelled: it leaves nothing, and states that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_ct_pyramid.errors import ConversionError, CtPyramidError, OutputExistsError, sentence, without_period


@contextmanager
def nothing_left(discard: Callable[[], None], output: Path) -> Iterator[None]:
    """Whatever goes wrong, call `discard`, and have the error state that the output was not made."""
    try:
        yield
    except OutputExistsError:  # something has appeared there meanwhile
        discard()
        raise
    except (CtPyramidError, OSError, MemoryError) as error:
        discard()
        # A conversion adds that its own output is unfinished, which is removed here.
        reason = error.__cause__ if isinstance(error, ConversionError) and error.__cause__ else error
        parts = reason.message.parts if isinstance(reason, CtPyramidError) else (_reason(reason),)
        raise ConversionError(*without_period(parts), f". The output {output} was not made.") from error
    except BaseException:
        discard()
        raise


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:  # its file has a hidden name, which would only confuse
        return f"{error.strerror}."
    return sentence(error)
