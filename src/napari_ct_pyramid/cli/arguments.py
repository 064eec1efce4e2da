"""The arguments of the command line: what can be asked for, and in what words."""

from __future__ import annotations

import argparse
import glob
import os
import re
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.model.version import __version__
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.sources.inputs import INSIDE
from napari_ct_pyramid.sources.registry import INPUTS, TIFF
from napari_ct_pyramid.storage.object_store import RemotePath
from napari_ct_pyramid.storage.paths import AnyPath, any_path

from .render import SHORT_FLAGS, flag
from .terminal import flush

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.dask.client import Client


_INPUT_HELP = f"{INPUTS} (a pattern in quotes); with --output-dir any number of these, and a pattern is of volumes"

_NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?", re.IGNORECASE)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Take a command line apart.

    Raises
    ------
    RequestError
        If it makes no sense.
    """
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
    else:
        args = parser.parse_args(argv)
    if args.command == "convert":
        _tell_inputs_from_output(args)
    elif args.command == "verify":
        args.outputs = _expand(args.outputs)
    return args


def request(args: argparse.Namespace) -> ConversionOptions:
    """The options that were asked for, found to make sense on their own before anything heavy is imported."""
    return ConversionOptions(**{option.name: getattr(args, option.name) for option in fields(ConversionOptions)})


def verify_request(args: argparse.Namespace) -> ConversionOptions:
    """The options of `verify`, among defaults for all others."""
    return ConversionOptions(chunks=(1, 1, 1), max_memory=args.max_memory, threads=args.threads)


def cluster(args: argparse.Namespace) -> AbstractContextManager[Client | None]:
    """The cluster that was asked for, for as long as it takes; None where this process is to do the work."""
    if args.dask is None:
        return nullcontext()
    from napari_ct_pyramid.conversion.dask.client import connect

    return connect(args.dask)


class _Help(argparse.HelpFormatter):
    """Names a flag's value once: `-l, --num-levels N`, not `-l N, --num-levels N`."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        return f"{', '.join(action.option_strings)} {self._format_args(action, str(action.metavar))}"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other error is said."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message[:1].upper()}{message[1:]}. See {self.prog} --help.")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        flush()  # the help may have gone to a pipe that nobody reads
        super().exit(status, message)


def _add_commands(commands: Any) -> None:
    convert = _add(commands, "convert", "convert a volume, or many, to multiscale OME-Zarr",
                   usage="%(prog)s INPUT [OUTPUT] -c Z Y X | NAME [options]\n"
                         "       %(prog)s INPUT... --output-dir DIR -c Z Y X | NAME [options]")  # fmt: skip
    convert.add_argument("inputs", metavar="INPUT", type=_path, nargs="+", help=_INPUT_HELP)
    convert.add_argument("output", metavar="OUTPUT", nargs="?",
                         help="the OME-Zarr to make (default: beside INPUT, its name ending in .ome.zarr)")  # fmt: skip
    convert.add_argument("--output-dir", metavar="DIR", type=_path,
                         help="convert every INPUT, one after another, into this folder")  # fmt: skip
    _add_options(convert)
    convert.add_argument("--dask", metavar="ADDRESS",
                         help="have the workers of a Dask cluster do it: the address of its scheduler, such as "
                              "tcp://host:8786, or a scheduler file; local: processes of this machine, one for each "
                              "core; --max-memory and --threads are of each worker")  # fmt: skip
    convert.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    convert.add_argument("--json", action="store_true",
                         help="print the plan or the receipt as JSON; with --output-dir, a list")  # fmt: skip
    convert.add_argument("--quiet", action="store_true", help="print nothing but errors (and the JSON, if asked for)")

    info = _add(commands, "info", "say what a volume of any kind holds")
    info.add_argument("path", metavar="PATH", type=_path)
    info.add_argument("--json", action="store_true", help="print it as JSON")

    verify = _add(commands, "verify", "say whether OME-Zarrs made here are whole and true")
    verify.add_argument("outputs", metavar="OUTPUT", type=_path, nargs="+",
                        help="an OME-Zarr that convert made; there may be many")  # fmt: skip
    verify.add_argument("--source", metavar="INPUT", type=_path,
                        help="compare with what it was made from (default: with the checksums of that)")  # fmt: skip
    verify.add_argument("--repair", action="store_true", help="make what is wrong again from INPUT")
    _add_options(verify, only=("max_memory", "threads"))
    verify.add_argument("--json", action="store_true", help="print what was found as JSON; for many, a list")
    verify.add_argument("--quiet", action="store_true", help="print nothing but errors (and the JSON, if asked for)")

    demo = _add(commands, "demo", "make a small CT-like volume and convert it")
    demo.add_argument("folder", metavar="DIR", type=_path_here, nargs="?", default=Path("ct-pyramid-demo"),
                      help="where to put it (default: %(default)s)")  # fmt: skip

    view = _add(commands, "view", "look at a TIFF or an OME-Zarr in napari")
    view.add_argument("path", metavar="PATH", type=_path)
    view.add_argument(
        "--screenshot", metavar="FILE", type=_path_here, help="save a picture of the window, and close it"
    )

    glance = _add(commands, "neuroglancer", "look at OME-Zarrs in Neuroglancer, in the browser")
    glance.add_argument("paths", metavar="PATH", type=_path, nargs="*", help="an OME-Zarr; several are shown together")
    glance.add_argument("--no-browser", action="store_true", help="only print the address, and open no browser")
    glance.add_argument("--link", metavar="URL",
                        help="print a link to the public Neuroglancer instead, for an OME-Zarr at URL; PATH may name "
                             "the same OME-Zarr on this machine, for the link to say what to look at")  # fmt: skip


