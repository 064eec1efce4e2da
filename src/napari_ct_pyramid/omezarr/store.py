"""A store of zarr-python over a path in an object store or a zip archive: read-only, and with few requests.

It is for what tensorstore cannot open. What it reads at the end of a file, the index of a shard, is kept: zarr-python
asks for it again for every part that it reads of the shard.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from napari_ct_pyramid.storage.remote_path import RemotePath

_REQUESTS_AT_ONCE = 16
_KEPT_ENDS = 256  # each is 16 bytes for each chunk of a shard

T = TypeVar("T")


class PathStore(Store):
    """The files below a path, as zarr-python reads them.

    Parameters
    ----------
    path : RemotePath
    known : mapping, optional
        Files that were read already; None for those that are not there, or not needed.
    """

    supports_writes = False
    supports_deletes = False
    supports_partial_writes = False
    supports_listing = True

    def __init__(self, path: RemotePath, known: Mapping[str, bytes | None] | None = None) -> None:
        super().__init__(read_only=True)
        self.path = path
        self._known = known or {}
        self._ends: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PathStore) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def with_read_only(self, read_only: bool = False) -> Store:
        if read_only:
            return self
        raise ValueError("the store is read-only")

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        if key in self._known and byte_range is None:
            known = self._known[key]
            return None if known is None else prototype.buffer.from_bytes(known)
        data = await _in_thread(lambda: self._read(key, byte_range))
        return None if data is None else prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))

    def _read(self, key: str, part: ByteRequest | None) -> bytes | None:
        """The bytes of a file, or a part of them; None if there is no such file."""
        path = self._at(key)
        try:
            if part is None:
                return path.read_bytes()
            if isinstance(part, RangeByteRequest):
                return path.read_range(part.start, part.end)
            if isinstance(part, OffsetByteRequest):
                return path.read_range(part.offset, path.stat().st_size)
            if isinstance(part, SuffixByteRequest):
                return self._read_end(path, part.suffix)
        except (FileNotFoundError, NotADirectoryError):
            return None
        raise TypeError(f"{part} is no range of bytes")

    def _read_end(self, path: RemotePath, size: int) -> bytes:
        key = (path.url, size)
        if key not in self._ends:
            self._ends[key] = path.read_end(size)
            while len(self._ends) > _KEPT_ENDS:
                self._ends.popitem(last=False)
        return self._ends[key]

    def _at(self, key: str) -> RemotePath:
        return self.path / key if key else self.path

    async def exists(self, key: str) -> bool:
        return await _in_thread(self._at(key).is_file)

    async def list(self) -> AsyncIterator[str]:
        for path, _ in await _in_thread(lambda: list(self.path.below())):
            yield path.url.removeprefix(f"{self.path.url}/")

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        async for key in self.list():
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        for path in await _in_thread(lambda: list(self._at(prefix.rstrip("/")).iterdir())):
            yield path.name

    async def set(self, key: str, value: Buffer) -> None:  # noqa: ARG002
        raise PermissionError(f"{self.path} is only read")

    async def delete(self, key: str) -> None:  # noqa: ARG002
        raise PermissionError(f"{self.path} is only read")


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_threads(), work)


@cache
def _threads() -> Any:
    return ThreadPoolExecutor(_REQUESTS_AT_ONCE, "ct-pyramid-store")
