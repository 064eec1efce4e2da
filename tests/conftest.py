"""Settings and fixtures for all tests."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# If the shell ignores Ctrl-C, so do the tests and the processes that they start, which they could then not interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test fails because something takes long. On a build machine, a run repeats the last one exactly.
settings.register_profile(
    "full", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("tenth", settings.get_profile("full"), max_examples=10)
settings.load_profile("full")

# napari reads and writes its settings when it is imported. The tests leave the user's own settings alone.
_napari_settings = tempfile.TemporaryDirectory(prefix="napari-settings-")
os.environ["NAPARI_CONFIG"] = str(Path(_napari_settings.name) / "settings.yaml")

# Temporary files are in memory: tests convert hundreds of volumes, and a conversion waits until its files are on disk.
_memory = Path("/dev/shm")
_NEEDED = 3_000_000_000  # bytes; a run keeps about 400 MB at a time, and several Pythons run at once
if os.access(_memory, os.W_OK) and shutil.disk_usage(_memory).free > _NEEDED:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_memory))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tenth", action="store_true", help="repeat random tests a tenth as often")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("tenth"):
        settings.load_profile("tenth")


@pytest.fixture(scope="session")
def times(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """How often to repeat a test that is normally repeated n times."""
    return lambda n: -(-n // 10) if request.config.getoption("tenth") else n


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, if there is one: for tests that convert a hundred times."""
    if not os.access(_memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=_memory) as folder:
        yield Path(folder)
