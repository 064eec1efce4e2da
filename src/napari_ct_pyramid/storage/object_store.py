"""Files in an object store. Objects are written as a whole, and are safe when the request has succeeded."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from napari_ct_pyramid.errors import RequestError

from .lease import Lease
from .local import write_all
from .paths import AnyPath, relative_to
from .remote_path import RemoteFile, RemotePath
from .store_access import WEB, WITH_BUCKETS


class ObjectStorage:
    """An object, or all objects below a path. See `Storage`."""

    is_remote = True

    def __init__(self, path: RemotePath) -> None:
        self._path = path

    def exists(self) -> bool:
        return self._path.exists()

    def is_file(self) -> bool:
        return self._path.is_file()

    def open(self, *, whole: bool = False) -> RemoteFile:
        return self._path.open(whole=whole)

    def read(self) -> bytes:
        return self._path.read_bytes()

    def write(self, buffer: memoryview, size: int, lease: Lease) -> None:
        lease.check()
        self._path.write_bytes(buffer[:size])

    def replace(self, data: bytes) -> None:
        self._path.write_bytes(data)

    def begin_parts(self, size: int, lease: Lease) -> RemotePartFile:  # noqa: ARG002
        return RemotePartFile(self._path, lease)

    def open_state(self, size: int | None = None, *, fresh: bool = False) -> RemoteStateFile:
        return RemoteStateFile(self._path, size, fresh)

    def sync(self) -> None:
        """Objects are safe once they are written."""

    def sync_folder(self) -> None:
        """An object store has no folders."""

    def files_below(self) -> Iterator[tuple[str, int]]:
        return ((relative_to(path, self._path).as_posix(), size) for path, size in self._path.below())

    def bytes_below(self) -> int:
        return sum(size for _, size in self._path.below())

    def walk(self) -> Iterator[tuple[AnyPath, list[str], list[str]]]:
        return self._path.walk()

    def remove(self, belongs: Callable[[str], bool]) -> None:
        paths = (path for path, _ in self._path.below())
        self._path.remove(path for path in paths if belongs(relative_to(path, self._path).as_posix()))

    def check_place(self) -> None:
        path = self._path
        if path.scheme in WEB:
            raise RequestError(f"{path} is on a web server, which is read-only. Name a place in an object store.")
        has_buckets = path.scheme in WITH_BUCKETS
        if has_buckets and path.is_bucket:
            raise RequestError(f"{path} is a bucket. Name a place in it, such as {path}/scan.ome.zarr.")
        try:
            if path.exists() or not has_buckets or path.has_bucket():
                return
        except FileNotFoundError:
            pass
        except OSError as error:
            raise RequestError(
                f"{path} cannot be reached: {error.strerror}. Check the name, the address of the store, and your "
                "permissions."
            ) from error
        raise RequestError(f"There is no bucket {path.bucket} for {path}. Make it first, or choose another.")

    def check_change(self) -> None:
        if self._path.scheme in WEB:
            raise RequestError(
                f"{self._path} is on a web server, which is read-only. Download it, and change the copy."
            )

    def bytes_free(self) -> None:
        return None

    def device(self) -> None:
        return None

    def version(self) -> Hashable:
        return None


class RemotePartFile:
    """The parts are collected in a temporary file on this machine, without a name, and sent when it is complete."""

    def __init__(self, path: RemotePath, lease: Lease) -> None:
        self._path = path
        self._lease = lease
        self._file: Any = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  closed by close()
        self._lock = threading.Lock()

    def write(self, buffer: memoryview, size: int, offset: int, *, own_pages: bool) -> None:  # noqa: ARG002
        with self._lock:
            self._put(offset, buffer[:size])

    def finish(self, end: int, data: bytes) -> None:
        self._file.truncate(end)
        self._put(end, data)
        self._lease.check()
        self._path.write_file(self._file)

    def close(self) -> None:
        self._file.close()

    def _put(self, offset: int, data: bytes | memoryview) -> None:
        try:
            self._file.seek(offset)
            write_all(self._file, data)
        except OSError as error:
            where = tempfile.gettempdir()
            raise OSError(error.errno, f"{error.strerror}, among the temporary files in {where} (TMPDIR)") from error


class RemoteStateFile:
    """A copy in memory, which `sync` sends."""

    def __init__(self, path: RemotePath, size: int | None, fresh: bool) -> None:
        self._path = path
        self._data = bytearray(size or 0) if fresh else bytearray(path.read_bytes()[:size])

    def read(self, at: int, size: int) -> bytes:
        return bytes(self._data[at : at + size])

    def write(self, at: int, data: bytes) -> None:
        self._data[at : at + len(data)] = data

    def sync(self) -> None:
        self._path.write_bytes(memoryview(self._data))

    def close(self) -> None:
        """Nothing is open."""
