"""The entry point of the command line `ct-pyramid`: runs a command, and returns its exit status.

0
    Done.
1
    The work failed after it had begun, or failed for some of many volumes.
2
    The request or the input is wrong, and nothing was written. Also `ct-pyramid` alone, which prints its help to
    standard error (as the commands made with Click and clap do).
130
    Interrupted.

Standard output gets what the user asked for (a plan, a receipt, facts), and standard error everything else. Heavy
libraries are imported only when a command needs them.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from itertools import takewhile

from napari_ct_pyramid.errors import CtPyramidError, RequestError, SourceError, sentence

from . import convert, demo, info, neuroglancer, verify, view
from .arguments import complete, help_text, parse
from .render import wording
from .terminal import print_error, print_message, write

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments. Default: those of the process.

    Returns
    -------
    int
        The exit status.
    """
    if "_ARGCOMPLETE" in os.environ and argv is None:
        complete()
    words = sys.argv[1:] if argv is None else argv
    if not words:
        print_message(help_text())
        return WRONG
    try:
        args = parse(words)
        _COMMANDS[args.command](args)
    except KeyboardInterrupt as interrupt:
        print_message(" ".join(["ct-pyramid: Interrupted.", *map(str, interrupt.args)]))
        return INTERRUPTED
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
    "demo": demo.run,
    "view": view.run,
    "neuroglancer": neuroglancer.run,
    "help": _print_text,
}
