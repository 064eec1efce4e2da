"""The command line: `ct-pyramid convert`, `info`, `verify`, `demo`, `view` and `neuroglancer`.

Exit status: 0 done; 2 the request or the input is wrong, and nothing was written; 1 it failed on
the way, or with some of many; 130 interrupted. Standard output carries what was asked for (a plan,
a receipt, facts), standard error everything else.

Nothing heavier than argparse and the options is imported before a command needs it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from napari_ct_pyramid.errors import CtPyramidError, RequestError, SourceError, sentence

from . import convert as _one_command
from . import many as _many_command
from .arguments import parse
from .info import describe_info, read_info
from .render import wording
from .terminal import complain, interruptible, say, write, write_json

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130

_QT = ("PyQt6", "PySide6", "PyQt5", "PySide2")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process if not given.

    Returns
    -------
    int
        The exit status.
    """
    try:
        args = parse(sys.argv[1:] if argv is None else argv)
        _COMMANDS[args.command](args)
    except KeyboardInterrupt as interrupt:
        say(" ".join(["ct-pyramid: Interrupted.", *map(str, interrupt.args)]))
        return INTERRUPTED
    except (RequestError, SourceError) as error:
        complain(sentence(error, wording))
        return WRONG
    except (CtPyramidError, OSError, MemoryError) as error:
        complain(sentence(error, wording))
        return FAILED
    return DONE


@interruptible()
def _convert(args: argparse.Namespace) -> None:
    if args.output_dir is not None:
        _many_command.convert(args)
    else:
        _one_command.convert(args)


@interruptible()
def _verify(args: argparse.Namespace) -> None:
    if len(args.outputs) > 1:
        _many_command.verify(args)
    else:
        _one_command.verify(args)


def _info(args: argparse.Namespace) -> None:
    info = read_info(args.path)
    if args.json:
        write_json(info)
    else:
        write(describe_info(info))


@interruptible()
def _demo(args: argparse.Namespace) -> None:
    _one_command.demo(args.folder)


def _view(args: argparse.Namespace) -> None:
    if not (find_spec("napari") and any(map(find_spec, _QT))):
        raise RequestError("Looking at volumes takes napari with Qt. To get both: pip install 'napari-ct-pyramid[all]'")
    from napari_ct_pyramid.plugin.view import view

    view(args.path, screenshot=args.screenshot)


@interruptible()
def _neuroglancer(args: argparse.Namespace) -> None:
    from .neuroglancer import print_link, show

    if args.link is not None:
        print_link(args.link, args.paths)
    else:
        show(args.paths, browser=not args.no_browser)


_COMMANDS = {
    "convert": _convert,
    "info": _info,
    "verify": _verify,
    "demo": _demo,
    "view": _view,
    "neuroglancer": _neuroglancer,
}
