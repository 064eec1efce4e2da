"""Files are written whole, past the system's cache or not."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

import pytest

from napari_ct_pyramid.model.memory import page_buffer
from napari_ct_pyramid.storage import local as files
from napari_ct_pyramid.storage.lease import FolderLease
from napari_ct_pyramid.storage.local import LocalStorage


def lease_in(folder: Path) -> FolderLease:
    (folder / "lease").mkdir()
    return FolderLease(folder / "lease")


@pytest.mark.parametrize("size", [0, 1, 511, mmap.PAGESIZE, mmap.PAGESIZE + 1, 5 * mmap.PAGESIZE - 1])
def test_every_size(tmp_path: Path, size: int) -> None:
    buffer = page_buffer(5 * mmap.PAGESIZE - 3)
    buffer[:] = os.urandom(len(buffer))
    path = tmp_path / "file"
    path.write_bytes(b"something longer that was there before" * 1000)
    LocalStorage(path).write(buffer, size, lease_in(tmp_path))
    assert path.read_bytes() == buffer[:size]


@pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="this system always writes through its cache")
@pytest.mark.parametrize("refused", ["open", "write"])
def test_a_file_system_without_direct_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    """It refuses them when a file is opened, or only when it is written to."""
    real, real_write = os.open, files.write_all
    asked: list[bool] = []

    def open_file(path: str, flags: int, mode: int = 0o777) -> int:
        asked.append(bool(flags & os.O_DIRECT))
        if asked[-1] and refused == "open":
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(path, flags & ~os.O_DIRECT, mode)

    def write(file: object, data: memoryview) -> None:
        if asked[-1]:
            raise OSError(errno.EINVAL, "Invalid argument")
        real_write(file, data)

    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(files, "write_all", write)
    buffer = page_buffer(10_000)
    buffer[:] = os.urandom(len(buffer))
    LocalStorage(tmp_path / "file").write(buffer, 9_999, lease_in(tmp_path))
    assert asked == [True, False]
    assert (tmp_path / "file").read_bytes() == buffer[:9_999]


@pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="this system always writes through its cache")
def test_a_full_disk_is_an_error_without_a_second_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: object, data: memoryview) -> None:
        tries.append(data)
        raise OSError(errno.ENOSPC, "No space left on device")

    tries: list[memoryview] = []
    monkeypatch.setattr("napari_ct_pyramid.storage.local.write_all", full)
    with pytest.raises(OSError, match="No space left"):
        LocalStorage(tmp_path / "file").write(page_buffer(1), 1, lease_in(tmp_path))
    assert len(tries) == 1
