"""A path in an object store, with the parts of pathlib that this package uses. Every error is an `OSError`."""

from __future__ import annotations

import errno
import io
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from os import SEEK_CUR, SEEK_END
from pathlib import PurePosixPath
from typing import Any, BinaryIO, NamedTuple, TypeVar
from urllib.parse import unquote

from napari_ct_pyramid.errors import CtPyramidError

from .store_access import PART_BYTES, WEB, as_os_error, open_store, wait_for

T = TypeVar("T")

ZARR_FILES = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
"""The names of the metadata files of Zarr groups and arrays."""

_NOTHING = "no-such-folder"  # is listed to see whether there is a bucket
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


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
        ``s3://bucket/scan.ome.zarr``, ``gs://…``, ``az://…`` or ``https://…``.
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
        if self.scheme in WEB:  # which tells no folder from a file
            return any((self / name).exists() for name in ZARR_FILES)
        return self._kind() == "directory"

    def stat(self) -> Status:
        found = self._call("head", self.key)
        milliseconds = math.floor(found["last_modified"].timestamp() * 1000)
        return Status(str(found["e_tag"]), milliseconds * 1_000_000, int(found["size"]))

    def read_bytes(self) -> bytes:
        return bytes(self._request(lambda store: store.get(self.key).bytes()))

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def read_range(self, start: int, stop: int) -> bytes:
        """The bytes of an object from `start` to `stop`."""
        return bytes(self._call("get_range", self.key, start=start, end=stop)) if start < stop else b""

    def read_end(self, size: int) -> bytes:
        """The last `size` bytes of an object."""
        part = {"range": {"suffix": size}}
        return bytes(self._request(lambda store: store.get(self.key, options=part).bytes()))

    def open(self, *, whole: bool = False) -> RemoteFile:
        """Open an object for reading. Each read is a request to the store; with `whole`, all is read now in one."""
        return RemoteFile(self, self.read_bytes() if whole else None)

    def write_bytes(self, data: bytes | memoryview, *, new: bool = False) -> None:
        """Write an object as a whole. It is safe when this returns.

        With `new`, a store that knows conditional writes raises a `FileExistsError` if the object exists.
        """
        mode = "create" if new else "overwrite"
        self._call("put", self.key, bytes(data), mode=mode, chunk_size=PART_BYTES, max_concurrency=1)

    def write_file(self, file: BinaryIO) -> None:
        """Write an object from an open file, part by part. The object exists only when all parts are sent."""
        file.seek(0)
        self._call("put", self.key, file, chunk_size=PART_BYTES, max_concurrency=1)

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            self._call("delete", self.key)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def mkdir(self, *_: object, **__: object) -> None:
        """Nothing to do: a store has no folders, only names of objects with slashes."""

    def iterdir(self) -> Iterator[RemotePath]:
        for name, _ in self._list():
            yield self / name

    def walk(self) -> Iterator[tuple[RemotePath, list[str], list[str]]]:
        """Like `os.walk`."""
        entries = self._list()
        below = [name for name, kind in entries if kind == "directory"]
        yield self, below, [name for name, kind in entries if kind == "file"]
        for name in below:
            yield from (self / name).walk()

    def below(self) -> Iterator[tuple[RemotePath, int]]:
        """All objects below the path, each with its size. They are listed a thousand at a time."""
        if self.scheme in WEB:
            raise OSError(errno.EOPNOTSUPP, "a web server does not list its files", self.url)
        pages = self._call("list", self.key or None)
        while page := self._request(lambda _: next(pages, None)):
            for found in page:
                if key := found["path"].removeprefix(self.key).strip("/"):
                    yield self / key, int(found["size"])

    def remove(self, paths: Iterable[RemotePath]) -> None:
        """Remove objects below this path."""
        if keys := sorted({path.key for path in paths}):
            self._call("delete", keys)

    @property
    def is_bucket(self) -> bool:
        """Whether the path names a bucket, and nothing in it."""
        return not self._parts[1:]

    def has_bucket(self) -> bool:
        """Whether the store has the bucket of the path. A web server has none."""
        if self.scheme in WEB:
            return False
        try:
            self._call("list_with_delimiter", _NOTHING)
        except FileNotFoundError:
            return False
        return True

    # The store

    @property
    def key(self) -> str:
        """The name of the object in its bucket."""
        key = "/".join(self._parts[1:])
        return unquote(key) if self.scheme in WEB else key

    def _call(self, name: str, *args: Any, **more: Any) -> Any:
        """Call a method of the store."""
        return self._request(lambda store: getattr(store, name)(*args, **more))

    def _request(self, work: Callable[[Any], T]) -> T:
        """Call a function with the store. Each of its errors is raised as an `OSError`."""
        try:
            store = open_store(self.scheme, self.bucket)
            return wait_for(lambda: work(store))
        except CtPyramidError:
            raise
        except Exception as error:  # of many classes
            raise as_os_error(error, self.url) from error

    def _kind(self) -> str | None:
        try:
            if self.key:
                self.stat()
                return "file"
        except FileNotFoundError:
            pass
        return "directory" if self._list() or (self.is_bucket and self.has_bucket()) else None

    def _list(self) -> list[tuple[str, str]]:
        """The names of what is in the folder, and whether each is a ``file`` or a ``directory``."""
        if self.scheme in WEB:
            return []
        try:
            found = self._call("list_with_delimiter", self.key or None)
        except FileNotFoundError:  # there is no bucket
            return []
        folders = {path.rpartition("/")[2]: "directory" for path in found["common_prefixes"]}
        files = {one["path"].rpartition("/")[2]: "file" for one in found["objects"] if one["path"] != self.key}
        return sorted((files | folders).items())


def nothing_on_the_web(path: object) -> str:
    """A sentence for a path on a web server at which no Zarr was found. Empty for other paths."""
    if not isinstance(path, RemotePath) or path.scheme not in WEB:
        return ""
    return (
        f"There is no OME-Zarr or Zarr array at {path}. A web server does not tell what is in a folder: give the whole "
        "address of an image, which ends in .zarr as a rule. Copy any other volume to this machine."
    )


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
