"""A path in a zip archive, such as ``scan.ozx``: read-only, with the parts of `RemotePath` that reading takes.

Specification of OME-Zarr in one file: https://ngff.openmicroscopy.org/rfc/9. Other programs write ``.zarr.zip``.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NoReturn

from .remote_path import ZARR_FILES, RemotePath, Status
from .zip_archive import Archive, open_archive

ENDINGS = (".ozx", ".zarr.zip")
"""The ends of the names of archives that hold an OME-Zarr."""


def is_zip_name(name: str) -> bool:
    """Whether a file of this name is an OME-Zarr in a zip archive."""
    return name.lower().endswith(ENDINGS)


@dataclass(frozen=True, order=True)
class ZipPath(RemotePath):
    """A path in a zip archive.

    Parameters
    ----------
    url : str
        The path of the archive, and of what is in it: ``scan.ozx/0/zarr.json``.
    archive : Path or RemotePath
        The archive.
    """

    archive: Path | RemotePath = field(default=Path(), compare=False)

    def __post_init__(self) -> None:
        """The text stays as it is: it need not be a URL."""

    @classmethod
    def of(cls, archive: Path | RemotePath) -> ZipPath:
        """The top of an archive."""
        return cls(str(archive), archive)

    def __str__(self) -> str:
        return self.url

    @property
    def is_local(self) -> bool:
        """Whether the archive is on this machine."""
        return isinstance(self.archive, Path)

    @property
    def inside(self) -> str:
        """The path within the archive; empty for its top."""
        return self.url[len(str(self.archive)) + 1 :]

    def __truediv__(self, key: str) -> ZipPath:
        return ZipPath(f"{self.url}/{key.strip('/')}", self.archive)

    def with_name(self, name: str) -> ZipPath:
        start = self.url.rpartition("/")[0]
        return ZipPath(f"{start}/{name}" if name else start, self.archive)

    @property
    def parent(self) -> ZipPath:
        return self.with_name("") if self.inside else self

    @property
    def name(self) -> str:
        return self.inside.rpartition("/")[2] or self.archive.name

    @property
    def scheme(self) -> str:
        return self.archive.scheme if isinstance(self.archive, RemotePath) else "file"

    def resolve(self) -> ZipPath:
        return self.absolute()

    def absolute(self) -> ZipPath:
        archive = self.archive.absolute()
        return ZipPath(f"{archive}/{self.inside}".rstrip("/"), archive)

    @property
    def is_bucket(self) -> bool:
        return False

    # Reading

    @property
    def location(self) -> str:
        """The name of the member of the archive."""
        found = self._open()
        top = _top(found)
        return f"{top}/{self.inside}".strip("/") if top else self.inside

    def _open(self) -> Archive:
        try:
            return open_archive(self.archive)
        except FileNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, "there is no such file", str(self.archive)) from error

    def is_dir(self) -> bool:
        return self._kind() == "directory"

    def _kind(self) -> str | None:
        try:
            found = self._open()
        except FileNotFoundError:
            return None
        name = self.location
        if name in found.members:
            return "file"
        return "directory" if not name or name in found.folders else None

    def _member(self) -> str:
        name = self.location
        if name not in self._open().members:
            raise FileNotFoundError(errno.ENOENT, "there is no such file in the archive", self.url)
        return name

    def stat(self) -> Status:
        member = self._open().members[self._member()]
        return Status(str(member.crc), member.header, member.size)

    def read_bytes(self) -> bytes:
        return self._open().read(self._member())

    def check(self) -> None:
        """Compare the file with its checksum in the archive. Raises `OSError` if it is damaged."""
        self._open().check(self._member())

    def read_range(self, start: int, stop: int) -> bytes:
        return self._open().read_range(self._member(), start, stop)

    def read_end(self, size: int) -> bytes:
        whole = self.stat().st_size
        return self.read_range(whole - size, whole)

    def _list(self) -> list[tuple[str, str]]:
        found, prefix = self._open(), self.location
        prefix = f"{prefix}/" if prefix else ""
        names = dict.fromkeys(found.members, "file") | dict.fromkeys(found.folders, "directory")
        return [
            (name[len(prefix) :], kind)
            for name, kind in sorted(names.items())
            if name.startswith(prefix) and "/" not in name[len(prefix) :]
        ]

    def below(self) -> Iterator[tuple[ZipPath, int]]:
        found, prefix = self._open(), self.location
        prefix = f"{prefix}/" if prefix else ""
        for name, member in found.members.items():
            if name.startswith(prefix):
                yield self / name[len(prefix) :], member.size

    def version(self) -> tuple[int, ...] | None:
        """A value that changes when the archive changes; None in an object store."""
        if isinstance(self.archive, RemotePath):
            return None
        status = self.archive.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns

    # Nothing is written

    def write_bytes(self, data: bytes | memoryview, *, new: bool = False) -> None:  # noqa: ARG002
        self._refuse()

    def write_file(self, file: BinaryIO) -> None:  # noqa: ARG002
        self._refuse()

    def unlink(self, missing_ok: bool = False) -> None:  # noqa: ARG002
        self._refuse()

    def remove(self, paths: Iterable[RemotePath]) -> None:  # noqa: ARG002
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise PermissionError(errno.EROFS, "a zip archive is only read", self.url)


def _top(archive: Archive) -> str:
    """The folder in which everything is, if there is one: an archive of a folder often begins with its name."""
    if any(name in archive.members for name in ZARR_FILES):
        return ""
    tops = {name.partition("/")[0] for name in archive.folders} - {"__MACOSX"}
    top = next(iter(tops)) if len(tops) == 1 else ""
    return top if any(f"{top}/{name}" in archive.members for name in ZARR_FILES) else ""
