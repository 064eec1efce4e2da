"""A stand-in for Neuroglancer's client, and the state that an address holds."""

from __future__ import annotations

import json
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

WINDOW = {"channels": [{"color": "FFFFFF", "window": {"min": -1, "max": 300, "start": 10, "end": 200}}]}
"""The omero metadata of an image with one channel."""


def install_client(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Install a package `neuroglancer` whose client is a page that says hello; its folder."""
    package = folder / "site-packages" / "neuroglancer"
    client = package / "static" / "client"
    client.mkdir(parents=True)
    (client / "index.html").write_text("hello")
    spec = ModuleSpec("neuroglancer", None, is_package=True)
    spec.submodule_search_locations = [str(package)]
    patch.setattr(
        "napari_ct_pyramid.neuroglancer.viewer.find_spec", lambda name: spec if name == "neuroglancer" else None
    )
    return client


def uninstall_client(patch: pytest.MonkeyPatch) -> None:
    """Have no package `neuroglancer`."""
    patch.setattr("napari_ct_pyramid.neuroglancer.viewer.find_spec", lambda name: None)


def state_in(url: str) -> dict[str, Any]:
    """The state that an address holds."""
    _, start, fragment = url.partition("#!")
    assert start
    assert fragment.isascii()
    assert not {*' "<>\\^`{|}'} & {*fragment}  # these break an address where people paste it
    state: dict[str, Any] = json.loads(unquote(fragment))
    return state


def shader(state: dict[str, Any], layer: int = 0) -> list[str]:
    """The lines of a layer's shader."""
    return str(state["layers"][layer]["shader"]).splitlines()
