"""The commands, and how their errors are printed.

Standard output gets what the user asked for (a plan, a receipt, facts), and standard error everything else. Heavy
libraries are imported only when a command needs them.
"""

from __future__ import annotations

import argparse
import os
import traceback
from collections.abc import Callable, Sequence
from itertools import takewhile

from napari_ct_pyramid.errors import CtPyramidError, RequestError, SourceError, sentence

from . import convert, demo, edit, export, info, neuroglancer, stats, verify, view
from .arguments import complete, help_text, parse
from .render import wording
from .terminal import print_error, print_message, write

DONE, FAILED, WRONG = 0, 1, 2


def run(words: Sequence[str], *, complete_words: bool) -> int:
    """Run the command that these words ask for, and return the exit status.

    If `complete_words`, the shell may be asking how the words go on.
    """
    if complete_words and "_ARGCOMPLETE" in os.environ:
        complete()
    if not words:
        print_message(help_text())
        return WRONG
    try:
        args = parse(words)
        _COMMANDS[args.command](args)
    except (CtPyramidError, OSError, MemoryError) as error:
        if "--debug" in takewhile(lambda word: word != "--", words):
            print_message("".join(traceback.format_exception(error)).rstrip())
        print_error(sentence(error, wording))
        return WRONG if isinstance(error, (RequestError, SourceError)) else FAILED
    return DONE


def _print_text(args: argparse.Namespace) -> None:
    write(args.text)


_COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "convert": convert.run,
    "info": info.run,
    "verify": verify.run,
    "export": export.run,
    "stats": stats.run,
    "edit": edit.run,
    "demo": demo.run,
    "view": view.run,
    "neuroglancer": neuroglancer.run,
    "help": _print_text,
}
