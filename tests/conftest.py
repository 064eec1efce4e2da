"""What every test gets."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Tests judge what happens, never how long it takes. On a build machine a run repeats the last one exactly.
settings.register_profile(
    "house", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")

# napari reads its settings when it is imported, and writes to them: not to those of whoever runs the tests.
_napari_settings = tempfile.TemporaryDirectory(prefix="napari-settings-")
os.environ["NAPARI_CONFIG"] = str(Path(_napari_settings.name) / "settings.yaml")


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder where nobody waits for a disk, if there is one: for tests that convert a hundred times."""
    fast = Path("/dev/shm")
    if not os.access(fast, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=fast) as folder:
        yield Path(folder)
