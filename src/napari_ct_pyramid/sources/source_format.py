"""One kind of source: how it is recognized, who opens it, and what users call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ct_pyramid.errors import SourceError

from .inputs import Input

if TYPE_CHECKING:
    from .base import Holds, VolumeReader


@dataclass(frozen=True, kw_only=True)
class SourceFormat:
    """A kind of file or folder that holds a volume, or that a user may take for one.

    Attributes
    ----------
    name : str
        What a user calls one, with its article: ``"a TIFF"``.
    opener : callable or None
        Opens an INPUT of this format; None for a format that cannot be read.
    endings : tuple of str
        The endings of its files' names, the most common one first.
    magic : tuple of bytes
        Its files begin with one of these.
    magic_at : int
        Position of the magic bytes.
    is_file : callable or None
        Whether a file is of this format, from its path and its first bytes: for formats whose files do not begin with
        magic bytes. It is asked before the magic bytes of any format.
    is_folder : callable or None
        Whether a folder, or what its pattern matches, is of this format.
    holds : callable or None
        What a file of this format holds, by a quick look; None if each is taken for a volume. Files of a format that
        has it may be slices.
    remote : bool
        Whether it can also be read from object stores.
    arrays : bool
        Whether it may hold several arrays, so that ``::`` names one of them.
    several : bool
        Whether it may hold several channels or time points, from which its opener chooses.
    extra : str or None
        The extra of this package that brings the library it needs.
    in_napari : bool
        Whether the plugin offers to open files with these endings in napari.
    examples, readme : str
        The two cells of its line in the README's table.
    phrase : str
        What a user may give as INPUT, for help texts.
    hint : str
        What to try with a format that cannot be read.
    slice_endings : tuple of str
        For a format whose file is one slice of a volume: the endings of such files' names.
    """

    name: str
    opener: Callable[[Input], VolumeReader] | None = None
    endings: tuple[str, ...] = ()
    magic: tuple[bytes, ...] = ()
    magic_at: int = 0
    is_file: Callable[[Path, bytes], bool] | None = None
    is_folder: Callable[[Input], bool] | None = None
    holds: Callable[[Path], Holds] | None = None
    remote: bool = False
    arrays: bool = False
    several: bool = False
    extra: str | None = None
    in_napari: bool = False
    examples: str = ""
    readme: str = ""
    phrase: str = ""
    hint: str = ""
    slice_endings: tuple[str, ...] = ()

    def matches(self, head: bytes) -> bool:
        """Whether a file with these first bytes has the magic bytes of this format."""
        return any(head.startswith(magic, self.magic_at) for magic in self.magic)

    def open(self, source: Input) -> VolumeReader:
        """Open an INPUT of this format.

        Raises
        ------
        SourceError
            If it is not a volume that can be read, or the library for it is not installed.
        """
        assert self.opener is not None
        try:
            return self.opener(source)
        except ImportError as exc:
            if self.extra is None:
                raise
            raise SourceError(
                f"{source.path} is {self.name}, and the library that reads it could not be loaded ({exc}). Install it: "
                f"pip install 'napari-ct-pyramid[{self.extra}]'"
            ) from exc
