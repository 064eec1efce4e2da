"""The command line: `ct-pyramid convert`, `info`, `verify`, `demo`, `view` and `neuroglancer`.

Exit status: 0 done; 2 the request or the input is wrong, and nothing was written; 1 it failed on
the way; 130 interrupted. Standard output carries what was asked for (a plan, a receipt, facts),
standard error everything else.

Nothing heavier than argparse and the options is imported before a command needs it.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from . import __version__
from ._info import describe_info, read_info
from ._summary import announcement, summary, verify_advice, verify_announcement, verify_summary
from ._terminal import choose_display, flush, interruptible, say, width, write, write_json
from .errors import CtPyramidError, RequestError, SourceError
from .options import ConversionOptions

if TYPE_CHECKING:
    from .plan import Plan
    from .report import Progress

R = TypeVar("R")

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130

_NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?", re.IGNORECASE)

_QT = ("PyQt6", "PySide6", "PyQt5", "PySide2")

_INPUT_HELP = (
    "a TIFF that holds one volume; a folder of slices, or a pattern of their names in quotes, such as "
    "'scan/slice_*.tif'; an HDF5 file, with the path of a dataset if need be, as in scan.h5::/entry/data/data; a NumPy "
    "file; an OME-Zarr, or a Zarr array"
)

_DEMO_NOTE = "README.txt"
_DEMO_TEXT = """\
`ct-pyramid demo` made this folder. Running it again makes its files anew;
the folder can be deleted at any time.
"""


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
    args = _parse(sys.argv[1:] if argv is None else argv)
    try:
        args.run(args)
    except KeyboardInterrupt as interrupt:
        return _stop(INTERRUPTED, _sentence(interrupt))
    except (RequestError, SourceError) as error:
        return _stop(WRONG, _sentence(error))
    except (CtPyramidError, OSError, MemoryError) as error:
        return _stop(FAILED, _sentence(error))
    return DONE


def _stop(status: int, sentence: str) -> int:
    say(f"ct-pyramid: {'' if status == INTERRUPTED else 'error: '}{sentence}")
    return status


def _sentence(error: BaseException) -> str:
    """One line that says what happened."""
    if isinstance(error, KeyboardInterrupt):
        return " ".join(["Interrupted.", *map(str, error.args)])
    if isinstance(error, MemoryError):
        return "The machine is out of memory."
    if isinstance(error, OSError) and error.strerror and not isinstance(error, CtPyramidError):
        return f"{error.strerror}: {error.filename}" if error.filename else f"{error.strerror}."
    return " ".join(str(error).splitlines())


class _Help(argparse.HelpFormatter):
    """Names a flag's value once: `-l, --num-levels N`, not `-l N, --num-levels N`."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        return f"{', '.join(action.option_strings)} {self._format_args(action, str(action.metavar))}"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other error is said."""

    def error(self, message: str) -> NoReturn:
        _stop(WRONG, f"{message[:1].upper()}{message[1:]}. See {self.prog} --help.")
        sys.exit(WRONG)

    def exit(self, status: int = DONE, message: str | None = None) -> NoReturn:
        flush()  # the help may have gone to a pipe that nobody reads
        super().exit(status, message)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="ct-pyramid",
        description="Convert CT volumes of any size to multiscale OME-Zarr in a memory budget, and look at them.",
        allow_abbrev=False,
        formatter_class=_Help,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_commands(commands)
    if argv and argv[0] in commands.choices:
        # Asked directly, a command takes its paths and flags in any order.
        args: argparse.Namespace = commands.choices[argv[0]].parse_intermixed_args(_join_numbers(argv[1:]))
        return args
    return parser.parse_args(argv)