def _add(commands: Any, name: str, help: str, **more: Any) -> _Parser:
    described = f"{help[0].upper()}{help[1:]}."
    parser: _Parser = commands.add_parser(name, help=help, description=described, allow_abbrev=False,
                                          formatter_class=_Help, **more)  # fmt: skip
    parser.set_defaults(command=name)
    return parser


def _add_options(parser: _Parser, only: Sequence[str] | None = None) -> None:
    """Flags for every field of ConversionOptions, or only some; it also checks their values."""
    for option in fields(ConversionOptions):
        if only and option.name not in only:
            continue
        about = option.metadata
        text = about["help"].replace("%", "%%")
        if about["metavar"] is None:
            parser.add_argument(*_flags(option.name), dest=option.name, action="store_true", help=text)
            continue
        if option.default is not None:
            text += " (default: %(default)s)"
        parser.add_argument(
            *_flags(option.name), dest=option.name, metavar=about["metavar"], default=option.default, help=text
        )


def _flags(name: str) -> tuple[str, ...]:
    return (SHORT_FLAGS[name], flag(name)) if name in SHORT_FLAGS else (flag(name),)


def _path(text: str) -> AnyPath:
    if not text:  # an unset shell variable; Path would take it for the current folder
        raise argparse.ArgumentTypeError("the path is empty")
    return any_path(text)


def _path_here(text: str) -> Path:
    path = _path(text)
    if isinstance(path, RemotePath):
        raise argparse.ArgumentTypeError(f"{path} is not on this machine")
    return path


def _join_numbers(argv: Sequence[str]) -> list[str]:
    """The arguments with `-c 128 128 128` as one, so that what follows the numbers is not taken for another.

    argparse alone cannot tell where three numbers or one name end: in `-c visualization scan.tif` it would take
    the file for a second value.
    """
    flags = {name for option in fields(ConversionOptions)
             if {"Z Y X", "LO HI"}.intersection((option.metadata["metavar"] or "").split(" | "))
             for name in _flags(option.name)}  # fmt: skip
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


def _tell_inputs_from_output(args: argparse.Namespace) -> None:
    """Which paths are inputs: all of them with --output-dir; else the first, and a second is the OUTPUT."""
    if args.output_dir is not None:
        args.inputs = _expand(args.inputs)
        return
    first, *others = args.inputs
    if len(others) > 1 or any(path.suffix.lower() in TIFF.endings and path != first for path in others):
        raise RequestError(
            f"{others[-1]} is taken for an input, and there is one too many. To convert them one by one, name a folder "
            "for their outputs: --output-dir DIR. To make one volume of slices, name their folder, or put the pattern "
            "of their names in quotes."
        )
    args.inputs, args.output = [first], others[0] if others else None


def _expand(paths: Iterable[AnyPath]) -> list[AnyPath]:
    """Paths with what matches in place of each pattern: not every shell does that, and none for one in quotes.

    Raises
    ------
    RequestError
        If nothing matches.
    """
    found: list[AnyPath] = []
    for path in paths:
        if isinstance(path, RemotePath) or os.path.lexists(path) or not glob.has_magic(str(path)):
            found.append(path)
            continue
        pattern, *inside = str(path).split(INSIDE, 1)
        matches = sorted(glob.glob(pattern))  # noqa: PTH207  Path has no patterns of whole paths
        if not matches:
            raise RequestError(f"There is nothing called {path}. Try its full path.")
        found += [Path(INSIDE.join([match, *inside])) for match in matches]
    return list(dict.fromkeys(found))
