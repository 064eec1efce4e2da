"""The arguments of the command line: the parsers of all commands, and the suggestions for misspelled words."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import fields
from itertools import takewhile
from pathlib import Path
from typing import Any

from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.exports.kinds import outputs_text
from napari_ct_pyramid.model.version import __version__
from napari_ct_pyramid.options import (
    AUTO,
    COMPRESSORS,
    DTYPES,
    EDGES,
    METHODS,
    NAMED_CHUNKS,
    OME_ZARR_VERSIONS,
    ConversionOptions,
    ExportOptions,
    SourceOptions,
)
from napari_ct_pyramid.sources.registry import INPUTS
from napari_ct_pyramid.statistics.options import StatsOptions
from napari_ct_pyramid.storage.paths import AnyPath, any_path
from napari_ct_pyramid.storage.remote_path import RemotePath

from .numbers import join_numbers
from .parser import Parser, did_you_mean
from .paths import expand, split_output
from .render import flags

PROGRAM = "ct-pyramid"

_DESCRIPTION = """\
Convert CT volumes of any size to multiscale OME-Zarr within a memory budget,
and view them."""

_EPILOG = """\
Help on a command: ct-pyramid COMMAND --help, or ct-pyramid help COMMAND

To complete commands and options with the Tab key, add a line to the start-up
file of your shell:
  bash, zsh   eval "$(register-python-argcomplete ct-pyramid)"
  fish        register-python-argcomplete --shell fish ct-pyramid | source
"""

_CONVERT_EPILOG = """\
examples:
  ct-pyramid convert scan.tif -c visualization
  ct-pyramid convert scan.tif out.ome.zarr -c 128 --max-memory 1G
  ct-pyramid convert slices/ -c visualization --voxel-size 0.65um
  ct-pyramid convert a.tif b.tif --output-dir pyramids -c visualization
"""

_EXPORT_EPILOG = """\
examples:
  ct-pyramid export scan.ome.zarr scan.tif
  ct-pyramid export scan.ome.zarr small.nrrd --level 2
  ct-pyramid export scan.ome.zarr part.ome.zarr --crop 100:400,,:512
  ct-pyramid export scan.ome.zarr slices/ --dtype uint8 --window -0.5 2
"""

_INPUT_HELP = f"{INPUTS} (put a pattern in quotes). With --output-dir there may be many, and a pattern names volumes"

_VALUES: dict[str, Iterable[str]] = {
    "chunks": NAMED_CHUNKS, "num_levels": [AUTO], "dtype": DTYPES, "window": [AUTO], "method": METHODS,
    "downsample": [AUTO], "edges": EDGES, "compressor": COMPRESSORS, "ome_zarr_version": OME_ZARR_VERSIONS,
    "shards": [AUTO, "none"],
}  # fmt: skip
"""Values of options that a shell can complete."""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse a command line.

    Returns
    -------
    argparse.Namespace
        The arguments of the command, whose name is `command`. The command `help` has the `text` to print.

    Raises
    ------
    RequestError
        If the command line is wrong.
    """
    program = _Program()
    before, words = _split_at_command(argv)
    if _asks(before, "-V", "--version"):
        return _text(f"{PROGRAM} {__version__}")
    if _asks(before, "-h", "--help"):
        return _text(program.parser.format_help())
    program.parser.refuse_unknown(before)
    if not words:
        raise RequestError(f"Name a command: {', '.join(program.commands)}. See {PROGRAM} --help.")
    command = program.find(words[0])
    if _asks(words, "-h", "--help"):
        return _text(command.format_help())
    # Arguments and options may be mixed in any order.
    args, unknown = command.parse_known_intermixed_args(join_numbers(words[1:]))
    command.refuse_unknown(unknown)
    if args.command == "convert":
        args.inputs, args.output = split_output(args.inputs, args.output_dir)
    elif args.command == "verify":
        args.outputs = expand(args.outputs)
    elif args.command == "help":
        return _text((program.find(args.topic) if args.topic else program.parser).format_help())
    return args


def help_text() -> str:
    """The help of the whole program."""
    return _Program().parser.format_help().rstrip()


def parsers() -> dict[str, Parser]:
    """The parser of each command, for the documentation."""
    return _Program().commands


def complete() -> None:
    """Print completions for the shell that set `_ARGCOMPLETE`, and end the process."""
    import argcomplete

    argcomplete.autocomplete(_Program().parser)


