"""What every test gets."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Tests judge what happens, never how long it takes. On a build machine a run repeats the last one exactly.
settings.register_profile(
    "house", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("tenth", settings.get_profile("house"), max_examples=10)
settings.load_profile("house")

# napari reads its settings when it is imported, and writes to them: not to those of whoever runs the tests.
_napari_settings = tempfile.TemporaryDirectory(prefix="napari-settings-")
os.environ["NAPARI_CONFIG"] = str(Path(_napari_settings.name) / "settings.yaml")

# Nobody waits for a disk: tests convert hundreds of volumes, and each makes sure that its files are safely there.
_memory = Path("/dev/shm")
_MUCH = 3_000_000_000  # bytes; a run holds some 400 MB at a time, and the runs of several Pythons meet
if os.access(_memory, os.W_OK) and shutil.disk_usage(_memory).free > _MUCH:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_memory))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tenth", action="store_true", help="of what is repeated at random, do a tenth")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("tenth"):
        settings.load_profile("tenth")


@pytest.fixture(scope="session")
def times(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """How often to do what the promise says is done so many times."""
    return lambda n: -(-n // 10) if request.config.getoption("tenth") else n


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder where nobody waits for a disk, if there is one: for tests that convert a hundred times."""
    if not os.access(_memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=_memory) as folder:
        yield Path(folder)
