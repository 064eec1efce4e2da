"""A path in an object store, with the parts of pathlib that this package uses. Every error is an `OSError`."""

from __future__ import annotations

import errno
import io
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from glob import has_magic
from os import SEEK_CUR, SEEK_END
from pathlib import PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from napari_ct_pyramid.errors import CtPyramidError

from .store_access import PART_BYTES, file_system, key_of, run_in_time, time_limit

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# The names that stores give to the time of an object's last change.
_TIMES = ("LastModified", "last_modified", "mtime", "modified", "updated", "created")


def is_url(text: str) -> bool:
    """Whether a text is a URL, and not a path on this machine. ``C:/scan.tif`` is a path."""
    return bool(_URL.match(text))


class Status(NamedTuple):
    """The status of an object, with the names of `os.stat_result`. `st_ino` changes with the content."""

    st_ino: str
    st_mtime_ns: int
    st_size: int


@dataclass(frozen=True, order=True)
class RemotePath:
    """A path in an object store: of an object, or of all objects whose names begin with it.

    It is not an ``os.PathLike``, so that no function takes it for a path on this machine.

    Parameters
    ----------
    url : str
        ``s3://bucket/scan.ome.zarr``, or any other URL that fsspec knows.
    """

    url: str

    def __post_init__(self) -> None:
        scheme, _, rest = self.url.partition("://")
        object.__setattr__(self, "url", f"{scheme.lower()}://{rest.rstrip('/')}")

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, key: str) -> RemotePath:
        return RemotePath(f"{self.url}/{key}")

    def joinpath(self, *keys: str) -> RemotePath:
        return self / "/".join(keys)

    # Names

    @property
    def scheme(self) -> str:
        """The scheme of the URL, such as ``s3``."""
        return self.url.partition("://")[0]

    @property
    def bucket(self) -> str:
        """The first part of the path."""
        return self._parts[0]

    @property
    def name(self) -> str:
        return self._parts[-1]

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> RemotePath:
        return self.with_name("") if len(self._parts) > 1 else self

    def with_name(self, name: str) -> RemotePath:
        return RemotePath("/".join([*self.url.split("/")[:-1], name]))

    def resolve(self) -> RemotePath:
        return self

    def absolute(self) -> RemotePath:
        return self

    @property
    def _parts(self) -> list[str]:
        return self.url.partition("://")[2].split("/")

    # Objects

    def exists(self) -> bool:
        return self._kind() is not None

    def is_file(self) -> bool:
        return self._kind() == "file"

    def is_dir(self) -> bool:
        return self._kind() == "directory"

    def stat(self) -> Status:
        about = self._info()
        if about["type"] == "directory":
            raise FileNotFoundError(errno.ENOENT, "there is no such object", self.url)
        when = next((about[key] for key in _TIMES if about.get(key)), 0)
        if isinstance(when, str):
            when = datetime.fromisoformat(when)
        seconds = when.timestamp() if isinstance(when, datetime) else float(when)
        content_tag = str(about.get("ETag") or about.get("etag"))
        return Status(content_tag, math.floor(seconds * 1000) * 1_000_000, int(about["size"] or 0))

    def read_bytes(self) -> bytes:
        with self._explained():
            data: bytes = self._call("cat_file", self.key, size=PART_BYTES)
            return data

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def read_range(self, start: int, stop: int) -> bytes:
        """The bytes of an object from `start` to `stop`."""
        with self._explained():
            data: bytes = (
                self._call("cat_file", self.key, start=start, end=stop, size=stop - start) if start < stop else b""
            )
            return data

    def read_end(self, size: int) -> bytes:
        """The last `size` bytes of an object."""
        with self._explained():
            data: bytes = self._call("cat_file", self.key, start=-size, end=None, size=size)
            return data

    def open(self, *, whole: bool = False) -> RemoteFile:
        """Open an object for reading. Each read is a request to the store; with `whole`, all is read now in one."""
        return RemoteFile(self, self.read_bytes() if whole else None)

    def write_bytes(self, data: bytes | memoryview, *, new: bool = False) -> None:
        """Write an object as a whole. It is safe when this returns.

        With `new`, a store that knows conditional writes raises a `FileExistsError` if the object exists.
        """
        mode = {"mode": "create"} if new else {}
        with self._explained():
            self._call("pipe_file", self.key, bytes(data), size=len(data), **mode)

    def write_file(self, file: BinaryIO) -> None:
        """Write an object from an open file, part by part. The object exists only when all parts are sent."""
        with self._explained():
            file.seek(0)
            target = self.file_system.open(self.key, "wb", block_size=PART_BYTES)
            try:
                while part := file.read(PART_BYTES):
                    run_in_time(partial(target.write, part), len(part))
                run_in_time(target.close, PART_BYTES)
            except BaseException:
                target.discard()
                target.closed = True  # otherwise it sends what it has when it is garbage-collected
                raise

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            with self._explained():
                self.file_system.rm_file(self.key)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def mkdir(self, *_: object, **__: object) -> None:
        """Nothing to do: a store has no folders, only names of objects with slashes."""

    def iterdir(self) -> Iterator[RemotePath]:
        for about in self._list():
            yield self / _name_of(about)

    def walk(self) -> Iterator[tuple[RemotePath, list[str], list[str]]]:
        """Like `os.walk`."""
        entries = self._list()
        below = [_name_of(about) for about in entries if about["type"] == "directory"]
        yield self, below, [_name_of(about) for about in entries if about["type"] != "directory"]
        for name in below:
            yield from (self / name).walk()

    def below(self, depth: int = 2) -> Iterator[tuple[RemotePath, int]]:
        """All objects below the path, each with its size.

        Folders up to this `depth` are listed one by one, deeper ones together in one request: each listing is held in
        memory, with about a kilobyte for each object.
        """
        if depth:
            for about in self._list():
                path = self / _name_of(about)
                if about["type"] == "directory":
                    yield from path.below(depth - 1)
                else:
                    yield path, int(about["size"])
            return
        with self._explained():
            found = self.file_system.find(self.key, detail=True)
        prefix = f"{self.key.rstrip('/')}/"
        for key, about in found.items():
            yield self / key.removeprefix(prefix), int(about["size"])

    def remove(self, paths: Iterable[RemotePath]) -> None:
        """Remove objects below this path.

        Raises
        ------
        PermissionError
            If some objects still exist afterwards.
        """
        keys = {path.key for path in paths}
        with self._explained():
            if any(map(has_magic, keys)):  # `rm` would take such names for patterns
                for key in sorted(keys):
                    self.file_system.rm_file(key)
            elif keys:
                self.file_system.rm(sorted(keys))
        if keys & {path.key for path, _ in self.below()}:
            raise PermissionError(errno.EACCES, "no permission to remove objects", self.url)

    @property
    def is_bucket(self) -> bool:
        """Whether the path names a bucket, and nothing in it."""
        return not self._parts[1:]

    def has_bucket(self) -> bool:
        """Whether the store has the bucket of the path."""
        with self._explained():
            return bool(self.file_system.exists(self.bucket))

    # The store

    @property
    def file_system(self) -> Any:
        """The file system of fsspec for this path."""
        return file_system(self.scheme)

    @property
    def key(self) -> str:
        """The name of the path in the file system of fsspec."""
        return key_of(self.url)

    def _call(self, method: str, *args: Any, size: int = 0, **more: Any) -> Any:
        """Call a method of the file system that sends or receives `size` bytes. It fails after `time_limit`."""
        if self.file_system.async_impl:
            more["timeout"] = time_limit(size)
        return getattr(self.file_system, method)(*args, **more)

    def _info(self) -> dict[str, Any]:
        with self._explained():
            about: dict[str, Any] = self._call("info", self.key)
            return about

    def _kind(self) -> str | None:
        try:
            return str(self._info()["type"])
        except FileNotFoundError:
            return None

    def _list(self) -> list[dict[str, Any]]:
        try:
            with self._explained():
                found: list[dict[str, Any]] = self.file_system.ls(self.key, detail=True)
        except FileNotFoundError:
            return []
        return [about for about in found if about["name"].strip("/") != self.key.strip("/")]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn every error of fsspec and the libraries below it into an `OSError` with a short reason."""
        try:
            yield
        except CtPyramidError:
            raise
        except Exception as error:  # many libraries have error classes of their own
            if isinstance(error, OSError) and error.filename == self.url:
                raise
            lines = str(error).strip().splitlines()
            what = lines[0].rstrip(".") if lines else type(error).__name__
            if isinstance(error, FileExistsError):
                raise FileExistsError(errno.EEXIST, "there is such an object already", self.url) from error
            if isinstance(error, FileNotFoundError):
                raise FileNotFoundError(errno.ENOENT, _reason(what, "there is no such object"), self.url) from error
            if isinstance(error, PermissionError):
                raise PermissionError(errno.EACCES, _reason(what, "permission denied"), self.url) from error
            if isinstance(error, TimeoutError):  # asyncio's, fsspec's, and others
                what = "no answer came in time"
            elif isinstance(error, OSError) and error.strerror:
                what = error.strerror
            raise OSError(errno.EIO, what, self.url) from error


class RemoteFile(io.RawIOBase):
    """An object that is open for reading."""

    def __init__(self, path: RemotePath, data: bytes | None) -> None:
        self.name = str(path)
        self._path = path
        self._data = data
        self._size = None if data is None else len(data)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def status(self) -> Status:
        """Like `os.fstat`."""
        status = self._path.stat()
        self._size = status.st_size
        return status

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == SEEK_END and self._size is None:
            self.status()
        self._at = offset + {SEEK_CUR: self._at, SEEK_END: self._size or 0}.get(whence, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            raise io.UnsupportedOperation("an object is read with a number of bytes")
        span = self._at, self._at + size
        data = self._path.read_range(*span) if self._data is None else self._data[slice(*span)]
        self._at += len(data)
        return data


def _reason(text: str, otherwise: str) -> str:
    """The text of a store's error, if it is more than the name of the object."""
    return text if " " in text else otherwise


def _name_of(about: dict[str, Any]) -> str:
    return str(about["name"]).rstrip("/").rpartition("/")[2]