class _Program:
    """The parser of the whole program, and those of its commands."""

    def __init__(self) -> None:
        self.parser = Parser(prog=PROGRAM, description=_DESCRIPTION, epilog=_EPILOG,
                              usage="%(prog)s COMMAND [options]")  # fmt: skip
        self._subparsers: Any = self.parser.add_subparsers(title="commands", metavar="COMMAND [options]", prog=PROGRAM)
        self.commands: dict[str, Parser] = {}
        self._add_convert()
        self._add_info()
        self._add_verify()
        self._add_export()
        self._add_stats()
        self._add_edit()
        self._add_demo()
        self._add_view()
        self._add_neuroglancer()
        self._add_help()
        options = self.parser.add_argument_group("options")
        self.parser.flag(options, "-V", "--version", action="store_true", help="print the version")
        _add_debug_and_help(self.parser, options)

    def find(self, name: str) -> Parser:
        """The parser of a command.

        Raises
        ------
        RequestError
            If there is no such command.
        """
        if name not in self.commands:
            hint = did_you_mean(name, self.commands) or f" There are {', '.join(self.commands)}."
            raise RequestError(f"There is no command {name!r}.{hint} See {PROGRAM} --help.")
        return self.commands[name]

    def _add(self, name: str, help: str, **settings: Any) -> tuple[Parser, Any, Any]:
        """A parser, and its groups of arguments and of options."""
        parser: Parser = self._subparsers.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.",
                                                      **settings)  # fmt: skip
        parser.set_defaults(command=name)
        self.commands[name] = parser
        return parser, parser.add_argument_group("arguments"), parser.add_argument_group("options")

    def _add_convert(self) -> None:
        parser, arguments, options = self._add(
            "convert", "convert one volume, or many, to multiscale OME-Zarr", epilog=_CONVERT_EPILOG,
            usage="%(prog)s INPUT [OUTPUT] -c CHUNKS [options]\n"
                  "       %(prog)s INPUT... --output-dir DIR -c CHUNKS [options]")  # fmt: skip
        rare = parser.add_argument_group("less common options")
        printed = parser.add_argument_group("what is printed")
        arguments.add_argument("inputs", metavar="INPUT", type=_path, nargs="+", help=_INPUT_HELP)
        # Only for the help: argparse gives every path to INPUT, since it cannot know where the inputs end.
        arguments.add_argument("output", metavar="OUTPUT", nargs="?",
                               help="the OME-Zarr to make (default: beside INPUT, such as scan.ome.zarr)")  # fmt: skip
        _add_conversion_options(parser, options, rare=False)
        parser.flag(options, "--output-dir", metavar="DIR", type=_path,
                    help="convert every INPUT, one after another, into this folder, which is made if its parent "
                         "exists")  # fmt: skip
        _add_conversion_options(parser, rare, rare=True)
        _add_dask(parser, rare, "convert")
        parser.flag(printed, "--dry-run", action="store_true", help="print the plan, and convert nothing")
        parser.flag(printed, "--json", action="store_true",
                    help="print the plan or the receipt as JSON; with --output-dir, a list")  # fmt: skip
        parser.flag(printed, "--quiet", action="store_true", help="print only errors, and the JSON if asked for")
        _add_debug_and_help(parser, printed)

    def _add_info(self) -> None:
        parser, arguments, options = self._add("info", "print the size, type and other facts of a volume")
        arguments.add_argument("path", metavar="PATH", type=_path,
                               help="a volume of any kind that convert reads, or an OME-Zarr")  # fmt: skip
        _add_conversion_options(parser, options, only=[option.name for option in fields(SourceOptions)])
        parser.flag(options, "--json", action="store_true", help="print the facts as JSON")
        _add_debug_and_help(parser, options)

    def _add_verify(self) -> None:
        parser, arguments, options = self._add("verify", "check that OME-Zarrs of any program are complete and correct")
        arguments.add_argument("outputs", metavar="OUTPUT", type=_path, nargs="+",
                               help="an OME-Zarr of any program; there may be many. One that convert made is compared "
                                    "with what it wrote; another with the specification and with itself")  # fmt: skip
        parser.flag(
            options,
            "--quick",
            action="store_true",
            help="look only at metadata and the names and sizes of files, which takes seconds",
        )
        parser.flag(
            options,
            "--deep",
            action="store_true",
            help="read all voxels, also of more than 4 GB that are not on this machine",
        )
        parser.flag(options, "--source", metavar="INPUT", type=_path,
                    help="the volume that OUTPUT was made from: compare with its voxels (default: with the checksums "
                         "that the conversion stored)")  # fmt: skip
        parser.flag(options, "--repair", action="store_true",
                    help="convert the parts that are wrong again; this needs --source")  # fmt: skip
        parser.flag(options, "--rebuild-levels", action="store_true",
                    help="rebuild coarser levels that are missing or wrong, in place, each from the next finer "
                         "one; works with an OME-Zarr of any program")  # fmt: skip
        parser.flag(options, "--method", metavar="NAME",
                    help=f"how --rebuild-levels makes them: {', '.join(METHODS)} (default: as the levels that are "
                         "right; otherwise mean, and mode for labels)")  # fmt: skip
        _add_conversion_options(parser, options, only=("max_memory", "threads"))
        parser.flag(options, "--json", action="store_true", help="print the result as JSON; for many, a list")
        parser.flag(options, "--quiet", action="store_true", help="print only errors, and the JSON if asked for")
        _add_debug_and_help(parser, options)

    def _add_export(self) -> None:
        parser, arguments, options = self._add(
            "export", "write a volume, a level or a part of it for other programs", epilog=_EXPORT_EPILOG,
            usage="%(prog)s PATH OUTPUT [options]")  # fmt: skip
        rare = parser.add_argument_group("less common options")
        printed = parser.add_argument_group("what is printed")
        arguments.add_argument("path", metavar="PATH", type=_path,
                               help="an OME-Zarr, or a volume of any kind that convert reads")  # fmt: skip
        arguments.add_argument("output", metavar="OUTPUT", type=_output,
                               help=f"what to write, by its ending. {outputs_text()}")  # fmt: skip
        common = ("level", "crop", "axes", "dtype", "window", "grey_values", "max_memory", "overwrite")
        _add_conversion_options(parser, options, only=common, of=ExportOptions)
        others = [option.name for option in fields(ExportOptions) if option.name not in common]
        _add_conversion_options(parser, rare, only=others, of=ExportOptions)
        parser.flag(printed, "--dry-run", action="store_true", help="print the plan, and write nothing")
        parser.flag(printed, "--json", action="store_true", help="print the plan or the result as JSON")
        parser.flag(printed, "--quiet", action="store_true", help="print only errors, and the JSON if asked for")
        _add_debug_and_help(parser, printed)

    def _add_stats(self) -> None:
        parser, arguments, options = self._add(
            "stats", "print statistics of a volume, or of every slice", usage="%(prog)s PATH [options]"
        )
        rare = parser.add_argument_group("less common options")
        printed = parser.add_argument_group("what is printed")
        arguments.add_argument("path", metavar="PATH", type=_path,
                               help="an OME-Zarr, or a volume of any kind that convert reads")  # fmt: skip
        common = ("level", "crop", "grey_values", "bins", "threshold", "per_slice", "max_memory")
        _add_conversion_options(parser, options, only=common, of=StatsOptions)
        others = [option.name for option in fields(StatsOptions) if option.name not in (*common, "dtype")]
        _add_conversion_options(parser, rare, only=others, of=StatsOptions)
        _add_dask(parser, rare, "read")
        parser.flag(printed, "--json", action="store_true", help="print the numbers as JSON")
        parser.flag(printed, "--plot", metavar="FILE.png", type=_local_path,
                    help="draw the histogram and the threshold into a picture")  # fmt: skip
        parser.flag(printed, "--quiet", action="store_true", help="show no progress")
        _add_debug_and_help(parser, printed)

    def _add_edit(self) -> None:
        parser, arguments, options = self._add(
            "edit", "set voxel size, unit, name or display window right in a finished OME-Zarr"
        )
        arguments.add_argument("path", metavar="PATH", type=_path, help="an OME-Zarr 0.4, 0.5 or 0.6 of any program")
        parser.flag(options, "--voxel-size", metavar="V | Z Y X",
                    help="voxel size of the finest level: one number, or three along z, y, x, with or without its "
                         "unit, such as 0.65um; the other levels, and labels of the image, follow")  # fmt: skip
        parser.flag(options, "--unit", metavar="UNIT", help="unit of the voxel size, such as micrometer, µm, um or nm")
        parser.flag(options, "--name", metavar="TEXT", help="name of the image")
        parser.flag(options, "--window", metavar="LO HI", help="stored values that are shown as black and as white")
        parser.flag(options, "--dry-run", action="store_true", help="print what would change, and change nothing")
        parser.flag(options, "--json", action="store_true", help="print the facts before and after as JSON")
        _add_debug_and_help(parser, options)

    def _add_demo(self) -> None:
        parser, arguments, options = self._add("demo", "make a small CT-like volume, and convert it")
        folder = Path("ct-pyramid-demo")
        arguments.add_argument("folder", metavar="DIR", type=_local_path, nargs="?", default=folder,
                               help=f"the folder to make the files in (default: {folder})")  # fmt: skip
        _add_debug_and_help(parser, options)

    def _add_view(self) -> None:
        parser, arguments, options = self._add("view", "view a volume in napari")
        arguments.add_argument("path", metavar="PATH", type=_path,
                               help="a volume of any kind that convert reads, or an OME-Zarr")  # fmt: skip
        parser.flag(options, "--screenshot", metavar="FILE", type=_local_path,
                    help="save a picture of the window to FILE, and close the window")  # fmt: skip
        _add_debug_and_help(parser, options)

    def _add_neuroglancer(self) -> None:
        parser, arguments, options = self._add("neuroglancer", "view OME-Zarrs in the browser, with Neuroglancer")
        arguments.add_argument("paths", metavar="PATH", type=_path, nargs="*",
                               help="an OME-Zarr; several are shown together")  # fmt: skip
        parser.flag(options, "--no-browser", action="store_true", help="print the address, and open no browser")
        parser.flag(options, "--link", metavar="URL",
                    help="print a link that opens the OME-Zarr at URL in the public Neuroglancer. If PATH names the "
                         "same OME-Zarr on this machine, the link has its position, zoom and contrast too")  # fmt: skip
        _add_debug_and_help(parser, options)

    def _add_help(self) -> None:
        parser, arguments, options = self._add("help", "print the help of the program, or of a command")
        topic = arguments.add_argument("topic", metavar="COMMAND", nargs="?", help="the command")
        topic.completer = lambda **_: list(self.commands)
        _add_debug_and_help(parser, options)


