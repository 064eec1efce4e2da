"""Reads the members of a zip archive by ranges of bytes, on this machine or in an object store.

The list of members (the central directory) is read once. Format: APPNOTE.TXT of PKWARE, which the module `zipfile` of
Python reads, with the additions for more than 4 GB (zip64).
"""

from __future__ import annotations

import errno
import io
import math
import os
import struct
import threading
import time
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from .remote_path import RemotePath

_TAIL_BYTES = 2**18  # read from the end of the archive at once: the list of 2,000 members is in it
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_LARGEST_UNPACKED = 256_000_000  # a compressed member is unpacked as a whole
_CHECKED_BYTES = 4_000_000  # of a member, at a time
_TRUSTED_SECONDS = 5.0  # between two looks whether an archive on another machine has changed
_MOST_STATES = 100
_KEPT_BYTES = 64_000_000  # of unpacked members


class Member(NamedTuple):
    """A file in an archive: where its header begins, its sizes there and unpacked, how it is packed, its checksum."""

    header: int
    stored: int
    size: int
    method: int
    crc: int


class Archive:
    """An archive that is open for reading. Several threads may read.

    Parameters
    ----------
    path : Path or RemotePath

    Raises
    ------
    OSError
        If it cannot be read, or is no zip archive.
    """

    def __init__(self, path: Path | RemotePath) -> None:
        self.path = path
        self.members: dict[str, Member] = {}
        self._starts: dict[str, int] = {}
        self._unpacked: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()
        try:
            with zipfile.ZipFile(_WithTail(path)) as file:
                for info in file.infolist():
                    if not info.is_dir() and not info.flag_bits & 1:  # nothing that is encrypted
                        name = info.filename.replace("\\", "/").strip("/")
                        self.members[name] = Member(
                            info.header_offset, info.compress_size, info.file_size, info.compress_type, info.CRC
                        )
        except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError) as error:
            raise OSError(errno.EIO, f"it is not a zip archive, or is cut short ({error})", str(path)) from error
        self.folders = {name[:at] for name in self.members for at in _slashes(name)}

    def read(self, name: str) -> bytes:
        """All bytes of a member, unpacked. They are compared with its checksum.

        Raises
        ------
        OSError
            If it cannot be read, is damaged, or is packed and too large.
        """
        member = self.members[name]
        with self._lock:
            if name in self._unpacked:
                self._unpacked.move_to_end(name)
                return self._unpacked[name]
        data = self._bytes(name, 0, member.stored)
        if member.method != zipfile.ZIP_STORED:
            data = self._unpack(name, data)
        if zlib.crc32(data) != member.crc or len(data) != member.size:
            raise OSError(errno.EIO, "it is not as it was packed", f"{self.path}/{name}")
        if member.method != zipfile.ZIP_STORED:
            self._keep(name, data)
        return data

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        """The bytes of a member from `start` to `stop`. Of one that is not compressed, only these are read."""
        member = self.members[name]
        start, stop = max(start, 0), min(stop, member.size)
        if start >= stop:
            return b""
        if member.method == zipfile.ZIP_STORED:
            return self._bytes(name, start, stop)
        return self.read(name)[start:stop]

    def check(self, name: str) -> None:
        """Compare a member with its checksum. Of one that is not compressed, some megabytes at a time are read.

        Raises
        ------
        OSError
            If it cannot be read, or is damaged.
        """
        member = self.members[name]
        if member.method != zipfile.ZIP_STORED:
            self.read(name)
            return
        found = 0
        for start in range(0, member.size, _CHECKED_BYTES):
            found = zlib.crc32(self._bytes(name, start, min(start + _CHECKED_BYTES, member.size)), found)
        if found != member.crc:
            raise OSError(errno.EIO, "it is not as it was packed", f"{self.path}/{name}")

    def _bytes(self, name: str, start: int, stop: int) -> bytes:
        """Bytes of a member as they are in the archive."""
        at = self._start(name)
        data = _read(self.path, at + start, at + stop)
        if len(data) != stop - start:
            raise OSError(errno.EIO, "the archive is cut short", str(self.path))
        return data

    def _start(self, name: str) -> int:
        """Where the bytes of a member begin: after its header, whose length is not in the list of members."""
        if name not in self._starts:
            at = self.members[name].header
            head = _read(self.path, at, at + _LOCAL_HEADER.size)
            if len(head) < _LOCAL_HEADER.size or not head.startswith(b"PK\3\4"):
                raise OSError(errno.EIO, "the archive is damaged", str(self.path))
            *_, name_size, extra_size = _LOCAL_HEADER.unpack(head)
            self._starts[name] = at + _LOCAL_HEADER.size + name_size + extra_size
        return self._starts[name]

    def _unpack(self, name: str, data: bytes) -> bytes:
        member = self.members[name]
        where = f"{self.path}/{name}"
        if member.size > _LARGEST_UNPACKED:
            raise OSError(errno.EFBIG, "it is compressed in the zip archive, and too large. Unpack the archive", where)
        if member.method != zipfile.ZIP_DEFLATED:
            raise OSError(errno.EIO, "it is compressed in a way that cannot be read. Unpack the archive", where)
        try:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.size + 1)
        except zlib.error as error:
            raise OSError(errno.EIO, f"it is damaged ({error})", where) from error

    def _keep(self, name: str, data: bytes) -> None:
        with self._lock:
            self._unpacked[name] = data
            while sum(map(len, self._unpacked.values())) > _KEPT_BYTES:
                self._unpacked.popitem(last=False)


