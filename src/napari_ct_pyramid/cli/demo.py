"""`ct-pyramid demo`: makes a small CT-like volume in a folder of its own, and converts it."""

from __future__ import annotations

import argparse
import shlex

from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.options import NAMED_CHUNKS, ConversionOptions

from .convert import convert_one
from .terminal import print_message

_NOTE = "README.txt"
"""This file marks a folder that the demo made, and that it may write to."""

_NOTE_TEXT = """\
`ct-pyramid demo` made this folder. If you run it again, it replaces the files here.
You can delete the folder at any time.
"""


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Raises
    ------
    RequestError
        If the folder holds something else.
    """
    folder = args.folder
    note = folder / _NOTE
    if not note.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RequestError(f"{folder} exists already, and the demo did not make it. Name another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(_NOTE_TEXT, encoding="utf-8")
    from napari_ct_pyramid.sources.phantom import write_sample

    source = folder / "sample.tif"
    print_message(f"Making a CT-like volume, {source}")
    write_sample(source)
    print_message(f"ct-pyramid convert {shlex.quote(str(source))} -c visualization -l 3")
    convert_one(source, None, ConversionOptions(chunks=NAMED_CHUNKS["visualization"], num_levels=3, overwrite=True))