def _add_conversion_options(
    parser: Parser,
    group: Any,
    *,
    rare: bool | None = None,
    only: Sequence[str] | None = None,
    of: type[SourceOptions] = ConversionOptions,
) -> None:
    """Add an option for every field of `ConversionOptions`, or some of them. That class checks the values."""
    for option in fields(of):
        about = option.metadata
        if (only and option.name not in only) or (rare is not None and about["rare"] != rare):
            continue
        settings: dict[str, Any] = {"dest": option.name, "help": about["help"].replace("%", "%%")}
        if about["metavar"] is None:
            settings["action"] = "store_true"
        else:
            settings |= {"metavar": about["metavar"], "default": option.default}
            if option.default is not None:
                settings["help"] += f" (default: {option.default})"
        parser.flag(group, *flags(option.name), values=_VALUES.get(option.name), **settings)


def _add_dask(parser: Parser, group: Any, what: str) -> None:
    parser.flag(group, "--dask", metavar="ADDRESS", values=["local"],
                help=f"let the workers of a Dask cluster {what}: the address of its scheduler, such as "
                     "tcp://host:8786, or a scheduler file; or local, which starts a process for each core of "
                     "this machine. --max-memory and --threads then apply to each worker")  # fmt: skip


def _add_debug_and_help(parser: Parser, group: Any) -> None:
    parser.flag(group, "--debug", action="store_true", help="also print the Python traceback of an error")
    parser.flag(group, "-h", "--help", action="store_true", help="print this help")


def _split_at_command(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options that stand before the command, and the command with all that follows."""
    before = list(takewhile(lambda word: word.startswith("-"), argv))
    return before, list(argv[len(before) :])


def _asks(words: Sequence[str], *names: str) -> bool:
    return any(word in names for word in takewhile(lambda word: word != "--", words))


def _text(text: str) -> argparse.Namespace:
    return argparse.Namespace(command="help", text=text.rstrip())


def _path(text: str) -> AnyPath:
    if not text:  # such as an unset variable of the shell; for Path, it would be the current folder
        raise argparse.ArgumentTypeError("the path is empty")
    return any_path(text)


def _output(text: str) -> str:
    """The text itself: a slash at its end counts."""
    _path(text)
    return text


def _local_path(text: str) -> Path:
    path = _path(text)
    if isinstance(path, RemotePath):
        raise argparse.ArgumentTypeError(f"{path} is not on this machine")
    return path