def open_archive(path: Path | RemotePath) -> Archive:
    """The archive at a path. One that was read before is read again only if it has changed.

    On another machine, that is asked at most every `_TRUSTED_SECONDS`: each time is a request.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    if isinstance(path, RemotePath):
        return _archive(path, _state_there(path))
    status = path.stat()
    return _archive(path.resolve(), (status.st_mtime_ns, status.st_size, status.st_ino))


def _state_there(path: RemotePath) -> object:
    """The mark, time and size of an archive on another machine, as they were a moment ago."""
    asked, state = _states.get(path, (-math.inf, None))
    if time.monotonic() - asked >= _TRUSTED_SECONDS:
        state = path.stat()
        if len(_states) >= _MOST_STATES:
            _states.clear()
        _states[path] = time.monotonic(), state
    return state


_states: dict[RemotePath, tuple[float, object]] = {}


@lru_cache(maxsize=8)
def _archive(path: Path | RemotePath, state: object) -> Archive:  # noqa: ARG001
    return Archive(path)


def _read(path: Path | RemotePath, start: int, stop: int) -> bytes:
    if isinstance(path, RemotePath):
        return path.read_range(start, stop)
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        parts = []
        while start < stop and (part := file.read(stop - start)):
            parts.append(part)
            start += len(part)
        return b"".join(parts)


def _slashes(name: str) -> Iterator[int]:
    at = name.find("/")
    while at >= 0:
        yield at
        at = name.find("/", at + 1)


class _WithTail(io.RawIOBase):
    """A file for `zipfile`, whose end is read once: in an object store, each read is a request."""

    def __init__(self, path: Path | RemotePath) -> None:
        self._path = path
        self._size = path.stat().st_size
        self._from = max(0, self._size - _TAIL_BYTES)
        self._tail = _read(path, self._from, self._size)
        self._at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + {os.SEEK_CUR: self._at, os.SEEK_END: self._size}.get(whence, 0)
        if at < 0:
            raise OSError(errno.EINVAL, "before the beginning")
        self._at = at
        return at

    def read(self, size: int = -1) -> bytes:
        stop = self._size if size < 0 else min(self._at + size, self._size)
        if self._at >= self._from:
            data = self._tail[self._at - self._from : stop - self._from]
        else:
            data = _read(self._path, self._at, stop)
        self._at += len(data)
        return data
