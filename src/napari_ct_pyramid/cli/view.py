"""`ct-pyramid view`: opens a volume in napari."""

from __future__ import annotations

import argparse
from importlib.util import find_spec

from napari_ct_pyramid.errors import RequestError

from .interruption import ends_at_once

_QT = ("PyQt6", "PySide6", "PyQt5", "PySide2")


def run(args: argparse.Namespace) -> None:
    """Run the command. It ends when the window is closed.

    Raises
    ------
    RequestError
        If napari or Qt is not installed.
    """
    if not (find_spec("napari") and any(map(find_spec, _QT))):
        raise RequestError(
            "To view a volume, napari and Qt must be installed. Install them: pip install 'napari-ct-pyramid[all]'"
        )
    with ends_at_once():
        from napari_ct_pyramid.plugin.view import view

        view(args.path, screenshot=args.screenshot)