def _add_commands(commands: Any) -> None:
    convert = _add(commands, "convert", _convert, "convert a volume to a multiscale OME-Zarr",
                   usage="%(prog)s INPUT [OUTPUT] -c Z Y X | NAME [options]")  # fmt: skip
    convert.add_argument("input", metavar="INPUT", type=_path, help=_INPUT_HELP)
    convert.add_argument("output", metavar="OUTPUT", type=_path, nargs="?",
                         help="the OME-Zarr to make (default: beside INPUT, its name ending in .ome.zarr)")  # fmt: skip
    _add_options(convert)
    convert.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    convert.add_argument("--json", action="store_true", help="print the plan or the receipt as JSON")
    convert.add_argument("--quiet", action="store_true", help="print nothing but errors (and the JSON, if asked for)")

    info = _add(commands, "info", _info, "say what a volume of any kind holds")
    info.add_argument("path", metavar="PATH", type=_path)
    info.add_argument("--json", action="store_true", help="print it as JSON")

    verify = _add(commands, "verify", _verify, "say whether an OME-Zarr made here is whole and true")
    verify.add_argument("output", metavar="OUTPUT", type=_path, help="an OME-Zarr that convert made")
    verify.add_argument("--source", metavar="INPUT", type=_path,
                        help="compare with what it was made from (default: with the checksums of that)")  # fmt: skip
    verify.add_argument("--repair", action="store_true", help="make what is wrong again from INPUT")
    _add_options(verify, only=("max_memory", "threads"))
    verify.add_argument("--json", action="store_true", help="print what was found as JSON")
    verify.add_argument("--quiet", action="store_true", help="print nothing but errors (and the JSON, if asked for)")

    demo = _add(commands, "demo", _demo, "make a small CT-like volume and convert it")
    demo.add_argument("folder", metavar="DIR", type=_path, nargs="?", default=Path("ct-pyramid-demo"),
                      help="where to put it (default: %(default)s)")  # fmt: skip

    view = _add(commands, "view", _view, "look at a TIFF or an OME-Zarr in napari")
    view.add_argument("path", metavar="PATH", type=_path)
    view.add_argument("--screenshot", metavar="FILE", type=_path, help="save a picture of the window, and close it")

    glance = _add(commands, "neuroglancer", _neuroglancer, "look at OME-Zarrs in Neuroglancer, in the browser")
    glance.add_argument("paths", metavar="PATH", type=_path, nargs="*", help="an OME-Zarr; several are shown together")
    glance.add_argument("--no-browser", action="store_true", help="only print the address, and open no browser")
    glance.add_argument("--link", metavar="URL",
                        help="print a link to the public Neuroglancer instead, for an OME-Zarr at URL; PATH may name "
                             "the same OME-Zarr on this machine, for the link to say what to look at")  # fmt: skip


def _path(text: str) -> Path:
    if not text:  # an unset shell variable; Path would take it for the current folder
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text)


def _add(commands: Any, name: str, run: Callable[[argparse.Namespace], None], help: str, **more: Any) -> _Parser:
    described = f"{help[0].upper()}{help[1:]}."
    parser: _Parser = commands.add_parser(name, help=help, description=described, allow_abbrev=False,
                                          formatter_class=_Help, **more)  # fmt: skip
    parser.set_defaults(run=run)
    return parser


def _add_options(parser: _Parser, only: Sequence[str] | None = None) -> None:
    """Flags for every field of ConversionOptions, or only some; it also checks their values."""
    for option in fields(ConversionOptions):
        if only and option.name not in only:
            continue
        about = option.metadata
        text = about["help"].replace("%", "%%")
        if about["metavar"] is None:
            parser.add_argument(*about["flags"], dest=option.name, action="store_true", help=text)
            continue
        if option.default is not None:
            text += " (default: %(default)s)"
        parser.add_argument(
            *about["flags"], dest=option.name, metavar=about["metavar"], default=option.default, help=text
        )


def _join_numbers(argv: Sequence[str]) -> list[str]:
    """The arguments with `-c 128 128 128` as one, so that what follows the numbers is not taken for another.

    argparse alone cannot tell where three numbers or one name end: in `-c visualization scan.tif` it would take
    the file for a second value.
    """
    flags = {flag for option in fields(ConversionOptions) if "Z Y X" in (option.metadata["metavar"] or "")
             for flag in option.metadata["flags"]}  # fmt: skip
    joined: list[str] = []
    words = deque(argv)
    while words and words[0] != "--":
        joined.append(words.popleft())
        numbers = []
        while joined[-1] in flags and words and _NUMBER.fullmatch(words[0]):
            numbers.append(words.popleft())
        if numbers:
            joined.append(" ".join(numbers))
    return [*joined, *words]


