"""Imports modules early, in a thread: the first conversion and the first layer would otherwise take seconds more."""

from __future__ import annotations

import importlib
from functools import cache
from threading import Thread

import numpy as np
import pint
from napari.layers import Image

from .viewer_hooks import short_switch_interval

_MODULES = (
    "napari_ct_pyramid.conversion.convert",
    "napari_ct_pyramid.plugin.layers",
    "napari_ct_pyramid.plugin.export_dialog",
)


@cache
def preload() -> None:
    """Start the thread, if that has not been done yet."""
    # Layers have units. pint loads its units at the first use, which must not happen in two threads at once.
    pint.get_application_registry().parse_units("pixel")
    Thread(target=_load, daemon=True, name="ct-pyramid-preload").start()


def _load() -> None:
    with short_switch_interval():
        for name in _MODULES:
            importlib.import_module(name)
        Image(np.zeros((2, 2, 2)), units=("micrometer",) * 3)
