"""Windows by the hundred: what each of them would do again is done once."""

from __future__ import annotations

import copy
import functools
import gc
from collections.abc import Iterator
from typing import Any

import npe2
import npe2.manifest._bases as manifests
import pytest


@pytest.fixture(autouse=True, scope="session")
def _fast_windows() -> Iterator[None]:
    """Manifests are parsed once, and the collections of garbage around each window leave what was imported alone."""
    import napari._qt.qt_main_window  # noqa: F401

    parse = functools.cache(manifests._load_yaml_no_duplicates)

    def parse_once(stream: Any) -> Any:
        return copy.deepcopy(parse(stream if isinstance(stream, str) else stream.read()))

    gc.collect()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifests, "_load_yaml_no_duplicates", parse_once)
        yield
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def _no_other_readers() -> None:
    """napari-ome-zarr is here to be tried on its own; else napari would ask which of the two is to open a folder."""
    npe2.PluginManager.instance().disable("napari-ome-zarr")