def _request(args: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, found to make sense on its own before anything heavy is imported."""
    request = {option.name: getattr(args, option.name) for option in fields(ConversionOptions)}
    ConversionOptions(**request)
    return request


@interruptible()
def _convert(args: argparse.Namespace) -> None:
    request = _request(args)
    if args.dry_run:
        from .convert import plan

        planned = plan(args.input, args.output, **request)
        if args.json:
            write_json(planned.to_json())
        elif not args.quiet:
            write(planned.describe())
        return
    _run(args.input, args.output, request, json=args.json, quiet=args.quiet)


def _run(
    source: Path, output: Path | None, request: dict[str, Any], *, json: bool = False, quiet: bool = False
) -> None:
    """Convert, show how far it is, and say what was made."""
    from .convert import iter_convert

    receipt = _watch(iter_convert(source, output, **request), announcement, quiet=quiet)
    if json:
        write_json(receipt.to_json())
    elif not quiet:
        write(summary(receipt, ConversionOptions(**request).max_memory))


def _watch(steps: Generator[Progress, None, R], announce: Callable[[Plan, Path, int], str], *, quiet: bool) -> R:
    """Show how far something is, and say what it comes to."""
    progress: Progress | None = None
    # The display goes first, so that a conversion that takes a moment to stop leaves a terminal in order.
    with closing(steps), choose_display(quiet=quiet) as display:
        try:
            while True:
                before, progress = progress, next(steps)
                if before is None and not quiet:
                    say(announce(progress.plan, progress.output, width()))
                display.show(progress)
        except StopIteration as end:
            result: R = end.value
            return result
        except KeyboardInterrupt:
            from .output import is_unfinished

            if progress is None or not is_unfinished(progress.output):
                raise
            raise KeyboardInterrupt(f"{progress.output} is unfinished; the same command goes on with it.") from None


@interruptible()
def _verify(args: argparse.Namespace) -> None:
    options: dict[str, Any] = {"max_memory": args.max_memory, "threads": args.threads}
    ConversionOptions(**{"chunks": "visualization", **options})
    from .verify import iter_verify

    steps = iter_verify(args.output, args.source, repair=args.repair, **options)
    found = _watch(steps, verify_announcement, quiet=args.quiet)
    if args.json:
        write_json(found.to_json())
    elif not args.quiet:
        write(verify_summary(found))
    if not found.sound:
        raise CtPyramidError(verify_advice(found))


def _info(args: argparse.Namespace) -> None:
    info = read_info(args.path)
    if args.json:
        write_json(info)
    else:
        write(describe_info(info))


@interruptible()
def _demo(args: argparse.Namespace) -> None:
    folder: Path = args.folder
    note = folder / _DEMO_NOTE
    if not note.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RequestError(f"{folder} exists already and is not from a demo. Name another folder for this one.")
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(_DEMO_TEXT, encoding="utf-8")
    from .sample import write_sample

    source = folder / "sample.tif"
    say(f"Making a CT-like volume, {source}")
    write_sample(source)
    say(f"ct-pyramid convert {shlex.quote(str(source))} -c visualization -l 3")
    _run(source, None, {"chunks": "visualization", "num_levels": 3, "overwrite": True})


def _view(args: argparse.Namespace) -> None:
    if not (find_spec("napari") and any(map(find_spec, _QT))):
        raise RequestError("Looking at volumes takes napari with Qt. To get both: pip install 'napari-ct-pyramid[all]'")
    from ._view import view

    view(args.path, screenshot=args.screenshot)


@interruptible()
def _neuroglancer(args: argparse.Namespace) -> None:
    from ._neuroglancer_command import print_link, show

    if args.link is not None:
        print_link(args.link, args.paths)
    else:
        show(args.paths, browser=not args.no_browser)
