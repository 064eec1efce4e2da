"""The operations on files that a disk and an object store both have."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Protocol

from .lease import Lease
from .paths import AnyPath, OpenFile


class Storage(Protocol):
    """The files at a path, and below it. Each method raises `OSError` if the disk or the store fails.

    Attributes
    ----------
    is_remote : bool
        Whether the path is in an object store.
    """

    is_remote: bool

    def exists(self) -> bool:
        """Whether anything is at the path, a broken link included."""

    def is_file(self) -> bool:
        """Whether a file is at the path. On a disk, a file that may not be looked at counts as missing."""

    def open(self, *, whole: bool = False) -> OpenFile:
        """Open the file for reading, without a buffer. With `whole`, a store sends all of it in one answer."""

    def read(self) -> bytes:
        """All bytes of a small file. On a disk, what is no ordinary file, such as a pipe, is an error."""

    def write(self, buffer: memoryview, size: int, lease: Lease) -> None:
        """Write the first `size` bytes of a `page_buffer` as the whole file, and wait until they are safe.

        The file has its name only when it is complete, and only if the lease still holds then.

        On a disk, the data bypasses the page cache if the file system allows it: a copy into the cache takes as long
        as the compression, and displaces everything else.
        """

    def replace(self, data: bytes) -> None:
        """Write a small file in one atomic step, and wait until it is safe."""

    def begin_parts(self, size: int, lease: Lease) -> PartFile:
        """Begin a file of at most `size` bytes that is written in parts, under a lease as for `write`."""

    def open_state(self, size: int | None = None, *, fresh: bool = False) -> StateFile:
        """Open a small file that is changed in place.

        Parameters
        ----------
        size : int, optional
            Open it for writing, with this size in bytes. Without it, the file is open for reading only.
        fresh : bool
            Replace an existing file by zeros.
        """

    def sync(self) -> None:
        """Wait until a file that was written before is safe."""

    def sync_folder(self) -> None:
        """Wait until the names in a folder are safe."""

    def files_below(self) -> Iterator[tuple[str, int]]:
        """All files below the path: the path of each, relative to this one and with slashes, and its size in bytes.

        The size is -1 for what is neither a file nor a folder, such as a link. Links are not followed.
        """

    def bytes_below(self) -> int:
        """The size of all files below the path, in bytes."""

    def walk(self) -> Iterator[tuple[AnyPath, list[str], list[str]]]:
        """Folders below the path, with the names of the folders and files in each, like `os.walk`."""

    def remove(self, belongs: Callable[[str], bool]) -> None:
        """Remove the files below the path that belong to something, and on a disk the folders that are empty then.

        Parameters
        ----------
        belongs : callable
            Whether to remove a file, from its path relative to this one, with slashes.
        """

    def check_place(self) -> None:
        """Check that an output can be made at the path.

        Raises
        ------
        RequestError
            If not: the folder or the bucket is missing or read-only.
        """

    def check_change(self) -> None:
        """Check that what is at the path can be changed in place.

        Raises
        ------
        RequestError
            If not: it is in a place that is only read, or no lock can be made beside it.
        """

    def bytes_free(self) -> int | None:
        """Free bytes on the disk that holds the path; None in a store, which has no such limit."""

    def device(self) -> int | None:
        """A number of the disk that holds the path; None in a store."""

    def version(self) -> Hashable:
        """A value that changes when the file changes. Always None in a store, where each look is a request."""


class PartFile(Protocol):
    """A file that several threads write in parts. It has its name only when it is complete."""

    def write(self, buffer: memoryview, size: int, offset: int, *, own_pages: bool) -> None:
        """Write the first `size` bytes of a `page_buffer` at `offset`; they are not safe yet.

        With `own_pages`, the part begins at a page and shares its last page with no other part, so that it can bypass
        the page cache.
        """

    def finish(self, end: int, data: bytes) -> None:
        """Truncate the file at `end`, append `data`, and give the file its name."""

    def close(self) -> None:
        """Close the file, finished or not."""


class StateFile(Protocol):
    """A small file that is open."""

    def read(self, at: int, size: int) -> bytes:
        """Read `size` bytes from offset `at`."""

    def write(self, at: int, data: bytes) -> None:
        """Change the bytes from offset `at`, or append at the end."""

    def sync(self) -> None:
        """Wait until all that was written is safe."""

    def close(self) -> None:
        """Close the file."""
