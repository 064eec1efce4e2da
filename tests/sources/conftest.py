"""What the tests of sources get."""

from __future__ import annotations

import pytest

from napari_ct_pyramid.sources.row_reader import FileHandles


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of each read from the file."""
    sizes: list[int] = []
    original = FileHandles.readinto

    def spy(self: FileHandles, file: int, at: int, buffer: memoryview) -> int:
        sizes.append(len(buffer))
        return original(self, file, at, buffer)

    monkeypatch.setattr(FileHandles, "readinto", spy)
    return sizes
