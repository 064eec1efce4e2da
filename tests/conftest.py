"""Settings and fixtures for all tests."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.helpers.memory import folder_in_memory

# If the shell ignores Ctrl-C, so do the tests and the processes that they start, which they could then not interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test fails because something takes long. On a build machine, a run repeats the last one exactly.
settings.register_profile(
    "usual",
    max_examples=100,
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", settings.get_profile("usual"), max_examples=1000)
settings.load_profile("usual")

# napari reads and writes its settings when it is imported. The tests leave the user's own settings alone.
_napari_settings = tempfile.TemporaryDirectory(prefix="napari-settings-")
os.environ["NAPARI_CONFIG"] = str(Path(_napari_settings.name) / "settings.yaml")

# Temporary files are in memory: tests convert hundreds of volumes, and a conversion waits until its files are on disk.
_NEEDED = 3_000_000_000  # bytes; a run keeps about 400 MB at a time, and several Pythons run at once
if _memory := folder_in_memory(_NEEDED):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_memory))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="repeat random tests ten times as often, for hours")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("thorough"):
        settings.load_profile("thorough")


def pytest_collection_finish() -> None:
    """No garbage collection goes through the modules and the tests, which stay to the end anyway."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def times(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """How often to repeat a test that is normally repeated n times."""
    return lambda n: 10 * n if request.config.getoption("thorough") else n


@pytest.fixture(scope="session")
def some(request: pytest.FixtureRequest) -> Callable[[int, int], list[int]]:
    """Of the moments 1 to n, k that lie evenly, with the first and the last; with --thorough, all."""

    def choose(n: int, k: int) -> list[int]:
        assert n > 0, "there is no moment"
        assert k > 1, "the first and the last moment are two"
        if k >= n or request.config.getoption("thorough"):
            return list(range(1, n + 1))
        return [1 + i * (n - 1) // (k - 1) for i in range(k)]

    return choose


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, if there is room for 200 MB: for tests that convert a hundred times."""
    memory = folder_in_memory(200_000_000)
    if memory is None:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)
